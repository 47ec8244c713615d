//! Registrations at main registrars as rows of a table of their own beside the bindings', in the form of a location table:
//! `NAME_upstream` for the table NAME.
//!
//! A table of its own and not the `kv_store` of the bindings' rows: a registration outlives its binding until its
//! de-REGISTER was answered, in AoR mode there is one for several bindings, and an absorbed REGISTER does not change it.

use std::net::SocketAddr;

use seawall_location::Names;
use seawall_registrar::mid::{Kept, Main, Shown, State};
use seawall_storage::location::{Row, RowChange};

use crate::store::kv::{self, Kv};
use crate::store::{address_of_record, user_and_host};

/// Set in the key of the registration of a whole address of record. Contact ids are below.
const WHOLE: u64 = 1 << 62;

/// The longest header lines of a 2xx that are kept with a registration; see `MAX_PASSED_LEN` of `registrar`.
const PASSED: &[u8] = b"passed";

/// The name of the table that keeps what the main registrars hold for a location table.
#[must_use]
pub fn table_name(table: &str) -> String {
    format!("{table}_upstream")
}

/// The changes of rows that make the table say what is kept. `whole` is the number that stands for the address of record.
pub fn changes(kept: &Kept, names: &Names, use_domain: bool, whole: u64, out: &mut Vec<RowChange>) {
    let key = |contact_id: Option<u64>| contact_id.unwrap_or(whole >> 2 | WHOLE);
    out.extend(kept.gone.iter().map(|gone| RowChange::Delete { contact_id: key(*gone) }));
    for shown in &kept.registrations {
        let (user, host) = user_and_host(&kept.aor, use_domain);
        out.push(RowChange::Upsert(Box::new(Row {
            contact_id: key(shown.contact_id),
            username: user.to_vec(),
            domain: host.to_vec(),
            contact: shown.contact.to_vec(),
            received: shown.main.peer.to_string().into_bytes(),
            path: shown.main.uri.to_vec(),
            expires: i64::from(shown.deadline_s),
            q: -1.0,
            callid: shown.callid.to_vec(),
            cseq: shown.cseq,
            last_modified: i64::from(shown.accepted_s),
            socket: names.name(shown.main.socket).to_vec(),
            kv_store: extras(shown, &kept.flows),
            ..Row::default()
        })));
    }
}

/// What the table has no column for.
fn extras(shown: &Shown, flows: &[(u64, u64)]) -> Vec<u8> {
    let state = match shown.state {
        State::Live => 0,
        State::Leaving => 1,
        State::Renewing => 2,
    };
    let flow = format!("{:x}", shown.flow);
    let list: Vec<String> = flows.iter().map(|(id, flow)| format!("{id}:{flow:x}")).collect();
    let list = if shown.contact_id.is_none() { list.join(",") } else { String::new() };
    // JSON has no bytes but those of UTF-8; whoever asks again has to be told all of it.
    let is_text = std::str::from_utf8(&shown.passed).is_ok();
    let limit_s = if is_text { shown.limit_s } else { shown.accepted_s };
    let numbers = [
        ("possible", shown.possible_s),
        ("sure", shown.sure_s),
        ("limit", limit_s),
        ("asked", shown.asked_s),
        ("state", state),
        ("attempt", u32::from(shown.attempt)),
        ("throttled", u32::from(shown.throttled)),
        ("whole", u32::from(shown.contact_id.is_none())),
    ];
    let numbers = numbers.iter().map(|(name, number)| (name.as_bytes(), Kv::Number(i64::from(*number))));
    let texts = [
        (&b"to"[..], &*shown.to),
        (b"flow", flow.as_bytes()),
        (b"flows", list.as_bytes()),
        (PASSED, &shown.passed),
    ];
    let texts = texts.into_iter().filter(|(name, text)| !text.is_empty() && (*name != PASSED || is_text));
    kv::write(numbers.chain(texts.map(|(name, text)| (name, Kv::Text(text)))))
}

