//! Addresses of record: the one spelling under which a user's bindings are kept (behaviour §2, RFC 3261 §10.3
//! step 5).

use memchr::memchr;
use seawall_sip::uri::{Plain, escape};
use seawall_sip::{Uri, ascii};
use smallvec::SmallVec;

use crate::policy::Policy;
use crate::reject::Reject;

/// An address of record: `user@host`, or `user` without `use_domain`. The user is unescaped, so these are bytes.
pub type Aor = SmallVec<[u8; 96]>;

/// The address of record of a SIP or SIPS URI in its canonical form, appended to an emptied `out`: user unescaped
/// and, unless `case_sensitive`, in lower case; host in lower case without port and `realm_prefix`.
///
/// # Errors
/// The part of the URI that is missing, malformed or too long.
pub fn canonical(uri: &Uri<'_>, policy: &Policy, out: &mut Aor) -> Result<(), Reject> {
    out.clear();
    if !uri.is_sip() {
        return Err(Reject::AorParse);
    }
    let user = uri.user.ok_or(Reject::NoUsername)?;
    if let Some(whole) = user_at_host(uri, user, policy) {
        let is_long = user.len() > policy.max_username_len
            || uri.host.len() > policy.max_domain_len
            || whole.len() > policy.max_aor_len;
        out.extend_from_slice(whole);
        lower_host(out, user.len());
        return if is_long { Err(Reject::AorTooLong) } else { Ok(()) };
    }
    append_user(user, out)?;
    if out.len() > policy.max_username_len {
        return Err(Reject::AorTooLong);
    }
    if !policy.case_sensitive {
        out.make_ascii_lowercase();
    }
    if policy.use_domain {
        let host = without_prefix(uri.host, &policy.realm_prefix);
        if host.len() > policy.max_domain_len {
            return Err(Reject::AorTooLong);
        }
        out.push(b'@');
        let start = out.len();
        out.extend_from_slice(host);
        if let Some(host) = out.get_mut(start..) {
            host.make_ascii_lowercase();
        }
    }
    if out.len() > policy.max_aor_len { Err(Reject::AorTooLong) } else { Ok(()) }
}

/// Whether user and host are taken as they are, but for the case of the host.
#[inline]
fn takes_as_it_is(policy: &Policy) -> bool {
    policy.use_domain && policy.case_sensitive && policy.realm_prefix.is_empty()
}

#[inline]
fn lower_host(aor: &mut Aor, user_len: usize) {
    if let Some(host) = aor.get_mut(user_len..) {
        host.make_ascii_lowercase();
    }
}

/// What is the address of record but for the case of its host: user and host where they stand side by side, have no
/// escapes and are taken as they are, which is nearly always. `None` is no verdict.
#[inline]
fn user_at_host<'a>(uri: &Uri<'a>, user: &[u8], policy: &Policy) -> Option<&'a [u8]> {
    if !takes_as_it_is(policy) || uri.password.is_some() {
        return None;
    }
    let start = uri.scheme_name.len() + 1;
    let whole = uri.raw.get(start..start + user.len() + 1 + uri.host.len())?;
    (!user.contains(&b'%')).then_some(whole)
}

/// The address of record of a URI as text (the `aor` argument of script functions).
///
/// # Errors
/// As [`canonical`].
pub fn canonical_text(text: &[u8], policy: &Policy, out: &mut Aor) -> Result<(), Reject> {
    if let Some(plain) = as_it_is(text, policy) {
        out.clear();
        out.extend_from_slice(plain);
        return Ok(());
    }
    if let Some(plain) = user_and_host(text, policy) {
        out.clear();
        out.extend_from_slice(plain.whole);
        lower_host(out, plain.user.len());
        return Ok(());
    }
    match Uri::parse(text) {
        Ok(uri) => canonical(&uri, policy, out),
        Err(seawall_sip::uri::UriError::Escape) => Err(Reject::Unescape),
        Err(_) => Err(Reject::AorParse),
    }
}

/// The address of record of a SIP URI as text, where it is plain to see: a user and a host of letters, digits and a few
/// signs, and nothing but a port behind them. The URI may still be wrong in other ways. `None` is no verdict: ask
/// [`canonical_text`].
#[inline]
#[must_use]
pub fn plain<'a>(text: &'a [u8], policy: &Policy) -> Option<&'a [u8]> {
    if let Some(plain) = as_it_is(text, policy) {
        return Some(plain);
    }
    let plain = user_and_host(text, policy)?;
    (!ascii::has_upper_case(plain.host)).then_some(plain.whole)
}

/// As [`plain`], for what most are and nothing else.
#[inline]
fn as_it_is<'a>(text: &'a [u8], policy: &Policy) -> Option<&'a [u8]> {
    let plain = Plain::read_lower(text).filter(|_| takes_as_it_is(policy))?;
    fits(&plain, policy).then_some(plain.whole)
}

/// As [`canonical_text`], but what is plain to see is given as it stands, and only the rest is written into `out`.
#[inline]
pub(crate) fn canonical_in<'a>(
    text: &'a [u8],
    policy: &Policy,
    out: &'a mut Aor,
) -> Result<&'a [u8], Reject> {
    if let Some(plain) = plain(text, policy) {
        return Ok(plain);
    }
    canonical_text(text, policy, out)?;
    Ok(out)
}

/// A URI of a user and a host and nothing else that are the address of record but for the case of the host.
#[inline]
fn user_and_host<'a>(text: &'a [u8], policy: &Policy) -> Option<Plain<'a>> {
    let plain = Plain::read(text).filter(|_| takes_as_it_is(policy))?;
    (fits(&plain, policy) && !plain.user.is_empty()).then_some(plain)
}

