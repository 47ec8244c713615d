//! What finds a transaction: the key of a server transaction, and branch parameters that carry their own address.
//!
//! Both are made with one secret that all shards of a server share. A client cannot aim at a bucket of the table,
//! and a response whose branch we did not write is recognised without looking anything up.

use core::{
    fmt,
    hash::{BuildHasher, Hasher},
};

use foldhash::{fast, quality::FixedState};
use seawall_sip::{
    cseq::CSeq,
    message::Message,
    method::Method,
    name::Name,
    name_addr::NameAddr,
    via::{MAGIC_COOKIE, Via},
};
use siphasher::{
    sip::SipHasher13,
    sip128::{Hasher128, SipHasher13 as SipHasher13Wide},
};

use crate::{effect::TransactionId, hex, limits::BRANCH_BYTES, marks::Mark};

/// The shard number in a branch that belongs to no transaction.
const STATELESS: u16 = u16::MAX;

/// The shard number in the branch of a ping.
const PING: u16 = u16::MAX - 1;

/// The secret, ready for use. All shards of a server, and all its restarts that shall still know the branches of
/// the run before, use the same 16 bytes.
#[derive(Clone, Copy)]
pub struct Keys {
    transaction: SipHasher13Wide,
    branch: SipHasher13,
    tag: SipHasher13,
    stateless_tag: [u64; 3],
    path: u64,
    mark: u64,
}

impl fmt::Debug for Keys {
    /// Says nothing: whoever reads a log must not learn the secret.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Keys")
    }
}

/// What a request is to the matching rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// INVITE.
    Invite,
    /// ACK, which belongs to an INVITE transaction if its response was not a 2xx.
    Ack,
    /// CANCEL, which has the key of the INVITE that it is to end.
    Cancel,
    /// Every other method.
    Other,
}

/// The key of a server transaction (RFC 3261 §17.2.3): made once for each request, before a shard is locked.
/// Two requests with the same key are taken to be the same; with a secret 128 bit hash no two others meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerKey {
    pub(crate) value: u128,
    pub(crate) kind: RequestKind,
    pub(crate) rfc2543: bool,
    /// That of a REGISTER.
    pub(crate) mark: Option<Mark>,
}

impl ServerKey {
    /// Which of `shards` the transaction lives in.
    #[must_use]
    pub fn shard(&self, shards: u16) -> u16 {
        (self.value >> 64) as u16 % shards.max(1)
    }

    /// What the request is.
    #[must_use]
    pub fn kind(&self) -> RequestKind {
        self.kind
    }
}

/// Names one client branch; written as the branch parameter of our Via, it comes back in every response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BranchToken {
    /// The transaction.
    pub id: TransactionId,
    /// The branch, from 0.
    pub branch: u16,
}

/// A branch parameter that this server wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnBranch {
    /// It belongs to a transaction, which may have ended since.
    Transaction(BranchToken),
    /// The request was forwarded without state.
    Stateless,
    /// It was a ping of a contact.
    Ping(PingToken),
}

/// Names one ping of a contact. It travels in the branch parameter, so that nothing has to be kept for it: the
/// answer says by itself whom it is from and when it was asked for, and cannot be made up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PingToken {
    /// The table that the contact is in, by its number.
    pub domain: u16,
    /// The contact.
    pub contact_id: u64,
    /// When it was sent, in monotonic microseconds.
    pub sent_us: u64,
}

impl Keys {
    /// Derives the keys from the secret, which has to be random and stay inside the server.
    #[must_use]
    pub fn new(secret: [u8; 16]) -> Keys {
        let derive = |label: u8| {
            let mut hasher = SipHasher13Wide::new_with_key(&secret);
            hasher.write_u8(label);
            hasher.finish128().as_u128().to_le_bytes()
        };
        let mut mark = SipHasher13::new_with_key(&derive(4));
        mark.write_u8(0);
        let mut path = SipHasher13::new_with_key(&derive(5));
        path.write_u8(0);
        let word = |label| u128::from_le_bytes(derive(label)) as u64;
        Keys {
            mark: mark.finish(),
            transaction: SipHasher13Wide::new_with_key(&derive(1)),
            branch: SipHasher13::new_with_key(&derive(2)),
            tag: SipHasher13::new_with_key(&derive(3)),
            stateless_tag: [word(6), word(7), word(8)],
            path: path.finish(),
        }
    }

