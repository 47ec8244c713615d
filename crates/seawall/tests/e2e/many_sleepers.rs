//! Many phones that sleep and are called at nearly the same time. `cargo xtask sleepers` runs it with 10 000.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use seawall_testkit::push_service::{Apns, PushService, Reply};

use crate::harness::scripts::MODULES;
use crate::harness::{Server, mi};

const HERE: &str = "127.0.0.1";

const TEAM: &str = "TEAM123456";

/// What a phone says of its pushes, by its number.
type Params = fn(usize) -> String;

/// A phone that a gateway wakes.
fn of_gateway(phone: usize) -> String {
    format!("pn-provider=acme;pn-param=app;pn-prid=token-{phone}")
}

/// A phone that Apple wakes.
fn of_apple(phone: usize) -> String {
    format!("pn-provider=apns;pn-param={TEAM}.org.example.phone.voip;pn-prid={phone:064x}")
}

/// How many phones, unless SEAWALL_SLEEPERS says so.
const PHONES: usize = 300;

/// How many calls are begun in a second, unless SEAWALL_SLEEPERS_RATE says so.
const RATE: usize = 300;

fn number(name: &str, usual: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// A push service of the test's own: it tells who is pushed to, and takes every push.
fn gateway(pushed: impl Fn(usize) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind((HERE, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let pushed = Arc::new(pushed);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let pushed = Arc::clone(&pushed);
            std::thread::spawn(move || serve(stream, &*pushed));
        }
    });
    port
}

/// Takes pushes over one connection until it ends.
fn serve(stream: TcpStream, pushed: &dyn Fn(usize)) {
    let mut writer = stream.try_clone().unwrap();
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        pushed(body["prid"].as_str().unwrap().strip_prefix("token-").unwrap().parse().unwrap());
        if writer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").is_err() {
            return;
        }
    }
}

/// APNs on loopback, which tells who is pushed to and takes what Apple would take; and the lines of a script that lead to it.
fn apple(pushed: impl Fn(usize) + Send + Sync + 'static) -> (PushService, String) {
    let service = PushService::start_apart(false);
    let (file, point) = service.key("AuthKey.p8");
    let rules = Apns {
        team: TEAM.to_owned(),
        key: Some(("KEY1234567".to_owned(), point)),
        topics: vec!["org.example.phone.voip".to_owned()],
        ..Apns::default()
    };
    service.judge(move |seen| {
        let reply = rules.judge(seen);
        if let (Reply::Status(200, ..), Some(device)) = (&reply, seen.path.strip_prefix("/3/device/")) {
            pushed(usize::from_str_radix(device, 16).unwrap());
        }
        reply
    });
    let lines = [
        ("apns_url", service.url()),
        ("apns_key_file", file.display().to_string()),
        ("apns_key_id", "KEY1234567".to_owned()),
        ("apns_team_id", TEAM.to_owned()),
        ("ca_path", service.authority().display().to_string()),
    ];
    let lines = lines.map(|(name, value)| format!("modparam(\"push\", \"{name}\", \"{value}\")\n"));
    (service, lines.concat())
}

