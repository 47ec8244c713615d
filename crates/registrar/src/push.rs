//! Contacts that are woken by a push before requests reach them (RFC 8599; registrar 1.1.3, behaviour §5).
//!
//! [`Push`] reads the `pn-` parameters of every contact of a REGISTER, says what the answer tells about them, and knows
//! when a contact counts as awake. It pushes nothing itself: a [`Sleeper`](crate::Sleeper) of a lookup is for the caller.

mod purr;

use seawall_location::{Binding, Domain, Entry, Matching};
use seawall_sip::{Message, Uri, ascii, feature_caps};

use crate::limits::MAX_MATCH_PARAMS;
use crate::reject::Reject;
use crate::request::{Asked, Register};

pub use purr::{PURR_LEN, read_purr, write_purr};

/// The parameters `pn_*` (registrar 1.3.22 to 1.3.29). Times are seconds.
#[derive(Clone, Debug)]
pub struct Push {
    /// `pn_providers`, in their order.
    pub providers: Vec<Box<[u8]>>,
    /// `pn_ct_match_params`.
    pub match_params: MatchParams,
    /// `pn_pnsreg_interval`.
    pub pnsreg_interval_s: u32,
    /// `pn_trigger_interval`.
    pub trigger_interval_s: u32,
    /// `pn_skip_pn_interval`.
    pub skip_interval_s: u32,
    /// `pn_refresh_timeout`.
    pub refresh_timeout_s: u32,
    /// `pn_enable_purr`.
    pub purr: bool,
    /// The public key by which services of Web Push know who pushes (RFC 8292 section 3.2), in base64url; nothing where
    /// nobody here signs for them.
    pub vapid: Option<Box<[u8]>>,
}

impl Default for Push {
    fn default() -> Push {
        Push {
            providers: Vec::new(),
            match_params: MatchParams::new(
                [&b"pn-provider"[..], b"pn-prid", b"pn-param"].map(Box::from).into(),
            ),
            pnsreg_interval_s: 130,
            trigger_interval_s: 120,
            skip_interval_s: 0,
            refresh_timeout_s: 6,
            purr: false,
            vapid: None,
        }
    }
}

/// The parameters of `pn_ct_match_params`.
#[derive(Clone, Debug)]
pub struct MatchParams {
    all: Vec<Box<[u8]>>,
    /// Those of a contact of Web Push without `pn-param`, which Web Push does not have (RFC 8599 §12).
    of_webpush: Vec<Box<[u8]>>,
}

/// What the parameters of a contact say, read once.
#[derive(Default)]
struct Told<'m> {
    /// `pn-provider`, and its value.
    provider: Option<Option<&'m [u8]>>,
    has_prid: bool,
    has_param: bool,
    /// Whether another one that needs a value has none.
    is_empty: bool,
    /// Which of `pn_ct_match_params` have a value: a bit for each, in their order.
    found: u32,
}

impl MatchParams {
    /// The parameters by their names; those behind the first [`MAX_MATCH_PARAMS`] are left out.
    #[must_use]
    pub fn new(mut all: Vec<Box<[u8]>>) -> MatchParams {
        all.truncate(MAX_MATCH_PARAMS);
        let of_webpush = all.iter().filter(|name| !is_param(name)).cloned().collect();
        MatchParams { all, of_webpush }
    }

    /// Those that a contact has to have.
    fn of(&self, is_short: bool) -> &[Box<[u8]>] {
        if is_short { &self.of_webpush } else { &self.all }
    }

    fn read<'m>(&self, uri: &Uri<'m>) -> Told<'m> {
        let (mut told, mut seen) = (Told::default(), 0_u32);
        for param in uri.params.iter() {
            let is_empty = param.value.is_none_or(<[u8]>::is_empty);
            let place = self.all.iter().position(|name| ascii::eq_ignore_case(name, param.name));
            let bit = place.map_or(0, |place| 1_u32 << place);
            // Of several with one name the first counts.
            let is_first = seen & bit == 0;
            seen |= bit;
            if is_first && !is_empty {
                told.found |= bit;
            }
            if ascii::eq_ignore_case(param.name, b"pn-provider") {
                told.provider = told.provider.or(Some(param.value));
            } else if ascii::eq_ignore_case(param.name, b"pn-prid") {
                told.is_empty |= is_empty && !told.has_prid;
                told.has_prid = true;
            } else if is_param(param.name) {
                told.is_empty |= is_empty && !told.has_param;
                told.has_param = true;
            } else {
                told.is_empty |= bit != 0 && is_first && is_empty;
            }
        }
        told
    }

    /// Whether all of them were found that a contact has to have.
    fn are_all(&self, found: u32, is_short: bool) -> bool {
        let places = self.all.iter().enumerate();
        let mut wanted = places.filter(|(_, name)| !is_short || !is_param(name));
        wanted.all(|(place, _)| found & (1 << place) != 0)
    }
}