    /// The key under which a request finds its server transaction: branch, sent-by and method of the topmost Via
    /// when the branch carries the magic cookie, else what RFC 2543 compared. `None` without a usable Via.
    #[must_use]
    pub fn server_key(&self, request: &Message) -> Option<ServerKey> {
        let kind = match request.method_id() {
            Method::Invite => RequestKind::Invite,
            Method::Ack => RequestKind::Ack,
            Method::Cancel => RequestKind::Cancel,
            _ => RequestKind::Other,
        };
        let via = Via::top(request).ok()?;
        let mut text = Text::new(&self.transaction);
        // ACK and CANCEL count as the INVITE that they refer to.
        text.put(if kind == RequestKind::Other { request.method() } else { b"INVITE" });
        let unique = via.branch().filter(|branch| has_cookie(branch));
        match unique {
            Some(branch) => {
                text.put(branch);
                text.put(via.sent_by);
            }
            None => rfc2543_text(request, &mut text)?,
        }
        let value = text.finish();
        let marked = unique.filter(|_| request.method_id() == Method::Register);
        let mark = marked.map(|branch| Mark::of(branch, self.mark));
        Some(ServerKey { value, kind, rfc2543: unique.is_none(), mark })
    }

    /// The mark of a REGISTER, for [`Marks::may_have`](crate::Marks::may_have); `None` when it is no REGISTER or its branch
    /// is not unique, so that its transaction can only be looked for by its key.
    #[inline]
    #[must_use]
    pub fn mark(&self, request: &Message) -> Option<Mark> {
        let via = Via::top(request).ok().filter(|_| request.method_id() == Method::Register)?;
        via.branch().filter(|branch| has_cookie(branch)).map(|branch| Mark::of(branch, self.mark))
    }

    /// Writes the branch parameter for a client branch. `path` is the [`path_hash`](Keys::path_hash) of the request
    /// that is forwarded; it makes the second part, by which a loop is recognised (RFC 3261 §16.6 step 8).
    pub fn write_branch(&self, token: BranchToken, path: u64, out: &mut Vec<u8>) {
        let id = token.id;
        self.write([place(id.shard, token.branch), id.slot, id.generation], path, out);
    }

    /// Writes the branch parameter for a request that is forwarded without state: always the same for the same
    /// request, its retransmissions and its CANCEL (RFC 3261 §16.11). `index` tells copies to several targets apart.
    pub fn write_stateless_branch(&self, key: &ServerKey, index: u16, path: u64, out: &mut Vec<u8>) {
        let [high, low] = halves(key.value as u64);
        self.write([place(STATELESS, index), high, low], path, out);
    }

    /// Writes the branch parameter of a ping.
    pub fn write_ping_branch(&self, token: PingToken, out: &mut Vec<u8>) {
        let [high, low] = halves(token.contact_id);
        self.write([place(PING, token.domain), high, low], token.sent_us, out);
    }

    /// Reads a branch parameter; `None` unless this server wrote it.
    #[must_use]
    pub fn read_branch(&self, branch: &[u8]) -> Option<OwnBranch> {
        let ([place, slot, generation], sent_us) = self.read(branch)?;
        let (shard, branch) = ((place >> 16) as u16, place as u16);
        if shard == STATELESS {
            return Some(OwnBranch::Stateless);
        }
        if shard == PING {
            let contact_id = whole([slot, generation]);
            return Some(OwnBranch::Ping(PingToken { domain: branch, contact_id, sent_us }));
        }
        Some(OwnBranch::Transaction(BranchToken { id: TransactionId { shard, slot, generation }, branch }))
    }

