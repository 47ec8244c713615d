//! The torture messages of RFC 4475 and RFC 5118 over the wire: each gets the outcome that its corpus's
//! `expectations.tsv` names, and service goes on.

use crate::harness::scripts::MODULES;
use crate::harness::{Message, PATIENCE, Phone, SILENCE, Server};
use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

/// REGISTERs are served for any domain, everything else goes to the sink.
const ROUTING: &str = r#"
route {
	if (!mf_process_maxfwd_header(10)) { send_reply(483, "Too Many Hops"); exit; }
	if (is_method("REGISTER")) { save("location"); exit; }
	$du = "sip:127.0.0.1:SINK";
	if (!t_relay()) send_reply(500, "Relay Failed");
}
"#;

/// What became of a message.
#[derive(Debug)]
enum Fate {
    Answered(Message),
    Forwarded(Message),
    Silence,
}

#[test]
fn rfc_4475_messages_get_the_outcome_they_deserve() {
    check_corpus("rfc4475", 49);
}

#[test]
fn rfc_5118_messages_get_the_outcome_they_deserve() {
    check_corpus("rfc5118", 12);
}

fn check_corpus(name: &str, at_least: usize) {
    let folder = format!("{}/../sip/tests/corpora/{name}", env!("CARGO_MANIFEST_DIR"));
    let table = fs::read_to_string(format!("{folder}/expectations.tsv")).unwrap();
    let mut problems = Vec::new();
    let mut seen = 0;
    for line in table.lines().skip(1).filter(|line| !line.is_empty()) {
        let fields: Vec<&str> = line.split('\t').collect();
        let (file, expect) = (fields[1], fields[4]);
        let bytes = fs::read(format!("{folder}/{file}")).unwrap();
        seen += 1;
        if let Err(problem) = check(file, &bytes, expect) {
            problems.push(format!("{file}: {problem}"));
        }
    }
    assert!(seen >= at_least, "only {seen} messages in the corpus");
    assert!(problems.is_empty(), "{} of {seen} differ:\n{}", problems.len(), problems.join("\n"));
}

/// Sends one message to a fresh server and judges what becomes of it.
fn check(file: &str, bytes: &[u8], expect: &str) -> Result<(), String> {
    let sink = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = sink.local_addr().unwrap().port().to_string();
    let server = Server::start(&format!("{MODULES}{}", ROUTING.replace("SINK", &port)));
    let fate = fate_of(&server, bytes, &sink, expect == "silent");
    let verdict = judge(file, bytes, expect, &fate);
    Phone::udp(&server, "alice").register();
    verdict.map_err(|why| format!("{why}; it was {}", shown(&fate)))
}

fn judge(file: &str, sent: &[u8], expect: &str, fate: &Fate) -> Result<(), String> {
    let status = match fate {
        Fate::Answered(answer) => Some(answer.status()),
        Fate::Forwarded(_) | Fate::Silence => None,
    };
    let good = match expect {
        "pass" => return is_faithful(sent, fate),
        "bind1" => return is_bound(file, 1, fate),
        "bind2" => return is_bound(file, 2, fate),
        "noauth" => status == Some(200),
        "method" => matches!(status, Some(405 | 501)) || matches!(fate, Fate::Forwarded(_)),
        "400" => status == Some(400),
        "400or501" => matches!(status, Some(400 | 501)),
        "400lib" => match fate {
            Fate::Answered(answer) => matches!(answer.status(), 200 | 400),
            Fate::Forwarded(message) => is_mended(message),
            Fate::Silence => false,
        },
        "505" => status == Some(505),
        "416" => status == Some(416),
        "420" => status == Some(420),
        "483or200" => matches!(status, Some(483 | 200)),
        "not400" => status != Some(400) && !matches!(fate, Fate::Silence),
        "silent" => matches!(fate, Fate::Silence),
        "any" => true,
        other => return Err(format!("the table says {other}, which has no meaning here")),
    };
    if good { Ok(()) } else { Err(format!("expected {expect}")) }
}

