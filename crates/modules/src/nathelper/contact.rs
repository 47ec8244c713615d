//! Contacts behind a NAT: `fix_nated_contact`, `restore_nated_ruri`, `fix_nated_register`, `add_rcv_param`.

use seawall_net::{Origin, Transport};
use seawall_script::declare::AssignOp;
use seawall_script::{Call, FlagDecl, Flow, Value, base64};
use seawall_sip::name_addr::Contacts;
use seawall_sip::uri::escape;
use seawall_sip::{Contact, Name, NameAddr, Span, Uri, ascii};

use super::flags;
use crate::context::Context;
use crate::uris;

/// The flags of `fix_nated_contact`.
pub const FLAGS: &[FlagDecl] = &[FlagDecl::new(
    "preserve-uri",
    "1",
    "Keeps host and port as they were in the URI parameter `org`, for restore_nated_ruri().",
)];

/// The URI parameter that keeps host and port as they were.
const ORIGINAL: &[u8] = b"org";

/// The URI of the address that a message came from, as `received_avp` and the `received` parameter have it.
#[must_use]
pub fn source_uri(origin: &Origin) -> Vec<u8> {
    let mut uri = b"sip:".to_vec();
    ascii::write_socket_address(&mut uri, origin.peer.ip().to_canonical(), origin.peer.port());
    if origin.transport != Transport::Udp {
        uri.extend_from_slice(b";transport=");
        uri.extend_from_slice(origin.transport.to_string().to_ascii_lowercase().as_bytes());
    }
    uri
}

/// `fix_nated_contact([uri_params [, flags]])`.
pub fn fix_contact(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let params = call.str(0).unwrap_or_default().to_vec();
    let Some(flags) = flags::of_argument(call, 1, FLAGS) else { return Flow::FALSE };
    let mut source = Vec::new();
    let peer = context.origin.peer;
    ascii::write_socket_address(&mut source, peer.ip().to_canonical(), peer.port());
    rewrite(context, |address| {
        let uri = fixed_uri(address.uri, &source, &params, flags & 1 != 0)?;
        Some(with_uri(address, &uri, b""))
    })
}

/// The URI with the source as its host and port. A `maddr` goes: it would send requests elsewhere all the same.
fn fixed_uri(uri: &[u8], source: &[u8], params: &[u8], preserve: bool) -> Option<Vec<u8>> {
    let parsed = Uri::parse(uri).ok().filter(Uri::is_sip)?;
    let mut more = Vec::new();
    if preserve {
        more.extend_from_slice(b";");
        more.extend_from_slice(ORIGINAL);
        more.push(b'=');
        let coded = base64::encode(parsed.host_port());
        // Padding may not stand in a URI parameter (RFC 3261 section 25.1), and reading does without it.
        more.extend(coded.into_iter().filter(|letter| *letter != b'='));
    }
    if !params.is_empty() && !params.starts_with(b";") {
        more.push(b';');
    }
    more.extend_from_slice(params);
    let gone = |name: &[u8]| {
        name.eq_ignore_ascii_case(b"maddr") || (preserve && name.eq_ignore_ascii_case(ORIGINAL))
    };
    rebuilt(&parsed, source, gone, &more)
}

/// A SIP URI with another host and port, without the parameters that are `gone`, and with `more` behind the others.
/// None when that is no URI.
fn rebuilt(uri: &Uri<'_>, host_port: &[u8], gone: impl Fn(&[u8]) -> bool, more: &[u8]) -> Option<Vec<u8>> {
    let host = Span::locate(uri.raw, uri.host)?;
    let mut out = uri.raw.get(..host.start as usize)?.to_vec();
    out.extend_from_slice(host_port);
    for param in uri.params.iter().filter(|param| !gone(param.name)) {
        out.push(b';');
        out.extend_from_slice(param.raw);
    }
    out.extend_from_slice(more);
    if let Some(headers) = uri.headers {
        out.push(b'?');
        out.extend_from_slice(headers);
    }
    (uris::is_clean(&out) && Uri::parse(&out).is_ok()).then_some(out)
}

/// `restore_nated_ruri()`: takes back what `fix_nated_contact` with `preserve-uri` did, when a request comes for that
/// contact.
pub fn restore(context: &mut Context, _: &mut Call<'_, Context>) -> Flow {
    let Some((destination, uri)) = restored(context.request_uri()) else { return Flow::FALSE };
    context.target.destination = destination;
    context.target.uri = uri;
    Flow::TRUE
}

/// The URI without its `org` parameter, and the same with the host and port that the parameter keeps.
fn restored(uri: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let parsed = Uri::parse(uri).ok().filter(Uri::is_sip)?;
    let original = base64::decode(parsed.params.value(ORIGINAL)?)?;
    seawall_sip::uri::split_host_port(&original).ok()?;
    let gone = |name: &[u8]| name.eq_ignore_ascii_case(ORIGINAL);
    Some((rebuilt(&parsed, parsed.host_port(), gone, b"")?, rebuilt(&parsed, &original, gone, b"")?))
}

