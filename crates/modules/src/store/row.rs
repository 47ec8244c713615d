//! Bindings as rows of the `location` table of OpenSIPS, version 1013, and back.

use seawall_location::{ALL_METHODS, Binding, NameId, Names, Numbers, PERMANENT, Q_NONE};
use seawall_sip::Uri;
use seawall_storage::location::Row;

/// The branch flags of the script by bit: `cflags` holds their names, separated by spaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlagNames(pub Vec<(u8, String)>);

impl FlagNames {
    fn write(&self, mask: u32, out: &mut Vec<u8>) {
        for (bit, name) in &self.0 {
            if mask & 1u32.checked_shl(u32::from(*bit)).unwrap_or(0) != 0 {
                if !out.is_empty() {
                    out.push(b' ');
                }
                out.extend_from_slice(name.as_bytes());
            }
        }
    }

    /// Flags that the script does not know any more have no meaning, and are dropped.
    fn read(&self, text: &[u8]) -> u32 {
        let known = |word: &[u8]| self.0.iter().find(|(_, name)| name.as_bytes() == word);
        let bit = |word| known(word).and_then(|(bit, _)| 1u32.checked_shl(u32::from(*bit)));
        text.split(|byte| *byte == b' ').filter_map(bit).fold(0, |mask, bit| mask | bit)
    }
}

/// Why a row is no binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Corrupt {
    /// There is no user.
    #[error("it names no user")]
    NoUser,
    /// The contact is no SIP URI.
    #[error("its contact is no SIP URI")]
    Contact,
    /// A value has a control character, or is too long.
    #[error("a value has a control character or is too long")]
    Value,
}

/// User and host of an address of record, as the columns hold them. Without `use_domain` there is no host.
#[must_use]
pub fn user_and_host(aor: &[u8], use_domain: bool) -> (&[u8], &[u8]) {
    let at = aor.iter().rposition(|byte| *byte == b'@').filter(|_| use_domain);
    at.and_then(|at| Some((aor.get(..at)?, aor.get(at + 1..)?))).unwrap_or((aor, b""))
}

/// The address of record of a row.
#[must_use]
pub fn address_of_record(row: &Row, use_domain: bool) -> Vec<u8> {
    if use_domain && !row.domain.is_empty() {
        [&row.username, &b"@"[..], &row.domain].concat()
    } else {
        row.username.clone()
    }
}

/// The row of a binding.
#[must_use]
pub fn row(aor: &[u8], binding: &Binding<'_>, names: &Names, flags: &FlagNames, use_domain: bool) -> Row {
    let numbers = &binding.numbers;
    let (user, host) = user_and_host(aor, use_domain);
    let mut cflags = Vec::new();
    if numbers.flags != 0 {
        flags.write(numbers.flags, &mut cflags);
    }
    Row {
        contact_id: numbers.contact_id,
        username: user.to_vec(),
        domain: host.to_vec(),
        contact: binding.contact.to_vec(),
        received: binding.received.to_vec(),
        path: binding.path.to_vec(),
        expires: if numbers.expires_s == PERMANENT { 0 } else { i64::from(numbers.expires_s) },
        q: if numbers.q == Q_NONE { -1.0 } else { f32::from(numbers.q) / 1000.0 },
        callid: binding.callid.to_vec(),
        cseq: numbers.cseq,
        last_modified: i64::from(numbers.last_modified_s),
        flags: numbers.cflags,
        cflags,
        user_agent: binding.user_agent.to_vec(),
        socket: names.name(numbers.socket).to_vec(),
        methods: Some(numbers.methods).filter(|methods| *methods != ALL_METHODS),
        sip_instance: binding.instance.to_vec(),
        kv_store: extras(binding, names),
        attr: binding.attr.to_vec(),
    }
}

/// What the names of our own in the key/value store of a row begin with. Everything else there is the contact's.
const OURS: &[u8] = b"seawall_";

