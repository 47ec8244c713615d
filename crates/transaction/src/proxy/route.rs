//! What Route and Request-URI say about where a request goes (RFC 3261 §16.4, §16.6 step 6, §16.12).

use seawall_sip::{
    Edits, Message, Name, Params, Span, Uri,
    list::{self, Items},
    name_addr::NameAddr,
};
use smallvec::SmallVec;
use thiserror::Error;

use crate::limits::MAX_ROUTES;

/// A Route that cannot be read, or more than [`MAX_ROUTES`]; the answer is 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("malformed Route")]
pub struct BadRoute;

/// How the request is driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteKind {
    /// No Route: the Request-URI alone decides.
    None,
    /// The topmost Route is not ours: it says where to go.
    Foreign,
    /// The topmost Route is ours.
    Loose,
    /// The Request-URI is one that we put into a Record-Route: the previous hop routes strictly (§16.4).
    Strict,
}

/// The outcome. All spans are of the message that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routing {
    /// How the request is driven.
    pub kind: RouteKind,
    /// Whether the request is outside of a dialog: it has no To tag, so its Route was preloaded.
    pub preloaded: bool,
    /// Our own URI in this request, whose parameters came back from the Record-Route.
    pub own: Option<Span>,
    /// The second one of a double Record-Route: the side on which the request leaves.
    pub own_second: Option<Span>,
    /// The Request-URI as it has to be; `None` if it stays.
    pub request_uri: Option<Span>,
    /// The URI of the next hop (`$du`); `None`: the Request-URI.
    pub next_hop: Option<Span>,
    /// Number of Route values that are removed from the top.
    pub removed_first: usize,
    /// Whether the last Route value is removed: it has become the Request-URI.
    pub removed_last: bool,
    /// Whether the old Request-URI is appended as the last Route, because the next hop routes strictly.
    pub appended: bool,
}

/// One Route value.
#[derive(Clone, Copy)]
struct Hop {
    uri: Span,
    own: bool,
    loose: bool,
    double: bool,
}

/// Reads Route and Request-URI. `is_own` says whether a URI names this proxy: one of its sockets or aliases.
///
/// # Errors
/// A Route value is malformed.
pub fn preprocess(request: &Message, is_own: impl Fn(&Uri<'_>) -> bool) -> Result<Routing, BadRoute> {
    let mut routing = Routing {
        kind: RouteKind::None,
        preloaded: !has_to_tag(request),
        own: None,
        own_second: None,
        request_uri: None,
        next_hop: None,
        removed_first: 0,
        removed_last: false,
        appended: false,
    };
    let hops = hops(request, &is_own)?;
    let mut hops = hops.as_slice();
    let [first, ..] = hops else { return Ok(routing) };
    let mut double = false;
    if let Some(uri) = own_request_uri(request, &is_own)
        && let [rest @ .., last] = hops
    {
        // As if the request had come with the last Route in the Request-URI, and ours at the top of the Route.
        routing.kind = RouteKind::Strict;
        routing.own = Some(request.request_uri_span());
        routing.request_uri = Some(last.uri);
        routing.removed_last = true;
        double = is_double(&uri);
        hops = rest;
    } else if first.own {
        routing.kind = RouteKind::Loose;
        routing.own = Some(first.uri);
        routing.removed_first = 1;
        double = first.double;
        hops = hops.get(1..).unwrap_or_default();
    } else {
        routing.kind = RouteKind::Foreign;
    }
    if let [second, rest @ ..] = hops
        && double
        && second.own
        && second.double
    {
        routing.own_second = Some(second.uri);
        routing.removed_first += 1;
        hops = rest;
    }
    routing.choose_next(hops.first());
    Ok(routing)
}

impl Routing {
    fn choose_next(&mut self, next: Option<&Hop>) {
        let Some(next) = next else { return };
        if next.loose {
            self.next_hop = Some(next.uri);
        } else {
            // A strict router wants itself in the Request-URI, and the target at the end (§16.6 step 6).
            self.appended = true;
            self.removed_first += 1;
            self.next_hop = Some(next.uri);
            // After strict routing from the previous hop the target is not the old Request-URI but the last Route,
            // which then simply stays where it is.
            if self.removed_last {
                self.removed_last = false;
                self.appended = false;
            }
            self.request_uri = Some(next.uri);
        }
    }

    /// Adds the changes to the edits of the request.
    pub fn apply(&self, request: &Message, edits: &mut Edits) {
        let total = list::items(request, Name::Route).count();
        let removes_all = self.removed_first + usize::from(self.removed_last) >= total;
        let removed_first = if removes_all { total } else { self.removed_first };
        edits.remove_first_values(request, Name::Route, removed_first);
        let last = request.header_all(Name::Route).last();
        if let Some(last) = last {
            if self.removed_last && !removes_all {
                let (before, value) = last_two(last.value);
                match (
                    before.and_then(|item| request.span_of(item)),
                    value.and_then(|item| request.span_of(item)),
                ) {
                    (Some(before), Some(value)) => {
                        edits.delete(Span::between(before.end() as usize, value.end() as usize));
                    }
                    _ => edits.remove_header(&last),
                }
            }
            if self.appended {
                let line = [b"Route: <", request.request_uri(), b">"].concat();
                edits.insert_header_after(&last, &line);
            }
        }
        if let Some(uri) = self.request_uri {
            edits.set_request_uri(request, request.slice(uri));
        }
    }

    /// The parameters of our own URI, which carry what was added to the Record-Route (`check_route_param`, `ftag`).
    #[must_use]
    pub fn own_params<'a>(&self, request: &'a Message) -> Params<'a> {
        let uri = self.own.and_then(|own| Uri::parse(request.slice(own)).ok());
        uri.map(|uri| uri.params).unwrap_or_default()
    }
}

