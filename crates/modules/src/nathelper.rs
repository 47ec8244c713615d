//! Module `nathelper`: phones behind a NAT. What tells them, how their addresses are mended, and how the way to them is
//! kept open.

pub mod contact;
pub mod flags;
pub mod ping;
pub mod pinger;
pub mod sdp;
pub mod uac_test;

mod parameters;

use std::net::IpAddr;

use seawall_script::{
    Argument, ArgumentKind, Call, FlagDecl, Flow, Function, Module, Prepared, Routes, Statistic, Value,
    VariableId,
};
use seawall_sip::Name;

use crate::context::Context;

/// Parameters of `nathelper` that functions use.
#[derive(Debug, Clone, Default)]
pub struct NatSettings {
    /// `received_avp`.
    pub received: Option<VariableId>,
    /// Whether `fix_nated_sdp` keeps the old media address (`oldip_skip` without `c`).
    pub keep_media: bool,
    /// Whether it keeps the old origin address (`oldip_skip` without `o`).
    pub keep_origin: bool,
    /// `nortpproxy_str` without its line break; empty for none.
    pub marker: Vec<u8>,
    /// What pinging goes by; none when `natping_interval` is 0.
    pub ping: Option<Box<ping::PingSettings>>,
}

const REPLIES_TOO: Routes = Routes::REQUEST.or(Routes::ONREPLY).or(Routes::BRANCH);
const EVERYWHERE: Routes = REPLIES_TOO.or(Routes::FAILURE);

/// The flags of `fix_nated_sdp`.
const SDP_FLAGS: &[FlagDecl] = &[
    FlagDecl::new("add-dir-active", "1", "Adds the line `a=direction:active`."),
    FlagDecl::new("rewrite-media-ip", "2", "Writes the address into the `c=` lines."),
    FlagDecl::new("add-no-rtpproxy", "4", "Adds the line of the parameter `nortpproxy_str`."),
    FlagDecl::new("rewrite-origin-ip", "8", "Writes the address into the `o=` line."),
    FlagDecl::new(
        "rewrite-null-ips",
        "16",
        "Also where the address is 0.0.0.0 or ::, which is left alone otherwise.",
    ),
];

/// The module's table.
pub static MODULE: Module<Context> = Module {
    parameters: parameters::ALL,
    functions: &[
        Function::<Context>::new(
            "fix_nated_contact",
            &[
                Argument::new("uri_params", ArgumentKind::Str, "Parameters to add to the URI: \";nat=yes\".").optional(),
                Argument::new("flags", ArgumentKind::IntOrStr, "What else to do.").optional().words(contact::FLAGS),
            ],
            REPLIES_TOO,
            "Writes the address and port that the message came from into its Contact, for requests inside the dialog. \
             A `maddr` parameter of the Contact goes.",
            contact::fix_contact,
        )
        .section("1.5.1")
        .returns(&[(1, "The Contact was changed."), (-1, "There is none to change, or it or the parameters cannot be used.")])
        .prepare(|argument, value| match argument {
            1 => flags::prepare(value, contact::FLAGS),
            _ => Ok(Prepared::new(())),
        }),
        Function::<Context>::new(
            "restore_nated_ruri",
            &[],
            Routes::REQUEST.or(Routes::BRANCH),
            "Takes back what fix_nated_contact() with preserve-uri did: the Request-URI gets the host and port that the \
             phone gave, and the request goes to where it came from.",
            contact::restore,
        )
        .returns(&[(1, "It was restored."), (-1, "The Request-URI keeps no host and port.")]),
        Function::<Context>::new(
            "fix_nated_sdp",
            &[
                Argument::new("flags", ArgumentKind::IntOrStr, "What to change.").words(SDP_FLAGS),
                Argument::new("ip_address", ArgumentKind::Str, "The address to write; that which the message came from if left out.").optional(),
                Argument::new("sdp_fields", ArgumentKind::Str, "Lines to add, each with \\r\\n in front of it.").optional(),
            ],
            EVERYWHERE,
            "Changes the session description of the message, also as one part of several. One that carries the line of \
             `nortpproxy_str` was changed before and is left alone.",
            fix_sdp,
        )
        .section("1.5.2")
        .returns(&[(1, "It was changed."), (-1, "There is none, it needs no change, or an argument cannot be used.")])
        .prepare(prepare_sdp),
        Function::<Context>::new(
            "add_rcv_param",
            &[Argument::new("flag", ArgumentKind::Int, "Not 0: into the URI of the Contact; else into its header.").optional()],
            Routes::REQUEST,
            "Adds a parameter `received` with the URI that the message came from to each Contact, for a registrar further on.",
            contact::add_received,
        )
        .section("1.5.3")
        .returns(&[(1, "It was added."), (-1, "There is no Contact that can be used.")]),
        Function::<Context>::new(
            "fix_nated_register",
            &[],
            Routes::REQUEST,
            "Puts the URI that the request came from into `received_avp`, where save() finds it.",
            contact::fix_register,
        )
        .section("1.5.4")
        .returns(&[(1, "It is there.")])
        .needs_parameter("received_avp"),
        Function::<Context>::new(
            "nat_uac_test",
            &[Argument::new("flags", ArgumentKind::IntOrStr, "The tests.").words(uac_test::FLAGS)],
            EVERYWHERE,
            "Whether one of the tests says that the message has crossed a NAT.",
            uac_test::nat_uac_test,
        )
        .section("1.5.5")
        .returns(&[(1, "One says so."), (-1, "None does.")])
        .prepare(|_, value| flags::prepare(value, uac_test::FLAGS)),
    ],
    statistics: &[
        Statistic { name: "sent_pings", doc: "Pings sent to contacts.", resettable: true },
        Statistic { name: "answered_pings", doc: "SIP pings that were answered in time.", resettable: true },
        Statistic {
            name: "lost_contacts",
            doc: "Contacts removed because they did not answer pings.",
            resettable: true,
        },
    ],
    ..Module::new("nathelper", "https://docs.opensips.org/modules/devel/nathelper/")
};

