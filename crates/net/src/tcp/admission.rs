//! Who may have a connection: limits in all and per source address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::limits::Limits;

/// Counts connections. Locked when one is opened or closed, never per message.
#[derive(Debug)]
pub(crate) struct Admission {
    counts: Mutex<Counts>,
    max: usize,
    max_per_source: usize,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_source: HashMap<IpAddr, usize>,
}

/// The right to have one connection; returned when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    admission: Arc<Admission>,
    /// Whose connection it is, for accepted ones.
    source: Option<IpAddr>,
}

impl Admission {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            counts: Mutex::default(),
            max: limits.tcp_max_connections,
            max_per_source: limits.tcp_max_connections_per_source,
        }
    }

    /// For a connection that `peer` has opened to us.
    pub(crate) fn accept(self: &Arc<Self>, peer: IpAddr) -> Option<Permit> {
        let source = source_of(peer);
        let mut counts = self.counts.lock();
        if counts.all >= self.max {
            return None;
        }
        let count = counts.by_source.entry(source).or_insert(0);
        if *count >= self.max_per_source {
            return None;
        }
        *count += 1;
        counts.all += 1;
        Some(Permit { admission: Arc::clone(self), source: Some(source) })
    }

    /// For a connection that we open. Where we connect to is our own decision, so only the total counts.
    pub(crate) fn open(self: &Arc<Self>) -> Option<Permit> {
        let mut counts = self.counts.lock();
        if counts.all >= self.max {
            return None;
        }
        counts.all += 1;
        Some(Permit { admission: Arc::clone(self), source: None })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.admission.counts.lock();
        counts.all = counts.all.saturating_sub(1);
        let Some(source) = self.source else { return };
        if let Some(count) = counts.by_source.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                counts.by_source.remove(&source);
            }
        }
    }
}

/// What counts as one source: an IPv4 address, or an IPv6 /64, which any host has the whole of.
fn source_of(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With 3 connections in all and 2 per source: which of these peers get one.
    fn check(peers: &[&str], expected: &[bool]) {
        let limits =
            Limits { tcp_max_connections: 3, tcp_max_connections_per_source: 2, ..Limits::default() };
        let admission = Arc::new(Admission::new(&limits));
        let permits: Vec<_> = peers.iter().map(|peer| admission.accept(peer.parse().unwrap())).collect();
        assert_eq!(permits.iter().map(Option::is_some).collect::<Vec<_>>(), expected);
        drop(permits);
        assert_eq!(admission.counts.lock().all, 0);
        assert!(admission.counts.lock().by_source.is_empty());
    }

    #[test]
    fn connections_are_limited_per_source_and_in_all() {
        check(
            &["192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.3"],
            &[true, true, false, true, false],
        );
    }

    #[test]
    fn an_ipv6_network_counts_as_one_source() {
        check(&["2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:0:1::1"], &[true, true, false, true]);
    }
}