/// `fix_nated_register()`.
pub fn fix_register(context: &mut Context, _: &mut Call<'_, Context>) -> Flow {
    let configuration = std::sync::Arc::clone(&context.configuration);
    let Some(variable) = configuration.settings.nat.received else { return Flow::FALSE };
    let uri = Value::from(source_uri(&context.origin));
    Flow::bool(configuration.program.write_variable(context, variable, AssignOp::Replace, uri).is_ok())
}

/// `add_rcv_param([flag])`.
pub fn add_received(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let into_uri = call.int(0).unwrap_or(0) != 0;
    let source = source_uri(&context.origin);
    rewrite(context, |address| {
        if !into_uri {
            let param = [b";received=\"", &*source, b"\""].concat();
            return Some(with_uri(address, address.uri, &param));
        }
        let parsed = Uri::parse(address.uri).ok().filter(Uri::is_sip)?;
        let mut more = b";received=".to_vec();
        escape::escape_param_into(&source, &mut more);
        let uri = rebuilt(&parsed, parsed.host_port(), |name| name.eq_ignore_ascii_case(b"received"), &more)?;
        Some(with_uri(address, &uri, b""))
    })
}

/// The value with another URI, in brackets, and more header parameters.
fn with_uri(address: &NameAddr<'_>, uri: &[u8], params: &[u8]) -> Vec<u8> {
    let place = Span::locate(address.raw, address.uri).unwrap_or_default();
    let (start, end) = (place.start as usize, place.end() as usize);
    let before = address.raw.get(..start).unwrap_or_default();
    let after = address.raw.get(end..).unwrap_or_default();
    let (open, close): (&[u8], &[u8]) = if address.bracketed { (b"", b"") } else { (b"<", b">") };
    [before, open, uri, close, after, params].concat()
}

/// Writes every Contact value anew. Nothing is changed when one cannot be read or `change` objects to it, or when
/// there is none but `*`; then the answer is -1.
fn rewrite(context: &mut Context, change: impl Fn(&NameAddr<'_>) -> Option<Vec<u8>>) -> Flow {
    let message = context.packet.message();
    let mut changed = Vec::new();
    for header in message.header_all(Name::Contact) {
        let value = context.rare.edits.value(&header);
        if value.is_empty() {
            continue;
        }
        let Some(new) = rewrite_value(value, &change) else { return Flow::FALSE };
        changed.push((header, new));
    }
    changed.retain(|(header, new)| context.rare.edits.value(header) != &**new);
    for (header, new) in &changed {
        context.rare.edits.replace_value(header, new);
    }
    Flow::bool(!changed.is_empty())
}

fn rewrite_value(value: &[u8], change: &impl Fn(&NameAddr<'_>) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(value.len() + 64);
    let mut written = 0;
    for contact in Contacts::new(value) {
        let Contact::Address(address) = contact.ok()? else { continue };
        let place = Span::locate(value, address.raw)?;
        out.extend_from_slice(value.get(written..place.start as usize)?);
        out.extend_from_slice(&change(&address)?);
        written = place.end() as usize;
    }
    out.extend_from_slice(value.get(written..)?);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(uri: &str, params: &str, preserve: bool, expected: Option<&str>) {
        let fixed = fixed_uri(uri.as_bytes(), b"203.0.113.5:4444", params.as_bytes(), preserve);
        assert_eq!(fixed.map(|uri| String::from_utf8(uri).unwrap()).as_deref(), expected, "{uri}");
    }

    #[test]
    fn host_and_port_become_those_of_the_source() {
        check("sip:a@10.0.0.1", "", false, Some("sip:a@203.0.113.5:4444"));
        check("sips:a:b@[fe80::1]:5070;x=y?h=v", "", false, Some("sips:a:b@203.0.113.5:4444;x=y?h=v"));
        check("sip:10.0.0.1;maddr=10.0.0.2;ob", ";nat=yes", false, Some("sip:203.0.113.5:4444;ob;nat=yes"));
        check("sip:a@10.0.0.1?h=v", "nat", false, Some("sip:a@203.0.113.5:4444;nat?h=v"));
        check("tel:+1", "", false, None);
        check("sip:a@b", ";x=>y", false, None);
        check("sip:a@b", ";x\r\nY: z", false, None);
    }

    #[test]
    fn what_was_there_is_kept_and_restored() {
        check(
            "sip:a@10.0.0.1:5070;org=x",
            ";k",
            true,
            Some("sip:a@203.0.113.5:4444;org=MTAuMC4wLjE6NTA3MA;k"),
        );
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let both = restored(b"sip:a@203.0.113.5:4444;org=MTAuMC4wLjE6NTA3MA;k").unwrap();
        assert_eq!(
            (text(both.0), text(both.1)),
            ("sip:a@203.0.113.5:4444;k".into(), "sip:a@10.0.0.1:5070;k".into())
        );
        // Nothing kept, no Base64, and no host and port behind it.
        for uri in ["sip:a@b", "sip:a@b;org", "sip:a@b;org=%21", "sip:a@b;org=YSBi", "sip:a@b;org="] {
            assert!(restored(uri.as_bytes()).is_none(), "{uri}");
        }
    }
}
