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

/// The URI as it may stand in a Request-URI: without headers and without `method` (RFC 3261 §16.6 step 2, §19.1.1).
/// Nothing when it is so already, which is nearly always.
#[must_use]
pub fn as_request_uri(uri: &[u8]) -> Option<Vec<u8>> {
    // Without an early exit, so that the compiler makes a few vector instructions of it.
    if !uri.iter().fold(false, |found, byte| found | matches!(byte, b';' | b'?')) {
        return None;
    }
    let parsed = Uri::parse(uri).ok().filter(Uri::is_sip)?;
    let is_method = |name: &[u8]| name.eq_ignore_ascii_case(b"method");
    if parsed.headers.is_none() && !parsed.params.iter().any(|param| is_method(param.name)) {
        return None;
    }
    let headers_len = parsed.headers.map_or(0, |headers| headers.len() + 1);
    let head_len = uri.len().checked_sub(parsed.params.as_bytes().len() + headers_len)?;
    let mut out = uri.get(..head_len)?.to_vec();
    while out.last() == Some(&b';') {
        out.pop();
    }
    for param in parsed.params.iter().filter(|param| !is_method(param.name)) {
        out.push(b';');
        out.extend_from_slice(param.raw);
    }
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
    fn a_request_uri_has_no_headers_and_no_method() {
        let text =
            |uri: &str| as_request_uri(uri.as_bytes()).map(|out| String::from_utf8(out).unwrap_or_default());
        let check = |uri: &str, expected: Option<&str>| assert_eq!(text(uri).as_deref(), expected, "{uri}");
        check("sip:a@b", None);
        check("sip:a;x=y@b;transport=tcp;lr", None);
        check("sip:a@b?Route=c", Some("sip:a@b"));
        check("sip:a@b:5070;x=1;lr?Route=c&d=e", Some("sip:a@b:5070;x=1;lr"));
        check("sip:a@b;Method=INVITE", Some("sip:a@b"));
        check("sip:a@b;x=1;method=INVITE;y?c=d", Some("sip:a@b;x=1;y"));
        check("sip:a?b@c", None);
        check("tel:+49;method=x", None);
    }

    #[test]
    fn what_would_not_be_a_uri_is_refused() {
        assert_eq!(with_user(b"tel:123", Some(b"x")), None);
        assert_eq!(with_host(b"sip:a@b", b"x y"), None);
        assert_eq!(with_user(b"sip:a@b", Some(b"x@y>")), None);
    }
}
