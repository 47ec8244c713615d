//! `lookup()`: the contacts that a request for an address of record goes to (behaviour §3; registrar 1.4.4).

use seawall_location::{Binding, Domain, NameId, Order, ordered};
use seawall_sip::{Method, Span};
use smallvec::SmallVec;

use crate::flags::LookupFlags;
use crate::gruu::{Gruu, NoGruu, Wanted};
use crate::methods;
use crate::path;
use crate::policy::Policy;
use crate::push::{Push, is_same_phone};

/// Whether a User-Agent passes a filter.
pub type UserAgentTest<'a> = dyn Fn(&[u8]) -> bool + 'a;

/// Everything that `lookup()` goes by.
#[derive(Clone, Copy)]
pub struct Lookup<'a> {
    /// Unix seconds.
    pub now_s: u64,
    /// The module parameters.
    pub policy: &'a Policy,
    /// The flags of this call.
    pub flags: &'a LookupFlags,
    /// The table to look into.
    pub domain: &'a Domain,
    /// The method of the request, for `method-filtering`.
    pub method: Method,
    /// The compiled expression of `ua-filtering`.
    pub user_agent: Option<&'a UserAgentTest<'a>>,
}

/// What a lookup found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// So many contacts, appended to the targets (return code 1).
    Contacts(usize),
    /// Contacts, but each has to be woken first (return code 2): they are the [`Targets::sleepers`].
    Waking,
    /// No contact (return code -1).
    Nothing,
    /// Contacts, but none that supports the method (return code -2).
    NoMethod,
}

/// Contacts copied out of the table, in the order in which to try them, and those that have to be woken. Reusable.
#[derive(Debug, Default)]
pub struct Targets {
    bytes: Vec<u8>,
    items: Vec<Packed>,
    sleepers: Vec<Asleep>,
}

#[derive(Clone, Copy, Debug)]
struct Asleep {
    aor: Span,
    uri: Span,
    instance: Span,
    callid: Span,
    contact_id: u64,
    cseq: u32,
    last_modified_s: u32,
}

/// A contact that has to be woken before a request can be sent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sleeper<'a> {
    /// The address of record, in its canonical form.
    pub aor: &'a [u8],
    /// The Contact URI with its `pn-` parameters.
    pub uri: &'a [u8],
    /// `+sip.instance`.
    pub instance: &'a [u8],
    /// Call-ID of its last REGISTER.
    pub callid: &'a [u8],
    /// The identifier of the contact.
    pub contact_id: u64,
    /// CSeq number of its last REGISTER.
    pub cseq: u32,
    /// Unix second of its last REGISTER.
    pub last_modified_s: u32,
}

#[derive(Clone, Copy, Debug)]
struct Packed {
    uri: Span,
    received: Span,
    path: Span,
    attr: Span,
    instance: Span,
    contact_id: u64,
    flags: u32,
    cflags: u32,
    q: u16,
    socket: NameId,
}

/// One contact to send to.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The Contact URI: the new Request-URI.
    pub uri: &'a [u8],
    /// The received URI; empty when there is none.
    pub received: &'a [u8],
    /// The joined Path: the Route to insert; empty when there is none.
    pub path: &'a [u8],
    /// The `attr` of the registration.
    pub attr: &'a [u8],
    /// `+sip.instance`.
    pub instance: &'a [u8],
    /// The identifier of the contact.
    pub contact_id: u64,
    /// Branch flags.
    pub flags: u32,
    /// Internal flags.
    pub cflags: u32,
    /// q in thousandths, or [`Q_NONE`](seawall_location::Q_NONE).
    pub q: u16,
    /// The socket that received the registration: the one to send from.
    pub socket: NameId,
}

impl<'a> Target<'a> {
    /// The URI to send to instead of the Request-URI (`$du`): the first Path URI, else received, else none.
    pub fn destination(&self) -> Option<&'a [u8]> {
        path::first_uri(self.path).or((!self.received.is_empty()).then_some(self.received))
    }
}