fn hops(request: &Message, is_own: &impl Fn(&Uri<'_>) -> bool) -> Result<SmallVec<[Hop; 4]>, BadRoute> {
    let mut hops = SmallVec::new();
    for item in list::items(request, Name::Route) {
        let uri = NameAddr::parse(item).map_err(|_| BadRoute)?.uri;
        let span = request.span_of(uri).ok_or(BadRoute)?;
        let uri = Uri::parse(uri).map_err(|_| BadRoute)?;
        if hops.len() >= MAX_ROUTES {
            return Err(BadRoute);
        }
        hops.push(Hop {
            uri: span,
            own: is_own(&uri),
            loose: uri.params.has(b"lr"),
            double: is_double(&uri),
        });
    }
    Ok(hops)
}

/// The Request-URI, if we once put it into a Record-Route: it names us and has `lr`, which no contact has.
fn own_request_uri<'a>(request: &'a Message, is_own: &impl Fn(&Uri<'_>) -> bool) -> Option<Uri<'a>> {
    let uri = Uri::parse(request.request_uri()).ok()?;
    (uri.params.has(b"lr") && is_own(&uri)).then_some(uri)
}

fn is_double(uri: &Uri<'_>) -> bool {
    uri.params.has(b"r2")
}

fn has_to_tag(request: &Message) -> bool {
    seawall_sip::name_addr::to_tag(request).is_ok_and(|tag| tag.is_some())
}

/// The last but one and the last item of a list.
fn last_two(value: &[u8]) -> (Option<&[u8]>, Option<&[u8]>) {
    Items::new(value).fold((None, None), |(_, last), item| (last, Some(item)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The request as it goes on, and its next hop. `us` is this proxy.
    fn check(uri: &str, routes: &str, expected: (RouteKind, &str, &str, &str)) {
        let text = format!("BYE {uri} SIP/2.0\r\nTo: <sip:x>;tag=1\r\n{routes}A: b\r\n\r\n");
        let request = Message::parse(text.into_bytes()).expect("a request");
        let routing = preprocess(&request, |uri| uri.host == b"us").expect("a routing");
        let mut edits = Edits::new();
        routing.apply(&request, &mut edits);
        let mut out = Vec::new();
        edits.write(&request, &mut out);
        let (kind, uri, routes, next_hop) = expected;
        let expected = format!("BYE {uri} SIP/2.0\r\nTo: <sip:x>;tag=1\r\n{routes}A: b\r\n\r\n");
        assert_eq!(String::from_utf8_lossy(&out), expected);
        let found = routing.next_hop.map(|hop| request.slice(hop)).unwrap_or_default();
        assert_eq!((routing.kind, String::from_utf8_lossy(found).as_ref()), (kind, next_hop));
    }

    #[test]
    fn without_route_nothing_changes() {
        check("sip:bob@b", "", (RouteKind::None, "sip:bob@b", "", ""));
        check("sip:us;lr", "", (RouteKind::None, "sip:us;lr", "", ""));
    }

    #[test]
    fn our_route_is_removed_and_the_request_uri_is_the_target() {
        check("sip:bob@b", "Route: <sip:us;lr>\r\n", (RouteKind::Loose, "sip:bob@b", "", ""));
    }

    #[test]
    fn the_next_route_is_the_next_hop_and_stays() {
        let rest = "Route: <sip:p2;lr>\r\n";
        check(
            "sip:bob@b",
            "Route: <sip:us;lr>, <sip:p2;lr>\r\n",
            (RouteKind::Loose, "sip:bob@b", rest, "sip:p2;lr"),
        );
        check(
            "sip:bob@b",
            &format!("Route: <sip:us;lr>\r\n{rest}"),
            (RouteKind::Loose, "sip:bob@b", rest, "sip:p2;lr"),
        );
    }

    #[test]
    fn both_of_a_double_record_route_are_removed() {
        let ours = "Route: <sip:us:5060;transport=tcp;r2=on;lr>,<sip:us;r2=on;lr>";
        check("sip:bob@b", &format!("{ours}\r\n"), (RouteKind::Loose, "sip:bob@b", "", ""));
        let after = (RouteKind::Loose, "sip:bob@b", "Route: <sip:p2;lr>\r\n", "sip:p2;lr");
        check("sip:bob@b", &format!("{ours},<sip:p2;lr>\r\n"), after);
    }

    #[test]
    fn only_one_of_two_single_record_routes_is_removed() {
        let after = (RouteKind::Loose, "sip:bob@b", "Route: <sip:us;lr>\r\n", "sip:us;lr");
        check("sip:bob@b", "Route: <sip:us;lr>\r\nRoute: <sip:us;lr>\r\n", after);
    }

    #[test]
    fn a_foreign_route_is_followed_and_kept() {
        let after = (RouteKind::Foreign, "sip:bob@b", "Route: <sip:p2;lr>\r\n", "sip:p2;lr");
        check("sip:bob@b", "Route: <sip:p2;lr>\r\n", after);
    }

    #[test]
    fn a_strict_next_hop_goes_into_the_request_uri_and_the_target_to_the_end() {
        let after = (RouteKind::Loose, "sip:p2", "Route: <sip:p3;lr>\r\nRoute: <sip:bob@b>\r\n", "sip:p2");
        check("sip:bob@b", "Route: <sip:us;lr>,<sip:p2>,<sip:p3;lr>\r\n", after);
        check(
            "sip:bob@b",
            "Route: <sip:p2>\r\n",
            (RouteKind::Foreign, "sip:p2", "Route: <sip:bob@b>\r\n", "sip:p2"),
        );
    }

    #[test]
    fn a_strict_previous_hop_is_undone() {
        check("sip:us;lr", "Route: <sip:bob@b>\r\n", (RouteKind::Strict, "sip:bob@b", "", ""));
        let after = (RouteKind::Strict, "sip:bob@b", "Route: <sip:p2;lr>\r\n", "sip:p2;lr");
        check("sip:us;lr", "Route: <sip:p2;lr>, <sip:bob@b>\r\n", after);
        check("sip:us;lr", "Route: <sip:p2;lr>\r\nRoute: <sip:bob@b>\r\n", after);
        check(
            "sip:us;lr;r2=on",
            "Route: <sip:us;r2=on;lr>,<sip:bob@b>\r\n",
            (RouteKind::Strict, "sip:bob@b", "", ""),
        );
    }

    #[test]
    fn between_two_strict_routers_the_route_only_moves_up() {
        let after = (RouteKind::Strict, "sip:p2", "Route: <sip:bob@b>\r\n", "sip:p2");
        check("sip:us;lr", "Route: <sip:p2>,<sip:bob@b>\r\n", after);
    }

    #[test]
    fn parameters_of_our_route_come_back() {
        let text = "BYE sip:b SIP/2.0\r\nRoute: <sip:us;lr;ftag=a1;nat=yes>\r\n\r\n";
        let request = Message::parse(text.as_bytes().to_vec()).expect("a request");
        let routing = preprocess(&request, |uri| uri.host == b"us").expect("a routing");
        assert_eq!(routing.own_params(&request).value(b"ftag"), Some(&b"a1"[..]));
        assert!(routing.preloaded);
    }

    #[test]
    fn a_malformed_route_is_refused() {
        let text = "BYE sip:b SIP/2.0\r\nRoute: <sip:us;lr\r\n\r\n";
        let request = Message::parse(text.as_bytes().to_vec()).expect("a request");
        assert_eq!(preprocess(&request, |_| true), Err(BadRoute));
    }
}
