//! Events that routes of the script wait for: changes of the location table, and the script's own.

use seawall_location::{Binding, Change, Domain, Names, PERMANENT, Q_NONE, RecordView, Sink, Updates};
use seawall_script::{Call, Flow, Value};

use crate::context::{Context, EventParameters, EventSubject};
use crate::node::Node;
use crate::store::{Draft, Drafted, Limit};
use crate::usrloc::event;

/// How many events one message may raise. A REGISTER with many contacts raises a few dozen.
const MAX_EVENTS: usize = 4096;

/// Gathers the changes of the location table that an event route waits for, and tells those who subscribed to them.
pub struct Gather<'a> {
    /// Where events go.
    events: &'a mut Vec<EventParameters>,
    /// Who subscribed, and what has to be taken away from main registrars.
    node: &'a Node,
    /// Whether any route waits.
    listens: bool,
    /// What goes into the database.
    draft: Draft<'a>,
}

impl<'a> Gather<'a> {
    /// Gathers what happens; `events` gets the events, if any route `listens`.
    #[inline]
    #[must_use]
    pub fn new(node: &'a Node, listens: bool, events: &'a mut Vec<EventParameters>) -> Self {
        let draft = Draft::new(&node.store, node.location.names());
        Self { events, node, listens, draft }
    }

    /// Somebody waits until the database has what comes, and it is taken back if that fails.
    pub fn wait_for(&mut self) {
        self.draft.wait_for();
    }

    /// The database is not told of what comes.
    pub fn be_silent(&mut self) {
        self.draft.limit(Limit::Nothing);
    }

    /// The database is told of what goes away only (`memory-only`).
    pub fn only_forget(&mut self) {
        self.draft.limit(Limit::Removals);
    }

    /// Ends the operation for the database; its ticket and its place there, if anything has changed.
    #[inline]
    pub fn finish(&mut self) -> Option<Drafted> {
        self.draft.finish()
    }
}

impl Sink for Gather<'_> {
    fn listens(&self) -> bool {
        // Main registrars have to be told of what goes away, not of what is refreshed.
        self.listens_to_updates() != Updates::Nothing || self.node.fronts.is_used()
    }

    fn listens_to_updates(&self) -> Updates {
        // Asked under the lock of the shard: who subscribes counts himself in before he reads the bindings under it.
        if self.listens || self.node.watchers.listens() || !self.node.subscriptions.is_empty() {
            Updates::Whole
        } else {
            self.draft.updates()
        }
    }

    fn refreshed(&mut self, domain: &str, contact_id: u64) {
        self.draft.refreshed(domain, contact_id);
    }

    fn before(&mut self, domain: &str, aor: &[u8], record: Option<RecordView<'_>>) {
        self.draft.before(domain, aor, record);
    }

    fn change(&mut self, domain: &str, aor: &[u8], change: Change<'_>) {
        if self.node.watchers.listens() {
            self.node.watchers.change(domain, aor, change);
        }
        self.draft.change(domain, aor, change);
        if self.node.fronts.is_used() {
            self.node.fronts.change(domain, aor, change);
        }
        let is_wanted = self.listens || self.node.subscriptions.wants(aor);
        if !is_wanted || self.events.len() >= MAX_EVENTS {
            return;
        }
        let (name, binding) = match change {
            Change::AorInsert => (event::AOR_INSERT, None),
            Change::AorDelete => (event::AOR_DELETE, None),
            Change::ContactInsert(binding) => (event::CONTACT_INSERT, Some(binding)),
            Change::ContactUpdate(binding) => (event::CONTACT_UPDATE, Some(binding)),
            Change::ContactDelete(binding, _) => (event::CONTACT_DELETE, Some(binding)),
            Change::KeysUpdate(_) => return,
        };
        let mut values = vec![(key("domain"), Value::from(domain)), (key("aor"), Value::str(aor))];
        if let Some(binding) = &binding {
            describe(binding, self.node.location.names(), &mut values);
        }
        let subject = binding.as_ref().map(|binding| Box::new(subject(binding)));
        self.events.push(EventParameters { name: name.into(), values, subject });
    }

    fn refresh_due(&mut self, domain: &str, aor: &[u8], binding: &Binding<'_>) {
        if self.events.len() < MAX_EVENTS {
            let event =
                contact_refresh((domain, self.node.location.names()), aor, binding, b"reg-refresh", b"");
            self.events.push(event);
        }
    }
}

/// E_UL_LATENCY_UPDATE of a binding, as it is now.
#[must_use]
pub fn latency_update(domain: &Domain, aor: &[u8], binding: &Binding<'_>) -> EventParameters {
    let mut values = vec![(key("domain"), Value::from(domain.name())), (key("aor"), Value::str(aor))];
    describe(binding, domain.names(), &mut values);
    let subject = Some(Box::new(subject(binding)));
    EventParameters { name: event::LATENCY_UPDATE.into(), values, subject }
}

