//! Path header fields (RFC 3327): checked, and joined into one value.

use seawall_sip::name_addr::{AddressError, NameAddr, addresses};
use seawall_sip::uri::escape;
use seawall_sip::{Message, Name, Uri};
use smallvec::SmallVec;

use crate::limits::{MAX_PATH_LEN, MAX_RECEIVED_LEN};
use crate::reject::Reject;

/// The Path of a request.
#[derive(Debug, Default)]
pub struct Path {
    /// All values, joined with `,`; empty when there is none.
    pub joined: SmallVec<[u8; 0]>,
    /// The `received` parameter of the first URI, unescaped; empty when there is none.
    pub received: SmallVec<[u8; 0]>,
}

impl Path {
    /// Reads the Path header fields of a message.
    ///
    /// # Errors
    /// [`Reject::PathParse`] when a value is malformed, the first URI has no `;lr`, or all are over the limit.
    pub fn read(message: &Message) -> Result<Path, Reject> {
        let mut path = Path::default();
        for address in addresses(message, Name::Path) {
            path.add(address).ok_or(Reject::PathParse)?;
        }
        Ok(path)
    }

    /// Whether the proxy that the client talks to supports outbound: the last value has `;ob`, for each proxy puts its own
    /// in front (RFC 5626 §5.1).
    pub(crate) fn has_outbound_edge(&self) -> bool {
        let last = seawall_sip::name_addr::NameAddrs::new(&self.joined).last();
        last.and_then(Result::ok)
            .and_then(|address| address.parse_uri().ok())
            .is_some_and(|uri| uri.params.has(b"ob"))
    }

    fn add(&mut self, address: Result<NameAddr<'_>, AddressError>) -> Option<()> {
        let address = address.ok().filter(|address| address.bracketed)?;
        let uri = address.parse_uri().ok().filter(Uri::is_sip)?;
        if self.joined.is_empty() {
            uri.param(b"lr")?;
            self.received = received(&uri)?;
        } else {
            self.joined.push(b',');
        }
        if self.joined.len() + address.raw.len() > MAX_PATH_LEN {
            return None;
        }
        // A folded value is stored on one line, for it goes out again as part of another header. The blank that
        // every continuation line starts with is enough to part its words.
        self.joined.extend(address.raw.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')));
        Some(())
    }
}

/// The `received` parameter of a Path URI as a URI; empty when there is none, `None` when it is malformed.
fn received(uri: &Uri<'_>) -> Option<SmallVec<[u8; 0]>> {
    let Some(value) = uri.param(b"received") else { return Some(SmallVec::new()) };
    let mut unescaped = Vec::new();
    escape::unescape_into(value?, &mut unescaped).ok()?;
    let is_usable =
        unescaped.len() <= MAX_RECEIVED_LEN && Uri::parse(&unescaped).is_ok_and(|uri| uri.is_sip());
    is_usable.then(|| SmallVec::from_vec(unescaped))
}

/// The URI of the first value of a joined Path.
pub fn first_uri(joined: &[u8]) -> Option<&[u8]> {
    let first = seawall_sip::name_addr::NameAddrs::new(joined).next()?;
    first.ok().map(|address| address.uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headers: &str, expected: Result<(&str, &str), Reject>) {
        let text = format!("REGISTER sip:h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n{headers}\r\n");
        let message = Message::parse(text.into_bytes()).unwrap();
        let path = Path::read(&message);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let found = path.map(|path| (text(&path.joined), text(&path.received)));
        assert_eq!(found, expected.map(|(joined, received)| (joined.into(), received.into())), "{headers}");
    }

    #[test]
    fn values_are_joined_in_order() {
        check("", Ok(("", "")));
        check(
            "Path: <sip:p1;lr>\r\nPath: <sip:p2>, <sip:p3;lr>;x=y\r\n",
            Ok(("<sip:p1;lr>,<sip:p2>,<sip:p3;lr>;x=y", "")),
        );
        check("Path: <sip:p1;lr>\r\n ;x=y\r\n", Ok(("<sip:p1;lr> ;x=y", "")));
    }

    #[test]
    fn the_first_must_be_a_loose_router() {
        check("Path: <sip:p1>\r\n", Err(Reject::PathParse));
        check("Path: sip:p1;lr\r\n", Err(Reject::PathParse));
        check("Path: <tel:+1;lr>\r\n", Err(Reject::PathParse));
        check("Path: <sip:p1;lr>,\r\n", Err(Reject::PathParse));
        check("Path: <sip:p1;lr\r\n", Err(Reject::PathParse));
    }

    #[test]
    fn received_of_the_first_uri_is_unescaped_and_checked() {
        let path = "<sip:p1;lr;received=sip:1.2.3.4:5060%3Btransport%3Dtcp>";
        check(&format!("Path: {path}\r\n"), Ok((path, "sip:1.2.3.4:5060;transport=tcp")));
        check("Path: <sip:p1;lr;received=sip:1.2.3.4%0D%0AX:y>\r\n", Err(Reject::PathParse));
        check("Path: <sip:p1;lr;received>\r\n", Err(Reject::PathParse));
    }

    #[test]
    fn a_path_over_the_limit_is_refused() {
        let long = format!("Path: <sip:p1;lr;x={}>\r\n", "y".repeat(MAX_PATH_LEN));
        check(&long, Err(Reject::PathParse));
    }
}