fn register(params: Params, phone: usize, cseq: u32, from: SocketAddr) -> Vec<u8> {
    let params = params(phone);
    let aor = format!("sip:u{phone}@{HERE}");
    format!(
        "REGISTER sip:{HERE} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK-r{phone}-{cseq};rport\r\nMax-Forwards: 70\r\n\
         From: <{aor}>;tag=r{phone}\r\nTo: <{aor}>\r\nCall-ID: r{phone}\r\nCSeq: {cseq} REGISTER\r\n\
         Contact: <sip:u{phone}@{from};{params}>;expires=3600\r\n\
         Content-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

fn invite(phone: usize, from: SocketAddr, method: &str, tag: &str) -> Vec<u8> {
    let kind = if method == "ACK" { "a" } else { "i" };
    format!(
        "{method} sip:u{phone}@{HERE} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK-{kind}{phone};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:caller@{HERE}>;tag=c{phone}\r\nTo: <sip:u{phone}@{HERE}>{tag}\r\nCall-ID: c{phone}\r\nCSeq: 1 {method}\r\n\
         Contact: <sip:caller@{from}>\r\nContent-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

/// The number behind a prefix of the Call-ID.
fn call_id(text: &str, prefix: char) -> Option<usize> {
    let line = text.lines().find_map(|line| line.strip_prefix("Call-ID: "))?;
    line.trim().strip_prefix(prefix)?.parse().ok()
}

/// How long anybody waits before he says a thing again: datagrams get lost under load (T1 of RFC 3261).
const AGAIN: Duration = Duration::from_millis(500);

/// What was said and has to be said again until it is answered, by the number of the call.
#[derive(Default)]
struct Repeated(Mutex<HashMap<usize, Said>>);

/// Words, to whom, and when for the last time.
type Said = (Vec<u8>, SocketAddr, Instant);

impl Repeated {
    /// Says something, and goes on until it is [`heard`](Repeated::heard).
    fn say(&self, socket: &UdpSocket, call: usize, bytes: Vec<u8>, to: SocketAddr) {
        socket.send_to(&bytes, to).unwrap();
        self.0.lock().unwrap().insert(call, (bytes, to, Instant::now()));
    }

    fn heard(&self, call: usize) {
        self.0.lock().unwrap().remove(&call);
    }

    fn again(&self, socket: &UdpSocket) {
        for (bytes, to, said) in self.0.lock().unwrap().values_mut() {
            if said.elapsed() >= AGAIN {
                socket.send_to(bytes, *to).unwrap();
                *said = Instant::now();
            }
        }
    }
}

/// The phones that have woken: one socket for all.
struct Awake {
    params: Params,
    socket: UdpSocket,
    registers: Repeated,
    answers: Repeated,
    /// How often each was called.
    invited: Vec<AtomicUsize>,
}

impl Awake {
    /// A phone wakes: it registers from an address that it did not have before.
    fn wake(&self, phone: usize, server: SocketAddr) {
        let own = self.socket.local_addr().unwrap();
        self.registers.say(&self.socket, phone, register(self.params, phone, 2, own), server);
    }

    /// Answers what comes, until nothing does any more.
    fn run(&self) {
        let mut buffer = [0; 8192];
        while let Ok((length, from)) = self.socket.recv_from(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if let Some(phone) = call_id(&text, 'r') {
                assert!(text.starts_with("SIP/2.0 200 "), "{text}");
                self.registers.heard(phone);
            } else if text.starts_with("ACK ") {
                self.answers.heard(call_id(&text, 'c').unwrap());
            } else if text.starts_with("INVITE ") {
                self.take(&text, from);
            }
        }
    }

    fn take(&self, text: &str, from: SocketAddr) {
        let call = call_id(text, 'c').unwrap();
        self.invited[call].fetch_add(1, Ordering::Relaxed);
        let mut reply = String::from("SIP/2.0 200 OK\r\n");
        for line in text.lines() {
            match line.split(':').next().unwrap() {
                "Via" | "From" | "Call-ID" | "CSeq" | "Record-Route" => {
                    reply.push_str(&format!("{line}\r\n"))
                }
                "To" => reply.push_str(&format!("{line};tag=p{call}\r\n")),
                _ => {}
            }
        }
        let own = self.socket.local_addr().unwrap();
        reply.push_str(&format!("Contact: <sip:u{call}@{own}>\r\nContent-Length: 0\r\n\r\n"));
        self.answers.say(&self.socket, call, reply.into_bytes(), from);
    }
}

/// Registers all phones, a few at a time, and lets them fall asleep.
fn put_to_sleep(params: Params, server: SocketAddr, phones: usize) {
    let socket = UdpSocket::bind((HERE, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let own = socket.local_addr().unwrap();
    let mut buffer = [0; 8192];
    for chunk in (0..phones).collect::<Vec<_>>().chunks(32) {
        for phone in chunk {
            socket.send_to(&register(params, *phone, 1, own), server).unwrap();
        }
        for _ in chunk {
            let (length, _) = socket.recv_from(&mut buffer).expect("an answer to a REGISTER");
            assert!(
                buffer[..length].starts_with(b"SIP/2.0 200 "),
                "{}",
                String::from_utf8_lossy(&buffer[..length])
            );
        }
    }
}

#[test]
fn many_phones_that_sleep_are_called_at_once_and_all_take_their_calls() {
    let crowd = Crowd::new(of_gateway);
    let port = gateway(crowd.waker());
    crowd.run(&format!("modparam(\"push\", \"http_url\", \"http://{HERE}:{port}/\")\n"));
}

#[test]
fn many_apple_phones_that_sleep_are_called_at_once_and_all_take_their_calls() {
    let crowd = Crowd::new(of_apple);
    let (service, lines) = apple(crowd.waker());
    crowd.run(&lines);
    assert!(service.connections() <= 8, "{} connections", service.connections());
}

/// Phones that are to be called, and what is counted about them.
struct Crowd {
    phones: usize,
    rate: usize,
    awake: Arc<Awake>,
    /// Where the server is, as soon as it runs.
    target: Arc<OnceLock<SocketAddr>>,
    pushes: Arc<AtomicUsize>,
}

impl Crowd {
    fn new(params: Params) -> Crowd {
        let phones = number("SEAWALL_SLEEPERS", PHONES);
        let socket = UdpSocket::bind((HERE, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let awake = Awake {
            params,
            socket,
            registers: Repeated::default(),
            answers: Repeated::default(),
            invited: (0..phones).map(|_| AtomicUsize::new(0)).collect(),
        };
        Crowd {
            phones,
            rate: number("SEAWALL_SLEEPERS_RATE", RATE),
            awake: Arc::new(awake),
            target: Arc::default(),
            pushes: Arc::default(),
        }
    }

    /// What a push service does with a push: the phone wakes.
    fn waker(&self) -> impl Fn(usize) + Send + Sync + 'static {
        let (awake, target, pushes) =
            (Arc::clone(&self.awake), Arc::clone(&self.target), Arc::clone(&self.pushes));
        move |phone| {
            pushes.fetch_add(1, Ordering::Relaxed);
            awake.wake(phone, *target.get().unwrap());
        }
    }

    /// Calls everybody, with these lines in the script of the server.
    fn run(self, lines: &str) {
        let Crowd { phones, rate, awake, target, pushes } = self;
        let modules = MODULES.replace(
            "loadmodule \"registrar.so\"",
            "loadmodule \"event_routing.so\"\nloadmodule \"registrar.so\"\nloadmodule \"push.so\"",
        );
        let server = Server::start(&format!(
            "{modules}modparam(\"registrar\", \"pn_enable\", 1)\nmodparam(\"registrar\", \"pn_providers\", \"acme, apns\")\n\
             modparam(\"registrar\", \"pn_refresh_timeout\", 60)\n{lines}\
             route {{\n\tif (is_method(\"REGISTER\")) {{ save(\"location\"); exit; }}\n\
             \tif (is_method(\"ACK\")) {{ t_relay(); exit; }}\n\
             \tif (lookup(\"location\")) {{ if ($rc == 1) t_relay(); }} else t_reply(404, \"Not Found\");\n}}\n"
        ));
        target.set(server.udp()).unwrap();
        put_to_sleep(awake.params, server.udp(), phones);
        let answering = {
            let awake = Arc::clone(&awake);
            std::thread::spawn(move || awake.run())
        };
        let caller = Arc::new(UdpSocket::bind((HERE, 0)).unwrap());
        caller.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let calls = Arc::new(Repeated::default());
        let is_over = Arc::new(AtomicBool::new(false));
        let began = Instant::now();
        let calling = {
            let (caller, calls, awake, is_over) =
                (Arc::clone(&caller), Arc::clone(&calls), Arc::clone(&awake), Arc::clone(&is_over));
            let to = server.udp();
            std::thread::spawn(move || {
                let own = caller.local_addr().unwrap();
                let repeat = || {
                    calls.again(&caller);
                    awake.registers.again(&awake.socket);
                    awake.answers.again(&awake.socket);
                };
                for phone in 0..phones {
                    let due = Duration::from_secs_f64(phone as f64 / rate as f64);
                    std::thread::sleep(due.saturating_sub(began.elapsed()));
                    calls.say(&caller, phone, invite(phone, own, "INVITE", ""), to);
                    if phone % 64 == 0 {
                        repeat();
                    }
                }
                while !is_over.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(20));
                    repeat();
                }
            })
        };
        let mut taken = vec![false; phones];
        let mut buffer = [0; 8192];
        let own = caller.local_addr().unwrap();
        while taken.iter().any(|taken| !taken) {
            let Ok((length, from)) = caller.recv_from(&mut buffer) else { break };
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let call = call_id(&text, 'c').expect("a call of ours");
            // It is heard with the 100 already.
            calls.heard(call);
            if text.starts_with("SIP/2.0 200 ") {
                caller.send_to(&invite(call, own, "ACK", &format!(";tag=p{call}")), from).unwrap();
                taken[call] = true;
            } else {
                assert!(text.starts_with("SIP/2.0 100 "), "{text}");
            }
        }
        let took = began.elapsed();
        is_over.store(true, Ordering::Relaxed);
        calling.join().unwrap();
        let missed = taken.iter().filter(|taken| !**taken).count();
        assert_eq!(missed, 0, "of {phones} calls");
        assert_eq!(pushes.load(Ordering::Relaxed), phones, "each phone is pushed to once");
        assert_eq!(mi::statistic(&server, "push:accepted"), phones as u64);
        assert!(awake.invited.iter().all(|calls| calls.load(Ordering::Relaxed) > 0));
        println!("{phones} sleeping phones took their calls within {:.2} s", took.as_secs_f64());
        drop(answering);
    }
}
