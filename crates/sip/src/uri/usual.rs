//! A short way for URIs as phones write them.

use super::{Scheme, Uri};
use crate::{
    ascii::{self, Class},
    params::Params,
    swar,
};

/// Takes apart `sip:user@host`, with a port or without, and with parameters or without, none of them with an escape: nearly
/// every Contact and Request-URI. It takes half of what [`Uri::parse`] does, which takes each of them too. `None` is no verdict.
#[inline]
pub(super) fn read(raw: &[u8]) -> Option<Uri<'_>> {
    let whole = raw.strip_prefix(b"sip:")?;
    let (user, from_host) = whole.split_at_checked(swar::find(whole, b'@')?)?;
    let from_host = from_host.get(1..)?;
    let (host, behind) = from_host.split_at_checked(Class::HOST.run_len(from_host))?;
    if user.is_empty() || host.is_empty() || !Class::USER.has_all(user) {
        return None;
    }
    let (port, behind) = match behind {
        [b':', behind @ ..] => {
            let (digits, behind) = behind.split_at_checked(Class::DIGIT.run_len(behind))?;
            (Some(ascii::parse_port(digits).ok()?), behind)
        }
        _ => (None, behind),
    };
    let params = match behind {
        [] => Params::default(),
        [b';', params @ ..] if are_usual(params) => Params::new(params),
        _ => return None,
    };
    Some(Uri {
        raw,
        scheme: Scheme::Sip,
        scheme_name: raw.get(..3).unwrap_or_default(),
        user: Some(user),
        password: None,
        host,
        port,
        params,
        headers: None,
        opaque: b"",
    })
}

/// Whether these are parameters, each with a name, without escapes.
#[inline]
fn are_usual(params: &[u8]) -> bool {
    let mut rest = params;
    loop {
        match rest.get(Class::URI_PARAM.run_len(rest)..) {
            // No name.
            Some(behind) if behind.len() == rest.len() => return false,
            Some([b'=', value @ ..]) => {
                rest = value.get(Class::URI_PARAM.run_len(value)..).unwrap_or_default()
            }
            Some(behind) => rest = behind,
            None => return false,
        }
        match rest {
            [] => return true,
            [b';', next @ ..] => rest = next,
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_reads_as_the_long_way_does(
            text in "[sS]ip:(([a-c:%;?=]{0,4}|[a-c]{1,3})@)?[a-c1.\\[_-]{0,4}(:[0-9]{0,6})?(;[a%&-]{0,3}(=[a1=&\\[]{0,3})?){0,3}[;?=@ ]?"
        ) {
            if let Some(uri) = read(text.as_bytes()) {
                let other = Uri::parse_any(text.as_bytes()).map(|other| format!("{other:?}"));
                prop_assert_eq!(Ok(format!("{uri:?}")), other);
            }
        }
    }

    #[test]
    fn what_phones_write_takes_the_short_way() {
        for usual in [
            "sip:u@h",
            "sip:u1@192.0.2.1:5060",
            "sip:u@h;ob",
            "sip:u;x=y?@h.example:1;transport=udp;pn-prid=a:b[c]/$+;lr",
            "sip:u@h;x=",
        ] {
            assert!(read(usual.as_bytes()).is_some(), "{usual}");
        }
        for other in [
            "sip:h",
            "sip:@h",
            "sip:u:p@h",
            "sip:u@[::1]",
            "sip:u@h;",
            "sip:u@h;;x",
            "sip:u@h;=x",
            "sips:u@h",
        ] {
            assert!(read(other.as_bytes()).is_none(), "{other}");
        }
    }
}