fn prepare_sdp(argument: usize, value: &Value) -> Result<Prepared, String> {
    let text = || value.clone().into_bytes().unwrap_or_default();
    match argument {
        0 => flags::prepare(value, SDP_FLAGS),
        1 => address(&text()).map(Prepared::new).ok_or_else(|| "it is no IP address".to_owned()),
        _ if sdp::is_fields(&text()) => Ok(Prepared::new(())),
        _ => Err("lines have the form \"\\r\\na=name\", each with its \\r\\n in front".to_owned()),
    }
}

fn address(text: &[u8]) -> Option<IpAddr> {
    seawall_sip::uri::host_ip(text)
}

fn fix_sdp(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let Some(flags) = flags::of_argument(call, 0, SDP_FLAGS) else { return Flow::FALSE };
    let given = call.str(1).filter(|text| !text.is_empty());
    let source = context.origin.peer.ip().to_canonical();
    let Some(address) = given.map_or(Some(source), address) else { return Flow::FALSE };
    let fields = call.str(2).unwrap_or_default();
    if !sdp::is_fields(fields) {
        return Flow::FALSE;
    }
    let message = context.packet.message();
    let body = context.rare.edits.body(message);
    let kind = message.value(Name::ContentType).unwrap_or_default();
    let Some(place) = sdp::locate(kind, body) else { return Flow::FALSE };
    let Some(description) = body.get(place.clone()) else { return Flow::FALSE };
    let settings = &context.configuration.settings.nat;
    if !settings.marker.is_empty() && sdp::has_line(description, &settings.marker) {
        return Flow::FALSE;
    }
    let has = |flag: u32| flags & flag != 0;
    let fix = sdp::Fix {
        address,
        media: has(2),
        origin: has(8),
        null: has(16),
        direction_active: has(1),
        keep_media: settings.keep_media,
        keep_origin: settings.keep_origin,
        marker: if has(4) { &settings.marker } else { b"" },
        fields,
    };
    let mut new = body.get(..place.start).unwrap_or_default().to_vec();
    if !sdp::write(description, &fix, &mut new) {
        return Flow::FALSE;
    }
    new.extend_from_slice(body.get(place.end..).unwrap_or_default());
    context.rare.edits.replace_body(context.packet.message(), &new);
    Flow::TRUE
}
