//! Refreshes that say what they said before. Nearly every REGISTER is one: the phone is bound already, and nothing but the
//! branch, the CSeq and the credentials differs from the last time. What such a request would store is what is stored, so
//! its binding is found by a fingerprint of everything that `save()` goes by, and only the times and the CSeq are written.
//!
//! The fingerprint is a keyed hash of 64 bits. Its key is new with each configuration, so what another one has stored is
//! read as if it were new. It guards against chance, not against the sender: who finds two requests with the same
//! fingerprint has the second one of his own taken for the first one.

use std::hash::{BuildHasher, Hash, Hasher};
use std::num::NonZeroU64;

use foldhash::quality::FixedState;
use seawall_location::{Entry, PUSH_FLAG, Sink};
use seawall_sip::{Message, Name};

use crate::flags::SaveFlags;
use crate::limits::LATEST_EXPIRY_S;
use crate::plan::{Fate, Plan, Step};
use crate::push::Wakes;
use crate::reject::Reject;
use crate::reply;
use crate::request::{Begun, Register, Wish};
use crate::save::{Outcome, Save};

/// Tells refreshes that say nothing new.
#[derive(Clone, Debug)]
pub struct Familiar(FixedState);

/// What a REGISTER says, in brief.
pub(crate) type Fingerprint = NonZeroU64;

/// The header fields that `save()` looks at besides To and CSeq.
const READ: [Name; 8] = [
    Name::CallId,
    Name::Contact,
    Name::Expires,
    Name::UserAgent,
    Name::Allow,
    Name::Supported,
    Name::Require,
    Name::Path,
];

impl Familiar {
    /// With this key, which nobody else knows and no other configuration has.
    #[must_use]
    pub fn new(key: u64) -> Familiar {
        Familiar(FixedState::with_seed(key))
    }

    /// The fingerprint of a REGISTER with everything that is known about it; `None` where a refresh that says the same could
    /// still end in another way, or what it says stands in more places than one.
    #[inline]
    pub(crate) fn of(&self, save: &Save<'_>, message: &Message) -> Option<Fingerprint> {
        if save.policy.expires_max_deviation_s != 0 || save.flags.socket_header {
            return None;
        }
        let mut hasher = self.0.build_hasher();
        message.lines_of(&READ)?.for_each(|lines| hasher.write(lines));
        if save.policy.push.is_some() {
            // What a proxy on the way pushes for.
            if message.is_repeated(Name::FeatureCaps) {
                return None;
            }
            message.value(Name::FeatureCaps).hash(&mut hasher);
        }
        let (flags, is_plain) = flags(save.flags);
        if !is_plain {
            hasher.write_u64(self.of_limits(save.flags));
        }
        let source = &save.source;
        let names = u128::from(source.socket.number()) << 16 | u128::from(source.ownership_tag.number());
        // In one piece, which takes a third of what four numbers do.
        hasher.write_u128(
            u128::from(flags) << 96
                | names << 64
                | u128::from(source.flags) << 32
                | u128::from(source.cflags),
        );
        if !(source.received.is_empty() && source.attr.is_empty()) {
            (source.received, source.attr).hash(&mut hasher);
        }
        Some(NonZeroU64::new(hasher.finish()).unwrap_or(NonZeroU64::MIN))
    }

    /// What the flags say that takes more than a few bits.
    #[cold]
    fn of_limits(&self, flags: &SaveFlags) -> u64 {
        let limits = (flags.max_contacts, flags.min_expires_s, flags.max_expires_s);
        self.0.hash_one((limits, &flags.matching))
    }
}

/// What the flags of the call say in a few bits, but for those that make no difference to a refresh, and whether that is all
/// that they say.
#[inline]
fn flags(flags: &SaveFlags) -> (u32, bool) {
    let SaveFlags {
        memory_only,
        no_reply: _,
        max_contacts,
        force_registration,
        matching,
        path,
        path_received,
        only_request_contacts,
        socket_header: _,
        min_expires_s,
        max_expires_s,
        known_only: _,
    } = flags;
    let bits = [*memory_only, *force_registration, *path_received, *only_request_contacts];
    let bits = bits.iter().fold(*path as u32, |word, bit| word << 1 | u32::from(*bit));
    let is_plain =
        max_contacts.is_none() && min_expires_s.is_none() && max_expires_s.is_none() && matching.is_none();
    (bits << 1 | u32::from(is_plain), is_plain)
}