/// Forwarded, with every header field but Via and Max-Forwards and with its body exactly as it was.
fn is_faithful(sent: &[u8], fate: &Fate) -> Result<(), String> {
    let Fate::Forwarded(message) = fate else { return Err("expected it to be forwarded".to_owned()) };
    let end = position(sent, b"\r\n\r\n").ok_or("the corpus has no empty line")?;
    for field in fields(&sent[..end + 2]) {
        let name =
            String::from_utf8_lossy(&field).split(':').next().unwrap_or_default().trim().to_ascii_lowercase();
        if !matches!(name.as_str(), "via" | "v" | "max-forwards")
            && position(&message.bytes, &field).is_none()
        {
            return Err(format!("the field {:?} was changed", String::from_utf8_lossy(&field)));
        }
    }
    // A datagram may be longer than its Content-Length says.
    let body = &sent[end + 4..];
    if body.starts_with(&message.body) && (!message.body.is_empty() || body.is_empty()) {
        return Ok(());
    }
    Err("the body was changed".to_owned())
}

/// The header fields after the start line, each with its continuation lines.
fn fields(head: &[u8]) -> Vec<Vec<u8>> {
    let mut fields: Vec<Vec<u8>> = Vec::new();
    for line in head.split_inclusive(|&byte| byte == b'\n').skip(1) {
        match fields.last_mut() {
            Some(last) if matches!(line.first(), Some(b' ' | b'\t')) => last.extend_from_slice(line),
            _ => fields.push(line.to_vec()),
        }
    }
    fields
}

fn is_bound(file: &str, count: usize, fate: &Fate) -> Result<(), String> {
    let Fate::Answered(answer) = fate else { return Err("expected a 200".to_owned()) };
    let addresses = answer.addresses("Contact");
    if answer.status() != 200 || addresses.len() != count {
        return Err(format!("expected a 200 with {count} contacts"));
    }
    match file {
        "cparam01.dat" if addresses[0].contains("unknownparam") => {
            Err("a header parameter got into the URI".into())
        }
        "cparam02.dat" if !addresses[0].contains(";unknownparam") => Err("a URI parameter was lost".into()),
        "regescrt.dat" if !addresses[0].contains("?Route=") => Err("the URI's headers were lost".into()),
        _ => Ok(()),
    }
}

/// A liberal element must not pass the mistake on: one space on each side of a Request-URI without brackets and
/// headers.
fn is_mended(message: &Message) -> bool {
    message.start.split(' ').count() == 3 && !message.uri().contains(['<', '>', '?'])
}

/// Sends from an address of its own, from the very port that the topmost Via names: without `rport` that is where
/// the answer goes (RFC 3261 §18.2.2).
fn fate_of(server: &Server, bytes: &[u8], sink: &UdpSocket, expect_silence: bool) -> Fate {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let own = Ipv4Addr::new(127, 77, std::process::id() as u8, NEXT.fetch_add(1, Ordering::Relaxed));
    let port = via_port(bytes);
    let socket = UdpSocket::bind((own, port)).unwrap();
    // A Via that claims TLS names no port and means 5061.
    let other = UdpSocket::bind((own, if port == 5061 { 5060 } else { 5061 })).unwrap();
    for socket in [&socket, &other, sink] {
        socket.set_nonblocking(true).unwrap();
    }
    socket.send_to(bytes, server.udp()).unwrap();
    let deadline = Instant::now() + if expect_silence { SILENCE } else { PATIENCE };
    let mut buffer = vec![0; 65536];
    while Instant::now() < deadline {
        for socket in [&socket, &other] {
            if let Ok(length) = socket.recv(&mut buffer) {
                let answer = Message::parse(&buffer[..length]);
                if answer.status() >= 200 {
                    return Fate::Answered(answer);
                }
            }
        }
        if let Ok(length) = sink.recv(&mut buffer) {
            return Fate::Forwarded(Message::parse(&buffer[..length]));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Fate::Silence
}

/// The port of the topmost Via's sent-by.
fn via_port(bytes: &[u8]) -> u16 {
    let text = String::from_utf8_lossy(bytes).replace("\r\n ", " ").replace("\r\n\t", " ");
    let via = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        matches!(name.trim().to_ascii_lowercase().as_str(), "via" | "v").then(|| value.trim().to_owned())
    });
    let sent_by =
        via.as_deref().unwrap_or_default().split([';', ',']).next().unwrap_or_default().trim().to_owned();
    let host = sent_by.rsplit(']').next().unwrap_or_default();
    host.rsplit_once(':').and_then(|(_, port)| port.trim().parse().ok()).unwrap_or(5060)
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn shown(fate: &Fate) -> String {
    match fate {
        Fate::Answered(answer) => format!("answered {:?} {:?}", answer.start, answer.contacts()),
        Fate::Forwarded(message) => format!("forwarded {:?}", message.start),
        Fate::Silence => "silence".to_owned(),
    }
}
