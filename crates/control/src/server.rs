//! What the management plane asks of the running server.
//!
//! The engine implements [`Server`]; nothing in this crate knows how a statistic is counted or how a binding is
//! stored, and the engine knows nothing of JSON. Every method may be called from any control thread, at any time,
//! several at once, and must return soon: no method may wait for the network or for a client.

/// One process-like unit of the server as the MI command `ps` lists it: a worker thread, the control runtime.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Process {
    /// Number of the unit, from 0.
    pub id: u32,
    /// The operating system's process or thread id.
    pub pid: u32,
    /// What the unit does, for people: `SIP worker 0`, `MI`.
    pub kind: String,
}

/// How a statistic moves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StatisticKind {
    /// Only grows; `reset_statistics` sets it to 0. MI calls it `incremental`.
    Counter,
    /// Goes up and down with what it measures and cannot be reset. MI calls it `non-incremental`.
    Gauge,
}

/// One statistic with its present value.
#[derive(Clone, Copy, Debug)]
pub struct Statistic<'a> {
    /// The module that counts it: `core`, `registrar`, `usrloc`.
    pub group: &'a str,
    /// Its name inside the group: `rcv_requests`, `location-contacts`.
    pub name: &'a str,
    /// The present value.
    pub value: u64,
    /// Whether it can be reset.
    pub kind: StatisticKind,
    /// One sentence for people; the `# HELP` line of the metrics page.
    pub doc: &'a str,
}

/// A location table: what `ul_dump` shows of it before its records.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Domain {
    /// The table's name in the script: `location`.
    pub name: String,
    /// The number of hash slots, shown as `hash_size`.
    pub hash_size: usize,
    /// How many parts [`Server::dump_part`] has for this table. A part is rendered under its lock, so it should
    /// hold about a thousand bindings at most.
    pub parts: usize,
}

/// When a binding ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Expires {
    /// In so many seconds.
    In(u32),
    /// Never.
    Permanent,
    /// It is marked for deletion.
    Deleted,
    /// It is over and waits for the timer.
    Expired,
}

/// The state of a binding with regard to its store, in the words of the `State` field.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// `CS_NEW`: not stored yet.
    New,
    /// `CS_SYNC`: stored as it is.
    Sync,
    /// `CS_DIRTY`: changed since it was stored.
    Dirty,
}

/// A binding, borrowed from the location table while it is rendered. Bytes come as the client sent them; the
/// renderer escapes them.
#[derive(Clone, Copy, Debug)]
pub struct Contact<'a> {
    /// The contact URI without angle brackets.
    pub contact: &'a [u8],
    /// The stable id of the binding; printed in decimal as a string, since JSON numbers lose 64-bit precision.
    pub contact_id: u64,
    /// When it ends.
    pub expires: Expires,
    /// Priority from 0 to 1000, if the contact has one.
    pub q_per_mille: Option<u16>,
    /// The Call-ID of the REGISTER that made or refreshed it.
    pub call_id: &'a [u8],
    /// The CSeq number of that REGISTER.
    pub cseq: u32,
    /// The User-Agent, or `n/a`.
    pub user_agent: &'a [u8],
    /// The URI that the REGISTER really came from, when it differs (NAT).
    pub received: Option<&'a [u8]>,
    /// The Path vector, joined with commas.
    pub path: Option<&'a [u8]>,
    /// The state with regard to the store.
    pub state: State,
    /// Internal flags.
    pub flags: u32,
    /// Names of the branch flags, separated by spaces.
    pub cflags: &'a [u8],
    /// The local socket the REGISTER came in on: `udp:192.0.2.1:5060`.
    pub socket: Option<&'a [u8]>,
    /// Bit mask of the methods the contact allows.
    pub methods: u32,
    /// The `attr` value of the script.
    pub attr: Option<&'a [u8]>,
    /// `+sip.instance`.
    pub sip_instance: Option<&'a [u8]>,
    /// The last measured ping latency in microseconds.
    pub ping_latency_us: Option<u32>,
    /// The sharing tag that owns the contact.
    pub ownership_tag: Option<&'a [u8]>,
    /// Its key/value store as JSON text, where that is to be shown.
    pub kv_store: Option<&'a [u8]>,
}

/// Takes records as the location table is walked: an AoR, then its contacts, then the next AoR.
///
/// It is called with a lock held: it only writes to memory and never blocks.
pub trait RecordSink {
    /// A new record begins; the contacts that follow are its bindings.
    fn aor(&mut self, aor: &[u8]);
    /// The key/value store of the record that began last, as JSON text, where that is to be shown.
    fn keys(&mut self, kv_store: &[u8]);
    /// A binding of the record that began last.
    fn contact(&mut self, contact: &Contact<'_>);
}

/// A binding to be added by `ul_add`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NewContact<'a> {
    /// The contact URI. It has no control characters; whether it is a URI is for the server to check.
    pub contact: &'a [u8],
    /// Life in seconds; 0 means permanent.
    pub expires_s: u32,
    /// Priority from 0 to 1000, if given.
    pub q_per_mille: Option<u16>,
    /// Internal flags.
    pub flags: u32,
    /// The branch flags: a number or names separated by spaces.
    pub cflags: &'a str,
    /// Bit mask of allowed methods.
    pub methods: u32,
}