impl Targets {
    /// Forgets all targets and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.items.clear();
        self.sleepers.clear();
    }

    /// How many targets there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is no target.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The targets in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Target<'_>> + Clone {
        self.items.iter().map(|item| Target {
            uri: item.uri.of(&self.bytes),
            received: item.received.of(&self.bytes),
            path: item.path.of(&self.bytes),
            attr: item.attr.of(&self.bytes),
            instance: item.instance.of(&self.bytes),
            contact_id: item.contact_id,
            flags: item.flags,
            cflags: item.cflags,
            q: item.q,
            socket: item.socket,
        })
    }

    /// The contacts that have to be woken, one for each phone, in order. They are not among the targets.
    pub fn sleepers(&self) -> impl ExactSizeIterator<Item = Sleeper<'_>> + Clone {
        self.sleepers.iter().map(|item| Sleeper {
            aor: item.aor.of(&self.bytes),
            uri: item.uri.of(&self.bytes),
            instance: item.instance.of(&self.bytes),
            callid: item.callid.of(&self.bytes),
            contact_id: item.contact_id,
            cseq: item.cseq,
            last_modified_s: item.last_modified_s,
        })
    }

    /// Adds a contact that has to be woken, unless its phone is there already.
    #[cold]
    fn push_sleeper(&mut self, aor: &[u8], binding: &Binding<'_>) {
        let phone = (binding.contact, binding.instance);
        if self.sleepers().any(|known| known.aor == aor && is_same_phone((known.uri, known.instance), phone))
        {
            return;
        }
        let mut keep = |part: &[u8]| {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(part);
            Span::between(start, self.bytes.len())
        };
        let item = Asleep {
            aor: keep(aor),
            uri: keep(binding.contact),
            instance: keep(binding.instance),
            callid: keep(binding.callid),
            contact_id: binding.numbers.contact_id,
            cseq: binding.numbers.cseq,
            last_modified_s: binding.numbers.last_modified_s,
        };
        self.sleepers.push(item);
    }

    fn push(&mut self, binding: &Binding<'_>, uri: &[u8]) {
        let mut keep = |part: &[u8]| {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(part);
            Span::between(start, self.bytes.len())
        };
        let numbers = &binding.numbers;
        let item = Packed {
            uri: keep(uri),
            received: keep(binding.received),
            path: keep(binding.path),
            attr: keep(binding.attr),
            instance: keep(binding.instance),
            contact_id: numbers.contact_id,
            flags: numbers.flags,
            cflags: numbers.cflags,
            q: numbers.q,
            socket: numbers.socket,
        };
        self.items.push(item);
    }
}