    /// The branch of the topmost Via of a response, if this server wrote it. It tells the shard to lock.
    #[must_use]
    pub fn response_branch(&self, response: &Message) -> Option<OwnBranch> {
        self.read_branch(Via::top_branch(response)?)
    }

    /// A hash over what names a request and what decides where it goes: Call-ID, CSeq, Request-URI and Route. A
    /// request that comes back with the same hash would be sent the same way again (RFC 5393 §4.2); one that comes
    /// back with another is a spiral and welcome.
    ///
    /// It need not stand up to somebody who looks for two requests with one hash: all that these are good for is to have
    /// one's own request refused. That the branch was written here is proved by its MAC.
    #[must_use]
    pub fn path_hash(&self, request: &Message) -> u64 {
        let mut hasher = FixedState::with_seed(self.path).build_hasher();
        let mut put = |field: &[u8]| {
            hasher.write_usize(field.len());
            hasher.write(field);
        };
        put(request.request_uri());
        put(request.value(Name::CallId).unwrap_or_default());
        put(request.value(Name::CSeq).unwrap_or_default());
        if request.header(Name::Route).is_some() {
            request.header_all(Name::Route).for_each(|route| put(route.value));
        }
        // 0 is kept for "not computed".
        hasher.finish().max(1)
    }

    /// The path hash that a branch of ours carries; `None` for foreign branches.
    #[must_use]
    pub fn branch_path(&self, branch: &[u8]) -> Option<u64> {
        self.read(branch).map(|(_, path)| path)
    }

    /// The tag that a server transaction puts in the To of its own responses: the same every time, so that all
    /// responses of one transaction agree (RFC 3261 §16.7 step 8, §9.2), and not to be guessed.
    pub fn write_tag(&self, key: &ServerKey, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.tag(key));
    }

    /// The tag of [`write_tag`](Keys::write_tag) as bytes of its own.
    #[must_use]
    pub fn tag(&self, key: &ServerKey) -> [u8; 16] {
        digits_of(self.tag.hash(&key.value.to_le_bytes()).to_be())
    }

    /// A tag for replies to a request that is answered without a transaction: the same for its retransmissions
    /// (RFC 3261 §8.2.7), and not to be guessed. It costs less than the key of a transaction, but nothing else can be
    /// recognised by it. `None` where the topmost Via has no branch that is unique.
    ///
    /// It is no cryptographic hash: whoever found out how it is made would know what a registrar adds to the To of somebody
    /// else's REGISTER, which makes no dialog. The words that are put behind the branch are as secret as that before it, so
    /// that a tag cannot be calculated back.
    #[inline]
    #[must_use]
    pub fn stateless_tag(&self, request: &Message) -> Option<[u8; 16]> {
        let branch = Via::top_branch(request).filter(|branch| has_cookie(branch))?;
        let [before, low, high] = self.stateless_tag;
        let mut hasher = fast::FixedState::with_seed(before).build_hasher();
        hasher.write(branch);
        hasher.write_u64(low);
        hasher.write_u64(high);
        Some(digits_of(hasher.finish()))
    }

    fn write(&self, place: [u32; 3], path: u64, out: &mut Vec<u8>) {
        let ([a, b, c], [d, e], [f, g]) = (place, halves(self.mac(place, path)), halves(path));
        let mut text = [0; BRANCH_BYTES];
        if let Some((cookie, digits)) = text.split_first_chunk_mut::<{ MAGIC_COOKIE.len() }>() {
            cookie.copy_from_slice(MAGIC_COOKIE);
            for (chunk, number) in digits.as_chunks_mut::<8>().0.iter_mut().zip([a, b, c, d, e, f, g]) {
                *chunk = hex::digits(number);
            }
        }
        out.extend_from_slice(&text);
    }

    fn read(&self, branch: &[u8]) -> Option<([u32; 3], u64)> {
        if branch.len() != BRANCH_BYTES {
            return None;
        }
        let (chunks, _) = branch.strip_prefix(MAGIC_COOKIE)?.as_chunks::<8>();
        let &[a, b, c, d, e, f, g] = chunks else { return None };
        let place = [hex::number(a)?, hex::number(b)?, hex::number(c)?];
        let path = whole([hex::number(f)?, hex::number(g)?]);
        let mac = self.mac(place, path);
        let is_ours = || Some(whole([hex::number(d)?, hex::number(e)?]) == mac);
        // As it was written, or in capitals.
        let is_same = halves(mac).map(hex::digits) == [d, e] || is_ours()?;
        is_same.then_some((place, path))
    }

    fn mac(&self, [place, slot, generation]: [u32; 3], path: u64) -> u64 {
        let words = [u64::from(place), whole([slot, generation]), path].map(u64::to_le_bytes);
        self.branch.hash(words.as_flattened())
    }
}

