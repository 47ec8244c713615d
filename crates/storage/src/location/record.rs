//! Changes as bytes, in the journal of a SQLite file.

use crate::location::row::{Row, RowChange};

/// A change, as it stands in a journal.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time, on the stack")]
pub(super) enum Change<'a> {
    Upsert(View<'a>),
    Delete,
}

/// The columns of a row but for its key. Texts in the order of [`TEXTS`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct View<'a> {
    pub(super) expires: i64,
    pub(super) q: f32,
    pub(super) cseq: u32,
    pub(super) last_modified: i64,
    pub(super) flags: u32,
    pub(super) methods: Option<u32>,
    pub(super) texts: [&'a [u8]; TEXTS],
}

impl View<'_> {
    /// The row, under its key.
    pub(super) fn row(&self, contact_id: u64) -> Row {
        let [
            username,
            domain,
            contact,
            received,
            path,
            callid,
            cflags,
            user_agent,
            socket,
            instance,
            kv_store,
            attr,
        ] = self.texts.map(<[u8]>::to_vec);
        Row {
            contact_id,
            username,
            domain,
            contact,
            received,
            path,
            expires: self.expires,
            q: self.q,
            callid,
            cseq: self.cseq,
            last_modified: self.last_modified,
            flags: self.flags,
            cflags,
            user_agent,
            socket,
            methods: self.methods,
            sip_instance: instance,
            kv_store,
            attr,
        }
    }
}

/// How many texts a row has: username, domain, contact, received, path, callid, cflags, `user_agent`, socket,
/// `sip_instance`, `kv_store`, attr.
pub(super) const TEXTS: usize = 12;

/// How many bytes stand before the texts, and behind the kind of the change.
const NUMBERS: usize = 8 + 4 + 4 + 8 + 4 + 1 + 4;

fn texts(row: &Row) -> [&Vec<u8>; TEXTS] {
    [
        &row.username,
        &row.domain,
        &row.contact,
        &row.received,
        &row.path,
        &row.callid,
        &row.cflags,
        &row.user_agent,
        &row.socket,
        &row.sip_instance,
        &row.kv_store,
        &row.attr,
    ]
}

/// Writes a change. Texts that do not fit into 32 bits are cut: nothing of SIP is so long.
pub(super) fn encode(change: &RowChange, buffer: &mut Vec<u8>) {
    let RowChange::Upsert(row) = change else {
        buffer.push(0);
        return;
    };
    buffer.push(1);
    buffer.extend_from_slice(&row.expires.to_le_bytes());
    buffer.extend_from_slice(&row.q.to_le_bytes());
    buffer.extend_from_slice(&row.cseq.to_le_bytes());
    buffer.extend_from_slice(&row.last_modified.to_le_bytes());
    buffer.extend_from_slice(&row.flags.to_le_bytes());
    buffer.push(u8::from(row.methods.is_some()));
    buffer.extend_from_slice(&row.methods.unwrap_or(0).to_le_bytes());
    for text in texts(row) {
        let length = u32::try_from(text.len()).unwrap_or(0);
        buffer.extend_from_slice(&length.to_le_bytes());
        if length > 0 {
            buffer.extend_from_slice(text);
        }
    }
}

/// Reads a change; none if the bytes are not one.
pub(super) fn decode(bytes: &[u8]) -> Option<Change<'_>> {
    let mut bytes = Bytes(bytes);
    match bytes.array::<1>()? {
        [0] => Some(Change::Delete),
        [1] => {
            let expires = i64::from_le_bytes(bytes.array()?);
            let q = f32::from_le_bytes(bytes.array()?);
            let cseq = u32::from_le_bytes(bytes.array()?);
            let last_modified = i64::from_le_bytes(bytes.array()?);
            let flags = u32::from_le_bytes(bytes.array()?);
            let [has_methods] = bytes.array::<1>()?;
            let methods = u32::from_le_bytes(bytes.array()?);
            let methods = (has_methods != 0).then_some(methods);
            let mut texts: [&[u8]; TEXTS] = [&[]; TEXTS];
            for text in &mut texts {
                let length = u32::from_le_bytes(bytes.array()?);
                *text = bytes.take(usize::try_from(length).ok()?)?;
            }
            Some(Change::Upsert(View { expires, q, cseq, last_modified, flags, methods, texts }))
        }
        _ => None,
    }
}

/// The user of a row that is written; none of a change that deletes one, or of bytes that are no change. Nothing else is
/// read.
pub(super) fn username(bytes: &[u8]) -> Option<&[u8]> {
    let mut bytes = Bytes(bytes);
    if bytes.array::<1>()? != [1] {
        return None;
    }
    bytes.take(NUMBERS)?;
    let length = u32::from_le_bytes(bytes.array()?);
    bytes.take(usize::try_from(length).ok()?)
}

/// What is left of some bytes.
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn array<const LENGTH: usize>(&mut self) -> Option<[u8; LENGTH]> {
        self.take(LENGTH)?.try_into().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_off_is_no_change() {
        let row = Row {
            username: b"alice".to_vec(),
            contact: b"sip:alice@192.0.2.1".to_vec(),
            q: 0.5,
            methods: Some(0),
            ..Row::default()
        };
        let mut buffer = Vec::new();
        let change = RowChange::Upsert(Box::new(row));
        encode(&change, &mut buffer);
        let Some(Change::Upsert(view)) = decode(&buffer) else { panic!("no row") };
        assert_eq!(RowChange::Upsert(Box::new(view.row(0))), change);
        assert_eq!((view.q, view.methods, view.texts[0]), (0.5, Some(0), &b"alice"[..]));
        assert_eq!(username(&buffer), Some(&b"alice"[..]));
        assert!((0..NUMBERS + 5 + 5).all(|length| username(&buffer[..length]).is_none()));
        for length in 0..buffer.len() {
            assert_eq!(decode(&buffer[..length]), None, "{length}");
        }
        buffer.clear();
        encode(&RowChange::Delete { contact_id: 1 }, &mut buffer);
        assert_eq!((decode(&buffer), username(&buffer)), (Some(Change::Delete), None));
        assert_eq!(decode(&[2]), None);
    }
}
