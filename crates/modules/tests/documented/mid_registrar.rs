//! Module `mid_registrar`: a registrar in front of a main registrar.

mod answers;
mod crowd;
mod forms;
mod lookup;
mod parameters;
mod saving;

use crate::harness::{Packet, Request, Run, Server, reply, route};

const PHONE: &str = "<sip:bob@198.51.100.7:5070>;expires=60";
const MAIN: &str = "udp:203.0.113.3:5070";

/// A server with these parameters, whose `route{}` is that of examples 1.34 and 1.35; `flags` are further arguments of
/// `mid_registrar_save()`.
fn front(parameters: &str, arguments: &str) -> Server {
    with_script(
        parameters,
        &format!(
            "if (is_method(\"REGISTER\")) {{
                $avp(rcv) = \"sip:198.51.100.7:5070\";
                mid_registrar_save(\"location\"{arguments});
                $var(rc) = $rc;
                xlog(\"$var(rc)\");
                switch ($var(rc)) {{
                case 1:
                    $ru = \"sip:203.0.113.3:5070\";
                    if (!t_relay()) {{
                        send_reply(500, \"Server Internal Error 1\");
                    }}
                    break;
                case 2:
                    break;
                default:
                    exit;
                }}
                exit;
            }}
            mid_registrar_lookup(\"location\"); xlog(\"$rc $ru\");"
        ),
        "",
    )
}

fn with_script(parameters: &str, statements: &str, routes: &str) -> Server {
    let parameters: String =
        parameters.lines().map(|line| format!("modparam(\"mid_registrar\", {})\n", line.trim())).collect();
    Server::new(&format!(
        "{}{routes}",
        route(statements).replacen("route {", &format!("{parameters}\nroute {{"), 1)
    ))
}

/// A REGISTER of bob with this CSeq.
fn register(cseq: u32, contact: &str) -> Request {
    let via = format!("SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bK-r-{cseq}");
    Request::register(&[contact]).via(&via).cseq(cseq)
}

/// An answer of the main registrar that grants all that was asked for.
fn granted(sent: &Packet) -> String {
    let general = sent.header("Expires");
    let grant = |contact: &str| {
        let uri = contact.split('>').next()?.split('<').nth(1)?;
        let asked = contact.split(";expires=").nth(1).unwrap_or(&general);
        (asked != "0").then(|| format!("Contact: <{uri}>;expires={asked}\r\n"))
    };
    sent.header("Contact").split(", ").filter_map(grant).collect()
}

/// Registers, and lets the main registrar grant it: what was sent to it, and what the client got.
#[track_caller]
fn registered(server: &mut Server, request: &Request) -> (Packet, Run) {
    let run = server.receive(request);
    let sent = run.request("REGISTER").clone();
    assert_eq!(sent.to, MAIN);
    let told = server.answer(&reply(&sent.text, 200, "OK", &granted(&sent)));
    (sent, told)
}

/// What the main registrar gets for a first registration.
#[track_caller]
fn sent(parameters: &str, arguments: &str, contact: &str) -> String {
    let mut server = front(parameters, arguments);
    let run = server.receive(&register(1, contact));
    without_id(&run.request("REGISTER").header("Contact"))
}

/// A text with `N` for every contact id.
fn without_id(text: &str) -> String {
    let is_id = |word: &str| word.len() > 12 && word.bytes().all(|byte| byte.is_ascii_digit());
    let mut shown = String::new();
    for word in text.split_inclusive(|character: char| !character.is_ascii_digit()) {
        let digits = word.trim_end_matches(|character: char| !character.is_ascii_digit());
        shown.push_str(if is_id(digits) { "N" } else { digits });
        shown.push_str(&word[digits.len()..]);
    }
    shown
}

/// The value of a statistic that is worked out when it is asked for.
fn gauge(server: &Server, name: &str) -> u64 {
    let gauges = seawall_modules::mid_registrar::gauges(&server.node);
    gauges.into_iter().find(|(known, _)| *known == name).unwrap().1
}

/// Where a request of the main registrar for this URI goes.
fn found(server: &mut Server, uri: &str) -> String {
    let via = format!("SIP/2.0/UDP 203.0.113.3:5070;branch=z9hG4bK-{}{}", server.now_ms, uri.len());
    let invite = Request::new(&format!("INVITE {uri}")).via(&via);
    server.receive_at(0, "203.0.113.3:5070", &invite.text()).log.join("")
}

/// The URI of a forwarded contact.
fn uri_of(sent: &Packet) -> String {
    sent.header("Contact").split('>').next().unwrap().split('<').nth(1).unwrap().to_owned()
}
