//! What a script and its parameters set: everything that a reload replaces.

use std::sync::Arc;
use std::sync::atomic::{AtomicI8, Ordering};

use seawall_registrar::{Familiar, Policy, Push};
use seawall_script::{Program, RouteId, RouteKind, VariableId, level};
use seawall_transaction::Timers;

use crate::context::Context;
use crate::nathelper::NatSettings;
use crate::reg_event::RegEventSettings;
use crate::usrloc::event;

/// A loaded script with its parameters in the form in which functions use them. A copy is cheap and shares what is large:
/// each worker has one behind an `Arc` of its own, so that workers do not count references in the same place.
#[derive(Clone)]
pub struct Configuration {
    /// The script.
    pub program: Arc<Program<Context>>,
    /// The parameters.
    pub settings: Arc<Settings>,
    /// The routes that the worker starts itself.
    pub routes: Routes,
    /// The present level of the log, from `log_level` or MI.
    pub log_level: Arc<AtomicI8>,
    /// The present level of `xlog`.
    pub xlog_level: Arc<AtomicI8>,
}

/// The routes that are not called by name.
#[derive(Debug, Clone, Default)]
pub struct Routes {
    /// `route{}`.
    pub main: Option<RouteId>,
    /// `onreply_route{}`.
    pub reply: Option<RouteId>,
    /// `error_route{}`.
    pub error: Option<RouteId>,
    /// `local_route{}`.
    pub local: Option<RouteId>,
    /// `startup_route{}`.
    pub startup: Option<RouteId>,
    /// `timer_route`: interval in seconds and route.
    pub timers: Vec<(u32, RouteId)>,
    /// `event_route`: event and route.
    pub events: Vec<(String, RouteId)>,
    /// Whether any event of the location table is waited for, so that nothing is gathered for nobody.
    pub location_events: bool,
    /// Whether E_UL_CONTACT_REFRESH is waited for.
    pub refresh_events: bool,
    /// Whether E_UL_LATENCY_UPDATE is waited for.
    pub latency_events: bool,
}

/// The module parameters.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `registrar` and what it takes from `usrloc`.
    pub registrar: RegistrarSettings,
    /// `tm`.
    pub tm: TmSettings,
    /// `rr`.
    pub rr: RrSettings,
    /// `path`.
    pub path: crate::path::PathSettings,
    /// `options`.
    pub options: crate::options::OptionsSettings,
    /// `max_limit` of `maxfwd`.
    pub max_forwards_limit: u32,
    /// `acc`.
    pub acc: AccSettings,
    /// `nathelper`.
    pub nat: NatSettings,
    /// `auth`.
    pub auth: crate::auth::AuthSettings,
    /// `mid_registrar`, when it is loaded.
    pub mid: Option<std::sync::Arc<crate::mid_registrar::MidSettings>>,
    /// `uac_auth`, when it is loaded and has credentials.
    pub uac: Option<std::sync::Arc<crate::uac_auth::Logins>>,
    /// `auth_db`; nothing when it is not loaded.
    pub auth_db: Option<crate::auth_db::AuthDbSettings>,
    /// `domain`, when it is loaded, with what was read.
    pub domain: Option<Arc<crate::domain::DomainSettings>>,
    /// `reg_event`.
    pub reg_event: RegEventSettings,
    /// Where bindings are kept besides memory.
    pub store: Option<crate::usrloc::settings::StoreSettings>,
    /// `mi_dump_kv_store` of `usrloc`.
    pub shows_keys: bool,
    /// `nat_bflag` of `usrloc` as a mask, 0 for none.
    pub nat_flag: u32,
    /// `push`, when it is loaded.
    pub push: Option<crate::push::PushSettings>,
    /// `rest_client`, when it is loaded.
    pub rest_client: Option<crate::rest_client::RestSettings>,
    /// The value of the Server header, if replies carry one.
    pub server_header: Option<Vec<u8>>,
    /// The User-Agent header line of requests made here, if they carry one.
    pub user_agent_header: Option<Vec<u8>>,
}

/// Parameters of `registrar`.
#[derive(Debug, Clone)]
pub struct RegistrarSettings {
    /// What the pure part needs.
    pub policy: Policy,
    /// Tells refreshes that say nothing new. What was stored under another configuration is new to it.
    pub familiar: Familiar,
    /// `received_avp`.
    pub received: Option<VariableId>,
    /// The Service-Route line of a 200, empty for none (`service_route`).
    pub service_route: Vec<u8>,
    /// `attr_avp`.
    pub attribute: Option<VariableId>,
    /// The name under which lookup attaches the attribute to a branch.
    pub attribute_name: Vec<u8>,
    /// The name inside `mcontact_avp`; empty when it is not set.
    pub sent_contact_name: Vec<u8>,
    /// `tcp_persistent_flag` as a mask, 0 for none.
    pub tcp_persistent_flag: u32,
    /// `overload`: what becomes of new contacts while the server cannot keep up.
    pub overload: Overload,
    /// `overload_early`: whether those whom nobody is registered for are shed before the script.
    pub overload_early: bool,
}

