//! The requests: what a real phone sends, in its size and with its headers.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use memchr::memmem::Finder;

use super::template::{Template, Values};
use super::{Operation, host_of};

/// The lifetime that every contact asks for, seconds.
pub const REGISTER_EXPIRES_S: u32 = 3600;

/// The first CSeq: eight digits, so that the width never changes.
pub const FIRST_CSEQ: u32 = 10_000_001;

/// What every branch of a generator begins with; RFC 3261 §8.1.1.7 asks for the first seven characters. Then come the
/// session, eight digits of the operation, four of the slot and the letter of the request, with dots between them.
const BRANCH: &str = "z9hG4bKbench";

/// The letter of the operation's first request.
pub const FIRST: u8 = b'f';
/// The letter of a BYE.
pub const BYE: u8 = b'b';
/// The letter of an ACK.
pub const ACK: u8 = b'a';

const USER_AGENT: &str = "Bench 46S 66.86.0.15";
const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, MESSAGE, NOTIFY";
const TEXT: &str = "Hello, this is a message of a usual length: shall we meet at noon?";

/// The names that the users of one generator go by.
#[derive(Debug)]
pub struct Identity {
    domain: String,
    target: SocketAddr,
    contact: SocketAddr,
    /// What stands behind every contact URI.
    pub contact_params: String,
    /// Differs from run to run of the program, so that a server that still holds bindings of an earlier one sees new
    /// Call-IDs instead of CSeq numbers that went back, and new branches instead of retransmissions.
    session: u32,
}

impl Identity {
    pub fn new(domain: String, target: SocketAddr, contact: SocketAddr) -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let session: u32 = (since_epoch.as_micros() as u32) ^ std::process::id().rotate_left(20);
        Identity { domain, target, contact, contact_params: String::new(), session }
    }

    /// What every branch of this generator begins with.
    pub fn branch_prefix(&self) -> String {
        format!("{BRANCH}{:08x}.", self.session)
    }

    /// The first request of an operation, from the caller at `from`.
    pub fn template(&self, operation: Operation, from: SocketAddr) -> Template {
        Template::new(&match operation {
            Operation::Register => self.register(from, REGISTER_EXPIRES_S),
            Operation::Unregister => self.register(from, 0),
            Operation::Message => self.message(from),
            Operation::Invite => self.invite(from),
        })
    }

    /// A REGISTER of about 500 bytes, as a desk phone sends it.
    fn register(&self, from: SocketAddr, expires_s: u32) -> String {
        let Identity { domain, contact, contact_params, session, .. } = self;
        let head = self.head("REGISTER", &format!("sip:{domain}"), from);
        format!(
            "{head}From: <sip:u{{user}}@{domain}>;tag={{operation}}\r\n\
             To: <sip:u{{user}}@{domain}>\r\n\
             Call-ID: {session:08x}-{{user}}\r\n\
             CSeq: {{cseq}} REGISTER\r\n\
             Contact: <sip:u{{user}}@{contact}{contact_params}>;expires={expires_s}\
             ;+sip.instance=\"<urn:uuid:{session:08x}-0000-1000-8000-0000{{user}}>\"\r\n\
             User-Agent: {USER_AGENT}\r\n\
             Allow: {ALLOW}\r\n\
             Supported: path\r\n\
             Content-Length: 0\r\n\r\n"
        )
    }

    fn message(&self, from: SocketAddr) -> String {
        let Identity { domain, session, .. } = self;
        let head = self.head("MESSAGE", &format!("sip:u{{user}}@{domain}"), from);
        format!(
            "{head}From: <sip:caller@{domain}>;tag={{operation}}\r\n\
             To: <sip:u{{user}}@{domain}>\r\n\
             Call-ID: {session:08x}-m-{{cseq}}-{{operation}}\r\n\
             CSeq: {{cseq}} MESSAGE\r\n\
             User-Agent: {USER_AGENT}\r\n\
             Content-Type: text/plain\r\n\
             Content-Length: {}\r\n\r\n{TEXT}",
            TEXT.len()
        )
    }

    fn invite(&self, from: SocketAddr) -> String {
        let Identity { domain, session, .. } = self;
        let head = self.head("INVITE", &format!("sip:u{{user}}@{domain}"), from);
        let host = host_of(from.ip());
        let kind = if from.is_ipv4() { "IP4" } else { "IP6" };
        let body = format!(
            "v=0\r\no=- 1 1 IN {kind} {ip}\r\ns=-\r\nc=IN {kind} {ip}\r\nt=0 0\r\n\
             m=audio 40000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
             a=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n",
            ip = from.ip()
        );
        format!(
            "{head}From: <sip:caller@{domain}>;tag={{operation}}\r\n\
             To: <sip:u{{user}}@{domain}>\r\n\
             Call-ID: {session:08x}-i-{{cseq}}-{{operation}}\r\n\
             CSeq: {{cseq}} INVITE\r\n\
             Contact: <sip:caller@{host}:{port}>\r\n\
             User-Agent: {USER_AGENT}\r\n\
             Allow: {ALLOW}\r\n\
             Supported: replaces\r\n\
             Content-Type: application/sdp\r\n\
             Content-Length: {length}\r\n\r\n{body}",
            port = from.port(),
            length = body.len()
        )
    }

    /// The domain of the users.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The Request-URI of calls to a user.
    pub fn uri_of(&self, user: u32) -> String {
        format!("sip:u{user:08}@{}", self.domain)
    }

    /// A REGISTER without a Contact: answered with the bindings, changes nothing.
    pub fn probe(&self) -> Vec<u8> {
        let Identity { domain, session, target, .. } = self;
        format!(
            "REGISTER sip:{domain} SIP/2.0\r\nVia: SIP/2.0/UDP {target};branch=z9hG4bKprobe{session:08x};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:probe@{domain}>;tag=1\r\nTo: <sip:probe@{domain}>\r\n\
             Call-ID: probe-{session:08x}\r\nCSeq: 1 REGISTER\r\nContent-Length: 0\r\n\r\n"
        )
        .into_bytes()
    }

    /// An OPTIONS to a user: looked up and answered by the server, where its script does that.
    pub fn options(&self, user: u32, from: SocketAddr) -> Vec<u8> {
        let Identity { domain, session, .. } = self;
        let uri = self.uri_of(user);
        format!(
            "OPTIONS {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bKoptions{session:08x}{user:08};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:probe@{domain}>;tag=1\r\nTo: <{uri}>\r\n\
             Call-ID: options-{session:08x}-{user:08}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        )
        .into_bytes()
    }

    fn head(&self, method: &str, uri: &str, from: SocketAddr) -> String {
        let (first, branch) = (char::from(FIRST), self.branch_prefix());
        format!(
            "{method} {uri} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {from};branch={branch}{{operation}}.{{slot}}.{first};rport\r\n\
             Max-Forwards: 70\r\n"
        )
    }
}