fn is_param(name: &[u8]) -> bool {
    ascii::eq_ignore_case(name, b"pn-param")
}

/// What a contact says about pushes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wakes {
    /// Nothing, or not enough.
    #[default]
    Not,
    /// It asks which providers there are: `pn-provider` without a value, or without a token to go with it.
    Asks,
    /// A proxy between the phone and this server pushes for its provider: it is matched by its parameters, no more.
    Elsewhere,
    /// This server pushes.
    Here,
}

impl Wakes {
    /// Whether the contact is matched by its `pn-` parameters.
    #[inline]
    pub(crate) fn is_matched(self) -> bool {
        matches!(self, Wakes::Elsewhere | Wakes::Here)
    }
}

impl Push {
    /// Reads what every contact of a request says.
    ///
    /// # Errors
    /// A parameter without its value (400), or a provider that is not supported (555).
    #[inline]
    pub(crate) fn read<'m>(&self, message: &'m Message, contacts: &mut [Asked<'m>]) -> Result<(), Reject> {
        for asked in contacts {
            if mentions(asked.uri) {
                asked.wakes = self.inspect(message, asked)?;
            }
        }
        Ok(())
    }

    #[inline(never)]
    fn inspect<'m>(&self, message: &'m Message, asked: &mut Asked<'m>) -> Result<Wakes, Reject> {
        // A URI that cannot be read is refused when the contact is looked at.
        let Ok(uri) = Uri::parse(asked.uri) else { return Ok(Wakes::Not) };
        let told = self.match_params.read(&uri);
        let Some(provider) = told.provider else { return Ok(Wakes::Not) };
        if provider.is_some_and(<[u8]>::is_empty) || told.is_empty {
            return Err(Reject::PushParamEmpty);
        }
        let Some(provider) = provider else { return Ok(Wakes::Asks) };
        let is_supported = self.supports(provider);
        let is_elsewhere = feature_caps::indicates(message, b"+sip.pns", provider);
        // What a phone takes away need not be supported any more, nor what a proxy on the way pushes for.
        if !is_supported && !is_elsewhere {
            return if asked.expires_s == 0 { Ok(Wakes::Not) } else { Err(Reject::PushUnsupported) };
        }
        if !told.has_prid {
            return Ok(if is_supported { Wakes::Asks } else { Wakes::Not });
        }
        asked.provider = provider;
        asked.is_short = !told.has_param && ascii::eq_ignore_case(provider, b"webpush");
        Ok(match self.match_params.are_all(told.found, asked.is_short) {
            false => Wakes::Not,
            true if is_elsewhere => Wakes::Elsewhere,
            true => Wakes::Here,
        })
    }

    fn supports(&self, provider: &[u8]) -> bool {
        self.providers.iter().any(|known| known.eq_ignore_ascii_case(provider))
    }

    /// How a contact is matched that has all parameters.
    pub(crate) fn matching(&self, asked: &Asked<'_>) -> Matching<'_> {
        Matching::Params(self.match_params.of(asked.is_short))
    }

    /// Appends what a 200 tells: the providers to a contact that asks, and to one that is woken from here its own, when
    /// it refreshes by itself, and its PURR (RFC 8599 §5.6.1, §6.2.1 and §8.2 to §8.6). `bound` holds the contacts that are bound now.
    #[cold]
    #[inline(never)]
    pub(crate) fn write_reply(
        &self,
        register: &Register<'_>,
        domain: &Domain,
        bound: &Entry<'_>,
        out: &mut Vec<u8>,
    ) {
        if register.contacts.iter().any(|asked| asked.wakes == Wakes::Asks) {
            self.write_asked(register, out);
        }
        for asked in register.contacts.iter().filter(|asked| asked.wakes == Wakes::Here) {
            if let Some(binding) = pushed(bound, asked.uri) {
                self.write_own(&binding, asked.provider, domain, out);
            }
        }
    }

    /// As [`write_reply`](Push::write_reply), for a REGISTER that says what the last one of the binding at `position` has said,
    /// which was woken from here.
    pub(crate) fn write_again(&self, position: usize, domain: &Domain, bound: &Entry<'_>, out: &mut Vec<u8>) {
        let Some(binding) = bound.binding(position) else { return };
        let Some(provider) = known_provider(binding.contact) else { return };
        let is_only = bound.len() == 1;
        if let Some(binding) = if is_only { Some(binding) } else { pushed(bound, binding.contact) } {
            self.write_own(&binding, provider, domain, out);
        }
    }

    fn write_own(&self, binding: &Binding<'_>, provider: &[u8], domain: &Domain, out: &mut Vec<u8>) {
        self.write_caps(provider, out);
        if self.purr {
            out.extend_from_slice(b";+sip.pnspurr=\"");
            write_purr(domain, binding, out);
            out.push(b'"');
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Tells those who ask: all providers, or the one that is named (RFC 8599 §5.6.1.2).
    fn write_asked(&self, register: &Register<'_>, out: &mut Vec<u8>) {
        for known in self.asked_for(register) {
            self.write_service(known, out);
            out.extend_from_slice(b"\r\n");
        }
    }

    /// The providers that are asked for: those that are named, or all by a contact that names none.
    fn asked_for<'a>(&'a self, register: &'a Register<'_>) -> impl Iterator<Item = &'a [u8]> {
        let asking = || register.contacts.iter().filter(|asked| asked.wakes == Wakes::Asks);
        let asks_all = asking().any(|asked| provider(asked.uri).is_none());
        let names = move |known: &[u8]| {
            asking().filter_map(|asked| provider(asked.uri)).any(|name| name.eq_ignore_ascii_case(known))
        };
        self.providers.iter().map(|known| &**known).filter(move |known| asks_all || names(known))
    }

    /// Appends one line for each provider: what a 555 tells (RFC 8599 §5.6.1).
    pub(crate) fn write_providers(&self, out: &mut Vec<u8>) {
        for provider in &self.providers {
            write_pns(provider, out);
            out.extend_from_slice(b"\r\n");
        }
    }

    /// `Feature-Caps: *;+sip.pns="…";+sip.pnsreg="…"`, without its line end.
    fn write_caps(&self, provider: &[u8], out: &mut Vec<u8>) {
        self.write_service(provider, out);
        out.extend_from_slice(b";+sip.pnsreg=\"");
        ascii::write_u32(out, self.pnsreg_interval_s);
        out.push(b'"');
    }

    /// A provider, and the key that a phone may restrict a subscription of Web Push to (RFC 8599 §5.6.1 and §8.3).
    fn write_service(&self, provider: &[u8], out: &mut Vec<u8>) {
        write_pns(provider, out);
        if let Some(key) = self.vapid.as_deref().filter(|_| ascii::eq_ignore_case(provider, b"webpush")) {
            out.extend_from_slice(b";+sip.vapid=\"");
            out.extend_from_slice(key);
            out.push(b'"');
        }
    }

    /// The header lines that tell the registrars behind this one which pushes are sent from here (RFC 8599 §5.6.1), also
    /// to phones that only ask.
    pub(crate) fn forwarded(&self, register: &Register<'_>) -> Box<[u8]> {
        let here = register.contacts.iter().filter(|asked| asked.wakes == Wakes::Here);
        let mut out = Vec::new();
        for provider in here.map(|asked| asked.provider).chain(self.asked_for(register)) {
            let mut line = Vec::new();
            write_pns(provider, &mut line);
            line.extend_from_slice(b"\r\n");
            if !out.windows(line.len()).any(|known| known == line) {
                out.extend_from_slice(&line);
            }
        }
        out.into_boxed_slice()
    }

    /// Whether a contact has to be woken before a request is sent to it: unless it was refreshed within
    /// `pn_skip_pn_interval`, which nobody can say when the clock was set back since.
    #[must_use]
    pub fn is_asleep(&self, binding: &Binding<'_>, now_s: u64) -> bool {
        let awake_until_s = u64::from(binding.numbers.last_modified_s) + u64::from(self.skip_interval_s);
        binding.is_pushed() && (awake_until_s <= now_s || binding.numbers.is_of_the_future(now_s))
    }

    /// Appends a URI without the parameters of `pn_ct_match_params` (registrar 1.3.24).
    pub fn strip(&self, uri: &[u8], out: &mut Vec<u8>) {
        let Ok(parsed) = Uri::parse(uri) else { return out.extend_from_slice(uri) };
        let params = parsed.params.as_bytes();
        let Some(at) = offset(uri, params).filter(|_| !params.is_empty()) else {
            return out.extend_from_slice(uri);
        };
        out.extend_from_slice(uri.get(..at.saturating_sub(1)).unwrap_or_default());
        for param in parsed.params.iter() {
            if !self.match_params.all.iter().any(|name| name.eq_ignore_ascii_case(param.name)) {
                out.push(b';');
                out.extend_from_slice(param.raw);
            }
        }
        out.extend_from_slice(uri.get(at + params.len()..).unwrap_or_default());
    }
}