/// What becomes of new contacts while the server cannot keep up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overload {
    /// They are served like all others.
    Serve,
    /// They are refused with 503 and Retry-After.
    Refuse,
    /// They get no answer.
    Drop,
}

/// Parameters of `tm`.
#[derive(Debug, Clone, Copy)]
pub struct TmSettings {
    /// All timers.
    pub timers: Timers,
    /// `onreply_avp_mode`: whether an onreply_route sees the values of its transaction.
    pub onreply_avp_mode: bool,
    /// `pass_provisional_replies`: whether failure statistics see them; kept for `t_on_reply` routes.
    pub pass_provisional_replies: bool,
    /// `auto_100trying`.
    pub auto_100_trying: bool,
}

/// Parameters of `rr`.
#[derive(Debug, Clone, Copy)]
pub struct RrSettings {
    /// `append_fromtag`.
    pub append_from_tag: bool,
    /// `enable_double_rr`.
    pub double: bool,
    /// `add_username`.
    pub add_user: bool,
}

/// Parameters of `acc`.
#[derive(Debug, Clone)]
pub struct AccSettings {
    /// `early_media`.
    pub early_media: bool,
    /// `log_level`.
    pub log_level: i8,
    /// `report_cancels`.
    pub report_cancels: bool,
    /// `detect_direction`.
    pub detect_direction: bool,
    /// `extra_fields`.
    pub extra: crate::acc::Extra,
    /// Where records go, if the script names a database.
    pub database: Option<Arc<crate::acc::DatabaseSettings>>,
}

impl AccSettings {
    fn new(program: &Program<Context>) -> Self {
        let parameters = &program.parameters;
        let extra = crate::acc::Extra::new(program);
        Self {
            early_media: parameters.bool("acc", "early_media"),
            log_level: i8::try_from(parameters.int("acc", "log_level")).unwrap_or(level::NOTICE),
            report_cancels: parameters.bool("acc", "report_cancels"),
            detect_direction: parameters.bool("acc", "detect_direction"),
            database: crate::acc::DatabaseSettings::new(program, &extra).map(Arc::new),
            extra,
        }
    }
}

impl Configuration {
    /// Reads the parameters of a loaded script.
    #[must_use]
    pub fn new(program: Program<Context>) -> Self {
        let events: Vec<_> = program.event_routes().map(|(name, route)| (name.to_owned(), route)).collect();
        let routes = Routes {
            main: program.main(),
            reply: program.route(RouteKind::Reply, ""),
            error: program.route(RouteKind::Error, ""),
            local: program.route(RouteKind::Local, ""),
            startup: program.route(RouteKind::Startup, ""),
            timers: program.timers().map(|(_, interval_s, route)| (interval_s, route)).collect(),
            location_events: events.iter().any(|(name, _)| event::OF_LOCATION.contains(&name.as_str())),
            refresh_events: events.iter().any(|(name, _)| name == event::CONTACT_REFRESH),
            latency_events: events.iter().any(|(name, _)| name == event::LATENCY_UPDATE),
            events,
        };
        let level = |name: &str, default: i8| {
            if program.globals.is_set(name) {
                i8::try_from(program.globals.int(name)).unwrap_or(default).clamp(-3, 4)
            } else {
                default
            }
        };
        let log_level = if program.globals.bool("debug_mode") { 4 } else { level("log_level", 2) };
        Self {
            log_level: Arc::new(AtomicI8::new(log_level)),
            xlog_level: Arc::new(AtomicI8::new(level("xlog_level", 2))),
            settings: Arc::new(Settings::new(&program)),
            routes,
            program: Arc::new(program),
        }
    }

    /// The route that waits for an event.
    #[must_use]
    pub fn event_route(&self, name: &str) -> Option<RouteId> {
        self.routes.events.iter().find(|(known, _)| known == name).map(|(_, route)| *route)
    }

    /// The parameters of push notifications: those of `registrar`, or else of `mid_registrar`. Nothing where they are off.
    #[must_use]
    pub fn push(&self) -> Option<&Arc<Push>> {
        let mid = || self.settings.mid.as_ref().and_then(|mid| mid.policy.push.as_ref());
        self.settings.registrar.policy.push.as_ref().or_else(mid)
    }

    /// How many seconds before its end a contact that is woken by pushes is woken to refresh itself
    /// (`contact_refresh_timer`, `pn_trigger_interval`); 0 for never.
    #[must_use]
    pub fn refresh_before_s(&self) -> u32 {
        let timer = self.program.parameters.bool("usrloc", "contact_refresh_timer");
        self.push().filter(|_| timer).map_or(0, |push| push.trigger_interval_s)
    }

