//! In front of a main registrar, with bindings in a database: killed and started again.

use crate::harness::call::talk;
use crate::harness::server::run;
use crate::harness::{Message, PATIENCE, Phone, Server, mi};
use crate::mid::{front_script, registered, wait_until};
use crate::store::{Folder, kill, stop};
use serde_json::json;
use std::net::{SocketAddr, UdpSocket};

const THROUGH: &str = "single-instance-sql-write-through";

fn script(main: SocketAddr, folder: &Folder, mode: u8, preset: &str) -> String {
    let more = format!(
        "loadmodule \"db_sqlite.so\"\nmodparam(\"usrloc\", \"working_mode_preset\", \"{preset}\")\n\
         modparam(\"usrloc\", \"db_url\", \"sqlite://{}\")\nmodparam(\"usrloc\", \"timer_interval\", 3600)\n",
        folder.file().display()
    );
    front_script(main, &format!("\"mode\", {mode}\n\"min_expires\", 1\n\"absorb\", \"verified\""), &more)
}

/// The same server again, at the same address.
fn again(at: SocketAddr, text: &str) -> Server {
    Server::start_with(text, &["-l", &format!("udp:{at}"), "-l", "tcp:127.0.0.1:0"])
}

fn main_registrar() -> Server {
    let modules = crate::harness::scripts::MODULES;
    let exchange = crate::harness::scripts::EXCHANGE;
    Server::start(&format!("{modules}modparam(\"registrar\", \"min_expires\", 1)\n{exchange}"))
}

#[test]
fn absorbing_goes_on_and_calls_arrive_after_a_kill_in_each_mode() {
    for mode in 0..3 {
        let (main, folder) = (main_registrar(), Folder::new());
        let text = script(main.udp(), &folder, mode, THROUGH);
        let front = Server::start(&text);
        let at = front.udp();
        let (mut alice, mut bob) = (Phone::udp(&main, "alice"), Phone::udp(&front, "bob"));
        alice.register();
        registered(&mut bob, 600);
        // A phone that goes away without a word while nobody is there to notice.
        registered(&mut Phone::udp(&front, "dave"), 5);
        assert_eq!(mi::contacts(&main, "dave@127.0.0.1").len(), 1, "mode {mode}");
        mi::result(&front, "ul_flush", json!({}));
        let served = mi::statistic(&main, "registrar:accepted_regs");
        kill(front);
        let front = again(at, &text);
        // The first that is heard of bob is his refresh, or a call to him, whether or not the table is loaded.
        if mode == 1 {
            talk(&mut alice, &mut bob);
        }
        registered(&mut bob, 600);
        talk(&mut alice, &mut bob);
        let forwarded = mi::statistic(&main, "registrar:accepted_regs") - served;
        assert_eq!(mi::statistic(&front, "mid_registrar:absorbed_regs"), u64::from(mode != 0), "mode {mode}");
        // The removal of dave may be among them by now.
        assert!(forwarded <= 1 + u64::from(mode == 0), "mode {mode}: {forwarded}");
        wait_until("the main registrar has lost dave", || mi::contacts(&main, "dave@127.0.0.1").is_empty());
        assert_eq!(mi::contacts(&main, "bob@127.0.0.1").len(), 1, "mode {mode}");
        kill(front);
    }
}

