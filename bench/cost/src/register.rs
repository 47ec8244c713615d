//! A REGISTER without a network: scan, checks, `save()` and the 200 OK.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;

use seawall_location::{Domain, Location, NameId, Settings};
use seawall_registrar::methods::Memo;
use seawall_registrar::{Added, Familiar, Outcome, Policy, Push, Save, SaveFlags, Source};
use seawall_sip::build::Response;
use seawall_sip::{Framing, Habits, Message, Uri, ViaFix, validate};

use crate::Fault;
use crate::wire::HOST_PORT;

/// When all of it happens, Unix seconds.
pub(crate) const NOW_S: u64 = 1_800_000_000;

/// Users that are registered already before anything is measured; so many that their records are not all in the nearest
/// cache, which instructions do not show but a profile does.
pub(crate) const USERS: u32 = 1_000;

/// A table without bindings, always the same one.
pub(crate) fn location() -> Location {
    Location::new(Settings::new(*b"a secret of 16 B"))
}

/// The REGISTER of a user, as a phone sends it.
pub(crate) fn text(user: u32, cseq: u32) -> Vec<u8> {
    text_with(user, cseq, "")
}

/// The same with parameters of its Contact URI.
fn text_with(user: u32, cseq: u32, params: &str) -> Vec<u8> {
    format!(
        "REGISTER sip:example.com SIP/2.0\r\n\
         Via: SIP/2.0/UDP 127.0.0.1:40000;branch=z9hG4bK{cseq:08x}{user:08x};rport\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:u{user:08}@example.com>;tag=f{user:08x}\r\n\
         To: <sip:u{user:08}@example.com>\r\n\
         Call-ID: {user:08x}-registers-3f9d@127.0.0.1\r\n\
         CSeq: {cseq} REGISTER\r\n\
         Contact: <sip:u{user:08}@127.0.0.1:40000;transport=udp{params}>;expires=3600\r\n\
         User-Agent: Phone/1.0 (a name of usual length)\r\n\
         Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, MESSAGE, NOTIFY, PRACK, REFER, UPDATE\r\n\
         Supported: path, gruu, outbound\r\n\
         Content-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

/// First registrations, each of another user.
pub(crate) fn fresh(count: u32) -> Result<(), Fault> {
    let location = location();
    let domain = location.declare("location").ok_or(Fault("there is no table"))?;
    let mut registrar = Counted::new(&domain);
    let messages = (0..count).map(|user| text(user, 1));
    messages.into_iter().try_for_each(|bytes| registrar.measured(bytes))
}

/// First registrations of phones that name themselves (RFC 5626).
pub(crate) fn fresh_instance(count: u32) -> Result<(), Fault> {
    const EXPIRES: &str = ">;expires=3600";
    let location = location();
    let domain = location.declare("location").ok_or(Fault("there is no table"))?;
    let mut registrar = Counted::new(&domain);
    let text = |user: u32| {
        let instance =
            format!("{EXPIRES};+sip.instance=\"<urn:uuid:1a2b3c4d-0000-1000-8000-0000{user:08x}>\"");
        String::from_utf8_lossy(&text(user, 1)).replace(EXPIRES, &instance).into_bytes()
    };
    (0..count).try_for_each(|user| registrar.measured(text(user)))
}

/// Refreshes of users that are registered.
pub(crate) fn refresh(count: u32) -> Result<(), Fault> {
    let location = location();
    let domain = location.declare("location").ok_or(Fault("there is no table"))?;
    let mut registrar = Counted::new(&domain);
    (0..USERS).try_for_each(|user| registrar.serve(text(user, 1)))?;
    (0..count).try_for_each(|number| registrar.measured(text(number % USERS, 2 + number / USERS)))
}

/// Refreshes of users whose phones sleep: they are woken by pushes (RFC 8599), with a token about as long as those of FCM.
pub(crate) fn pushed(count: u32) -> Result<(), Fault> {
    const PARAMS: &str = ";pn-provider=fcm;pn-param=my-project;pn-prid=fcmtoken-APA91bHun4MxP5egoKMwt2KZFBaFUH-1RYqxTW2SIqPFMF\
                          hZNHyTiBXv3ZyHfs8AbuYxNzTKYfVhJ9Xc-3wMDbV1Kz0T7dQGgUYi4vW2aNcRkLm5";
    let location = location();
    let domain = location.declare("location").ok_or(Fault("there is no table"))?;
    let mut registrar = Counted::new(&domain);
    let providers = [&b"apns"[..], b"fcm"].map(Box::from).into();
    registrar.registrar.policy.push = Some(Arc::new(Push { providers, ..Push::default() }));
    (0..USERS).try_for_each(|user| registrar.serve(text_with(user, 1, PARAMS)))?;
    let again = |number| text_with(number % USERS, 2 + number / USERS, PARAMS);
    (0..count).try_for_each(|number| registrar.measured(again(number)))?;
    if registrar.registrar.headers.windows(8).any(|part| part == b"+sip.pns") {
        Ok(())
    } else {
        Err(Fault("nobody is woken"))
    }
}

/// A registrar, and the message that it takes again and again.
pub(crate) struct Counted<'a> {
    registrar: Registrar<'a>,
    message: Message,
}

impl<'a> Counted<'a> {
    pub(crate) fn new(domain: &'a Domain) -> Self {
        Counted { registrar: Registrar::new(domain, NOW_S), message: Message::empty() }
    }

    /// What is counted.
    #[inline(never)]
    fn measured(&mut self, bytes: Vec<u8>) -> Result<(), Fault> {
        self.serve(bytes)
    }

    pub(crate) fn serve(&mut self, bytes: Vec<u8>) -> Result<(), Fault> {
        *self.message.buffer_mut() = bytes;
        self.registrar.serve(&mut self.message)
    }
}

/// Everything that a REGISTER needs besides its bytes.
pub struct Registrar<'a> {
    domain: &'a Domain,
    now_s: u64,
    policy: Policy,
    flags: SaveFlags,
    allow: Memo,
    familiar: Familiar,
    socket: NameId,
    habits: Habits,
    headers: Vec<u8>,
    reply: Vec<u8>,
}

