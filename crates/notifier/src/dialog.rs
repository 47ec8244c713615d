//! The dialog that a SUBSCRIBE makes, from the notifier's side (RFC 3261 section 12, RFC 6665 section 4.4.1).

use seawall_sip::{Contact, Message, Name, NameAddr, Uri, cseq::CSeq, list, name_addr};

use crate::limits::{DIALOG_BYTES, EVENT_ID_BYTES};

/// A dialog of which we are the one that was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialog {
    /// The Call-ID.
    pub call_id: Vec<u8>,
    /// The value of From in our requests: the To of the SUBSCRIBE with our tag.
    pub local: Vec<u8>,
    /// Our tag.
    pub local_tag: Vec<u8>,
    /// The value of To in our requests: the From of the SUBSCRIBE.
    pub remote: Vec<u8>,
    /// The subscriber's tag.
    pub remote_tag: Vec<u8>,
    /// The subscriber's Contact URI.
    pub target: Vec<u8>,
    /// The route set, first hop first, each with its angle brackets.
    pub routes: Vec<Vec<u8>>,
    /// The CSeq number of our last request, 0 before the first.
    pub local_cseq: u32,
    /// The CSeq number of the subscriber's last request.
    pub remote_cseq: u32,
    /// The `id` parameter of Event; empty for none.
    pub event_id: Vec<u8>,
}

/// What is wrong with a SUBSCRIBE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSubscribe {
    /// A header that it must have is missing or cannot be read.
    #[error("{0} header missing or malformed")]
    Header(&'static str),
    /// It is not for the event package `reg`.
    #[error("event package not provided")]
    Event,
    /// The dialog would take more room than one may.
    #[error("dialog too large")]
    TooLarge,
}

impl Dialog {
    /// The dialog that a SUBSCRIBE without To tag would make with our tag.
    ///
    /// # Errors
    /// What is missing or malformed.
    pub fn new(subscribe: &Message, local_tag: &[u8]) -> Result<Dialog, BadSubscribe> {
        let event_id = event_id(subscribe)?.to_vec();
        let from = name_addr::address(subscribe, Name::From).map_err(|_| BadSubscribe::Header("From"))?;
        let remote_tag = from.tag().ok_or(BadSubscribe::Header("From"))?.to_vec();
        let value = |name, text| subscribe.value(name).ok_or(BadSubscribe::Header(text)).map(one_line);
        let mut local = value(Name::To, "To")?;
        local.extend_from_slice(b";tag=");
        local.extend_from_slice(local_tag);
        let mut routes = Vec::new();
        for item in list::items(subscribe, Name::RecordRoute) {
            let route = NameAddr::parse(item).map_err(|_| BadSubscribe::Header("Record-Route"))?;
            let uri =
                route.parse_uri().ok().filter(Uri::is_sip).ok_or(BadSubscribe::Header("Record-Route"))?;
            routes.push([b"<", uri.raw, b">"].concat());
        }
        let dialog = Dialog {
            call_id: value(Name::CallId, "Call-ID")?,
            local,
            local_tag: local_tag.to_vec(),
            remote: value(Name::From, "From")?,
            remote_tag,
            target: target(subscribe)?.ok_or(BadSubscribe::Header("Contact"))?,
            routes,
            local_cseq: 0,
            remote_cseq: CSeq::of(subscribe).map_err(|_| BadSubscribe::Header("CSeq"))?.number,
            event_id,
        };
        if dialog.bytes() > DIALOG_BYTES { Err(BadSubscribe::TooLarge) } else { Ok(dialog) }
    }

    /// Whether a SUBSCRIBE with our tag belongs to this dialog and this subscription of it (RFC 6665 section 4.4.1).
    #[must_use]
    pub fn is_for(&self, subscribe: &Message) -> bool {
        let tag = |name| name_addr::address(subscribe, name).ok().and_then(|address| address.tag());
        subscribe.value(Name::CallId) == Some(&self.call_id)
            && tag(Name::From) == Some(&self.remote_tag)
            && tag(Name::To) == Some(&self.local_tag)
            && event_id(subscribe) == Ok(&self.event_id)
    }

