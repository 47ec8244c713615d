//! Modules that OpenSIPS has and Seawall does not provide yet, so that a script which needs them is refused by name.

use seawall_script::LaterModule;

/// The modules and the functions that scripts in the field call.
pub const MODULES: &[LaterModule] = &[
    LaterModule { name: "alias_db", functions: &["alias_db_lookup", "alias_db_find"] },
    LaterModule {
        name: "avpops",
        functions: &["avp_db_query", "avp_db_load", "avp_db_store", "avp_check", "avp_subst"],
    },
    LaterModule { name: "clusterer", functions: &["cluster_broadcast_req", "cluster_send_req"] },
    LaterModule {
        name: "dialog",
        functions: &[
            "create_dialog",
            "match_dialog",
            "validate_dialog",
            "fix_route_dialog",
            "get_dialog_info",
        ],
    },
    LaterModule { name: "dialplan", functions: &["dp_translate"] },
    LaterModule {
        name: "dispatcher",
        functions: &["ds_select_dst", "ds_select_domain", "ds_next_dst", "ds_is_in_list"],
    },
    LaterModule {
        name: "drouting",
        functions: &["do_routing", "route_to_gw", "use_next_gw", "is_from_gw", "goes_to_gw"],
    },
    LaterModule { name: "load_balancer", functions: &["lb_start", "lb_next", "lb_is_destination"] },
    LaterModule {
        name: "permissions",
        functions: &["check_source_address", "check_address", "allow_register", "allow_routing"],
    },
    LaterModule { name: "pike", functions: &["pike_check_req"] },
    LaterModule { name: "presence", functions: &["handle_publish", "handle_subscribe"] },
    LaterModule { name: "presence_xml", functions: &[] },
    LaterModule { name: "proto_tls", functions: &[] },
    LaterModule { name: "proto_ws", functions: &[] },
    LaterModule { name: "proto_wss", functions: &[] },
    LaterModule { name: "ratelimit", functions: &["rl_check", "rl_dec_count", "rl_reset_count"] },
    LaterModule {
        name: "rtpengine",
        functions: &["rtpengine_offer", "rtpengine_answer", "rtpengine_delete", "rtpengine_manage"],
    },
    LaterModule {
        name: "rtpproxy",
        functions: &["rtpproxy_offer", "rtpproxy_answer", "rtpproxy_unforce", "rtpproxy_engage"],
    },
    LaterModule { name: "statistics", functions: &["update_stat", "reset_stat"] },
    LaterModule { name: "textops", functions: &["search", "subst", "subst_uri", "subst_user", "replace"] },
    LaterModule { name: "tls_mgm", functions: &["rest_init_client_tls"] },
    LaterModule { name: "tls_wolfssl", functions: &[] },
    LaterModule { name: "tls_openssl", functions: &[] },
    LaterModule { name: "uac", functions: &["uac_replace_from", "uac_replace_to", "uac_auth"] },
    LaterModule { name: "uac_registrant", functions: &[] },
    LaterModule { name: "xcap", functions: &[] },
];
