//! Contact URIs as the main registrar gets them, and the way back from them (mid_registrar 1.3, behaviour §7,
//! "Forwarded form").

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use seawall_sip::uri::escape;
use seawall_sip::{Uri, ascii};

use super::settings::{Insertion, Settings};
use crate::aor::{self, Aor};
use crate::policy::Policy;
use crate::reject::Reject;

/// Most digits of a contact id: it has 62 bits.
const MAX_ID_DIGITS: usize = 19;

/// Where the main registrar reaches this server.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// `host:port` of the socket towards the next hop, the advertised one if there is one.
    pub host_port: &'a [u8],
    /// The transport of that socket as a URI names it (`tcp`); empty for UDP, which is what a URI means without.
    pub transport: &'a [u8],
}

impl Place<'_> {
    /// A number that stands for it. Places are this server's own sockets, so that nobody can choose two with one number.
    #[inline]
    pub(super) fn mark(&self) -> u64 {
        let mut hasher = FixedState::default().build_hasher();
        hasher.write(self.host_port);
        hasher.write(self.transport);
        hasher.write_usize(self.host_port.len());
        hasher.finish()
    }
}

/// Whether what a script gives may stand behind a URI: it starts with `;` and cannot break out of the brackets.
#[must_use]
pub fn is_extra(text: &[u8]) -> bool {
    let stays_inside =
        |byte: &u8| *byte > b' ' && *byte < 0x7F && !matches!(byte, b'<' | b'>' | b'"' | b',' | b'?');
    text.is_empty() || (text.len() > 1 && text.starts_with(b";") && text.iter().all(stays_inside))
}

/// Appends the URI of one contact: `sip:USER@host:port;ctid=N[extra]`, or `sip:N@host:port[extra]`.
pub(super) fn write_contact(
    settings: &Settings,
    user: Option<&[u8]>,
    id: u64,
    place: Place<'_>,
    extra: &[u8],
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"sip:");
    match settings.insertion {
        Insertion::Username => {
            ascii::write_u64(out, id);
            out.push(b'@');
            out.extend_from_slice(place.host_port);
        }
        Insertion::Parameter => {
            if let Some(user) = user.filter(|user| !user.is_empty()) {
                out.extend_from_slice(user);
                out.push(b'@');
            }
            for part in [place.host_port, b";", &settings.contact_id_param, b"="] {
                out.extend_from_slice(part);
            }
            ascii::write_u64(out, id);
        }
    }
    write_end(place, extra, out);
}

/// Appends the one URI of an address of record: `sip:ESCAPED-AOR@host:port[extra]`.
pub(super) fn write_aor(
    settings: &Settings,
    policy: &Policy,
    aor: &[u8],
    place: Place<'_>,
    extra: &[u8],
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"sip:");
    // The host has no `@`, the user may have one.
    match aor.iter().rposition(|byte| *byte == b'@').and_then(|at| aor.split_at_checked(at)) {
        Some((user, host)) if policy.use_domain => {
            escape::escape_user_into(user, out);
            out.extend_from_slice(&settings.at_escape);
            escape::escape_user_into(host.get(1..).unwrap_or_default(), out);
        }
        _ => escape::escape_user_into(aor, out),
    }
    out.push(b'@');
    out.extend_from_slice(place.host_port);
    write_end(place, extra, out);
}

/// The transport, unless the script names one, and what the script adds.
fn write_end(place: Place<'_>, extra: &[u8], out: &mut Vec<u8>) {
    let names_transport = || {
        let starts =
            |at: usize| extra.get(at..at + 11).is_some_and(|part| part.eq_ignore_ascii_case(b";transport="));
        (0..extra.len()).any(starts)
    };
    if !place.transport.is_empty() && !names_transport() {
        out.extend_from_slice(b";transport=");
        out.extend_from_slice(place.transport);
    }
    out.extend_from_slice(extra);
}

/// The contact id in a URI that this server has made, by where `contact_id_insertion` puts it.
#[must_use]
pub fn contact_id(settings: &Settings, uri: &Uri<'_>) -> Option<u64> {
    let digits = match settings.insertion {
        Insertion::Username => uri.user?,
        Insertion::Parameter => uri.param(&settings.contact_id_param)??,
    };
    if digits.is_empty() || digits.len() > MAX_ID_DIGITS {
        return None;
    }
    let step = |number: u64, digit: &u8| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    };
    digits.iter().try_fold(0, step).filter(|id| *id != 0)
}

