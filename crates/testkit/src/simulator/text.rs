//! SIP messages of the simulator: made as bytes, read by Seawall's own parser.

use seawall_sip::name_addr::{Contact, NameAddr, contacts};
use seawall_sip::{Message, Name, ascii, cseq};

/// The domain of every address of record.
pub const DOMAIN: &str = "example.com";

/// What makes a REGISTER.
pub struct Register<'a> {
    /// `host:port` of the sender.
    pub sent_by: &'a str,
    /// The number in the branch parameter.
    pub branch: u64,
    /// The user of To and From.
    pub user: &'a str,
    /// Call-ID.
    pub callid: &'a str,
    /// CSeq number.
    pub cseq: u32,
    /// The value of Contact, and further header lines.
    pub lines: &'a str,
}

impl Register<'_> {
    /// The bytes of the request.
    pub fn write(&self) -> Vec<u8> {
        let Register { sent_by, branch, user, callid, cseq, lines } = self;
        format!(
            "REGISTER sip:{DOMAIN} SIP/2.0\r\n{}From: <sip:{user}@{DOMAIN}>;tag=f\r\n\
             To: <sip:{user}@{DOMAIN}>\r\nCall-ID: {callid}\r\nCSeq: {cseq} REGISTER\r\n{lines}Content-Length: 0\r\n\r\n",
            via(sent_by, *branch)
        )
        .into_bytes()
    }
}

/// A Via header field.
fn via(sent_by: &str, branch: u64) -> String {
    format!("Via: SIP/2.0/UDP {sent_by};branch=z9hG4bK{branch}\r\n")
}

/// A request with one more Via on top.
pub fn with_via(request: &[u8], sent_by: &str, branch: u64) -> Vec<u8> {
    let end = request.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let (line, rest) = request.split_at(end);
    [line, via(sent_by, branch).as_bytes(), rest].concat()
}

/// A message, unless the bytes are none.
pub fn parse(bytes: &[u8]) -> Option<Message> {
    Message::parse(bytes.to_vec()).ok()
}

/// The number in the branch parameter of the topmost Via; 0 when there is none of ours.
pub fn branch(message: &Message) -> u64 {
    let digits = |value: &[u8]| {
        let text = String::from_utf8_lossy(value).into_owned();
        let (_, after) = text.split_once("z9hG4bK")?;
        after.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
    };
    message.value(Name::Via).and_then(digits).unwrap_or(0)
}

/// An answer to a request with these header lines. `without_top_via` is what a proxy sends on.
pub fn answer(request: &Message, status: u16, lines: &str) -> Vec<u8> {
    let mut bytes = format!("SIP/2.0 {status} -\r\n").into_bytes();
    for name in [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq] {
        for header in request.header_all(name) {
            for part in [header.name, b": ", header.value, b"\r\n"] {
                bytes.extend_from_slice(part);
            }
        }
    }
    bytes.extend_from_slice(lines.as_bytes());
    bytes.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    bytes
}

/// The user of To.
pub fn user(message: &Message) -> String {
    let to = seawall_sip::name_addr::address(message, Name::To).ok();
    let uri = to.as_ref().and_then(|to| to.parse_uri().ok());
    text(uri.and_then(|uri| uri.user).unwrap_or_default())
}

/// Bytes for people.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The contacts of a message: their URIs and intervals. `None` when it says `*`.
pub fn listed(message: &Message) -> Option<Vec<(Vec<u8>, u32)>> {
    let general_s = cseq::expires(message).ok().flatten();
    let one = |address: NameAddr<'_>| {
        let own = address.param(b"expires").flatten().and_then(|value| ascii::parse_u32(value).ok());
        (address.uri.to_vec(), own.or(general_s).unwrap_or(3600))
    };
    let mut all = Vec::new();
    for contact in contacts(message) {
        match contact {
            Ok(Contact::Address(address)) => all.push(one(address)),
            Ok(_) => return None,
            Err(_) => {}
        }
    }
    Some(all)
}
