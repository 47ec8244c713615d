//! Questions about registrations, and their removal by the script: `is_registered`, `is_contact_registered`,
//! `is_ip_registered`, `remove`, `remove_ip_port` (registrar 1.4.2–1.4.7).

use std::net::IpAddr;

use seawall_location::{Binding, Candidate, Domain, Matching, Order, Removal, Sink, Snapshot, ordered};
use seawall_sip::Uri;

use crate::path;

/// Whether `aor` has a binding at `now_s` (registrar 1.4.5).
pub fn is_registered(domain: &Domain, now_s: u64, aor: &[u8]) -> bool {
    domain.lock(aor, now_s).valid().next().is_some()
}

/// Whether `aor` has a binding at `now_s`; if so, the `attr` of the one that comes first in `order` is copied
/// (registrar 1.3.19).
pub fn attribute(domain: &Domain, now_s: u64, aor: &[u8], order: Order) -> Option<Vec<u8>> {
    let entry = domain.lock(aor, now_s);
    let first = *ordered(entry.valid(), order, now_s).first()?;
    entry.binding(first).map(|binding| binding.attr.to_vec())
}

/// Whether `aor` has a binding with this contact (by RFC 3261 §19.1.4) and this Call-ID, each where it is given
/// (registrar 1.4.6).
pub fn is_contact_registered(
    domain: &Domain,
    now_s: u64,
    aor: &[u8],
    contact: Option<&[u8]>,
    callid: Option<&[u8]>,
) -> bool {
    let entry = domain.lock(aor, now_s);
    let mut bindings =
        entry.valid().filter(|(_, binding)| callid.is_none_or(|callid| binding.callid == callid));
    match contact {
        None => bindings.next().is_some(),
        Some(contact) => candidate(contact).find(bindings, Matching::Uri).is_some(),
    }
}

/// Whether `aor` has a binding from `ip`, and from `port` where it is given. The host of received counts, or else
/// the host of the contact (registrar 1.4.7).
pub fn is_ip_registered(domain: &Domain, now_s: u64, aor: &[u8], ip: IpAddr, port: Option<u16>) -> bool {
    let entry = domain.lock(aor, now_s);
    entry.valid().any(|(_, binding)| {
        let source = if binding.received.is_empty() { binding.contact } else { binding.received };
        is_at(source, ip, port)
    })
}

/// Which bindings to remove; what is not given does not restrict (registrar 1.4.2).
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter<'a> {
    /// The Contact URI.
    pub contact: Option<&'a [u8]>,
    /// The next hop on the way to the contact.
    pub next_hop: Option<NextHop<'a>>,
    /// `+sip.instance`, with its angle brackets.
    pub instance: Option<&'a [u8]>,
    /// A branch flag as a bit mask.
    pub flag: Option<u32>,
}

/// A next hop to compare those of bindings with.
#[derive(Clone, Copy, Debug)]
pub struct NextHop<'a> {
    /// Its name or address, as it was given. A binding whose next hop has the same name is meant without looking further.
    pub host: &'a [u8],
    /// What host names were resolved to, that of `host` among them. A name that is not there matches by its text only.
    pub resolved: &'a [(String, Vec<IpAddr>)],
}

impl NextHop<'_> {
    fn is_that_of(&self, binding: &Binding<'_>) -> bool {
        let host = Uri::parse(next_hop(binding)).map(|uri| uri.host).unwrap_or_default();
        host.eq_ignore_ascii_case(self.host)
            || self.addresses(self.host).any(|wanted| self.addresses(host).any(|address| address == wanted))
    }

    /// The addresses of a host: its own, if it is one, else those that its name was resolved to.
    fn addresses<'h>(&'h self, host: &[u8]) -> impl Iterator<Item = IpAddr> + use<'h> {
        let own = seawall_sip::uri::host_ip(host);
        let named = self.resolved.iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(host));
        let named = named.filter(|_| own.is_none()).map_or(&[][..], |(_, addresses)| addresses);
        own.into_iter().chain(named.iter().copied()).map(|address| address.to_canonical())
    }
}