/// The registration of a row with its address of record, to be put together by [`gather`]; nothing when the row is none.
#[must_use]
pub fn registration(row: &Row, names: &Names, use_domain: bool) -> Option<Kept> {
    let peer: SocketAddr = std::str::from_utf8(&row.received).ok()?.parse().ok()?;
    let is_clean = |text: &Vec<u8>| text.iter().all(|byte| *byte >= b' ' || *byte == b'\t');
    let texts = [&row.username, &row.domain, &row.contact, &row.path, &row.callid, &row.socket];
    if row.username.is_empty() || !texts.into_iter().all(is_clean) {
        return None;
    }
    let second = |unix_s: i64| u32::try_from(unix_s.max(0)).unwrap_or(u32::MAX);
    let mut shown = Shown {
        contact_id: Some(row.contact_id),
        deadline_s: second(row.expires),
        possible_s: second(row.expires),
        sure_s: 0,
        limit_s: 0,
        accepted_s: second(row.last_modified),
        asked_s: 0,
        state: State::Live,
        attempt: 0,
        main: Main { socket: names.intern(&row.socket)?, peer, uri: row.path.as_slice().into() },
        contact: row.contact.as_slice().into(),
        callid: row.callid.as_slice().into(),
        cseq: row.cseq,
        to: Box::default(),
        passed: Box::default(),
        flow: 0,
        throttled: true,
    };
    let mut flows = Vec::new();
    kv::read(&row.kv_store, |key, value| match (key, value) {
        (_, Kv::Number(number)) => number_of(&mut shown, key, second(number)),
        (b"to", Kv::Text(text)) if is_clean(&text.to_vec()) => shown.to = text.into(),
        (b"flow", Kv::Text(text)) => shown.flow = hex(text).unwrap_or(0),
        (b"flows", Kv::Text(text)) => flows = flows_of(text),
        (PASSED, Kv::Text(text)) => shown.passed = lines_of(text),
        _ => {}
    });
    if shown.to.is_empty() {
        return None;
    }
    let aor = address_of_record(row, use_domain).into_boxed_slice();
    Some(Kept { aor, registrations: vec![shown], flows, gone: Vec::new() })
}

fn number_of(shown: &mut Shown, key: &[u8], number: u32) {
    match key {
        b"possible" => shown.possible_s = number,
        b"sure" => shown.sure_s = number,
        b"limit" => shown.limit_s = number,
        b"asked" => shown.asked_s = number,
        b"attempt" => shown.attempt = u8::try_from(number).unwrap_or(u8::MAX),
        b"throttled" => shown.throttled = number != 0,
        b"whole" if number != 0 => shown.contact_id = None,
        b"state" => {
            shown.state = match number {
                1 => State::Leaving,
                2 => State::Renewing,
                _ => State::Live,
            }
        }
        _ => {}
    }
}

fn hex(text: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok()
}

fn flows_of(text: &[u8]) -> Vec<(u64, u64)> {
    let one = |pair: &[u8]| {
        let at = pair.iter().position(|byte| *byte == b':')?;
        let id = std::str::from_utf8(pair.get(..at)?).ok()?.parse().ok()?;
        Some((id, hex(pair.get(at + 1..)?)?))
    };
    text.split(|byte| *byte == b',').filter_map(one).collect()
}

/// Header lines as they were kept. What is no line of its own does not get into a reply.
fn lines_of(text: &[u8]) -> Box<[u8]> {
    let is_line = |line: &&[u8]| {
        line.strip_suffix(b"\r\n")
            .is_some_and(|line| line.contains(&b':') && !line.iter().any(|byte| *byte < b' '))
    };
    text.split_inclusive(|byte| *byte == b'\n').filter(is_line).collect::<Vec<_>>().concat().into()
}

