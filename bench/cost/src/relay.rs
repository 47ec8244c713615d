//! A request to a registered user without a network: scan, checks, `lookup()`, a transaction, what is forwarded, and the
//! replies on their way back.

use seawall_location::Domain;
use seawall_registrar::{Aor, Found, Lookup, LookupFlags, Policy, Targets, aor};
use seawall_transaction::proxy::forward::MaxForwards;
use seawall_transaction::{Relay, RequestMatch};

use crate::Fault;
use crate::register::{Counted, NOW_S, USERS, location, text};
use crate::wire::{Wire, answer};

/// MESSAGEs, each answered 200.
pub(crate) fn message(count: u32) -> Result<(), Fault> {
    run(count, b"MESSAGE", &[(200, b"OK")])
}

/// INVITEs, each answered 180 and 200.
pub(crate) fn invite(count: u32) -> Result<(), Fault> {
    run(count, b"INVITE", &[(180, b"Ringing"), (200, b"OK")])
}

fn run(count: u32, method: &[u8], replies: &[(u16, &[u8])]) -> Result<(), Fault> {
    let location = location();
    let domain = location.declare("location").ok_or(Fault("there is no table"))?;
    let mut registrar = Counted::new(&domain);
    (0..USERS).try_for_each(|user| registrar.serve(text(user, 1)))?;
    let mut proxy = Proxy::new(&domain);
    for number in 0..count {
        proxy.wire.step();
        let forwarded = proxy.measured_request(request(method, number, number % USERS))?;
        for (status, reason) in replies {
            let reply = answer(&forwarded, (*status, reason), |_| Vec::new())?;
            proxy.measured_reply(reply)?;
        }
    }
    Ok(())
}

fn request(method: &[u8], number: u32, user: u32) -> Vec<u8> {
    let method = String::from_utf8_lossy(method);
    format!(
        "{method} sip:u{user:08}@example.com SIP/2.0\r\n\
         Via: SIP/2.0/UDP 127.0.0.1:40001;branch=z9hG4bK{number:08x}.0001.b;rport\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:caller@example.com>;tag=c{number:08x}\r\n\
         To: <sip:u{user:08}@example.com>\r\n\
         Call-ID: {number:08x}-asks-71c2@127.0.0.1\r\n\
         CSeq: 1 {method}\r\n\
         Contact: <sip:caller@127.0.0.1:40001>\r\n\
         User-Agent: Phone/1.0 (a name of usual length)\r\n\
         Content-Type: text/plain\r\n\
         Content-Length: 5\r\n\r\nhello"
    )
    .into_bytes()
}

struct Proxy<'a> {
    domain: &'a Domain,
    policy: Policy,
    flags: LookupFlags,
    targets: Targets,
    wire: Wire,
}

impl<'a> Proxy<'a> {
    fn new(domain: &'a Domain) -> Self {
        Proxy {
            domain,
            policy: Policy::default(),
            flags: LookupFlags::default(),
            targets: Targets::default(),
            wire: Wire::new(),
        }
    }

    /// What is counted of a request. Gives what was forwarded.
    #[inline(never)]
    fn measured_request(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>, Fault> {
        let key = self.wire.take_request(bytes)?;
        let Wire { layer, message, effects, now_ms, .. } = &mut self.wire;
        if layer.request(*now_ms, &key, message, effects) != RequestMatch::New {
            return Err(Fault("a request is not new"));
        }
        self.look_up()?;
        let opened = self.wire.open(&key, 40_001)?;
        let uri = self.targets.iter().next().map(|target| target.uri).ok_or(Fault("nobody was found"))?;
        self.wire.forward(&opened, Some(uri), MaxForwards::Decrement)
    }

    fn look_up(&mut self) -> Result<(), Fault> {
        let message = &self.wire.message;
        let mut name = Aor::new();
        aor::canonical_text(message.request_uri(), &self.policy, &mut name)
            .map_err(|_| Fault("there is no address of record"))?;
        let lookup = Lookup {
            now_s: NOW_S,
            policy: &self.policy,
            flags: &self.flags,
            domain: self.domain,
            method: message.method_id(),
            user_agent: None,
        };
        self.targets.clear();
        match lookup.run(&name, &mut self.targets) {
            Found::Contacts(1) => Ok(()),
            _ => Err(Fault("the user was not found")),
        }
    }

    /// What is counted of a reply.
    #[inline(never)]
    fn measured_reply(&mut self, bytes: Vec<u8>) -> Result<(), Fault> {
        let token = self.wire.take_reply(bytes)?;
        self.wire.relay(token, Relay::AsReceived)
    }
}
