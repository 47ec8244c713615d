//! What was found when a REGISTER was read, kept beside its message: who needs it again when an answer has come does not take
//! the message apart once more.

use seawall_location::Place;
use seawall_sip::{Message, Span};
use smallvec::SmallVec;

use crate::aor::Aor;
use crate::path::Path;
use crate::push::Wakes;
use crate::request::{Asked, Register, Wish};

/// A [`Register`] of contacts and nothing unusual, without its message.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    callid: Span,
    user_agent: Span,
    cseq: u32,
    contacts: SmallVec<[Line; 1]>,
    supports_path: bool,
    supports_gruu: bool,
    is_outbound: bool,
}

/// One contact.
#[derive(Clone, Debug)]
struct Line {
    uri: Span,
    instance: Span,
    received: Span,
    expires_s: u32,
    reg_id: u32,
    methods: Option<u32>,
    q: Option<u16>,
    expires_is_given: bool,
}

impl Reading {
    /// Keeps what was read. `None` for what is rare and has more to it: a fetch, `*`, a Path, pushes, a text that does not
    /// stand in the message.
    pub(crate) fn of(register: &Register<'_>) -> Option<Reading> {
        let place = |text: &[u8]| match text {
            [] => Some(Span::default()),
            text => register.message.span_of(text),
        };
        let line = |asked: &Asked<'_>| {
            let is_plain = asked.wakes == Wakes::Not && asked.provider.is_empty() && !asked.is_short;
            let line = Line {
                uri: place(asked.uri)?,
                instance: place(asked.instance)?,
                received: place(asked.received)?,
                expires_s: asked.expires_s,
                reg_id: asked.reg_id,
                methods: asked.methods,
                q: asked.q,
                expires_is_given: asked.expires_is_given,
            };
            is_plain.then_some(line)
        };
        let has_path = !register.path.joined.is_empty() || !register.path.received.is_empty();
        if register.wish != Wish::Contacts || has_path || register.is_granted {
            return None;
        }
        let mut contacts = SmallVec::new();
        for asked in &register.contacts {
            contacts.push(line(asked)?);
        }
        Some(Reading {
            callid: place(register.callid)?,
            user_agent: place(register.user_agent)?,
            cseq: register.cseq,
            contacts,
            supports_path: register.supports_path,
            supports_gruu: register.supports_gruu,
            is_outbound: register.is_outbound,
        })
    }

    /// The same REGISTER again, over the same bytes.
    pub(crate) fn again<'m>(
        &self,
        message: &'m Message,
        (aor, methods): (&Aor, u32),
        place: Option<Place>,
    ) -> Register<'m> {
        let text = |span: &Span| span.of(message.bytes());
        let asked = |line: &Line| Asked {
            uri: text(&line.uri),
            taken: None,
            expires_s: line.expires_s,
            expires_is_given: line.expires_is_given,
            q: line.q,
            instance: text(&line.instance),
            reg_id: line.reg_id,
            received: text(&line.received),
            methods: line.methods,
            wakes: Wakes::Not,
            provider: b"",
            is_short: false,
        };
        let mut contacts = SmallVec::new();
        self.contacts.iter().for_each(|line| contacts.push(asked(line)));
        Register {
            message,
            aor: Aor::from_slice(aor),
            callid: text(&self.callid),
            cseq: self.cseq,
            wish: Wish::Contacts,
            contacts,
            path: Path::default(),
            supports_path: self.supports_path,
            supports_gruu: self.supports_gruu,
            is_outbound: self.is_outbound,
            flow: None,
            user_agent: text(&self.user_agent),
            methods,
            is_granted: false,
            place,
            fingerprint: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::SaveFlags;
    use crate::policy::Policy;

    fn message(headers: &str) -> Message {
        let text = format!(
            "REGISTER sip:h SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\nFrom: <sip:u@h>;tag=1\r\n\
             To: <sip:u@h>\r\nCall-ID: c1\r\nCSeq: 7 REGISTER\r\n{headers}Content-Length: 0\r\n\r\n"
        );
        Message::parse(text.into_bytes()).unwrap()
    }

    /// Reads, keeps, and compares what is read again from a copy of the message with what is read anew. Whether it is kept.
    fn check(headers: &str) -> bool {
        let (message, policy, flags) = (message(headers), Policy::default(), SaveFlags::default());
        let register = Register::read(&message, None, &policy, &flags).unwrap();
        let Some(reading) = Reading::of(&register) else { return false };
        let copy = message.clone();
        let (aor, methods) = (register.aor.clone(), register.methods);
        let again = reading.again(&copy, (&aor, methods), None);
        let mut anew = Register::read(&copy, None, &policy, &flags).unwrap();
        // That one was taken apart is not kept.
        anew.contacts.iter_mut().for_each(|asked| asked.taken = None);
        assert_eq!(format!("{again:?}"), format!("{anew:?}"));
        true
    }

    #[test]
    fn what_was_read_is_the_same_when_it_is_read_again() {
        assert!(check(
            "Contact: <sip:u@192.0.2.9:5062>\r\nExpires: 60\r\nAllow: INVITE, BYE\r\nUser-Agent: A/1\r\n"
        ));
        assert!(check(
            "Contact: \"U\" <sip:u@192.0.2.9;x=y>;expires=30;q=0.5;reg-id=2;methods=\"INVITE\";received=\"sip:h\";\
             +sip.instance=\"<urn:uuid:1>\", sip:v@192.0.2.9;expires=0\r\nContact: <sip:w@h>;expires=0\r\n\
             Supported: path, gruu, outbound\r\n"
        ));
    }

    #[test]
    fn what_is_unusual_is_read_anew() {
        assert!(!check(""));
        assert!(!check("Contact: *\r\nExpires: 0\r\n"));
        let long = "n".repeat(300);
        assert!(!check(&format!("Contact: <sip:u@h>\r\nUser-Agent: {long}\r\n")));
    }
}
