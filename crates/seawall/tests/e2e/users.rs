//! The server without a script: users with passwords, from the first one on.

use crate::harness::call::{establish_with, invite};
use crate::harness::digest::{answered, ask, ask_as};
use crate::harness::server::{seawall, temporary_folder};
use crate::harness::{PATIENCE, Phone, Server, mi};
use serde_json::json;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

const SOCKETS: [&str; 6] = ["-l", "udp:127.0.0.1:0", "-l", "tcp:127.0.0.1:0", "--mi", "127.0.0.1:0"];

fn start() -> Server {
    Server::start_default(&SOCKETS)
}

/// Registers a phone with a password, and gives the status of the answer.
fn log_in(phone: &mut Phone, password: &str) -> u16 {
    let register = phone.register_for(600);
    ask(phone, &register, password).status()
}

/// What `seawall ctl` says, and whether all was well.
fn ctl(server: &Server, words: &[&str], input: &str) -> (bool, String) {
    let output = server.ctl(words, input);
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[test]
fn users_register_and_call_each_other_with_their_passwords() {
    let server = start();
    let (mut alice, mut bob) = (Phone::udp(&server, "alice"), Phone::tcp(&server, "bob"));
    // Nobody gets in before there are users.
    assert_eq!(log_in(&mut alice, "wonder"), 401);
    server.add_user("alice", "wonder");
    server.add_user("bob", "builder");
    assert_eq!(log_in(&mut alice, "wonder"), 200);
    assert_eq!(log_in(&mut bob, "builder"), 200);
    assert_eq!(mi::contacts(&server, "alice@127.0.0.1").len(), 1);
    assert_eq!(log_in(&mut bob, "wonder"), 401);

    let first = invite(&alice, &bob.aor());
    let challenged = alice.ask(&first);
    assert_eq!(challenged.status(), 407);
    let mut ack = first.clone();
    ack.method = "ACK".to_owned();
    ack.to = challenged.need("To").to_owned();
    alice.send(&ack.bytes());
    let second = answered(&challenged, &first, "alice", "wonder");
    let call = establish_with(&mut alice, &mut bob, second);
    // Credentials are nobody else's business.
    assert_eq!(call.received.header("Proxy-Authorization"), None);
    call.hang_up(&mut alice, &mut bob);
}

#[test]
fn nobody_takes_the_name_of_another() {
    let server = start();
    server.add_user("alice", "wonder");
    server.add_user("mallory", "secret");
    let mut mallory = Phone::udp(&server, "alice");
    let register = mallory.register_for(600);
    // Registering alice with mallory's password, and calling under her name.
    assert_eq!(ask_as(&mut mallory, &register, "mallory", "secret").status(), 403);
    assert!(mi::contacts(&server, "alice@127.0.0.1").is_empty());
    let message = mallory.request("MESSAGE", "sip:alice@127.0.0.1");
    assert_eq!(ask_as(&mut mallory, &message, "mallory", "secret").status(), 403);
    // What was overheard cannot be used with another contact.
    let mut alice = Phone::udp(&server, "alice");
    let register = alice.register_for(600);
    let challenged = alice.ask(&register);
    let good = answered(&challenged, &register, "alice", "wonder");
    assert_eq!(alice.ask(&good).status(), 200);
    let mut stolen = good.next();
    stolen.headers[0] = "Contact: <sip:alice@192.0.2.66>".to_owned();
    let refused = mallory.ask(&stolen);
    assert_eq!(refused.status(), 401);
    assert!(refused.need("WWW-Authenticate").contains("stale=true"));
    assert_eq!(mi::contacts(&server, "alice@127.0.0.1").len(), 1);
}

#[test]
fn a_challenge_is_small_and_relaying_elsewhere_is_not_offered() {
    let server = start();
    server.add_user("alice", "wonder");
    let mut alice = Phone::udp(&server, "alice");
    let register = alice.register_for(600).with("User-Agent: a phone that says what it is");
    let challenged = alice.ask(&register);
    let (asked, answer) = (register.bytes().len(), challenged.bytes.len());
    assert!(answer * 2 <= asked * 3, "{answer} bytes for {asked}");
    assert_eq!(ask(&mut alice, &register, "wonder").status(), 200);
    let away = alice.request("MESSAGE", "sip:someone@192.0.2.1");
    assert!((400..500).contains(&ask(&mut alice, &away, "wonder").status()));
    let nobody = alice.request("MESSAGE", "sip:nobody@127.0.0.1");
    assert_eq!(ask(&mut alice, &nobody, "wonder").status(), 404);
    // Questions to the server itself need no password.
    assert_eq!(alice.ask(&alice.request("OPTIONS", "sip:127.0.0.1")).status(), 200);
}

#[test]
fn users_are_managed_by_words_and_their_passwords_are_shown_nowhere() {
    let server = start();
    server.add_user("alice", "wonder=land, 1");
    let (again, text) = ctl(&server, &["user", "add", "alice", "--password-stdin"], "x\n");
    assert!(!again && text.contains("already (409)"), "{text}");
    let (listed, text) = ctl(&server, &["user", "list"], "");
    assert!(listed && text.contains("alice"), "{text}");
    let mut alice = Phone::udp(&server, "alice");
    assert_eq!(log_in(&mut alice, "wonder=land, 1"), 200);
    let (changed, text) = ctl(&server, &["--password-stdin", "user", "password", "alice"], "other\n");
    assert!(changed, "{text}");
    assert_eq!(log_in(&mut alice, "wonder=land, 1"), 401);
    assert_eq!(log_in(&mut alice, "other"), 200);
    assert!(ctl(&server, &["user", "remove", "alice"], "").0);
    assert_eq!(log_in(&mut alice, "other"), 401);
    let (gone, text) = ctl(&server, &["user", "remove", "alice"], "");
    assert!(!gone && text.contains("User not found (404)"), "{text}");
    // Without a terminal nobody can be asked.
    let (asked, text) = ctl(&server, &["user", "add", "bob"], "");
    assert!(!asked && text.contains("--password-stdin"), "{text}");
    let (unknown, text) = ctl(&server, &["user", "rename", "alice"], "");
    assert!(!unknown && text.contains("usage:"), "{text}");
    let (blank, text) = ctl(&server, &["user", "add", "a b", "--password-stdin"], "x\n");
    assert!(!blank && text.contains("(400)"), "{text}");
    mi::result(&server, "user_flush", json!({}));
    assert!(!server.log().contains("wonder"), "{}", server.log());
    assert!(!mi::result(&server, "which", json!({})).to_string().contains("wonder"));
}

/// A command on a terminal of its own, typed to as a person would.
struct Terminal {
    command: Child,
    screen: ChildStdout,
    seen: String,
}

impl Terminal {
    fn start(command: &str) -> Terminal {
        let mut script = Command::new("script");
        script.args(["-q", "-e", "-c", command, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut command = script.spawn().unwrap();
        let screen = command.stdout.take().unwrap();
        Terminal { command, screen, seen: String::new() }
    }

    /// Waits for a prompt, and then types a line.
    fn answer(&mut self, prompt: &str, line: &str) {
        let mut byte = [0];
        while !self.seen.ends_with(prompt) {
            assert_eq!(self.screen.read(&mut byte).unwrap(), 1, "no {prompt:?}: {}", self.seen);
            self.seen.push(char::from(byte[0]));
        }
        // The prompt comes a moment before the terminal stops showing what is typed.
        let deadline = Instant::now() + PATIENCE;
        while !self.hides() {
            assert!(Instant::now() < deadline, "what is typed is shown: {}", self.seen);
        }
        writeln!(self.command.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Whether the terminal does not show what is typed.
    fn hides(&self) -> bool {
        let script = self.command.id();
        let child = fs::read_to_string(format!("/proc/{script}/task/{script}/children")).unwrap();
        let Ok(terminal) = fs::read_link(format!("/proc/{}/fd/0", child.trim())) else { return false };
        let settings = Command::new("stty").arg("-aF").arg(terminal).output().unwrap().stdout;
        String::from_utf8_lossy(&settings).split_whitespace().any(|word| word == "-echo")
    }

    /// Whether it ended well, and all that was on the screen.
    fn end(mut self) -> (bool, String) {
        self.screen.read_to_string(&mut self.seen).unwrap();
        (self.command.wait().unwrap().success(), self.seen)
    }
}

#[test]
fn a_terminal_asks_for_a_password_twice_and_does_not_show_it() {
    let server = start();
    let command = server.ctl_line(&["user", "add", "alice"]);
    let mut terminal = Terminal::start(&command);
    terminal.answer("Password for alice: ", "wonder");
    terminal.answer("The same again: ", "other");
    let (added, screen) = terminal.end();
    assert!(!added && screen.contains("different"), "{screen}");
    let mut terminal = Terminal::start(&command);
    terminal.answer("Password for alice: ", "wonder");
    terminal.answer("The same again: ", "wonder");
    let (added, screen) = terminal.end();
    assert!(added && !screen.contains("wonder"), "{screen}");
    assert_eq!(log_in(&mut Phone::udp(&server, "alice"), "wonder"), 200);
}

#[test]
fn users_outlive_a_restart_in_a_file_of_the_owner() {
    let folder = temporary_folder();
    let data = folder.join("deep/data").display().to_string();
    let arguments = [&SOCKETS[..], &["--data", &data]].concat();
    let run = || Server::start_as_told(&arguments);
    let server = run();
    server.add_user("alice", "wonder");
    drop(server);
    let server = run();
    let mut alice = Phone::udp(&server, "alice");
    assert_eq!(log_in(&mut alice, "wonder"), 200);
    let mode = |path: &str| std::fs::metadata(folder.join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("deep/data"), mode("deep/data/seawall.db")), (0o700, 0o600));
    drop(server);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_data_folder_that_cannot_be_made_is_an_error_that_says_what_to_do() {
    let folder = temporary_folder();
    std::fs::write(folder.join("file"), "").unwrap();
    let data = folder.join("file/data").display().to_string();
    let output = seawall().args(["run", "--data", &data]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("--data DIR"), "{text}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_database_that_cannot_be_read_is_told_and_answered_with_500() {
    let folder = temporary_folder();
    std::fs::write(folder.join("seawall.db"), "no database, though of some length ".repeat(200)).unwrap();
    let data = folder.display().to_string();
    let arguments = [&SOCKETS[..], &["--data", &data]].concat();
    let server = Server::start_as_told(&arguments);
    let mut alice = Phone::udp(&server, "alice");
    assert_eq!(log_in(&mut alice, "wonder"), 500);
    server.wait_for_log("auth_db: ");
    let (added, text) = ctl(&server, &["user", "add", "alice", "--password-stdin"], "wonder\n");
    assert!(!added && text.contains("The database fails (500)"), "{text}");
    drop(server);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn the_load_generator_answers_challenges() {
    let server = start();
    for user in 0..5 {
        let name = format!("u{user:08}");
        mi::result(&server, "user_add", json!({ "user": name, "password": "secret" }));
    }
    let target = server.udp().to_string();
    let bench = |password: &str| {
        // One at a time: of two REGISTERs of one user that are under way together the older may come too late.
        let one = ["--window", "1"];
        let arguments = ["bench", "refresh", &target, "-n", "50", "--users", "5", "--password", password];
        let output = seawall().args(arguments).args(one).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (right, text) = bench("secret");
    assert!(right && text.contains("50"), "{text}");
    let rejected = mi::statistic(&server, "registrar:rejected_regs");
    assert_eq!((mi::statistic(&server, "registrar:accepted_regs"), rejected), (60, 0), "{text}");
    assert!(!bench("guess").0);
}