/// Collects fields for a hash, so that nearly always the hasher gets them in one piece. Each field is followed by a byte that
/// no field contains.
struct Text<'a> {
    key: &'a SipHasher13Wide,
    /// What has got the fields that did not fit.
    hasher: Option<SipHasher13Wide>,
    bytes: [u8; 256],
    used: usize,
}

impl<'a> Text<'a> {
    #[inline]
    fn new(key: &'a SipHasher13Wide) -> Text<'a> {
        Text { key, hasher: None, bytes: [0; 256], used: 0 }
    }

    #[inline]
    fn put(&mut self, field: &[u8]) {
        let end = self.used + field.len();
        if let Some(place) = self.bytes.get_mut(self.used..end + 1) {
            // One byte more than the field: the separator, 0 since the beginning.
            if let Some(place) = place.get_mut(..field.len()) {
                place.copy_from_slice(field);
            }
            self.used = end + 1;
            return;
        }
        self.put_long(field);
    }

    #[cold]
    fn put_long(&mut self, field: &[u8]) {
        let hasher = self.hasher.get_or_insert(*self.key);
        hasher.write(self.bytes.get(..self.used).unwrap_or_default());
        hasher.write(field);
        hasher.write(&[0]);
        self.bytes = [0; 256];
        self.used = 0;
    }

    #[inline]
    fn finish(self) -> u128 {
        let bytes = self.bytes.get(..self.used).unwrap_or_default();
        let hash = match self.hasher {
            None => self.key.hash(bytes),
            Some(mut hasher) => {
                hasher.write(bytes);
                hasher.finish128()
            }
        };
        hash.as_u128()
    }
}

/// A number as sixteen digits.
#[inline]
fn digits_of(number: u64) -> [u8; 16] {
    let mut text = [0; 16];
    for (part, number) in text.as_chunks_mut::<8>().0.iter_mut().zip(halves(number)) {
        *part = hex::digits(number);
    }
    text
}

fn has_cookie(branch: &[u8]) -> bool {
    branch.len() > MAGIC_COOKIE.len() && branch.starts_with(MAGIC_COOKIE)
}

/// What RFC 2543 clients are told apart by (RFC 3261 §17.2.3): Request-URI, From tag, Call-ID, CSeq number and the
/// topmost Via. The To tag is left out because an ACK has the one of the response; it is compared for an ACK only.
fn rfc2543_text(request: &Message, text: &mut Text<'_>) -> Option<()> {
    text.put(request.request_uri());
    text.put(request.value(Name::CallId)?);
    text.put(NameAddr::parse(request.value(Name::From)?).ok()?.tag().unwrap_or_default());
    text.put(&CSeq::of(request).ok()?.number.to_le_bytes());
    text.put(request.value(Name::Via)?);
    Some(())
}

fn place(shard: u16, branch: u16) -> u32 {
    u32::from(shard) << 16 | u32::from(branch)
}

fn halves(number: u64) -> [u32; 2] {
    [(number >> 32) as u32, number as u32]
}

fn whole([high, low]: [u32; 2]) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}