    /// Takes a new Contact URI of the subscriber.
    ///
    /// # Errors
    /// The dialog would be too large.
    pub(crate) fn retarget(&mut self, target: Vec<u8>) -> Result<(), BadSubscribe> {
        if self.bytes() - self.target.len() + target.len() > DIALOG_BYTES {
            return Err(BadSubscribe::TooLarge);
        }
        self.target = target;
        Ok(())
    }

    /// The Request-URI of our next request, and its Route lines (RFC 3261 section 12.2.1.1).
    #[must_use]
    pub fn request_uri_and_routes(&self) -> (Vec<u8>, Vec<u8>) {
        let mut lines = Vec::new();
        let mut line = |route: &[u8]| lines.extend_from_slice(&[b"Route: ", route, b"\r\n"].concat());
        let first = self.first_hop();
        if first.as_ref().is_none_or(|uri| uri.param(b"lr").is_some()) {
            self.routes.iter().for_each(|route| line(route));
            return (self.target.clone(), lines);
        }
        // A strict router wants itself in the Request-URI and the target as the last Route.
        self.routes.iter().skip(1).for_each(|route| line(route));
        line(&[b"<", &*self.target, b">"].concat());
        (first.map(|uri| uri.raw.to_vec()).unwrap_or_default(), lines)
    }

    /// The URI of the next hop of our requests, if it is not the Request-URI.
    #[must_use]
    pub fn next_hop(&self) -> Vec<u8> {
        self.first_hop().map(|uri| uri.raw.to_vec()).unwrap_or_default()
    }

    fn first_hop(&self) -> Option<Uri<'_>> {
        let first = self.routes.first()?.strip_prefix(b"<")?.strip_suffix(b">")?;
        Uri::parse(first).ok()
    }

    fn bytes(&self) -> usize {
        let routes: usize = self.routes.iter().map(Vec::len).sum();
        let parts = [&self.call_id, &self.local, &self.remote, &self.remote_tag, &self.target];
        routes + parts.iter().map(|part| part.len()).sum::<usize>()
    }
}

/// The URI of the one Contact of a SUBSCRIBE; `None` when it has none, which only one inside a dialog may.
///
/// # Errors
/// It is not a SIP URI, or `*`, or there are several.
pub(crate) fn target(subscribe: &Message) -> Result<Option<Vec<u8>>, BadSubscribe> {
    let mut contacts = name_addr::contacts(subscribe);
    let Some(first) = contacts.next() else { return Ok(None) };
    let bad = BadSubscribe::Header("Contact");
    match (first, contacts.next()) {
        (Ok(Contact::Address(address)), None) => {
            let usable = |uri: &Uri<'_>| uri.is_sip() && uri.headers.is_none();
            let uri = address.parse_uri().ok().filter(usable).ok_or(bad)?;
            Ok(Some(uri.raw.to_vec()))
        }
        _ => Err(bad),
    }
}

/// The `id` parameter of Event, empty for none.
fn event_id(subscribe: &Message) -> Result<&[u8], BadSubscribe> {
    let value = subscribe.value(Name::Event).ok_or(BadSubscribe::Event)?;
    let end = value.iter().position(|byte| *byte == b';').unwrap_or(value.len());
    let (package, rest) = value.split_at_checked(end).ok_or(BadSubscribe::Event)?;
    // Packages are tokens, and tokens that RFC 3261 does not exempt are compared without regard to case.
    if !seawall_sip::ascii::trim(package).eq_ignore_ascii_case(b"reg") {
        return Err(BadSubscribe::Event);
    }
    let params = seawall_sip::Params::after(rest).map_err(|_| BadSubscribe::Header("Event"))?;
    let id = params.value(b"id").unwrap_or_default();
    if id.len() > EVENT_ID_BYTES { Err(BadSubscribe::TooLarge) } else { Ok(id) }
}

/// A value without the line breaks of folding.
fn one_line(value: &[u8]) -> Vec<u8> {
    value.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }).collect()
}