/// Whether no part is too long.
#[inline]
fn fits(plain: &Plain<'_>, policy: &Policy) -> bool {
    plain.user.len() <= policy.max_username_len
        && plain.host.len() <= policy.max_domain_len
        && plain.whole.len() <= policy.max_aor_len
}

fn append_user(user: &[u8], out: &mut Aor) -> Result<(), Reject> {
    if memchr(b'%', user).is_none() {
        out.extend_from_slice(user);
        return Ok(());
    }
    let mut unescaped = Vec::with_capacity(user.len());
    escape::unescape_into(user, &mut unescaped).map_err(|_| Reject::Unescape)?;
    out.extend_from_slice(&unescaped);
    Ok(())
}

fn without_prefix<'a>(host: &'a [u8], prefix: &[u8]) -> &'a [u8] {
    match host.split_at_checked(prefix.len()) {
        Some((start, rest)) if !rest.is_empty() && start.eq_ignore_ascii_case(prefix) => rest,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(policy: &Policy, uri: &str, expected: Result<&str, Reject>) {
        let mut aor = Aor::new();
        let found = canonical_text(uri.as_bytes(), policy, &mut aor);
        assert_eq!(
            found.map(|()| String::from_utf8_lossy(&aor).into_owned()),
            expected.map(str::to_owned),
            "{uri}"
        );
    }

    #[test]
    fn what_is_plain_to_see_is_what_reading_finds() {
        let policy = Policy::default();
        for (uri, is_plain) in [
            ("sip:alice@example.com", true),
            ("sip:+49.30_1-2@192.0.2.1", true),
            ("sip:Alice.B_c-1@a-host.example.com", true),
            ("sip:alice@Example.com.example.org", false),
            ("sip:alice@example.com:5070", false),
            ("sip:Alice@Example.com", false),
            ("sip:%61lice@example.com", false),
            ("sip:alice:pw@example.com", false),
            ("sip:alice@example.com;x=y", false),
            ("sip:alice@example.com:", false),
            ("sip:alice@[2001:db8::1]", false),
            ("sip:example.com", false),
            ("sip:@h", false),
            ("sip:a@", false),
            ("sips:alice@example.com", false),
            ("SIP:alice@example.com", false),
            ("tel:+4930", false),
        ] {
            let found = plain(uri.as_bytes(), &policy);
            assert_eq!(found.is_some(), is_plain, "{uri}");
            if let Some(found) = found {
                let mut read = Aor::new();
                canonical_text(uri.as_bytes(), &policy, &mut read).unwrap();
                assert_eq!(found, read.as_slice(), "{uri}");
            }
            let (mut read, mut rest) = (Aor::new(), Aor::new());
            let is_read = canonical_text(uri.as_bytes(), &policy, &mut read);
            let given = canonical_in(uri.as_bytes(), &policy, &mut rest).map(<[u8]>::to_vec);
            assert_eq!(given, is_read.map(|()| read.to_vec()), "{uri}");
        }
        let long = format!("sip:{}@h", "u".repeat(65));
        assert_eq!(plain(long.as_bytes(), &policy), None);
        let folded = Policy { case_sensitive: false, ..Policy::default() };
        assert_eq!(plain(b"sip:alice@h", &folded), None);
    }

    #[test]
    fn user_is_unescaped_and_host_lower_cased_without_port() {
        let policy = Policy::default();
        check(&policy, "sip:Alice@Example.COM:5070;x=y", Ok("Alice@example.com"));
        check(&policy, "sips:%61lice:pw@example.com", Ok("alice@example.com"));
        check(&policy, "sip:a%00b@h", Ok("a\0b@h"));
        check(&policy, "sip:a@[2001:DB8::1]:5060", Ok("a@[2001:db8::1]"));
    }

    #[test]
    fn case_domain_and_prefix_follow_the_parameters() {
        let insensitive = Policy { case_sensitive: false, ..Policy::default() };
        check(&insensitive, "sip:ALICE@h", Ok("alice@h"));
        let userless = Policy { use_domain: false, realm_prefix: (*b"sip.").into(), ..Policy::default() };
        check(&userless, "sip:alice@sip.h", Ok("alice"));
        let prefix = Policy { realm_prefix: (*b"sip.").into(), ..Policy::default() };
        check(&prefix, "sip:alice@SIP.example.com", Ok("alice@example.com"));
        check(&prefix, "sip:alice@sip.", Ok("alice@sip."));
        check(&prefix, "sip:alice@sipx.org", Ok("alice@sipx.org"));
    }

    #[test]
    fn what_is_no_address_of_record_is_refused() {
        let policy = Policy::default();
        check(&policy, "sip:example.com", Err(Reject::NoUsername));
        check(&policy, "tel:+4930", Err(Reject::AorParse));
        check(&policy, "isbn:2983792873", Err(Reject::AorParse));
        check(&policy, "alice", Err(Reject::AorParse));
        check(&policy, "sip:a%zz@h", Err(Reject::Unescape));
        check(&policy, &format!("sip:{}@h", "u".repeat(64)), Ok(&format!("{}@h", "u".repeat(64))));
        check(&policy, &format!("sip:{}@h", "u".repeat(65)), Err(Reject::AorTooLong));
        check(&policy, &format!("sip:a@{}", "h".repeat(65)), Err(Reject::AorTooLong));
        let short = Policy { max_aor_len: 5, ..Policy::default() };
        check(&short, "sip:abc@h", Ok("abc@h"));
        check(&short, "sip:abcd@h", Err(Reject::AorTooLong));
    }
}
