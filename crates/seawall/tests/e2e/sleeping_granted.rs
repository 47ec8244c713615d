//! A phone that wakes behind a mid-registrar is called when the main registrar has granted its registration, and not
//! before: one that answers late, refuses, or answers when nobody waits any more (mid_registrar 1.1.3, behaviour §7).

use std::net::{SocketAddr, UdpSocket};
use std::time::Instant;

use crate::harness::sleeper::{Sleeper, front, modules};
use crate::harness::web::Web;
use crate::harness::{Message, PATIENCE, Phone, Request, Server, mi};

/// What the main registrar grants, whatever is asked for: a phone that asks for more is forwarded in every mode.
const GRANTED_S: u32 = 60;

/// A main registrar whose answers the test gives, and from which calls come.
struct Main {
    socket: UdpSocket,
    address: SocketAddr,
}

impl Main {
    fn new() -> Main {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        Main { socket, address }
    }

    /// The next message that is wanted; others are passed over.
    #[track_caller]
    fn expect(&self, what: &str, wanted: impl Fn(&Message) -> bool) -> (Message, SocketAddr) {
        let deadline = Instant::now() + PATIENCE;
        let mut buffer = vec![0; 65536];
        while Instant::now() < deadline {
            self.socket.set_read_timeout(Some(PATIENCE)).unwrap();
            let Ok((length, from)) = self.socket.recv_from(&mut buffer) else { continue };
            let message = Message::parse(&buffer[..length]);
            if wanted(&message) {
                return (message, from);
            }
        }
        panic!("the main registrar waited in vain for {what}");
    }

    /// The next REGISTER with this CSeq or a higher one: what is sent again is passed over.
    #[track_caller]
    fn register(&self, from_cseq: u32) -> (Message, SocketAddr) {
        self.expect("a REGISTER", |message| {
            let cseq = message.header("CSeq").and_then(|cseq| cseq.strip_suffix(" REGISTER"));
            !message.is_response() && cseq.is_some_and(|cseq| cseq.parse::<u32>().unwrap() >= from_cseq)
        })
    }

    /// Grants what a REGISTER asks for, for a minute.
    fn grant(&self, (register, from): &(Message, SocketAddr)) {
        let contact = register.addresses("Contact").remove(0);
        let contact = format!("Contact: <{contact}>;expires={GRANTED_S}\r\n");
        self.socket.send_to(&register.reply(200, "OK", "main", &contact, ""), from).unwrap();
    }

    /// Calls whoever is registered by this URI.
    fn call(&self, uri: &str, edge: SocketAddr) -> Request {
        let mut invite =
            Request::new("INVITE", uri, "sip:alice@127.0.0.1", uri, "UDP", &self.address.to_string());
        invite.headers.push(format!("Contact: <sip:alice@{}>", self.address));
        self.socket.send_to(&invite.bytes(), edge).unwrap();
        invite
    }

    /// The final answer to a call.
    fn answer_to(&self, call: &Request) -> u16 {
        let is_it = |message: &Message| {
            message.is_response() && message.need("Call-ID") == call.call_id && message.status() >= 200
        };
        self.expect("an answer", is_it).0.status()
    }
}

/// A mid-registrar in front of the main registrar, with a phone that sleeps and a call for it.
struct Scene {
    main: Main,
    edge: Server,
    bob: Sleeper,
    call: Request,
    /// Answers its pushes.
    _web: Web,
}

impl Scene {
    /// Bob registers, falls asleep, is called and pushed to.
    fn new(mode: u8, parameters: &str) -> Scene {
        let (main, web) = (Main::new(), Web::start());
        let edge = Server::start(&front(&modules(&web, parameters), main.address, mode));
        let mut bob = Sleeper::fresh("bob", "pn-provider=acme;pn-param=app;pn-prid=token-bob");
        let mut phone = Phone::udp(&edge, "bob");
        let request = bob.register(&phone);
        phone.send(&request.bytes());
        let register = main.register(1);
        let uri = register.0.addresses("Contact").remove(0);
        main.grant(&register);
        assert_eq!(phone.answer_to(&request).status(), 200, "mode {mode}");
        drop(phone);
        let call = main.call(&uri, edge.udp());
        bob.pushed(&web, "ini-INVITE").answer(200, "");
        Scene { main, edge, bob, call, _web: web }
    }

    /// Bob wakes; gives the phone, its REGISTER, and that as the main registrar got it.
    fn wake(&mut self) -> (Phone, Request, (Message, SocketAddr)) {
        let mut phone = Phone::udp(&self.edge, "bob");
        let request = self.bob.register(&phone);
        phone.send(&request.bytes());
        let register = self.main.register(request.cseq);
        (phone, request, register)
    }
}

#[test]
fn the_call_goes_to_a_phone_that_woke_when_the_main_registrar_has_granted_it() {
    for mode in 0..3 {
        let mut scene = Scene::new(mode, "modparam(\"mid_registrar\", \"pn_refresh_timeout\", 60)");
        let (mut phone, request, register) = scene.wake();
        // The main registrar takes its time.
        phone.expect_silence();
        scene.main.grant(&register);
        let mut invited = None;
        let mut is_registered = false;
        while invited.is_none() || !is_registered {
            let message = phone.receive();
            match message.is_response() {
                true if message.need("CSeq") == format!("{} REGISTER", request.cseq) => {
                    is_registered |= message.status() == 200;
                }
                false if message.method() == "INVITE" => invited = Some(message),
                _ => {}
            }
        }
        let contact = format!("Contact: <{}>\r\n", phone.contact());
        phone.send(&invited.unwrap().reply(200, "OK", "bob", &contact, ""));
        assert_eq!(scene.main.answer_to(&scene.call), 200, "mode {mode}");
        assert_eq!(mi::statistic(&scene.edge, "push:sent"), 1, "mode {mode}");
    }
}

#[test]
fn a_phone_that_the_main_registrar_refuses_is_not_called_and_the_call_ends_in_time() {
    for (mode, status) in [(0, 403), (1, 403), (2, 403), (0, 500), (1, 500), (2, 500)] {
        let mut scene = Scene::new(mode, "modparam(\"mid_registrar\", \"pn_refresh_timeout\", 2)");
        let (mut phone, request, (register, from)) = scene.wake();
        scene.main.socket.send_to(&register.reply(status, "No", "main", "", ""), from).unwrap();
        let answer = loop {
            let answer = phone.answer_to(&request);
            if answer.status() >= 200 {
                break answer.status();
            }
        };
        assert_eq!(answer, status, "mode {mode}");
        assert_eq!(scene.main.answer_to(&scene.call), 408, "mode {mode}, {status}");
        phone.expect_silence();
    }
}

#[test]
fn what_the_main_registrar_grants_when_nobody_waits_any_more_adds_no_branch() {
    for mode in 0..3 {
        let mut scene = Scene::new(mode, "modparam(\"mid_registrar\", \"pn_refresh_timeout\", 1)");
        let (mut phone, request, register) = scene.wake();
        assert_eq!(scene.main.answer_to(&scene.call), 408, "mode {mode}");
        scene.main.grant(&register);
        let answer = loop {
            let answer = phone.answer_to(&request);
            if answer.status() >= 200 {
                break answer.status();
            }
        };
        assert_eq!(answer, 200, "mode {mode}");
        phone.expect_silence();
    }
}