#[test]
fn write_back_keeps_registrations_when_the_server_stops() {
    let (main, folder) = (main_registrar(), Folder::new());
    let text = script(main.udp(), &folder, 1, "single-instance-sql-write-back");
    let front = Server::start(&text);
    let at = front.udp();
    let mut bob = Phone::udp(&front, "bob");
    registered(&mut bob, 600);
    stop(front);
    let file = rusqlite::Connection::open(folder.file()).unwrap();
    let count = |table: &str| -> i64 {
        file.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    assert_eq!((count("location"), count("location_upstream")), (1, 1));
    let front = again(at, &text);
    registered(&mut bob, 600);
    assert_eq!(mi::statistic(&front, "mid_registrar:absorbed_regs"), 1);
    // It says goodbye: nothing is left, here or there.
    let mut goodbye = bob.register_for(0);
    goodbye.cseq = 9;
    assert_eq!(bob.ask(&goodbye).status(), 200);
    wait_until("the main registrar has no contact", || mi::contacts(&main, "bob@127.0.0.1").is_empty());
    stop(front);
    assert_eq!((count("location"), count("location_upstream")), (0, 0));
}

/// A main registrar made by hand: it answers what the test says.
struct Main(UdpSocket);

impl Main {
    fn new() -> Main {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Main(socket)
    }

    /// The next REGISTER that was not seen yet.
    fn next(&self, seen: &[String]) -> (Message, SocketAddr) {
        let mut bytes = [0; 4096];
        loop {
            let (length, from) = self.0.recv_from(&mut bytes).unwrap();
            let message = Message::parse(&bytes[..length]);
            if message.method() == "REGISTER" && !seen.contains(&message.need("CSeq").to_owned()) {
                return (message, from);
            }
        }
    }

    fn accept(&self, (message, to): &(Message, SocketAddr)) {
        let lines: String =
            message.all("Contact").iter().map(|contact| format!("Contact: {contact}\r\n")).collect();
        self.0.send_to(&message.reply(200, "OK", "main", &lines, ""), to).unwrap();
    }
}

#[test]
fn a_removal_that_was_not_answered_is_sent_again_after_a_kill() {
    let (main, folder) = (Main::new(), Folder::new());
    let text = script(main.0.local_addr().unwrap(), &folder, 1, THROUGH);
    let front = Server::start(&text);
    let at = front.udp();
    let mut bob = Phone::udp(&front, "bob");
    let register = bob.register_for(1);
    bob.send(&register.bytes());
    let first = main.next(&[]);
    main.accept(&first);
    assert_eq!(bob.receive().status(), 200);
    let second = main.next(&[first.0.need("CSeq").to_owned()]);
    assert!(second.0.need("Contact").ends_with("expires=0"), "{}", second.0.need("Contact"));
    mi::result(&front, "ul_flush", json!({}));
    kill(front);
    let front = again(at, &text);
    let seen = [first.0.need("CSeq").to_owned(), second.0.need("CSeq").to_owned()];
    let third = main.next(&seen);
    assert!(third.0.need("Contact").ends_with("expires=0"));
    assert_eq!(third.0.need("Call-ID"), first.0.need("Call-ID"));
    let number = |message: &Message| message.need("CSeq").split(' ').next().unwrap().parse::<u32>().unwrap();
    assert!(number(&third.0) > number(&second.0) && number(&second.0) > number(&first.0));
    main.accept(&third);
    mi::wait_for_statistic(&front, "mid_registrar:acknowledged_deregs", 1);
    mi::result(&front, "ul_flush", json!({}));
    kill(front);
    let front = again(at, &text);
    front.wait_for_log("bindings loaded");
    assert_eq!(mi::error(&front, "mid_reg_show", json!({"aor": "bob@127.0.0.1"})), 404);
    assert_eq!(mi::statistic(&front, "mid_registrar:sent_deregs"), 0);
    kill(front);
}

#[test]
fn sql_only_in_front_of_a_main_registrar_is_refused() {
    let folder = Folder::new();
    let cfg = folder.file().with_extension("cfg");
    std::fs::write(&cfg, script("127.0.0.1:5060".parse().unwrap(), &folder, 1, "sql-only")).unwrap();
    let output = run(&["run", "-f", &cfg.display().to_string(), "-l", "udp:127.0.0.1:0"]);
    let text = String::from_utf8_lossy(&output.stderr);
    let said = "mid_registrar does not work with \"sql-only\"";
    assert!(!output.status.success() && text.contains(said), "{text}");
}