impl<'a> Registrar<'a> {
    /// One over this table, at this Unix second.
    pub fn new(domain: &'a Domain, now_s: u64) -> Self {
        Registrar {
            domain,
            now_s,
            policy: Policy::default(),
            flags: SaveFlags::default(),
            allow: Memo::default(),
            familiar: Familiar::new(1),
            socket: domain.names().intern(b"udp:127.0.0.1:5060").unwrap_or(NameId::NONE),
            habits: Habits::default(),
            headers: Vec::new(),
            reply: Vec::new(),
        }
    }

    /// Scans a REGISTER whose bytes stand in the message's buffer, serves it, and makes its answer.
    ///
    /// # Errors
    /// It is not sound, or was not accepted.
    #[inline]
    pub fn serve(&mut self, message: &mut Message) -> Result<(), Fault> {
        let is_scanned = message.scan_by_habit(Framing::Datagram, &mut self.habits).is_ok();
        if !is_scanned || validate::request(message).is_err() {
            return Err(Fault("a REGISTER is not sound"));
        }
        let save = Save {
            now_s: self.now_s,
            policy: &self.policy,
            flags: &self.flags,
            domain: self.domain,
            source: source(self.socket),
            allow: Some(&self.allow),
            familiar: Some(&self.familiar),
        };
        self.headers.clear();
        self.reply.clear();
        let outcome = save.handle(message, None, &mut self.headers, &mut ());
        write_answer(message, &outcome, &self.headers, &mut self.reply);
        if outcome.status == 200 && outcome.changed { Ok(()) } else { Err(Fault("a REGISTER was refused")) }
    }
}

/// What is known about a REGISTER besides its bytes.
#[inline]
pub(crate) fn source(socket: NameId) -> Source<'static> {
    Source {
        received: b"",
        socket,
        peer: (SocketAddr::V4(SOURCE), b"udp"),
        host_port: HOST_PORT,
        flags: 0,
        cflags: 0,
        attr: b"",
        ownership_tag: NameId::NONE,
        is_own: &is_own,
        random: 0,
        unproven: Some(Added { needed: 0, optional: 70 }),
    }
}

/// Whether a URI is one of ours.
pub(crate) fn is_own(uri: &Uri<'_>) -> bool {
    uri.port == Some(5060)
}

/// Where requests come from.
const SOURCE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 40_000);

/// What the server adds to To.
const TAG: &[u8; 16] = b"a-tag-of-usual-l";

/// Appends the answer to a REGISTER with these header lines.
#[inline]
pub(crate) fn write_answer(message: &Message, outcome: &Outcome, headers: &[u8], out: &mut Vec<u8>) {
    let (status, reason, extra_headers) = (outcome.status, outcome.reason.as_bytes(), [headers, b"", b""]);
    if let Some(usual) = message.usual() {
        return usual.answer((status, reason), SOURCE, TAG, extra_headers, out);
    }
    let via_fix = Some(ViaFix::to_source(SOURCE.into()));
    let response = Response { to_tag: Some(TAG), via_fix, extra_headers, ..Response::new(status, reason) };
    response.write(message, out);
}