    /// Whether a line of this level is written by `xlog`.
    #[must_use]
    pub fn logs(&self, level: i8) -> bool {
        level <= self.xlog_level.load(Ordering::Relaxed)
    }
}

impl Settings {
    /// Reads every parameter once.
    fn new(program: &Program<Context>) -> Self {
        let parameters = &program.parameters;
        let header = program.globals.str("server_header");
        let shown = !program.globals.is_set("server_signature") || program.globals.bool("server_signature");
        let mut settings = Self {
            registrar: RegistrarSettings::new(program),
            tm: TmSettings::new(program),
            rr: RrSettings {
                append_from_tag: parameters.bool("rr", "append_fromtag"),
                double: parameters.bool("rr", "enable_double_rr"),
                add_user: parameters.bool("rr", "add_username"),
            },
            path: crate::path::PathSettings {
                use_received: parameters.bool("path", "use_received"),
                double: parameters.bool("path", "enable_double_path"),
            },
            options: crate::options::OptionsSettings::new(program),
            max_forwards_limit: u32::try_from(parameters.int("maxfwd", "max_limit")).unwrap_or(256),
            acc: AccSettings::new(program),
            nat: NatSettings::new(program),
            auth: crate::auth::AuthSettings::new(program),
            mid: crate::mid_registrar::MidSettings::new(program),
            uac: crate::uac_auth::Logins::new(program),
            auth_db: crate::auth_db::AuthDbSettings::new(program),
            domain: crate::domain::DomainSettings::new(program).map(Arc::new),
            reg_event: RegEventSettings::new(program),
            store: crate::usrloc::settings::StoreSettings::new(program),
            shows_keys: parameters.bool("usrloc", "mi_dump_kv_store"),
            nat_flag: mask(parameters.flag("usrloc", "nat_bflag")),
            push: crate::push::PushSettings::new(program),
            rest_client: crate::rest_client::RestSettings::new(program),
            server_header: shown.then(|| header_line("Server", header.as_deref())),
            user_agent_header: shown
                .then(|| header_line("User-Agent", program.globals.str("user_agent_header").as_deref())),
        };
        settings.tell_vapid_key();
        settings
    }

    /// Lets the registrars tell phones the key that signs for Web Push (RFC 8599 section 8.3).
    fn tell_vapid_key(&mut self) {
        let Some(key) = self.push.as_ref().and_then(|push| push.services.vapid_key()) else { return };
        let of_mid = self.mid.as_mut().and_then(Arc::get_mut).and_then(|mid| mid.policy.push.as_mut());
        for push in self.registrar.policy.push.iter_mut().chain(of_mid) {
            Arc::make_mut(push).vapid = Some(key.as_bytes().into());
        }
    }
}

/// A header line that names the server. The script gives either the whole header or its value.
fn header_line(name: &str, given: Option<&str>) -> Vec<u8> {
    let text = given.unwrap_or(concat!("Seawall/", env!("CARGO_PKG_VERSION")));
    let clean: String = text.chars().filter(|character| !character.is_control()).collect();
    let clean = clean.trim();
    let whole = clean.split_once(':').is_some_and(|(start, _)| start.trim_end().eq_ignore_ascii_case(name));
    if whole { format!("{clean}\r\n").into_bytes() } else { format!("{name}: {clean}\r\n").into_bytes() }
}

/// The mask of a flag, 0 when there is none.
fn mask(flag: Option<u8>) -> u32 {
    flag.and_then(|bit| 1u32.checked_shl(u32::from(bit))).unwrap_or(0)
}

impl TmSettings {
    fn new(program: &Program<Context>) -> Self {
        let parameters = &program.parameters;
        let seconds =
            |name: &str| u32::try_from(parameters.int("tm", name)).unwrap_or(0).saturating_mul(1000);
        let milliseconds = |name: &str| u32::try_from(parameters.int("tm", name)).unwrap_or(0);
        let mut timers = Timers::tm();
        timers.fr_timeout_ms = seconds("fr_timeout");
        timers.fr_inv_timeout_ms = seconds("fr_inv_timeout");
        timers.t1_ms = milliseconds("T1_timer");
        timers.t2_ms = milliseconds("T2_timer");
        timers.restart_fr_on_each_reply = parameters.bool("tm", "restart_fr_on_each_reply");
        timers.set_wait(seconds("wt_timer"));
        let auto_100_trying = parameters.bool("tm", "auto_100trying");
        timers.trying_ms = auto_100_trying.then_some(0);
        Self {
            timers,
            onreply_avp_mode: parameters.bool("tm", "onreply_avp_mode"),
            pass_provisional_replies: parameters.bool("tm", "pass_provisional_replies"),
            auto_100_trying,
        }
    }
}
