//! The checks before a request is forwarded (RFC 3261 §16.3), as far as they depend on the proxy.

use seawall_sip::{Message, Name, Via, cseq, validate, via};

use crate::{keys::Keys, limits::MAX_VIAS};

/// Why a proxy does not forward a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objection {
    /// Max-Forwards has come to 0 (§16.3 step 3).
    TooManyHops,
    /// The request was here before and would be sent the same way again (§16.3 step 4, RFC 5393 §4.2).
    Loop,
    /// Proxy-Require names an extension that the proxy does not have (§16.3 step 5).
    BadExtension,
}

impl Objection {
    /// The status code of the answer.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Objection::TooManyHops => 483,
            Objection::Loop => 482,
            Objection::BadExtension => 420,
        }
    }

    /// The reason phrase of the answer.
    #[must_use]
    pub fn reason(self) -> &'static [u8] {
        match self {
            Objection::TooManyHops => b"Too Many Hops",
            Objection::Loop => b"Loop Detected",
            Objection::BadExtension => b"Bad Extension",
        }
    }

    /// Appends the header lines that the answer needs: Unsupported, with what was required in vain.
    pub fn write_headers(self, request: &Message, supported: &[&[u8]], out: &mut Vec<u8>) {
        if self != Objection::BadExtension {
            return;
        }
        out.extend_from_slice(b"Unsupported: ");
        for (index, option) in validate::unsupported(request, Name::ProxyRequire, supported).enumerate() {
            out.extend_from_slice(if index > 0 { b", " } else { b"" });
            out.extend_from_slice(option);
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// All three checks. `path` is the request's [`path_hash`](Keys::path_hash), `supported` are the option tags that
/// the proxy understands.
///
/// # Errors
/// The first objection.
pub fn check(request: &Message, keys: &Keys, path: u64, supported: &[&[u8]]) -> Result<(), Objection> {
    if cseq::max_forwards(request) == Ok(Some(0)) {
        return Err(Objection::TooManyHops);
    }
    if is_loop(request, keys, path) {
        return Err(Objection::Loop);
    }
    extensions(request, supported)
}

/// Whether a Via of the request was written by this server for a request that went the same way. A request that
/// comes by again but goes elsewhere is a spiral and no loop.
#[must_use]
pub fn is_loop(request: &Message, keys: &Keys, path: u64) -> bool {
    let is_ours = |branch: &[u8]| keys.branch_path(branch) == Some(path);
    // What comes from a client has one Via, which was taken apart when the message was scanned.
    if let (Ok(top), Some(value), false) =
        (Via::top(request), request.value(Name::Via), request.is_repeated(Name::Via))
        && top.raw.len() == value.len()
    {
        return top.branch().is_some_and(is_ours);
    }
    let vias = via::vias(request).take(MAX_VIAS).filter_map(Result::ok);
    vias.filter_map(|via| via.branch()).any(is_ours)
}

/// Whether everything that Proxy-Require lists is supported.
///
/// # Errors
/// [`Objection::BadExtension`].
pub fn extensions(request: &Message, supported: &[&[u8]]) -> Result<(), Objection> {
    if request.header(Name::ProxyRequire).is_none() {
        return Ok(());
    }
    validate::extensions(request, Name::ProxyRequire, supported).map_err(|_| Objection::BadExtension)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TransactionId;

    fn request(headers: &str) -> Message {
        let text = format!("MESSAGE sip:b@c SIP/2.0\r\nCall-ID: 1\r\nCSeq: 1 MESSAGE\r\n{headers}\r\n");
        Message::parse(text.into_bytes()).expect("a request")
    }

    fn objection(request: &Message) -> Option<Objection> {
        let keys = Keys::new([1; 16]);
        check(request, &keys, keys.path_hash(request), &[b"path"]).err()
    }

    /// A Via that we wrote when we forwarded a request.
    fn our_via(request: &Message) -> String {
        let keys = Keys::new([1; 16]);
        let (mut branch, id) = (Vec::new(), TransactionId { shard: 1, slot: 2, generation: 3 });
        keys.write_branch(id.branch(0), keys.path_hash(request), &mut branch);
        format!("Via: SIP/2.0/UDP us;branch={}\r\n", String::from_utf8_lossy(&branch))
    }

    #[test]
    fn a_request_without_hops_left_is_refused() {
        assert_eq!(objection(&request("Max-Forwards: 0\r\n")), Some(Objection::TooManyHops));
        assert_eq!(objection(&request("Max-Forwards: 1\r\n")), None);
        assert_eq!(objection(&request("")), None);
    }

    #[test]
    fn a_request_that_comes_back_unchanged_is_a_loop() {
        let ours = our_via(&request(""));
        let looping = request(&format!("Via: SIP/2.0/UDP next;branch=z9hG4bKn\r\n{ours}"));
        assert_eq!(objection(&looping), Some(Objection::Loop));
    }

    #[test]
    fn a_request_that_comes_back_for_somewhere_else_is_a_spiral() {
        let ours = our_via(&request(""));
        let text = format!("MESSAGE sip:other@c SIP/2.0\r\nCall-ID: 1\r\nCSeq: 1 MESSAGE\r\n{ours}\r\n");
        assert_eq!(objection(&Message::parse(text.into_bytes()).expect("a request")), None);
        assert_eq!(objection(&request(&format!("{ours}Route: <sip:elsewhere;lr>\r\n"))), None);
    }

    #[test]
    fn an_extension_that_we_do_not_have_is_refused_by_name() {
        let refused = request("Proxy-Require: path, foo\r\nProxy-Require: bar\r\n");
        assert_eq!(objection(&refused), Some(Objection::BadExtension));
        let mut headers = Vec::new();
        Objection::BadExtension.write_headers(&refused, &[b"path"], &mut headers);
        assert_eq!(String::from_utf8_lossy(&headers), "Unsupported: foo, bar\r\n");
        assert_eq!(objection(&request("Proxy-Require: PATH\r\n")), None);
    }
}