/// The binding of a contact that is woken by pushes.
fn pushed<'a>(bound: &'a Entry<'_>, contact: &[u8]) -> Option<Binding<'a>> {
    let mut valid = bound.valid().map(|(_, binding)| binding);
    valid.find(|binding| binding.contact == contact && binding.is_pushed())
}

/// Where a part of a text starts in it.
fn offset(whole: &[u8], part: &[u8]) -> Option<usize> {
    (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize).filter(|at| *at <= whole.len())
}

/// Whether a URI may have `pn-` parameters. Most have none, and are not taken apart.
#[inline]
fn mentions(uri: &[u8]) -> bool {
    memchr::memchr_iter(b';', uri)
        .any(|at| uri.get(at + 1..at + 4).is_some_and(|start| start.eq_ignore_ascii_case(b"pn-")))
}

/// The provider that a contact names.
fn provider(uri: &[u8]) -> Option<&[u8]> {
    Uri::parse(uri).ok()?.param(b"pn-provider")?
}

/// As [`provider`], for a URI that was read before and names one.
fn known_provider(uri: &[u8]) -> Option<&[u8]> {
    const NAME: &[u8] = b"pn-provider=";
    // What may look like parameters in front of `@` belongs to the user; behind the host there is no other `@`.
    let behind = uri.get(memchr::memchr(b'@', uri).unwrap_or(0)..)?;
    let value = memchr::memchr_iter(b';', behind).find_map(|at| {
        let (name, value) = behind.get(at + 1..)?.split_at_checked(NAME.len())?;
        name.eq_ignore_ascii_case(NAME).then_some(value)
    })?;
    value.get(..memchr::memchr2(b';', b'?', value).unwrap_or(value.len()))
}

