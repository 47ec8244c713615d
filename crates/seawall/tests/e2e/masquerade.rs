//! Two phones behind one NAT, and the NAT is the kernel's: each on a machine of its own, with the same port.

use crate::harness::call::talk;
use crate::harness::namespace::{self, Namespace};
use crate::harness::scripts::example;
use crate::harness::{PATIENCE, Phone, Server, mi};
use std::net::SocketAddr;
use std::time::Instant;

/// The addresses of documentation (RFC 5737) and of homes, in namespaces that the test has made for itself.
const SERVER: &str = "203.0.113.1:5060";

/// The Internet with the server and a phone, a NAT, and two phones behind it.
struct World {
    internet: Namespace,
    _nat: Namespace,
    homes: [Namespace; 2],
}

impl World {
    fn new() -> World {
        let (internet, nat) = (Namespace::new(), Namespace::new());
        let homes = [Namespace::new(), Namespace::new()];
        nat.connect(("outside", "203.0.113.2/24"), &internet, ("eth0", "203.0.113.1/24"));
        nat.connect(("first", "10.0.1.1/24"), &homes[0], ("eth0", "10.0.1.5/24"));
        nat.connect(("second", "10.0.2.1/24"), &homes[1], ("eth0", "10.0.2.5/24"));
        homes[0].ip("route add default via 10.0.1.1");
        homes[1].ip("route add default via 10.0.2.1");
        nat.masquerade("outside");
        World { internet, _nat: nat, homes }
    }

    fn server(&self) -> Server {
        let script = example("nat.cfg").replace("udp:127.0.0.1:0", &format!("udp:{SERVER}"));
        let quick = script.replace("\"natping_interval\", 30", "\"natping_interval\", 1");
        self.internet.inside(|| Server::start_with(&quick, &[]))
    }

    fn phone(&self, home: usize, user: &str, address: &str) -> Phone {
        self.homes[home].inside(|| Phone::udp_between(address, SERVER.parse().unwrap(), user))
    }

    /// Where the server has seen a phone.
    fn received(&self, server: &Server, user: &str) -> SocketAddr {
        let shown = self.internet.inside(|| mi::contacts(server, &format!("{user}@127.0.0.1")));
        let received = shown[0]["Received"].as_str().unwrap_or_else(|| panic!("{shown:?}"));
        received.strip_prefix("sip:").unwrap().parse().unwrap()
    }
}

#[test]
fn two_phones_behind_a_real_nat_are_reached_by_each_other_and_from_outside() {
    if !namespace::wanted() {
        return;
    }
    let world = World::new();
    let server = world.server();
    let mut alice = world.phone(0, "alice", "10.0.1.5:5060");
    let mut bob = world.phone(1, "bob", "10.0.2.5:5060");
    alice.register();
    bob.register();
    let seen = [world.received(&server, "alice"), world.received(&server, "bob")];
    assert!(seen.iter().all(|at| at.ip().to_string() == "203.0.113.2"), "{seen:?}");
    assert_ne!(seen[0].port(), seen[1].port(), "the same port inside, another outside");

    talk(&mut alice, &mut bob);
    talk(&mut bob, &mut alice);
    let mut carol =
        world.internet.inside(|| Phone::udp_between("203.0.113.1:0", SERVER.parse().unwrap(), "carol"));
    carol.register();
    talk(&mut carol, &mut alice);
    talk(&mut bob, &mut carol);

    // Pings come in by the way that the phones have opened, and their answers go out.
    for phone in [&mut alice, &mut bob] {
        let ping = phone.expect_request("OPTIONS");
        phone.send(&ping.reply(200, "OK", "a", "", ""));
    }
    let deadline = Instant::now() + PATIENCE;
    let answered = || world.internet.inside(|| mi::statistic(&server, "nathelper:answered_pings"));
    while answered() < 2 {
        assert!(Instant::now() < deadline, "the answers do not arrive");
    }
}

#[test]
fn a_nat_lets_nobody_in_whom_the_phone_has_not_called() {
    if !namespace::wanted() {
        return;
    }
    let world = World::new();
    let server = world.server();
    let mut alice = world.phone(0, "alice", "10.0.1.5:5060");
    alice.register();
    let outside = world.received(&server, "alice");
    // The proof that the test before tests a NAT: from another port of the server's own machine there is no way in.
    let mut stranger = world.internet.inside(|| Phone::udp_between("203.0.113.1:0", outside, "stranger"));
    stranger.send(&stranger.request("MESSAGE", "sip:alice@10.0.1.5").bytes());
    let first = alice.receive();
    assert_eq!(first.method(), "OPTIONS", "a ping of the server, and no MESSAGE");
}
