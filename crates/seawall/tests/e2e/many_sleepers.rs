//! Many phones that sleep and are called at nearly the same time. `cargo xtask sleepers` runs it with 10 000.

mod phones;
mod times;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use seawall_testkit::push_service::{Apns, PushService, Reply};

use self::phones::{Awake, HERE, Params, Repeated, acknowledge, call_id, dropped, invite, register, socket};
use self::times::{Moment, Times};
use crate::harness::scripts::MODULES;
use crate::harness::{Server, mi};

const TEAM: &str = "TEAM123456";

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

/// Registers all phones, a few at a time, and lets them fall asleep.
fn put_to_sleep(params: Params, server: SocketAddr, phones: usize) {
    let socket = socket(10);
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
        let awake = Awake {
            params,
            socket: socket(20),
            registers: Repeated::default(),
            answers: Repeated::default(),
            invited: (0..phones).map(|_| AtomicUsize::new(0)).collect(),
            times: Arc::new(Times::new(phones)),
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
            awake.times.note(phone, Moment::Pushed);
            awake.wake(phone, *target.get().unwrap());
        }
    }

    /// Calls everybody, with these lines in the script of the server.
    fn run(self, lines: &str) {
        let server = Server::start(&script(lines));
        self.target.set(server.udp()).unwrap();
        put_to_sleep(self.awake.params, server.udp(), self.phones);
        let answering = {
            let awake = Arc::clone(&self.awake);
            std::thread::spawn(move || awake.run())
        };
        let callers = Arc::new(Callers {
            socket: socket(30),
            calls: Repeated::default(),
            is_over: AtomicBool::new(false),
            awake: Arc::clone(&self.awake),
            server: server.udp(),
        });
        let began = Instant::now();
        let calling = {
            let (callers, phones, rate) = (Arc::clone(&callers), self.phones, self.rate);
            std::thread::spawn(move || callers.call(phones, rate))
        };
        let taken = callers.listen(self.phones);
        let took = began.elapsed();
        callers.is_over.store(true, Ordering::Relaxed);
        calling.join().unwrap();
        println!(
            "{taken} of {} sleeping phones took their calls within {:.2} s",
            self.phones,
            took.as_secs_f64()
        );
        self.print(&callers, &server);
        assert_eq!(taken, self.phones);
        assert_eq!(self.pushes.load(Ordering::Relaxed), self.phones, "each phone is pushed to once");
        // The last calls may be taken before the service has answered.
        mi::wait_for_statistic(&server, "push:accepted", self.phones as u64);
        assert!(self.awake.invited.iter().all(|calls| calls.load(Ordering::Relaxed) > 0));
        drop(answering);
    }

    /// Prints where the time went, and what was lost on the way.
    fn print(&self, callers: &Callers, server: &Server) {
        self.awake.times.print();
        let repeats = |repeated: &Repeated| repeated.repeats.load(Ordering::Relaxed);
        println!(
            "  said again: INVITE {}, REGISTER {}, 200 {}, INVITE by the server {}",
            repeats(&callers.calls),
            repeats(&self.awake.registers),
            repeats(&self.awake.answers),
            self.awake.invited_again(),
        );
        let port = |socket: &UdpSocket| dropped(socket.local_addr().unwrap().port());
        println!(
            "  dropped by the kernel: at the phones {}, at the callers {}, at the server {}",
            port(&self.awake.socket),
            port(&callers.socket),
            dropped(server.udp().port()),
        );
    }
}

/// Who calls: one socket for all.
struct Callers {
    socket: UdpSocket,
    calls: Repeated,
    is_over: AtomicBool,
    awake: Arc<Awake>,
    server: SocketAddr,
}

impl Callers {
    /// Begins the calls at a rate, and says again what nobody has heard, for the phones too, until all is over.
    fn call(&self, phones: usize, rate: usize) {
        let (began, own) = (Instant::now(), self.socket.local_addr().unwrap());
        let repeat = || {
            self.calls.again(&self.socket);
            self.awake.registers.again(&self.awake.socket);
            self.awake.answers.again(&self.awake.socket);
        };
        for phone in 0..phones {
            let due = Duration::from_secs_f64(phone as f64 / rate as f64);
            std::thread::sleep(due.saturating_sub(began.elapsed()));
            self.awake.times.note(phone, Moment::Called);
            self.calls.say(&self.socket, phone, invite(phone, own), self.server);
            repeat();
        }
        while !self.is_over.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(20));
            repeat();
        }
    }

    /// Takes the answers until all have come, or none for a long time; how many calls were taken.
    fn listen(&self, phones: usize) -> usize {
        let mut is_taken = vec![false; phones];
        let mut taken = 0;
        let mut buffer = [0; 8192];
        let own = self.socket.local_addr().unwrap();
        while taken < phones {
            let Ok((length, from)) = self.socket.recv_from(&mut buffer) else { break };
            let text = String::from_utf8_lossy(&buffer[..length]);
            let call = call_id(&text, 'c').expect("a call of ours");
            // It is heard with the 100 already.
            self.calls.heard(call);
            if text.starts_with("SIP/2.0 200 ") {
                self.socket.send_to(&acknowledge(call, own, &text), from).unwrap();
                self.awake.times.note(call, Moment::Taken);
                taken += usize::from(!is_taken[call]);
                is_taken[call] = true;
            } else {
                assert!(text.starts_with("SIP/2.0 100 "), "{text}");
            }
        }
        taken
    }
}

/// The script of the server, which stays in the calls as a proxy does.
fn script(lines: &str) -> String {
    let modules = MODULES.replace(
        "loadmodule \"registrar.so\"",
        "loadmodule \"event_routing.so\"\nloadmodule \"registrar.so\"\nloadmodule \"push.so\"",
    );
    format!(
        "{modules}modparam(\"registrar\", \"pn_enable\", 1)\nmodparam(\"registrar\", \"pn_providers\", \"acme, apns\")\n\
         modparam(\"registrar\", \"pn_refresh_timeout\", 60)\n{lines}\
         route {{\n\tif (is_method(\"REGISTER\")) {{ save(\"location\"); exit; }}\n\
         \tif (has_totag()) {{ if (loose_route()) t_relay(); exit; }}\n\
         \trecord_route();\n\
         \tif (lookup(\"location\")) {{ if ($rc == 1) t_relay(); }} else t_reply(404, \"Not Found\");\n}}\n"
    )
}