/// A host name that has to be resolved before [`remove`] can tell which bindings are behind the next hop of `filter`:
/// that of the filter itself, or of a binding which passes the rest of it. `None` when nothing is left to ask.
pub fn unresolved(domain: &Domain, now_s: u64, aor: &[u8], filter: &Filter<'_>) -> Option<String> {
    let hop = filter.next_hop?;
    let is_open = |host: &[u8]| {
        let known = hop.resolved.iter().any(|(name, _)| name.as_bytes().eq_ignore_ascii_case(host));
        (!known && !host.is_empty() && seawall_sip::uri::host_ip(host).is_none())
            .then(|| String::from_utf8_lossy(host).into_owned())
    };
    let rest = Filter { next_hop: None, ..*filter };
    let entry = domain.lock(aor, now_s);
    let mut hosts = entry.bindings().filter(|binding| passes(&rest, binding)).filter_map(|binding| {
        let host = Uri::parse(next_hop(&binding)).ok()?.host;
        (!host.eq_ignore_ascii_case(hop.host)).then(|| is_open(host))
    });
    // Without any binding whose host is another one there is nothing to compare addresses with.
    let first = hosts.next()?;
    is_open(hop.host).or(first).or_else(|| hosts.flatten().next())
}

/// Removes the bindings of `aor` that pass the filter, and gives their number (registrar 1.4.2).
pub fn remove(domain: &Domain, now_s: u64, aor: &[u8], filter: &Filter<'_>, sink: &mut dyn Sink) -> usize {
    let mut entry = domain.lock(aor, now_s);
    entry.remove(sink, |_, binding| passes(filter, binding).then_some(Removal::Administrative))
}

/// Removes the bindings behind `ip` and `port` of one address of record, or of all (registrar 1.4.3). Without one
/// this goes through the whole table, shard by shard, and copies each.
pub fn remove_ip_port(
    domain: &Domain,
    now_s: u64,
    aor: Option<&[u8]>,
    (ip, port): (IpAddr, u16),
    sink: &mut dyn Sink,
) -> usize {
    let is_there = |binding: &Binding<'_>| is_at(next_hop(binding), ip, Some(port));
    let mut remove = |aor: &[u8]| {
        let which = |_: usize, binding: &Binding<'_>| is_there(binding).then_some(Removal::Administrative);
        domain.lock(aor, now_s).remove(sink, which)
    };
    if let Some(aor) = aor {
        return remove(aor);
    }
    let mut copy = Snapshot::default();
    (0..domain.shard_count())
        .map(|shard| {
            domain.snapshot(shard, &mut copy);
            let records = copy.records(domain.names());
            let hit = records.filter(|record| record.bindings().any(|binding| is_there(&binding)));
            hit.map(|record| remove(record.aor())).sum::<usize>()
        })
        .sum()
}

fn passes(filter: &Filter<'_>, binding: &Binding<'_>) -> bool {
    let contact = filter
        .contact
        .is_none_or(|contact| candidate(contact).find([(0, *binding)].into_iter(), Matching::Uri).is_some());
    contact
        && filter.instance.is_none_or(|instance| binding.instance.eq_ignore_ascii_case(instance))
        && filter.flag.is_none_or(|flag| binding.numbers.flags & flag == flag)
        && filter.next_hop.is_none_or(|hop| hop.is_that_of(binding))
}

/// The next hop on the way to a contact: its first Path URI, else received, else the contact (registrar 1.4.2).
fn next_hop<'a>(binding: &Binding<'a>) -> &'a [u8] {
    path::first_uri(binding.path).unwrap_or(match binding.received {
        b"" => binding.contact,
        received => received,
    })
}

fn is_at(uri: &[u8], ip: IpAddr, port: Option<u16>) -> bool {
    let Ok(uri) = Uri::parse(uri) else { return false };
    let default_port = if uri.scheme == seawall_sip::uri::Scheme::Sips { 5061 } else { 5060 };
    let same_ip = uri.host_ip().is_some_and(|address| address.to_canonical() == ip.to_canonical());
    same_ip && port.is_none_or(|port| uri.port.unwrap_or(default_port) == port)
}

fn candidate(contact: &[u8]) -> Candidate<'_> {
    Candidate { contact, ..Candidate::default() }
}
