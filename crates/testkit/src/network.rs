//! A network of datagrams that behaves badly on purpose.

use std::{collections::BTreeMap, net::SocketAddr};

use crate::random::Random;

/// How badly the network behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Datagrams that are lost, of a thousand.
    pub loss_per_mille: u16,
    /// Datagrams that arrive twice, of a thousand.
    pub duplicate_per_mille: u16,
    /// Shortest time under way, in milliseconds.
    pub delay_ms: u64,
    /// What chance may add to it. A large spread reorders.
    pub jitter_ms: u64,
}

/// A datagram that has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Who sent it.
    pub from: SocketAddr,
    /// Where it arrives.
    pub to: SocketAddr,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// Carries datagrams in virtual time.
#[derive(Debug)]
pub struct Network {
    faults: Faults,
    random: Random,
    under_way: BTreeMap<(u64, u64), Packet>,
    sent: u64,
    lost: u64,
}

impl Network {
    /// A network without datagrams.
    #[must_use]
    pub fn new(faults: Faults, seed: u64) -> Network {
        Network { faults, random: Random::new(seed), under_way: BTreeMap::new(), sent: 0, lost: 0 }
    }

    /// Changes the behaviour for what is sent from now on.
    pub fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
    }

    /// Takes a datagram; chance decides what becomes of it.
    pub fn send(&mut self, now_ms: u64, packet: Packet) {
        self.sent += 1;
        if self.random.chance(self.faults.loss_per_mille) {
            self.lost += 1;
            return;
        }
        if self.random.chance(self.faults.duplicate_per_mille) {
            self.carry(now_ms, packet.clone());
        }
        self.carry(now_ms, packet);
    }

    fn carry(&mut self, now_ms: u64, packet: Packet) {
        let delay_ms = self.faults.delay_ms + self.random.below(self.faults.jitter_ms + 1);
        // The second half of the key keeps the order of sending among those that arrive together.
        let order =
            self.sent * 2 + u64::from(self.under_way.contains_key(&(now_ms + delay_ms, self.sent * 2)));
        self.under_way.insert((now_ms + delay_ms, order), packet);
    }

    /// When the next datagram arrives.
    #[must_use]
    pub fn next_ms(&self) -> Option<u64> {
        self.under_way.keys().next().map(|&(at_ms, _)| at_ms)
    }

    /// A datagram that has arrived by now, earliest first.
    pub fn receive(&mut self, now_ms: u64) -> Option<Packet> {
        let entry = self.under_way.first_entry()?;
        (entry.key().0 <= now_ms).then(|| entry.remove())
    }

    /// How many datagrams were given to the network.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// How many of them were lost.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(faults: Faults, count: u64) -> Vec<u8> {
        let mut network = Network::new(faults, 3);
        let address: SocketAddr = ([127, 0, 0, 1], 5060).into();
        for number in 0..count {
            network.send(number, Packet { from: address, to: address, bytes: vec![number as u8] });
        }
        std::iter::from_fn(|| network.receive(u64::MAX)).map(|packet| packet.bytes[0]).collect()
    }

    #[test]
    fn a_good_network_keeps_everything_in_order() {
        assert_eq!(arrivals(Faults::default(), 50), (0..50).collect::<Vec<u8>>());
    }

    #[test]
    fn a_bad_network_loses_doubles_and_reorders() {
        let lossy = arrivals(Faults { loss_per_mille: 500, ..Faults::default() }, 100);
        assert!((30..70).contains(&lossy.len()), "{}", lossy.len());
        assert_eq!(arrivals(Faults { duplicate_per_mille: 1000, ..Faults::default() }, 50).len(), 100);
        let mixed = arrivals(Faults { jitter_ms: 20, ..Faults::default() }, 50);
        assert_eq!(mixed.len(), 50);
        assert!(!mixed.is_sorted());
    }

    #[test]
    fn a_datagram_arrives_after_its_delay() {
        let mut network = Network::new(Faults { delay_ms: 10, ..Faults::default() }, 3);
        let address: SocketAddr = ([127, 0, 0, 1], 5060).into();
        network.send(5, Packet { from: address, to: address, bytes: Vec::new() });
        assert_eq!(network.next_ms(), Some(15));
        assert_eq!(network.receive(14), None);
        assert!(network.receive(15).is_some());
        assert_eq!((network.sent(), network.lost()), (1, 0));
    }
}