/// The address of record in the user part of a URI that AoR mode has made, in its canonical form.
///
/// # Errors
/// As [`aor::canonical`], for the address of record that was found.
pub fn address_of_record(
    settings: &Settings,
    policy: &Policy,
    uri: &Uri<'_>,
    out: &mut Aor,
) -> Result<(), Reject> {
    let user = uri.user.filter(|user| !user.is_empty()).ok_or(Reject::NoUsername)?;
    let escape = &*settings.at_escape;
    let at = user.windows(escape.len().max(1)).rposition(|window| window.eq_ignore_ascii_case(escape));
    let mut made = Vec::with_capacity(user.len() + 8);
    made.extend_from_slice(b"sip:");
    match at.filter(|_| policy.use_domain) {
        Some(at) => {
            made.extend_from_slice(user.get(..at).unwrap_or_default());
            made.push(b'@');
            let host = user.get(at + escape.len()..).unwrap_or_default();
            escape::unescape_into(host, &mut made).map_err(|_| Reject::Unescape)?;
        }
        // Without a domain, or without the escape: the user as it stands, at the host that it stands at.
        None => {
            made.extend_from_slice(user);
            made.push(b'@');
            made.extend_from_slice(uri.host);
        }
    }
    aor::canonical_text(&made, policy, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UDP: Place<'static> = Place { host_port: b"192.0.2.1:5060", transport: b"" };
    const TCP: Place<'static> = Place { host_port: b"192.0.2.1:5060", transport: b"tcp" };

    fn text(bytes: &[u8]) -> String {
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn a_contact_keeps_its_user_and_gets_its_id_as_a_parameter_or_as_the_user() {
        let check = |insertion, user: Option<&str>, place, extra: &str, expected: &str| {
            let settings = Settings { insertion, ..Settings::default() };
            let mut out = Vec::new();
            let id = 619_244_948_763_447_138;
            write_contact(&settings, user.map(str::as_bytes), id, place, extra.as_bytes(), &mut out);
            assert_eq!(text(&out), expected);
            assert_eq!(contact_id(&settings, &Uri::parse(&out).unwrap()), Some(id));
        };
        let named = Insertion::Parameter;
        check(named, Some("liviu"), UDP, "", "sip:liviu@192.0.2.1:5060;ctid=619244948763447138");
        check(named, None, UDP, "", "sip:192.0.2.1:5060;ctid=619244948763447138");
        check(named, Some("a%40b"), UDP, ";x=y", "sip:a%40b@192.0.2.1:5060;ctid=619244948763447138;x=y");
        check(named, Some("a"), TCP, "", "sip:a@192.0.2.1:5060;ctid=619244948763447138;transport=tcp");
        let extra = ";x=1;Transport=tls";
        check(named, Some("a"), TCP, extra, &format!("sip:a@192.0.2.1:5060;ctid=619244948763447138{extra}"));
        check(Insertion::Username, Some("a"), UDP, ";x=y", "sip:619244948763447138@192.0.2.1:5060;x=y");
    }

    #[test]
    fn what_is_no_contact_id_is_none() {
        let check = |uri: &str, expected| {
            let uri = Uri::parse(uri.as_bytes()).unwrap();
            assert_eq!(contact_id(&Settings::default(), &uri), expected, "{uri:?}");
        };
        check("sip:a@h;ctid=7", Some(7));
        check("sip:a@h;CTID=7", Some(7));
        for uri in ["sip:a@h", "sip:a@h;ctid", "sip:a@h;ctid=0", "sip:a@h;ctid=-7", "sip:a@h;ctid=7f"] {
            check(uri, None);
        }
        check("sip:a@h;ctid=99999999999999999999", None);
        check("sip:a@h;ctid=9999999999999999999999999999999", None);
    }

    #[test]
    fn an_address_of_record_survives_the_way_there_and_back() {
        let check = |escape: &str, use_domain, aor: &[u8], expected: &str| {
            let settings = Settings { at_escape: escape.as_bytes().into(), ..Settings::default() };
            let policy = Policy { use_domain, ..Policy::default() };
            let mut out = Vec::new();
            write_aor(&settings, &policy, aor, UDP, b"", &mut out);
            assert_eq!(text(&out), expected);
            let mut back = Aor::new();
            address_of_record(&settings, &policy, &Uri::parse(&out).unwrap(), &mut back).unwrap();
            assert_eq!(text(&back), text(aor));
        };
        check("%40", true, b"zach@sipdomain.invalid", "sip:zach%40sipdomain.invalid@192.0.2.1:5060");
        check("___", true, b"zach@sipdomain.invalid", "sip:zach___sipdomain.invalid@192.0.2.1:5060");
        check("%40", true, b"a@b@example.com", "sip:a%40b%40example.com@192.0.2.1:5060");
        check("___", true, b"a___b@example.com", "sip:a___b___example.com@192.0.2.1:5060");
        check("%40", true, b"a@[2001:db8::1]", "sip:a%40%5B2001%3Adb8%3A%3A1%5D@192.0.2.1:5060");
        check("%40", true, b"a b@example.com", "sip:a%20b%40example.com@192.0.2.1:5060");
        check("%40", false, b"alice", "sip:alice@192.0.2.1:5060");
        check("%40", false, b"al@ice", "sip:al%40ice@192.0.2.1:5060");
    }

    #[test]
    fn what_a_script_adds_cannot_leave_the_brackets() {
        for good in ["", ";transport=tls", ";a;b=%20"] {
            assert!(is_extra(good.as_bytes()), "{good}");
        }
        for bad in [";", "x=y", ";a=>", ";a b", ";a\r\nX:", ";a?b", ";a,b", ";a=\"", ";\u{fc}"] {
            assert!(!is_extra(bad.as_bytes()), "{bad}");
        }
    }
}