/// Puts the registrations of one address of record together.
#[must_use]
pub fn gather(aor: &[u8], rows: &[Row], names: &Names, use_domain: bool) -> Kept {
    let mut all = Kept { aor: aor.into(), ..Kept::default() };
    for one in
        rows.iter().filter_map(|row| registration(row, names, use_domain)).filter(|one| *one.aor == *aor)
    {
        all.registrations.extend(one.registrations);
        all.flows.extend(one.flows);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use seawall_location::{Location, Settings};

    fn shown(names: &Names, contact_id: Option<u64>) -> Shown {
        Shown {
            contact_id,
            deadline_s: 1_800_003_600,
            possible_s: 1_800_003_700,
            sure_s: 1_800_003_599,
            limit_s: 1_800_003_000,
            accepted_s: 1_800_000_000,
            asked_s: 3600,
            state: State::Leaving,
            attempt: 3,
            main: Main {
                socket: names.intern(b"udp:192.0.2.1:5060").unwrap(),
                peer: "[2001:db8::1]:5060".parse().unwrap(),
                uri: (*b"sip:example.com").into(),
            },
            contact: (*b"<sip:alice@192.0.2.1:5060;ctid=9>;q=0.5").into(),
            callid: (*b"call-1").into(),
            cseq: 12,
            to: (*b"sip:alice@example.com").into(),
            passed: (*b"Service-Route: <sip:\"r\";lr>\r\nP-Associated-URI: <sip:a@b>\r\n").into(),
            flow: 0xfeed_beef_0000_0001,
            throttled: false,
        }
    }

    fn rows(kept: &Kept, names: &Names, use_domain: bool) -> Vec<Row> {
        let mut out = Vec::new();
        changes(kept, names, use_domain, u64::MAX, &mut out);
        let row = |change| match change {
            RowChange::Upsert(row) => Some(*row),
            RowChange::Delete { .. } => None,
        };
        out.into_iter().filter_map(row).collect()
    }

    #[test]
    fn what_is_kept_comes_back() {
        let location = Location::new(Settings::new([1; 16]));
        let names = location.names();
        for (aor, use_domain) in [("alice@example.com", true), ("alice", false)] {
            let contacts = Kept {
                aor: aor.as_bytes().into(),
                registrations: vec![
                    shown(names, Some(9)),
                    Shown { state: State::Live, ..shown(names, Some(10)) },
                ],
                ..Kept::default()
            };
            assert_eq!(
                gather(aor.as_bytes(), &rows(&contacts, names, use_domain), names, use_domain),
                contacts
            );
            let whole = Kept {
                registrations: vec![Shown { state: State::Renewing, ..shown(names, None) }],
                flows: vec![(9, 1), (10, u64::MAX)],
                ..contacts
            };
            let made = rows(&whole, names, use_domain);
            assert!(made[0].contact_id >= WHOLE && i64::try_from(made[0].contact_id).is_ok());
            assert_eq!(gather(aor.as_bytes(), &made, names, use_domain), whole);
        }
    }

    #[test]
    fn what_is_gone_is_deleted() {
        let location = Location::new(Settings::new([1; 16]));
        let kept = Kept { aor: (*b"a").into(), gone: vec![Some(7), None], ..Kept::default() };
        let mut out = Vec::new();
        changes(&kept, location.names(), true, 8, &mut out);
        let ids: Vec<u64> = out.iter().map(RowChange::contact_id).collect();
        assert_eq!(ids, [7, WHOLE | 2]);
    }

    #[test]
    fn damaged_rows_are_no_registrations_and_break_out_of_nothing() {
        let location = Location::new(Settings::new([1; 16]));
        let names = location.names();
        let aor: &[u8] = b"alice@example.com";
        let kept = Kept { aor: aor.into(), registrations: vec![shown(names, Some(9))], ..Kept::default() };
        let good = rows(&kept, names, true).remove(0);
        let read = |row: Row| registration(&row, names, true);
        assert!(read(good.clone()).is_some());
        assert_eq!(read(Row { received: b"nowhere".to_vec(), ..good.clone() }), None);
        assert_eq!(read(Row { username: Vec::new(), ..good.clone() }), None);
        assert_eq!(read(Row { contact: b"<sip:a>\r\nX: y".to_vec(), ..good.clone() }), None);
        assert_eq!(read(Row { kv_store: b"{}".to_vec(), ..good.clone() }), None);
        let split = kv::set(&good.kv_store, PASSED, Some(b"A: b\r\nbroken\r\nC: d\nE: f\r\n"));
        let lines =
            read(Row { kv_store: split, ..good.clone() }).map(|kept| kept.registrations[0].passed.clone());
        assert_eq!(lines.as_deref(), Some(&b"A: b\r\nE: f\r\n"[..]));
        // Of bytes that JSON does not have nothing is told; the next REGISTER is forwarded.
        let raw = Shown { passed: (*b"P-Associated-URI: <sip:\xff@b>\r\n").into(), ..shown(names, Some(9)) };
        let row = rows(&Kept { registrations: vec![raw], ..kept }, names, true).remove(0);
        let back = read(row).map(|kept| (kept.registrations[0].passed.len(), kept.registrations[0].limit_s));
        assert_eq!(back, Some((0, 1_800_000_000)));
    }
}
