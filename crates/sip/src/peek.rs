//! A look at a message that may never be read: who registers.

use memchr::memmem::Finder;
use memchr::{memchr, memrchr};

/// How far To is looked for, bytes: it stands among the first header fields of what phones send, and a look that finds
/// nothing has to cost little.
const LOOK_BYTES: usize = 1024;

/// What is looked for, made ready once: to make it ready costs as much as a look.
#[derive(Debug)]
pub struct Peek {
    names: [Finder<'static>; 2],
}

impl Default for Peek {
    fn default() -> Self {
        Self { names: [Finder::new(b"\r\nTo:"), Finder::new(b"\r\nt:")] }
    }
}

impl Peek {
    /// The URI in To of a REGISTER, as it stands there. Nothing where that is not plain to see: of another method, of a
    /// To that is folded, spelt oddly or far back. The message itself may still be wrong in any way.
    #[must_use]
    pub fn register_to<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        if !bytes.starts_with(b"REGISTER ") {
            return None;
        }
        let start = bytes.get(..LOOK_BYTES).unwrap_or(bytes);
        let found = self.names.iter().find_map(|name| {
            let at = name.find(start)?;
            start.get(at + name.needle().len()..)
        })?;
        uri_of(found)
    }
}

/// The URI of a To whose value begins here.
fn uri_of(found: &[u8]) -> Option<&[u8]> {
    // Nearly all write nothing but a URI in brackets.
    if let Some(inside) = found.strip_prefix(b" <").or_else(|| found.strip_prefix(b"<")) {
        let uri = inside.get(..memchr(b'>', inside)?)?;
        return (!uri.is_empty() && memchr(b'\r', uri).is_none()).then_some(uri);
    }
    let end = memchr(b'\r', found)?;
    let (line, after) = found.split_at_checked(end)?;
    if !after.starts_with(b"\r\n") || matches!(after.get(2), None | Some(b' ' | b'\t')) {
        return None;
    }
    // A display name may hold anything, also what looks like a bracket: the last one opens the URI.
    let uri = match memrchr(b'<', line) {
        Some(open) => {
            let inside = line.get(open + 1..)?;
            inside.get(..memchr(b'>', inside)?)?
        }
        None => line.get(..memchr(b';', line).unwrap_or(line.len()))?,
    };
    Some(uri.trim_ascii()).filter(|uri| !uri.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(to: &str, expected: Option<&str>) {
        let message = format!("REGISTER sip:h SIP/2.0\r\nVia: x\r\n{to}\r\nCSeq: 1 REGISTER\r\n\r\n");
        let peek = Peek::default();
        let found = peek.register_to(message.as_bytes());
        assert_eq!(found.map(|uri| String::from_utf8_lossy(uri).into_owned()).as_deref(), expected, "{to}");
    }

    #[test]
    fn who_registers_is_found_where_it_is_plain() {
        check("To: <sip:bob@h>", Some("sip:bob@h"));
        check("To:<sip:bob@h;x=1>;tag=7", Some("sip:bob@h;x=1"));
        check("t: \"Bob <b>\" <sip:bob@h>", Some("sip:bob@h"));
        check("To: sip:bob@h;tag=1", Some("sip:bob@h"));
        check("To: \"Bob\" <sip:bob@h>", Some("sip:bob@h"));
    }

    #[test]
    fn what_is_not_plain_is_left_to_who_reads_it() {
        check("TO: <sip:bob@h>", None);
        check("To: \"Bob\" <sip:bob@h", None);
        check("To: <>", None);
        check("To: <sip:bob@h", None);
        check("To: \"Bob\"\r\n <sip:bob@h>", None);
        check("To: <sip:bob\r\n @h>", None);
        check("To: ", None);
        check(&format!("Subject: {}\r\nTo: <sip:bob@h>", "x".repeat(LOOK_BYTES)), None);
        for other in [
            "",
            "REGISTER",
            "REGISTER sip:h SIP/2.0\r\nTo: sip:b@h",
            "INVITE sip:h SIP/2.0\r\nTo: <sip:b@h>\r\n\r\n",
        ] {
            assert_eq!(Peek::default().register_to(other.as_bytes()), None, "{other}");
        }
    }
}
