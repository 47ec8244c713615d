//! Rewriting parts of a URI while keeping everything else as it came.

use seawall_sip::Uri;

/// The URI with another user part; `None` takes it out. Nothing when `uri` is not a SIP URI.
#[must_use]
pub fn with_user(uri: &[u8], user: Option<&[u8]>) -> Option<Vec<u8>> {
    let parsed = Uri::parse(uri).ok().filter(Uri::is_sip)?;
    let mut out = start(&parsed, uri.len() + user.map_or(0, <[u8]>::len));
    if let Some(user) = user.filter(|user| !user.is_empty()) {
        out.extend_from_slice(user);
        if let Some(password) = parsed.password {
            out.push(b':');
            out.extend_from_slice(password);
        }
        out.push(b'@');
    }
    out.extend_from_slice(from_host(uri, &parsed)?);
    Uri::parse(&out).is_ok().then_some(out)
}

/// The URI with another host.
#[must_use]
pub fn with_host(uri: &[u8], host: &[u8]) -> Option<Vec<u8>> {
    let parsed = Uri::parse(uri).ok().filter(Uri::is_sip)?;
    let rest = from_host(uri, &parsed)?.get(parsed.host.len()..)?;
    let head = uri.get(..uri.len() - rest.len() - parsed.host.len())?;
    let out = [head, host, rest].concat();
    Uri::parse(&out).is_ok().then_some(out)
}

/// The URI with another port; `None` takes it out.
#[must_use]
pub fn with_port(uri: &[u8], port: Option<u16>) -> Option<Vec<u8>> {
    let parsed = Uri::parse(uri).ok().filter(Uri::is_sip)?;
    let tail = from_host(uri, &parsed)?.get(parsed.host_port().len()..)?;
    let head = uri.get(..uri.len() - tail.len() - parsed.host_port().len())?;
    let mut out = [head, parsed.host].concat();
    if let Some(port) = port {
        out.extend_from_slice(format!(":{port}").as_bytes());
    }
    out.extend_from_slice(tail);
    Some(out)
}

/// Appends bytes, leaving out everything that could end a header line.
pub fn push_clean(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(bytes.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n' | 0)));
}

/// Whether bytes may stand in a URI or a header value at all.
#[must_use]
pub fn is_clean(bytes: &[u8]) -> bool {
    !bytes.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0))
}

fn start(parsed: &Uri<'_>, capacity: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(capacity + 2);
    out.extend_from_slice(parsed.scheme_name);
    out.push(b':');
    out
}

/// The URI from its host on.
fn from_host<'a>(uri: &'a [u8], parsed: &Uri<'_>) -> Option<&'a [u8]> {
    let offset = (parsed.host.as_ptr() as usize).checked_sub(uri.as_ptr() as usize)?;
    uri.get(offset..)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(result: Option<Vec<u8>>, expected: &str) {
        assert_eq!(String::from_utf8_lossy(&result.unwrap_or_default()), expected);
    }

    #[test]
    fn only_the_named_part_changes() {
        let uri = b"sip:alice:pw@example.com:5070;transport=tcp?a=b";
        check(with_user(uri, Some(b"bob")), "sip:bob:pw@example.com:5070;transport=tcp?a=b");
        check(with_user(uri, None), "sip:example.com:5070;transport=tcp?a=b");
        check(with_host(uri, b"[::1]"), "sip:alice:pw@[::1]:5070;transport=tcp?a=b");
        check(with_port(uri, Some(5090)), "sip:alice:pw@example.com:5090;transport=tcp?a=b");
        check(with_port(uri, None), "sip:alice:pw@example.com;transport=tcp?a=b");
        check(with_port(b"sips:h", Some(1)), "sips:h:1");
        check(with_user(b"sip:h", Some(b"u")), "sip:u@h");
    }

    #[test]
    fn what_would_not_be_a_uri_is_refused() {
        assert_eq!(with_user(b"tel:123", Some(b"x")), None);
        assert_eq!(with_host(b"sip:a@b", b"x y"), None);
        assert_eq!(with_user(b"sip:a@b", Some(b"x@y>")), None);
    }
}