/// A program outside that is told of an event, borrowed while it is rendered.
#[derive(Clone, Copy, Debug)]
pub struct EventSubscriber<'a> {
    /// The event.
    pub event: &'a str,
    /// Where to: `udp:127.0.0.1:8081`.
    pub socket: &'a str,
    /// For how many seconds still; nothing for ever.
    pub expires_s: Option<u64>,
}

/// A domain that the server is responsible for, borrowed while it is rendered.
#[derive(Clone, Copy, Debug)]
pub struct LocalDomain<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Its attributes.
    pub attributes: Option<&'a [u8]>,
    /// Whether the names below it are ours, too.
    pub accepts_subdomains: bool,
}

/// A value of an event that a command raises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventValue {
    /// An integer.
    Int(i64),
    /// A text.
    Text(String),
}

/// A push service, borrowed while it is rendered.
#[derive(Clone, Copy, Debug)]
pub struct PushService<'a> {
    /// Its name: `apns`, `fcm`, `webpush` or `http`.
    pub name: &'a str,
    /// Whether pushes are held back, because the service failed or asked for it.
    pub held: bool,
    /// Its counters by name.
    pub counters: &'a [(&'a str, u64)],
}

/// A subscription to a registration, borrowed while it is rendered. Bytes come as the subscriber sent them.
#[derive(Clone, Copy, Debug)]
pub struct Subscription<'a> {
    /// Its number.
    pub id: u64,
    /// The location table.
    pub domain: &'a [u8],
    /// The address-of-record.
    pub aor: &'a [u8],
    /// The From of its SUBSCRIBE.
    pub subscriber: &'a [u8],
    /// The subscriber's Contact URI.
    pub target: &'a [u8],
    /// The Call-ID of its dialog.
    pub call_id: &'a [u8],
    /// Seconds that it has left.
    pub expires_s: u64,
    /// How many NOTIFYs were made for it.
    pub notifies: u32,
}

/// What a main registrar holds (`mid_reg_show`), borrowed while it is rendered.
#[derive(Clone, Copy, Debug)]
pub struct Registration<'a> {
    /// The contact that it stands for; `None` when none is bound here and it stands for the whole address-of-record.
    pub contact_id: Option<u64>,
    /// The Contact URI here; empty when none is bound.
    pub contact: &'a [u8],
    /// Seconds that the binding has left.
    pub expires_s: u64,
    /// The Contact at the main registrar.
    pub upstream_contact: &'a [u8],
    /// `live`, `leaving` or `renewing`.
    pub state: &'a str,
    /// Seconds until the main registrar forgets it.
    pub upstream_expires_s: u64,
    /// Seconds until a refresh like the last one is forwarded.
    pub forward_in_s: Option<u64>,
    /// The main registrar, as `protocol:address:port`.
    pub main: &'a [u8],
    /// The Request-URI of its REGISTERs.
    pub main_uri: &'a [u8],
    /// The Call-ID that the main registrar knows.
    pub callid: &'a [u8],
    /// The CSeq that the main registrar knows.
    pub cseq: u32,
    /// How often a request of our own was tried.
    pub attempts: u8,
}

