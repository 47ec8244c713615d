//! What is pushed, and what became of it.

/// Which of the senders a push goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Provider {
    /// Apple (`pn-provider=apns`, RFC 8599 section 10).
    Apns,
    /// Firebase (`pn-provider=fcm`, RFC 8599 section 11).
    Fcm,
    /// Web Push (`pn-provider=webpush`, RFC 8599 section 12).
    WebPush,
    /// A gateway of one's own, over HTTP.
    Gateway,
}

impl Provider {
    /// All of them; their order is that of [`Provider::index`].
    pub const ALL: [Provider; 4] = [Provider::Apns, Provider::Fcm, Provider::WebPush, Provider::Gateway];

    /// The name that statistics and MI show.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Provider::Apns => "apns",
            Provider::Fcm => "fcm",
            Provider::WebPush => "webpush",
            Provider::Gateway => "http",
        }
    }

    /// The position in [`Provider::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }
}

/// A push: to which phone, why, and who calls. The texts are as SIP has them, without percent-escapes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Push {
    /// `pn-provider`.
    pub provider: String,
    /// `pn-param`.
    pub param: String,
    /// `pn-prid`.
    pub prid: String,
    /// Why: `reg-refresh`, `ini-INVITE`, `mid-BYE` and so on.
    pub reason: String,
    /// The address of record that is called.
    pub aor: String,
    /// The contact that is to be refreshed.
    pub contact: String,
    /// The display name of the caller.
    pub caller_name: String,
    /// The user part of the caller's URI.
    pub caller_number: String,
    /// The caller's URI.
    pub caller_uri: String,
    /// The Call-ID of the request that waits.
    pub call_id: String,
}

impl Push {
    /// Whether somebody calls, in contrast to a registration or a dialog that wants a refresh.
    #[must_use]
    pub fn is_call(&self) -> bool {
        self.reason.starts_with("ini-")
    }

    /// Whether the phone is to ring. Apple ends an application that gets a PushKit push and shows no call.
    #[must_use]
    pub fn rings(&self) -> bool {
        self.reason == "ini-INVITE"
    }
}

/// What became of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The service took it; whether the phone wakes is not known.
    Accepted,
    /// The service says that the phone is gone for good: its binding is to be removed.
    Dead,
    /// The service will never take it, or it cannot be built; why.
    Refused(String),
    /// The service could not be reached, or did not take it, until it was too late; the last reason.
    Failed(String),
    /// There was no turn before the deadline; nothing was sent.
    Late,
    /// The caller gave up first; nothing more was sent.
    Cancelled,
    /// Too many pushes wait already; nothing was sent.
    Full,
    /// No sender is configured for this `pn-provider`.
    NoSender,
}