/// The REGISTERs of the generator, for those who want them without a network.
#[derive(Debug)]
pub struct RegisterTexts(Template);

impl RegisterTexts {
    /// The REGISTERs of a new set of users.
    pub fn new() -> Self {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let identity = Identity::new("127.0.0.1".to_owned(), address(5060), address(40_001));
        RegisterTexts(identity.template(Operation::Register, address(40_000)))
    }

    /// Replaces what is in `out` by the REGISTER of a user, the `pass`-th from 0.
    pub fn write(&self, user: u32, pass: u32, out: &mut Vec<u8>) {
        out.clear();
        let operation = user.wrapping_add(pass << 24);
        self.0.render(Values { operation, slot: 0, user, cseq: FIRST_CSEQ.saturating_add(pass) }, out);
    }
}

impl Default for RegisterTexts {
    fn default() -> Self {
        RegisterTexts::new()
    }
}

/// Which request a message belongs to, as its branch says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Branch {
    pub operation: u32,
    pub slot: u16,
    pub letter: u8,
}

impl Branch {
    /// The branch parameter's value.
    pub fn write(self, prefix: &str) -> String {
        format!("{prefix}{:08x}.{:04x}.{}", self.operation, self.slot, char::from(self.letter))
    }

    /// Finds the generator's own branch in a message, wherever the Via that carries it stands. `prefix` looks for what
    /// [`Identity::branch_prefix`] gave.
    pub fn find(message: &[u8], prefix: &Finder<'_>) -> Option<Self> {
        let start = prefix.find(message)? + prefix.needle().len();
        let operation = hexadecimal(message.get(start..start + 8)?)?;
        let slot = hexadecimal(message.get(start + 9..start + 13)?)?;
        let letter = *message.get(start + 14)?;
        Some(Branch { operation, slot: u16::try_from(slot).ok()?, letter })
    }
}

fn hexadecimal(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0_u32, |number, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        number.checked_mul(16)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(operation: Operation) -> String {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let identity = Identity::new("127.0.0.1".to_owned(), address(5060), address(40_001));
        let mut out = Vec::new();
        let values = Values { operation: 7, slot: 3, user: 42, cseq: FIRST_CSEQ };
        identity.template(operation, address(40_002)).render(values, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_register_has_the_size_of_a_phones() {
        let size = rendered(Operation::Register).len();
        assert!((480..=620).contains(&size), "{size} bytes");
    }

    #[test]
    fn a_register_names_its_user_in_every_place() {
        let register = rendered(Operation::Register);
        for expected in [
            "To: <sip:u00000042@127.0.0.1>\r\n",
            "Contact: <sip:u00000042@127.0.0.1:40001>;expires=3600;",
            "CSeq: 10000001 REGISTER\r\n",
            ".00000007.0003.f;rport\r\n",
        ] {
            assert!(register.contains(expected), "{expected} is missing in {register}");
        }
    }

    #[test]
    fn content_length_is_that_of_the_body() {
        for operation in [Operation::Message, Operation::Invite, Operation::Unregister] {
            let message = rendered(operation);
            let (head, body) = message.split_once("\r\n\r\n").unwrap();
            assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{message}");
        }
    }

    #[test]
    fn a_branch_is_found_below_the_servers_own_via() {
        let branch = Branch { operation: 0xfeed, slot: 0x1a, letter: BYE };
        let written = branch.write("z9hG4bKbench1.");
        let message = format!("SIP/2.0 200 OK\r\nVia: x;branch=z9hG4bK77\r\nVia: y;branch={written}\r\n");
        assert_eq!(Branch::find(message.as_bytes(), &Finder::new("z9hG4bKbench1.")), Some(branch));
    }

    #[test]
    fn a_message_without_our_branch_has_none() {
        for message in ["", "SIP/2.0 200 OK", "z9hG4bKbench1.", "z9hG4bKbench1.0000000g.0000.f"] {
            assert_eq!(Branch::find(message.as_bytes(), &Finder::new("z9hG4bKbench1.")), None, "{message}");
        }
    }
}