/// Why an operation on the location table was not done. [`crate::MiError`] gives each its code and text.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LocationError {
    /// No table of that name: 404.
    #[error("Table not found")]
    TableNotFound,
    /// No such address-of-record: 404.
    #[error("AOR not found")]
    AorNotFound,
    /// The record exists but not the contact: 404.
    #[error("Contact not found")]
    ContactNotFound,
    /// The values cannot be accepted (bad URI, too long): 400.
    #[error("{0}")]
    Refused(&'static str),
    /// The server could not do it: 500.
    #[error("{0}")]
    Failed(&'static str),
}

/// The running server, as the management plane sees it.
pub trait Server: Send + Sync + 'static {
    /// The product and its version as MI `version` shows it: `Seawall (0.1.0 (x86_64/linux))`.
    fn version(&self) -> String;

    /// Present time in unix seconds.
    fn now_s(&self) -> u64;

    /// When the server started, in unix seconds.
    fn started_s(&self) -> u64;

    /// Workers and other threads worth listing.
    fn processes(&self) -> Vec<Process>;

    /// The present log level, -3 (alerts only) to 4 (debug).
    fn log_level(&self) -> i8;

    /// Sets the log level. `level` is from -3 to 4.
    fn set_log_level(&self, level: i8);

    /// Shows every statistic, those of one group together.
    fn statistics(&self, each: &mut dyn FnMut(&Statistic<'_>));

    /// Sets a counter back to 0. A gauge stays as it is.
    fn reset_statistic(&self, group: &str, name: &str);

    /// Further lines for the metrics page in Prometheus text form (histograms of latency and the like).
    fn metrics(&self, _text: &mut String) {}

    /// Loads the script anew and swaps it in. Gives a sentence about what was done.
    ///
    /// # Errors
    /// The diagnostics of the new script; the old one goes on.
    fn reload(&self) -> Result<String, String>;

    /// Reads the table of local domains again; how many there are.
    ///
    /// # Errors
    /// They are not kept in memory, or the database fails; those that were read before stay.
    fn reload_domains(&self) -> Result<usize, LocationError>;

    /// Shows the local domains that are in memory, by their names.
    ///
    /// # Errors
    /// They are not kept in memory.
    fn local_domains(&self, each: &mut dyn FnMut(&LocalDomain<'_>)) -> Result<(), LocationError>;

    /// Whether contacts are pinged: the script says so, and nobody has switched it off.
    fn pinging(&self) -> bool;

    /// Switches pinging on or off. False where the script says that nobody is pinged, so that there is nothing to
    /// switch.
    fn set_pinging(&self, on: bool) -> bool;

    /// The users who may log in, where the server keeps some.
    fn users(&self) -> Option<&dyn crate::users::Users> {
        None
    }

    /// The location tables.
    fn domains(&self) -> Vec<Domain>;

    /// Shows the records of part `part` of a table. Shows nothing when there is no such table or part.
    fn dump_part(&self, domain: &str, part: usize, sink: &mut dyn RecordSink);

    /// Shows one record.
    ///
    /// # Errors
    /// The table or the address-of-record is not known.
    fn show_aor(&self, domain: &str, aor: &[u8], sink: &mut dyn RecordSink) -> Result<(), LocationError>;

    /// Removes a record with all its bindings.
    ///
    /// # Errors
    /// The table or the address-of-record is not known.
    fn remove_aor(&self, domain: &str, aor: &[u8]) -> Result<(), LocationError>;

    /// Removes one binding.
    ///
    /// # Errors
    /// The table, the address-of-record or the contact is not known.
    fn remove_contact(&self, domain: &str, aor: &[u8], contact: &[u8]) -> Result<(), LocationError>;

    /// Adds a binding, or updates the one with that contact.
    ///
    /// # Errors
    /// The table is not known, or the values are refused.
    fn add_contact(&self, domain: &str, aor: &[u8], contact: &NewContact<'_>) -> Result<(), LocationError>;

    /// Writes what is pending to the store. Without a store there is nothing to do.
    ///
    /// # Errors
    /// The store failed.
    fn flush(&self) -> Result<(), LocationError>;

    /// Shows up to `count` subscriptions to registrations whose number is `from` or higher, by their numbers.
    fn subscriptions(&self, from: u64, count: usize, each: &mut dyn FnMut(&Subscription<'_>));

    /// Sends an event to a program outside from now on, for so many seconds; 0 ends that.
    ///
    /// # Errors
    /// The event or the socket is none, there are too many, or no module sends events.
    fn event_subscribe(&self, event: &str, socket: &str, expire_s: u64) -> Result<(), LocationError>;

    /// Shows the programs outside that are told of events.
    fn event_subscribers(&self, each: &mut dyn FnMut(&EventSubscriber<'_>));

    /// Names the events that the server raises.
    fn events(&self, each: &mut dyn FnMut(&str));

    /// Raises an event with these values, each behind its name; an empty name is none.
    ///
    /// # Errors
    /// The name is none of an event, or the server is overloaded.
    fn event_raise(&self, event: &str, values: &[(String, EventValue)]) -> Result<(), LocationError>;

    /// Pushes to the contacts of an address-of-record, and says to how many: those that a sender takes.
    ///
    /// # Errors
    /// The table or the address-of-record is not known.
    fn push_wake(&self, domain: &str, aor: &[u8], reason: &[u8]) -> Result<usize, LocationError>;

    /// Shows every push service that is configured.
    fn push_services(&self, each: &mut dyn FnMut(&PushService<'_>));

    /// Ends a subscription. False when there is no such.
    fn end_subscription(&self, id: u64) -> bool;

    /// Shows what main registrars hold for an address-of-record.
    ///
    /// # Errors
    /// The address-of-record cannot be read, or nothing is registered for it.
    fn registrations(&self, aor: &[u8], each: &mut dyn FnMut(&Registration<'_>))
    -> Result<(), LocationError>;

    /// Registers again what main registrars may have lost, all of it or one address-of-record. Gives how many
    /// registrations that are.
    ///
    /// # Errors
    /// The address-of-record cannot be read, or nothing is registered for it.
    fn resync(&self, aor: Option<&[u8]>) -> Result<usize, LocationError>;
}