fn write_pns(provider: &[u8], out: &mut Vec<u8>) {
    for part in [b"Feature-Caps: *;+sip.pns=\"", provider, b"\""] {
        out.extend_from_slice(part);
    }
}

/// Whether two contacts are the same phone: the same token of the same provider, or the same instance.
#[must_use]
pub fn is_same_phone(one: (&[u8], &[u8]), other: (&[u8], &[u8])) -> bool {
    let ((uri, instance), (other_uri, other_instance)) = (one, other);
    let is_instance = !instance.is_empty() && instance.eq_ignore_ascii_case(other_instance);
    is_instance || token(uri).is_some_and(|token_of_one| token(other_uri) == Some(token_of_one))
}

/// `pn-provider` and `pn-prid` of a contact.
fn token(uri: &[u8]) -> Option<(&[u8], &[u8])> {
    let uri = Uri::parse(uri).ok()?;
    uri.param(b"pn-provider").flatten().zip(uri.param(b"pn-prid").flatten())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_provider_is_found_again(
            text in "sip:(([ab]|;pn-provider=x){0,2}@)?h(;(pn-prid|PN-Provider|pn-provider|a)(=[ab&=]{1,3})?){0,4}([?]a=b;pn-provider=c)?"
        ) {
            let named = Uri::parse(text.as_bytes()).ok().and_then(|uri| uri.param(b"pn-provider")).flatten();
            if let Some(named) = named {
                prop_assert_eq!(known_provider(text.as_bytes()), Some(named));
            }
        }
    }

    #[test]
    fn the_parameters_of_the_match_are_stripped_and_nothing_else() {
        let check = |uri: &str, expected: &str| {
            let mut out = Vec::new();
            Push::default().strip(uri.as_bytes(), &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        };
        check("sip:a@h;pn-provider=fcm;pn-param=x;pn-prid=y", "sip:a@h");
        check(
            "sip:a@h;ob;PN-Provider=fcm;transport=tcp;pn-param=x;pn-prid=y;z",
            "sip:a@h;ob;transport=tcp;z",
        );
        check("sip:a;pn-prid=q@h;pn-prid=y?X=pn-prid", "sip:a;pn-prid=q@h?X=pn-prid");
        check("sip:a@h;pn-silent=1;pn-prid=1", "sip:a@h;pn-silent=1");
        for same in ["sip:a@h", "sip:a@h;x", "no uri"] {
            check(same, same);
        }
    }

    #[test]
    fn a_phone_is_known_by_its_token_or_its_instance() {
        let check = |one: (&str, &str), other: (&str, &str), expected| {
            let bytes = |(uri, instance): (&'static str, &'static str)| (uri.as_bytes(), instance.as_bytes());
            let (one, other) = (leak(one), leak(other));
            assert_eq!(is_same_phone(bytes(one), bytes(other)), expected, "{one:?} {other:?}");
        };
        let (a, b) = ("sip:a@h;pn-provider=fcm;pn-prid=1", "sip:b@g;pn-prid=1;pn-provider=fcm");
        check((a, ""), (b, ""), true);
        check((a, ""), ("sip:a@h;pn-provider=apns;pn-prid=1", ""), false);
        check((a, "<X>"), ("sip:c@h", "<x>"), true);
        check(("sip:a@h", ""), ("sip:a@h", ""), false);
    }

    fn leak((uri, instance): (&str, &str)) -> (&'static str, &'static str) {
        (uri.to_owned().leak(), instance.to_owned().leak())
    }
}