impl Lookup<'_> {
    /// Appends the contacts of `aor` (in its canonical form) to `targets`.
    pub fn run(&self, aor: &[u8], targets: &mut Targets) -> Found {
        self.run_for(aor, None, targets)
    }

    /// As [`run`](Lookup::run), for one contact alone where its id is given.
    pub(crate) fn run_for(&self, aor: &[u8], only: Option<u64>, targets: &mut Targets) -> Found {
        let entry = self.domain.lock(aor, self.now_s);
        let is_meant =
            |binding: &Binding<'_>| only.is_none_or(|contact_id| binding.numbers.contact_id == contact_id);
        let passing = entry.valid().filter(|(_, binding)| is_meant(binding) && self.passes(binding));
        // As nearly everywhere: one contact, of which there is nothing to put into an order.
        let mut one_by_one = passing.clone();
        if let (Some((_, binding)), None) = (one_by_one.next(), one_by_one.next()) {
            return match self.supports(&binding) {
                true => self.found(aor, std::iter::once(binding), targets),
                false => Found::NoMethod,
            };
        }
        let found = passing.clone().filter(|(_, binding)| self.supports(binding));
        if found.clone().next().is_none() {
            return if passing.count() > 0 { Found::NoMethod } else { Found::Nothing };
        }
        let order = if self.flags.sort_by_latency { Order::FastestFirst } else { self.policy.order };
        let most = if self.flags.no_branches { 1 } else { usize::MAX };
        let surpassed = surpassed_flows(found.clone(), self.now_s);
        let positions =
            ordered(found, order, self.now_s).into_iter().filter(|position| !surpassed.contains(position));
        self.found(aor, positions.take(most).filter_map(|position| entry.binding(position)), targets)
    }

    /// Copies the contacts that were chosen, at least one.
    fn found<'b>(
        &self,
        aor: &[u8],
        chosen: impl Iterator<Item = Binding<'b>>,
        targets: &mut Targets,
    ) -> Found {
        let before = targets.len();
        match self.policy.push.as_deref() {
            None => chosen.for_each(|binding| targets.push(&binding, binding.contact)),
            Some(push) => self.take(push, aor, chosen, targets),
        }
        match targets.len() - before {
            0 => Found::Waking,
            count => Found::Contacts(count),
        }
    }

    /// Puts each contact where it belongs: those that are awake among the targets, without the parameters that are for
    /// pushes alone, and the others among those to be woken, but for phones that another contact reaches.
    fn take<'b>(
        &self,
        push: &Push,
        aor: &[u8],
        chosen: impl Iterator<Item = Binding<'b>>,
        targets: &mut Targets,
    ) {
        let mut uri = Vec::new();
        let mut asleep = SmallVec::<[Binding<'b>; 4]>::new();
        let mut awake = SmallVec::<[Binding<'b>; 4]>::new();
        for binding in chosen {
            if push.is_asleep(&binding, self.now_s) {
                asleep.push(binding);
            } else if binding.is_pushed() {
                uri.clear();
                push.strip(binding.contact, &mut uri);
                targets.push(&binding, &uri);
                awake.push(binding);
            } else {
                targets.push(&binding, binding.contact);
            }
        }
        for binding in asleep {
            let phone = (binding.contact, binding.instance);
            if !awake.iter().any(|other| is_same_phone((other.contact, other.instance), phone)) {
                targets.push_sleeper(aor, &binding);
            }
        }
    }

    /// Appends the one contact that a GRUU stands for (RFC 5627 §5.4): of several of its instance, which are flows of one
    /// phone, the one that was refreshed last. What is no GRUU of this server is looked for too, and in vain, so that
    /// time tells a forged one from one that has ended as little as the answer does.
    pub fn run_gruu(&self, gruu: &Gruu, wanted: Result<Wanted, NoGruu>, targets: &mut Targets) -> Found {
        let Ok(wanted) = wanted else {
            drop(self.domain.lock(b"", self.now_s));
            return Found::Nothing;
        };
        let entry = self.domain.lock(&wanted.aor, self.now_s);
        let of_instance = entry.valid().filter(|(_, binding)| gruu.is_wanted(&wanted, binding));
        let passing = of_instance.filter(|(_, binding)| self.passes(binding));
        let newest = |(_, binding): &(usize, Binding<'_>)| binding.numbers.freshness(self.now_s);
        let supporting = passing.clone().filter(|(_, binding)| self.supports(binding));
        match supporting.max_by_key(newest) {
            Some((_, binding)) => {
                let before = targets.len();
                match self.policy.push.as_deref() {
                    None => targets.push(&binding, binding.contact),
                    Some(push) => self.take(push, &wanted.aor, std::iter::once(binding), targets),
                }
                if targets.len() > before { Found::Contacts(1) } else { Found::Waking }
            }
            None if passing.count() > 0 => Found::NoMethod,
            None => Found::Nothing,
        }
    }

    fn passes(&self, binding: &Binding<'_>) -> bool {
        let is_fast = self.flags.max_latency_us.is_none_or(|most_us| binding.numbers.latency_us <= most_us);
        is_fast && self.user_agent.is_none_or(|matches| matches(binding.user_agent))
    }

    fn supports(&self, binding: &Binding<'_>) -> bool {
        !self.flags.method_filtering || binding.numbers.methods & methods::bit(self.method) != 0
    }
}

/// The positions of flows whose phone has another one that was refreshed later: a request goes over one flow of a phone
/// at a time (RFC 5626 §7).
fn surpassed_flows<'b>(
    found: impl Iterator<Item = (usize, Binding<'b>)> + Clone,
    now_s: u64,
) -> SmallVec<[usize; 4]> {
    let age = |position: usize, binding: &Binding<'_>| (binding.numbers.freshness(now_s), position);
    let flows = found.filter(|(_, binding)| binding.is_flow());
    let is_surpassed = |(position, flow): &(usize, Binding<'_>)| {
        flows.clone().any(|(other, newer)| {
            age(other, &newer) > age(*position, flow) && newer.instance.eq_ignore_ascii_case(flow.instance)
        })
    };
    flows.clone().filter(is_surpassed).map(|(position, _)| position).collect()
}
