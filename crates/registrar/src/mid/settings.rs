//! What the module parameters of `mid_registrar` say beyond a registrar's [`Policy`](crate::Policy).

/// How registrations reach the main registrar (mid_registrar 1.5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// 0: every REGISTER is forwarded, with the client's own interval.
    #[default]
    Mirror,
    /// 1: each contact is registered there for longer than here, and its refreshes are absorbed meanwhile.
    Contact,
    /// 2: as 1, with one contact there for all contacts of an address of record here.
    Aor,
}

/// Where the contact id stands in a forwarded Contact URI (mid_registrar 1.5.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Insertion {
    /// `ct-param`: in the URI parameter that `contact_id_param` names.
    #[default]
    Parameter,
    /// `ct-username`: in the place of the user.
    Username,
}

/// Whose REGISTER may be answered without asking the main registrar (`absorb`, behaviour §7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Anybody's, as the document describes it.
    #[default]
    Any,
    /// That of the flow from which the main registrar has accepted the binding, and one that the script has
    /// authenticated.
    Verified,
}

/// What a 403 or 404 to a refresh does (`on_reject`, behaviour §7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnReject {
    /// The binding runs out.
    #[default]
    Keep,
    /// The binding goes at once.
    Remove,
}

/// How a client is answered while the main registrar does not (`upstream_down`, behaviour §7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UpstreamDown {
    /// The failure is passed on.
    #[default]
    Pass,
    /// From what is known here, as long as the main registrar's own deadline has not passed.
    Absorb,
}

/// The parameters. Times are seconds.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `mode` (1.5.1).
    pub mode: Mode,
    /// `contact_id_insertion` (1.5.2).
    pub insertion: Insertion,
    /// `contact_id_param` (1.5.3).
    pub contact_id_param: Box<[u8]>,
    /// `at_escape_str` (1.5.4).
    pub at_escape: Box<[u8]>,
    /// `outgoing_expires` (1.5.5).
    pub outgoing_expires_s: u32,
    /// `absorb` (ours).
    pub trust: Trust,
    /// `on_reject` (ours).
    pub on_reject: OnReject,
    /// `upstream_down` (ours).
    pub upstream_down: UpstreamDown,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            mode: Mode::Mirror,
            insertion: Insertion::Parameter,
            contact_id_param: (*b"ctid").into(),
            at_escape: (*b"%40").into(),
            outgoing_expires_s: 3600,
            trust: Trust::Any,
            on_reject: OnReject::Keep,
            upstream_down: UpstreamDown::Pass,
        }
    }
}