/// What the table has no column for stands in the key/value store beside what is there, under names of ours.
fn extras(binding: &Binding<'_>, names: &Names) -> Vec<u8> {
    let (reg_id, tag) = (binding.numbers.reg_id, names.name(binding.ownership_tag));
    if reg_id == 0 && tag.is_empty() && binding.aor_keys.is_empty() {
        return binding.keys.to_vec();
    }
    let mut pairs = Vec::new();
    if reg_id != 0 {
        pairs.push((&b"seawall_reg_id"[..], Kv::Number(i64::from(reg_id))));
    }
    if !tag.is_empty() {
        pairs.push((b"seawall_shtag", Kv::Text(tag)));
    }
    if !binding.aor_keys.is_empty() {
        // A text, because other programs take texts and numbers only.
        pairs.push((b"seawall_aor", Kv::Text(binding.aor_keys)));
    }
    super::kv::with(binding.keys, pairs.into_iter())
}

use super::kv::Kv;

/// Gives the binding of a row to `act`, with its address of record.
///
/// # Errors
/// The row is no binding; it may have been damaged, or written by hand.
pub fn with_binding<R>(
    row: &Row,
    names: &Names,
    flags: &FlagNames,
    use_domain: bool,
    act: impl FnOnce(&[u8], &Binding<'_>) -> R,
) -> Result<R, Corrupt> {
    if row.username.is_empty() {
        return Err(Corrupt::NoUser);
    }
    let texts = [
        &row.username,
        &row.domain,
        &row.contact,
        &row.received,
        &row.path,
        &row.callid,
        &row.user_agent,
        &row.socket,
        &row.sip_instance,
        &row.attr,
    ];
    // What got in here would stand in headers of replies and forwarded requests.
    let is_unclean = |text: &&Vec<u8>| text.iter().any(|byte| *byte < b' ' && *byte != b'\t');
    if texts.iter().any(is_unclean) {
        return Err(Corrupt::Value);
    }
    if !Uri::parse(&row.contact).is_ok_and(|uri| uri.is_sip()) {
        return Err(Corrupt::Contact);
    }
    let mut extras = Extras::default();
    if !row.kv_store.is_empty() {
        extras.keys = super::kv::without(&row.kv_store, |key| key.starts_with(OURS));
    }
    super::kv::read(&row.kv_store, |key, value| match (key, value) {
        (b"seawall_reg_id", Kv::Number(number)) => extras.reg_id = u32::try_from(number).unwrap_or(0),
        (b"seawall_shtag", Kv::Text(tag)) => extras.tag = tag.to_vec(),
        (b"seawall_aor", Kv::Text(keys)) => extras.aor_keys = keys.to_vec(),
        _ => {}
    });
    let second = |unix_s: i64| u32::try_from(unix_s.max(0)).unwrap_or(PERMANENT - 1);
    let numbers = Numbers {
        contact_id: row.contact_id,
        expires_s: if row.expires == 0 { PERMANENT } else { second(row.expires).min(PERMANENT - 1) },
        last_modified_s: second(row.last_modified),
        cseq: row.cseq,
        flags: flags.read(&row.cflags),
        cflags: row.flags,
        methods: row.methods.unwrap_or(ALL_METHODS),
        reg_id: extras.reg_id,
        q: if (0.0..=1.0).contains(&row.q) { (row.q * 1000.0).round() as u16 } else { Q_NONE },
        socket: names.intern(&row.socket).unwrap_or(NameId::NONE),
        ..Numbers::default()
    };
    let binding = Binding {
        numbers,
        contact: &row.contact,
        callid: &row.callid,
        received: &row.received,
        path: &row.path,
        instance: &row.sip_instance,
        attr: &row.attr,
        user_agent: &row.user_agent,
        ownership_tag: names.intern(&extras.tag).unwrap_or(NameId::NONE),
        keys: &extras.keys,
        aor_keys: &extras.aor_keys,
    };
    binding.check().map_err(|_| Corrupt::Value)?;
    Ok(act(&address_of_record(row, use_domain), &binding))
}

#[derive(Default)]
struct Extras {
    reg_id: u32,
    tag: Vec<u8>,
    /// What is not ours.
    keys: Vec<u8>,
    aor_keys: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use seawall_location::{Location, Settings};

    fn flags() -> FlagNames {
        FlagNames(vec![(0, "NAT".to_owned()), (5, "SIP_PING".to_owned())])
    }

    /// What is written is read back, and the columns are those that tools expect.
    fn check(aor: &str, use_domain: bool, binding: &Binding<'_>, location: &Location) -> Row {
        let names = location.names();
        let made = row(aor.as_bytes(), binding, names, &flags(), use_domain);
        let back = with_binding(&made, names, &flags(), use_domain, |found, read| {
            assert_eq!(found, aor.as_bytes());
            assert_eq!(read, binding);
        });
        assert_eq!(back, Ok(()));
        made
    }

    #[test]
    fn a_binding_survives_its_row() {
        let location = Location::new(Settings::new([1; 16]));
        let names = location.names();
        let numbers = Numbers {
            contact_id: 77,
            expires_s: 1_800_000_000,
            last_modified_s: 1_799_999_000,
            cseq: 9,
            flags: 1 | 1 << 5,
            cflags: 4,
            methods: 0x1fff,
            reg_id: 3,
            q: 350,
            socket: names.intern(b"udp:192.0.2.1:5060").unwrap(),
            ..Numbers::default()
        };
        let whole = Binding {
            numbers,
            contact: b"sip:alice@198.51.100.1;ob",
            callid: b"call-1@host",
            received: b"sip:203.0.113.9:4444",
            path: b"<sip:p1;lr>,<sip:p2;lr>",
            instance: b"<urn:uuid:f81d4fae>",
            attr: b"a=b",
            user_agent: b"Phone \"x\"/1",
            ownership_tag: names.intern(b"vip").unwrap(),
            keys: br#"{"from": ["elsewhere"],"n":1}"#,
            aor_keys: br#"{"service_route":"<sip:r;lr>"}"#,
        };
        let made = check("alice@example.com", true, &whole, &location);
        let kv = String::from_utf8(made.kv_store.clone()).unwrap();
        assert!(kv.starts_with(r#"{"from": ["elsewhere"],"n":1,"seawall_reg_id":3,"#), "{kv}");
        check("alice@example.com", true, &Binding { keys: b"", ..whole }, &location);
        assert_eq!((&*made.username, &*made.domain), (&b"alice"[..], &b"example.com"[..]));
        assert_eq!((&*made.cflags, made.q, made.expires), (&b"NAT SIP_PING"[..], 0.35, 1_800_000_000));
        let plain = Binding {
            numbers: Numbers { contact_id: 1, ..Numbers::default() },
            contact: b"sip:a",
            ..Binding::default()
        };
        let made = check("alice", false, &plain, &location);
        assert_eq!((made.expires, made.q, made.methods), (0, -1.0, None));
        assert!(made.kv_store.is_empty() && made.domain.is_empty());
        for keys in [&b"{}"[..], b"{\"a\": 1 }", b"no object", b"{\"seawall\":{}}"] {
            let made = check("alice", false, &Binding { keys, ..plain }, &location);
            assert_eq!(made.kv_store, keys, "what others have written stays as it is");
        }
        // A user may hold what looks like a host.
        check("a@b@example.com", true, &plain, &location);
        check("a@b", false, &plain, &location);
    }

    #[test]
    fn a_row_that_is_no_binding_is_refused() {
        let location = Location::new(Settings::new([1; 16]));
        let good = Row { username: b"alice".to_vec(), contact: b"sip:a@b".to_vec(), ..Row::default() };
        let refused = |row: Row| with_binding(&row, location.names(), &flags(), true, |_, _| ()).err();
        assert_eq!(refused(good.clone()), None);
        assert_eq!(refused(Row { username: Vec::new(), ..good.clone() }), Some(Corrupt::NoUser));
        assert_eq!(refused(Row { contact: b"mailto:a@b".to_vec(), ..good.clone() }), Some(Corrupt::Contact));
        assert_eq!(refused(Row { contact: Vec::new(), ..good.clone() }), Some(Corrupt::Contact));
        let split = b"<sip:p;lr>\r\nX: y".to_vec();
        assert_eq!(refused(Row { path: split, ..good.clone() }), Some(Corrupt::Value));
        assert_eq!(refused(Row { callid: vec![b'x'; 256], ..good.clone() }), Some(Corrupt::Value));
        // Odd numbers are no reason to lose a phone.
        let odd = Row {
            q: 7.5,
            expires: -3,
            kv_store: b"{\"a\":[1,{}]}".to_vec(),
            cflags: b"GONE NAT".to_vec(),
            ..good
        };
        let read =
            with_binding(&odd, location.names(), &flags(), true, |_, binding| binding.numbers).unwrap();
        assert_eq!((read.q, read.expires_s, read.flags), (Q_NONE, 0, 1));
    }
}