/// A refresh that says nothing new.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Renewal {
    position: usize,
    /// The contact that it is about.
    pub(crate) contact_id: u64,
    /// When that ends now.
    pub(crate) expires_s: u32,
    cseq: u32,
    /// Whether it is woken by pushes from here, which its answer speaks of.
    is_pushed: bool,
}

impl Save<'_> {
    /// Serves a REGISTER that says what the last one of its binding has said, if it is one and is newer. `None` is no verdict,
    /// and nothing has changed.
    #[inline]
    pub(crate) fn renew(
        &self,
        message: &Message,
        begun: &Begun<'_>,
        entry: &mut Entry<'_>,
        reply: &mut Vec<u8>,
        sink: &mut dyn Sink,
    ) -> Option<Result<Outcome, Reject>> {
        let renewal = self.renewal(begun, entry)?;
        Some(self.carry_out_renewal(renewal, message, entry, reply, sink))
    }

    /// What a REGISTER changes that says what the last one of its binding has said, if it is one and is newer.
    #[inline(always)]
    pub(crate) fn renewal(&self, begun: &Begun<'_>, entry: &Entry<'_>) -> Option<Renewal> {
        let (position, stored) = entry.marked(begun.fingerprint?)?;
        let has_expired = match entry.len() {
            1 => !stored.is_valid(self.now_s),
            _ => entry.has_expired(),
        };
        if begun.cseq <= stored.cseq() || has_expired {
            return None;
        }
        let now_s = u32::try_from(self.now_s).ok()?;
        let granted_s = stored.expires_s().checked_sub(stored.last_modified_s())?;
        let expires_s = now_s.checked_add(granted_s).filter(|expires_s| *expires_s < LATEST_EXPIRY_S)?;
        let is_pushed = stored.cflags() & PUSH_FLAG != 0;
        Some(Renewal { position, contact_id: stored.contact_id(), expires_s, cseq: begun.cseq, is_pushed })
    }

    /// Does it, and lists what holds now.
    #[inline(always)]
    pub(crate) fn carry_out_renewal(
        &self,
        renewal: Renewal,
        message: &Message,
        entry: &mut Entry<'_>,
        reply: &mut Vec<u8>,
        sink: &mut dyn Sink,
    ) -> Result<Outcome, Reject> {
        let Renewal { position, expires_s, cseq, is_pushed, .. } = renewal;
        entry.renew(position, expires_s, cseq, sink);
        let is_brief = match entry.only().filter(|_| !is_pushed) {
            Some(stored) => {
                // There is no shorter list.
                let start = reply.len();
                reply::write_stored(stored, self.policy, self.now_s, reply);
                self.is_brief(message, reply.len() - start)
            }
            None => self.list_renewed(renewal, message, entry, reply)?,
        };
        Ok(Outcome {
            status: 200,
            reason: "OK",
            reject: None,
            changed: true,
            retransmission: false,
            expires_s,
            is_brief,
        })
    }

    /// Lists what holds now, and what is told of pushes. Gives whether the rest of the reply has to be brief.
    #[inline(never)]
    fn list_renewed(
        &self,
        Renewal { position, contact_id, is_pushed, .. }: Renewal,
        message: &Message,
        entry: &Entry<'_>,
        reply: &mut Vec<u8>,
    ) -> Result<bool, Reject> {
        self.bounded(message, Wish::Contacts, &[contact_id], reply, |only, reply| {
            reply::write_contacts(entry, self.policy, only, None, reply);
            if is_pushed && let Some(push) = self.policy.push.as_deref() {
                push.write_again(position, self.domain, entry, reply);
            }
        })
    }

    /// Notes what a REGISTER has said whose only contact was stored at `position`, so that one which says the same can be told,
    /// unless its answer takes more than a list of the bindings and what is told of pushes.
    #[inline]
    pub(crate) fn remember(
        &self,
        register: &Register<'_>,
        fingerprint: Fingerprint,
        plan: &Plan<'_, '_>,
        entry: &mut Entry<'_>,
    ) {
        let [step] = plan.steps.as_slice() else { return };
        let position = match step.fate {
            Fate::Update(position) if !plan.removes_any() => position,
            Fate::Insert if !plan.removes_any() => entry.len().saturating_sub(1),
            _ => return,
        };
        if self.is_told_by_fingerprint(register, step) {
            entry.mark(position, fingerprint);
        }
    }

    /// Whether a request that says the same as this one, of one contact which is stored now, is answered as this one is.
    #[inline]
    pub(crate) fn is_told_by_fingerprint(&self, register: &Register<'_>, step: &Step<'_, '_>) -> bool {
        let is_plain = register.wish == Wish::Contacts
            && step.asked.wakes != Wakes::Asks
            && register.flow.is_none()
            && register.path.joined.is_empty()
            && register.path.received.is_empty()
            && !(register.is_outbound || register.supports_gruu || register.is_granted);
        let end_s = self.now_s.saturating_add(u64::from(step.granted_s));
        is_plain && end_s < u64::from(LATEST_EXPIRY_S)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use seawall_location::{Domain, Location, NameId, Settings};

    use super::*;
    use crate::aor::Aor;
    use crate::policy::Policy;
    use crate::push::Push;
    use crate::request::Found;
    use crate::save::Source;

    const USUAL: &str =
        "Contact: <sip:a@192.0.2.9>\r\nUser-Agent: Phone/1\r\nAllow: INVITE\r\nExpires: 600\r\n";

    fn message(cseq: u32, lines: &str) -> Message {
        let text = format!(
            "REGISTER sip:h SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK{cseq}\r\nFrom: <sip:a@h>;tag={cseq}\r\n\
             To: <sip:a@h>\r\nCSeq: {cseq} REGISTER\r\n{lines}Content-Length: 0\r\n\r\n"
        );
        Message::parse(text.into_bytes()).unwrap()
    }

    /// What is about a request besides its text.
    #[derive(Clone, Copy)]
    struct About {
        flags: &'static str,
        received: &'static [u8],
        attr: &'static [u8],
        socket: NameId,
        key: u64,
    }

    const PLAIN: About = About { flags: "", received: b"", attr: b"", socket: NameId::NONE, key: 1 };

    fn serve(domain: &Domain, about: About, now_s: u64, message: &Message, only_renew: bool) -> bool {
        serve_as(&Policy::default(), domain, about, now_s, message, only_renew)
    }

    fn serve_as(
        policy: &Policy,
        domain: &Domain,
        about: About,
        now_s: u64,
        message: &Message,
        only_renew: bool,
    ) -> bool {
        let familiar = Familiar::new(about.key);
        let flags = SaveFlags::parse(about.flags).unwrap();
        let source = Source {
            received: about.received,
            socket: about.socket,
            peer: ("192.0.2.9:5060".parse().unwrap(), b"udp"),
            host_port: b"h",
            flags: 0,
            cflags: 0,
            attr: about.attr,
            ownership_tag: NameId::NONE,
            is_own: &|_| false,
            random: 0,
            unproven: None,
        };
        let save =
            Save { now_s, policy, flags: &flags, domain, source, allow: None, familiar: Some(&familiar) };
        if only_renew {
            let mut out = Aor::new();
            let found = Found::read(message, None, &save, &mut out).ok().unwrap();
            return save.renewal(&found.begun, &found.entry).is_some();
        }
        save.handle(message, None, &mut Vec::new(), &mut ()).status == 200
    }

    /// Serves a usual REGISTER, then asks whether another one is told to say the same.
    #[track_caller]
    fn check(about: About, cseq: u32, lines: &str, expected: bool) {
        let location = Location::new(Settings { secret: [1; 16], shards: 1 });
        let domain = location.declare("location").unwrap();
        let first = message(1, &format!("Call-ID: 1\r\n{USUAL}"));
        assert!(serve(&domain, PLAIN, 1000, &first, false));
        assert_eq!(serve(&domain, about, 1100, &message(cseq, lines), true), expected, "{lines}");
    }

    #[test]
    fn a_refresh_that_says_the_same_is_told() {
        check(PLAIN, 2, &format!("Call-ID: 1\r\n{USUAL}"), true);
        check(PLAIN, 2, &format!("Call-ID: 1\r\n{USUAL}Authorization: Digest x=y\r\nX: 1\r\n"), true);
        check(About { flags: "no-reply", ..PLAIN }, 2, &format!("Call-ID: 1\r\n{USUAL}"), true);
    }

    #[test]
    fn whatever_is_read_makes_a_difference() {
        check(PLAIN, 2, &format!("Call-ID: 2\r\n{USUAL}"), false);
        for (old, new) in [
            ("<sip:a@192.0.2.9>", "<sip:a@192.0.2.8>"),
            ("<sip:a@192.0.2.9>", "<sip:a@192.0.2.9>;q=1"),
            ("<sip:a@192.0.2.9>", "<sip:a@192.0.2.9>, <sip:b@192.0.2.9>"),
            ("Phone/1", "Phone/2"),
            ("INVITE", "INVITE, BYE"),
            ("600", "60"),
            ("Expires: 600\r\n", ""),
            ("Expires: 600\r\n", "Expires: 600\r\nSupported: path\r\n"),
            ("Expires: 600\r\n", "Expires: 600\r\nContact: <sip:a@192.0.2.9>\r\n"),
            ("User-Agent: Phone/1\r\n", ""),
            ("Contact: <sip:a@192.0.2.9>\r\n", ""),
        ] {
            assert!(USUAL.contains(old));
            check(PLAIN, 2, &format!("Call-ID: 1\r\n{}", USUAL.replace(old, new)), false);
        }
    }

    #[test]
    fn so_does_what_is_about_it() {
        let same = format!("Call-ID: 1\r\n{USUAL}");
        for flags in [
            "max-contacts=1",
            "min-expires=60",
            "max-expires=60",
            "matching-mode=1",
            "path-lazy",
            "path-received",
            "only-request-contacts",
            "force-registration",
            "memory-only",
            "socket-header",
        ] {
            check(About { flags, ..PLAIN }, 2, &same, false);
        }
        check(About { received: b"sip:192.0.2.8", ..PLAIN }, 2, &same, false);
        check(About { attr: b"sip:192.0.2.8", ..PLAIN }, 2, &same, false);
        check(About { key: 2, ..PLAIN }, 2, &same, false);
        let location = Location::new(Settings { secret: [1; 16], shards: 1 });
        let socket = location.names().intern(b"udp:192.0.2.1:5060").unwrap();
        check(About { socket, ..PLAIN }, 2, &same, false);
    }

    /// As [`check`], where pushes are on.
    #[track_caller]
    fn check_pushed(first: &str, second: &str, expected: bool) {
        let location = Location::new(Settings { secret: [1; 16], shards: 1 });
        let domain = location.declare("location").unwrap();
        let push = Push { providers: vec![(*b"fcm").into()], ..Push::default() };
        let policy = Policy { push: Some(Arc::new(push)), ..Policy::default() };
        assert!(serve_as(&policy, &domain, PLAIN, 1000, &message(1, first), false));
        assert_eq!(serve_as(&policy, &domain, PLAIN, 1100, &message(2, second), true), expected, "{second}");
    }

    #[test]
    fn contacts_that_are_woken_by_pushes_are_told_too() {
        let usual = |uri: &str| format!("Call-ID: 1\r\nContact: <{uri}>\r\n");
        let here = usual("sip:a@192.0.2.9;pn-provider=fcm;pn-param=p;pn-prid=t");
        check_pushed(&here, &here, true);
        check_pushed(&here, &here.replace("prid=t", "prid=u"), false);
        // A proxy on the way pushes, or does not any more.
        let caps = "Feature-Caps: *;+sip.pns=\"x\"\r\n";
        let elsewhere = usual("sip:a@192.0.2.9;pn-provider=x;pn-param=p;pn-prid=t") + caps;
        check_pushed(&elsewhere, &elsewhere, true);
        check_pushed(&elsewhere, &elsewhere.replace(caps, ""), false);
        check_pushed(&elsewhere, &(elsewhere.clone() + caps), false);
        check_pushed(&here, &(here.clone() + caps), false);
        // Who asks is told all providers.
        let asks = usual("sip:a@192.0.2.9;pn-provider");
        check_pushed(&asks, &asks, false);
    }

    #[test]
    fn what_is_not_newer_takes_the_long_way() {
        check(PLAIN, 1, &format!("Call-ID: 1\r\n{USUAL}"), false);
        check(PLAIN, 0, &format!("Call-ID: 1\r\n{USUAL}"), false);
    }
}