/// E_UL_CONTACT_REFRESH of a binding: why, and the Call-ID of the request that waits, or nothing.
#[must_use]
pub fn contact_refresh(
    (domain, names): (&str, &Names),
    aor: &[u8],
    binding: &Binding<'_>,
    reason: &[u8],
    request_callid: &[u8],
) -> EventParameters {
    let numbers = &binding.numbers;
    let text = Value::str;
    let values = [
        ("domain", Value::from(domain)),
        ("aor", Value::str(aor)),
        ("uri", text(binding.contact)),
        ("received", text(binding.received)),
        ("user_agent", text(binding.user_agent)),
        ("socket", text(names.name(numbers.socket))),
        ("bflags", Value::Int(i64::from(numbers.flags))),
        ("expires", expires(binding)),
        ("callid", text(binding.callid)),
        ("attr", text(binding.attr)),
        ("shtag", text(names.name(binding.ownership_tag))),
        ("reason", text(reason)),
        ("req_callid", text(request_callid)),
    ];
    EventParameters {
        name: event::CONTACT_REFRESH.into(),
        values: values.into_iter().map(|(name, value)| (key(name), value)).collect(),
        subject: Some(Box::new(subject(binding))),
    }
}

/// E_UL_CONTACT_UPDATE of a binding, as it is now.
#[must_use]
pub fn contact_update(domain: &Domain, aor: &[u8], binding: &Binding<'_>) -> EventParameters {
    let updated = latency_update(domain, aor, binding);
    EventParameters { name: event::CONTACT_UPDATE.into(), ..updated }
}

/// What those are told who wait for a phone whose push has failed. No event of a script: its name is none that one can be
/// subscribed to by.
#[must_use]
pub fn push_failed(domain: &str, aor: &[u8], contact: &[u8]) -> EventParameters {
    let values = [("domain", Value::from(domain)), ("aor", Value::str(aor)), ("uri", Value::str(contact))];
    EventParameters {
        name: event::PUSH_FAILED.into(),
        values: values.into_iter().map(|(name, value)| (key(name), value)).collect(),
        subject: None,
    }
}

fn subject(binding: &Binding<'_>) -> EventSubject {
    EventSubject {
        contact_id: binding.numbers.contact_id,
        instance: binding.instance.into(),
        is_pushed: binding.is_pushed(),
        q: binding.numbers.q,
    }
}

fn key(name: &str) -> Box<str> {
    name.into()
}

/// The Unix second in which a binding ends, 0 for one that does not.
fn expires(binding: &Binding<'_>) -> Value {
    match binding.numbers.expires_s {
        PERMANENT => Value::Int(0),
        expires_s => Value::Int(i64::from(expires_s)),
    }
}

/// The parameters of a binding, as `usrloc` documents them: what a binding does not have is an empty text.
fn describe(binding: &Binding<'_>, names: &Names, values: &mut Vec<(Box<str>, Value)>) {
    let numbers = &binding.numbers;
    let text = Value::str;
    // The manual has tenths, binding and branch have thousandths.
    let q = if numbers.q == Q_NONE { Value::Int(-1) } else { Value::Int((i64::from(numbers.q) + 50) / 100) };
    for (name, value) in [
        ("uri", text(binding.contact)),
        ("received", text(binding.received)),
        ("path", text(binding.path)),
        ("qval", q),
        ("user_agent", text(binding.user_agent)),
        ("socket", text(names.name(numbers.socket))),
        ("bflags", Value::Int(i64::from(numbers.flags))),
        ("expires", expires(binding)),
        ("callid", text(binding.callid)),
        ("cseq", Value::Int(i64::from(numbers.cseq))),
        ("attr", text(binding.attr)),
        ("latency", Value::Int(i64::from(numbers.latency_us))),
        ("shtag", text(names.name(binding.ownership_tag))),
    ] {
        values.push((key(name), value));
    }
}

/// `raise_event(name[, names[, values]])`: the event routes of that name run after this route. Values without names are
/// known by their places; names without values are nothing.
pub fn raise(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let Some(name) = call.str(0).and_then(|name| std::str::from_utf8(name).ok()) else { return Flow::FALSE };
    if context.events.len() >= MAX_EVENTS {
        return Flow::FALSE;
    }
    // The newest value of an AVP comes first; parameters are named in the order in which they were added.
    let values = if call.present(2) { call.read_all(context, 2) } else { Vec::new() };
    let values = values.into_iter().rev();
    let values = if call.present(1) && values.len() > 0 {
        let names = call.read_all(context, 1).into_iter().rev();
        let named = names.zip(values.chain(std::iter::repeat(Value::Null)));
        named
            .filter_map(|(name, value)| {
                let name = name.into_bytes()?;
                Some((String::from_utf8_lossy(&name).into(), value))
            })
            .collect()
    } else {
        values.map(|value| (key(""), value)).collect()
    };
    context.events.push(EventParameters { name: name.into(), values, subject: None });
    Flow::TRUE
}
