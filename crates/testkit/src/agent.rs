//! What all agents have in common, and the loop that drives them.

use std::net::SocketAddr;

use seawall_sip::Message;

use crate::network::{Network, Packet};

/// A time that never comes.
pub const NEVER: u64 = u64::MAX;

/// T1 of RFC 3261 in milliseconds.
pub(crate) const T1_MS: u64 = 500;
/// T2 of RFC 3261 in milliseconds.
pub(crate) const T2_MS: u64 = 4000;

/// What an agent sends: destination and datagram.
pub type Outbox = Vec<(SocketAddr, Vec<u8>)>;

/// Something that lives at an address and talks in datagrams. It is told the time and never asks for it.
pub trait Agent {
    /// Where datagrams for it arrive.
    fn address(&self) -> SocketAddr;
    /// A datagram has arrived.
    fn receive(&mut self, now_ms: u64, from: SocketAddr, bytes: &[u8], out: &mut Outbox);
    /// When it wants to be called without a datagram; [`NEVER`] if not at all.
    fn next_ms(&self) -> u64;
    /// That time has come.
    fn timeout(&mut self, now_ms: u64, out: &mut Outbox);
}

/// Lets the agents talk over the network until nothing is left to happen, or `until_ms` has come. Gives the time at
/// which it stopped.
///
/// # Panics
/// When a million events were not enough: somebody goes round in circles.
pub fn run(network: &mut Network, agents: &mut [&mut dyn Agent], until_ms: u64) -> u64 {
    let mut now_ms = 0;
    let mut out = Outbox::new();
    for _ in 0..1_000_000 {
        let next_agent_ms = agents.iter().map(|agent| agent.next_ms()).min().unwrap_or(NEVER);
        let next_ms = network.next_ms().unwrap_or(NEVER).min(next_agent_ms);
        if next_ms == NEVER || next_ms > until_ms {
            return now_ms;
        }
        now_ms = now_ms.max(next_ms);
        while let Some(packet) = network.receive(now_ms) {
            let Some(agent) = agents.iter_mut().find(|agent| agent.address() == packet.to) else { continue };
            agent.receive(now_ms, packet.from, &packet.bytes, &mut out);
            let from = packet.to;
            out.drain(..).for_each(|(to, bytes)| network.send(now_ms, Packet { from, to, bytes }));
        }
        for agent in agents.iter_mut().filter(|agent| agent.next_ms() <= now_ms) {
            agent.timeout(now_ms, &mut out);
            let from = agent.address();
            out.drain(..).for_each(|(to, bytes)| network.send(now_ms, Packet { from, to, bytes }));
        }
    }
    #[allow(clippy::panic)] // a test support crate: this is a failed test
    {
        panic!("the agents never come to rest");
    }
}

/// A datagram that is sent again and again: after T1, then at doubled intervals up to a longest one, until
/// somebody stops it or the time is over.
#[derive(Clone, Debug)]
pub(crate) struct Repeated {
    pub bytes: Vec<u8>,
    pub next_ms: u64,
    interval_ms: u64,
    longest_ms: u64,
    pub ends_ms: u64,
}

impl Repeated {
    /// Sends it for the first time.
    pub fn start(now_ms: u64, to: SocketAddr, bytes: Vec<u8>, longest_ms: u64, out: &mut Outbox) -> Repeated {
        out.push((to, bytes.clone()));
        Repeated {
            bytes,
            next_ms: now_ms + T1_MS,
            interval_ms: T1_MS,
            longest_ms,
            ends_ms: now_ms + 64 * T1_MS,
        }
    }

    /// When something happens next.
    pub fn due_ms(&self) -> u64 {
        self.next_ms.min(self.ends_ms)
    }

    /// Sends it again if it is time. Gives false when the time is over.
    pub fn tick(&mut self, now_ms: u64, to: SocketAddr, out: &mut Outbox) -> bool {
        if now_ms >= self.ends_ms {
            return false;
        }
        if now_ms >= self.next_ms {
            out.push((to, self.bytes.clone()));
            self.interval_ms = (self.interval_ms * 2).min(self.longest_ms);
            self.next_ms = now_ms + self.interval_ms;
        }
        true
    }
}

/// The number in CSeq.
pub(crate) fn cseq_number(message: &Message) -> u32 {
    seawall_sip::cseq::CSeq::of(message).map_or(0, |cseq| cseq.number)
}
