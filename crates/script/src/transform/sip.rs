//! `uri.*`, `via.*`, `nameaddr.*`, `param.*`, `csv.*` and `sdp.*`: the notations that SIP values are made of.

use super::strings::place;
use super::{int, text};
use crate::value::{Digits, Value};

/// The parts of a URI.
#[derive(Default)]
struct Uri<'a> {
    scheme: &'a [u8],
    user: Option<&'a [u8]>,
    password: Option<&'a [u8]>,
    host: &'a [u8],
    port: Option<&'a [u8]>,
    params: &'a [u8],
    headers: &'a [u8],
}

fn find(bytes: &[u8], wanted: u8) -> Option<usize> {
    bytes.iter().position(|byte| *byte == wanted)
}

/// The bytes before and behind the first `mark`; everything and nothing if there is none.
fn cut(bytes: &[u8], mark: u8) -> (&[u8], Option<&[u8]>) {
    match find(bytes, mark) {
        Some(at) => (bytes.get(..at).unwrap_or_default(), bytes.get(at + 1..)),
        None => (bytes, None),
    }
}

/// Reads a URI loosely: a script may ask for the user of something that is not quite a URI. Nothing if it has no scheme.
fn uri(input: &[u8]) -> Option<Uri<'_>> {
    let input = input.trim_ascii();
    let (scheme, rest) = cut(input, b':');
    let rest = rest?;
    if scheme.is_empty() || !scheme.iter().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b)) {
        return None;
    }
    let mut parts = Uri { scheme, ..Uri::default() };
    if scheme.eq_ignore_ascii_case(b"tel") {
        let (number, params) = cut(rest, b';');
        parts.user = Some(number);
        parts.params = params.unwrap_or_default();
        return Some(parts);
    }
    // An `@` is not allowed behind the host, so the first one ends the user part, `;` and `?` in it included.
    let (before, behind) = cut(rest, b'@');
    let host_part = match behind {
        Some(behind) => {
            let (user, password) = cut(before, b':');
            parts.user = Some(user);
            parts.password = password;
            behind
        }
        None => before,
    };
    let (host_part, headers) = cut(host_part, b'?');
    parts.headers = headers.unwrap_or_default();
    let (host_port, params) = cut(host_part, b';');
    parts.params = params.unwrap_or_default();
    let (host, port) = host_and_port(host_port);
    parts.host = host;
    parts.port = port;
    Some(parts)
}

/// Splits `host:port`; the brackets of an IPv6 address stay.
fn host_and_port(bytes: &[u8]) -> (&[u8], Option<&[u8]>) {
    if bytes.first() == Some(&b'[') {
        let end = find(bytes, b']').map_or(bytes.len(), |at| at + 1);
        let (host, rest) = bytes.split_at(end);
        return (host, rest.strip_prefix(b":"));
    }
    cut(bytes, b':')
}

/// The parameters of `a=b;c;d="e;f"`: name, and value if there is one.
fn params(list: &[u8], mark: u8) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    let mut rest = list;
    std::iter::from_fn(move || {
        loop {
            if rest.is_empty() {
                return None;
            }
            let end = unquoted(rest, mark).unwrap_or(rest.len());
            let one = rest.get(..end).unwrap_or_default().trim_ascii();
            rest = rest.get(end + 1..).unwrap_or_default();
            if !one.is_empty() {
                let (name, value) = cut(one, b'=');
                return Some((name.trim_ascii(), value.map(|value| unquote(value.trim_ascii()))));
            }
        }
    })
}

/// The first `mark` outside of double quotes.
fn unquoted(bytes: &[u8], mark: u8) -> Option<usize> {
    let mut quoted = false;
    let mut escaped = false;
    for (at, byte) in bytes.iter().enumerate() {
        if escaped {
            escaped = false;
        } else if quoted && *byte == b'\\' {
            escaped = true;
        } else if *byte == b'"' {
            quoted = !quoted;
        } else if !quoted && *byte == mark {
            return Some(at);
        }
    }
    None
}

fn unquote(bytes: &[u8]) -> &[u8] {
    match bytes {
        [b'"', inner @ .., b'"'] => inner,
        _ => bytes,
    }
}

/// The value of a parameter: NULL if it is not there, empty if it has none.
fn value_of(list: &[u8], name: &[u8]) -> Value {
    let found = params(list, b';').find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map_or(Value::Null, |(_, value)| Value::str(value.unwrap_or_default()))
}

fn named(list: &[u8], arguments: &[Value]) -> Value {
    let mut digits = Digits::default();
    value_of(list, text(arguments, 0, &mut digits).trim_ascii())
}

fn of_uri(input: &[u8], part: impl for<'a> FnOnce(&Uri<'a>) -> Option<&'a [u8]>) -> Value {
    uri(input).map_or(Value::Null, |parts| Value::str(part(&parts).unwrap_or_default()))
}

fn uri_named(input: &[u8], name: &[u8]) -> Value {
    uri(input).map_or(Value::Null, |parts| value_of(parts.params, name))
}

pub(super) fn uri_user(input: &[u8], _: &[Value]) -> Value {
    of_uri(input, |uri| uri.user)
}

pub(super) fn uri_host(input: &[u8], _: &[Value]) -> Value {
    of_uri(input, |uri| Some(uri.host))
}

pub(super) fn uri_password(input: &[u8], _: &[Value]) -> Value {
    of_uri(input, |uri| uri.password)
}

pub(super) fn uri_port(input: &[u8], _: &[Value]) -> Value {
    of_uri(input, |uri| uri.port)
}

pub(super) fn uri_params(input: &[u8], _: &[Value]) -> Value {
    of_uri(input, |uri| Some(uri.params))
}

pub(super) fn uri_headers(input: &[u8], _: &[Value]) -> Value {
    of_uri(input, |uri| Some(uri.headers))
}

pub(super) fn uri_scheme(input: &[u8], _: &[Value]) -> Value {
    of_uri(input, |uri| Some(uri.scheme))
}

pub(super) fn uri_param(input: &[u8], arguments: &[Value]) -> Value {
    uri(input).map_or(Value::Null, |parts| named(parts.params, arguments))
}

pub(super) fn uri_transport(input: &[u8], _: &[Value]) -> Value {
    uri_named(input, b"transport")
}

pub(super) fn uri_ttl(input: &[u8], _: &[Value]) -> Value {
    uri_named(input, b"ttl")
}

pub(super) fn uri_uparam(input: &[u8], _: &[Value]) -> Value {
    uri_named(input, b"user")
}

pub(super) fn uri_maddr(input: &[u8], _: &[Value]) -> Value {
    uri_named(input, b"maddr")
}

pub(super) fn uri_method(input: &[u8], _: &[Value]) -> Value {
    uri_named(input, b"method")
}

/// The whole parameter, because `lr` has no value as a rule.
fn whole_param(input: &[u8], name: &[u8]) -> Value {
    let Some(parts) = uri(input) else { return Value::Null };
    let mut all = parts.params.split(|byte| *byte == b';');
    Value::optional(all.find(|one| cut(one, b'=').0.eq_ignore_ascii_case(name)))
}

pub(super) fn uri_lr(input: &[u8], _: &[Value]) -> Value {
    whole_param(input, b"lr")
}

pub(super) fn uri_r2(input: &[u8], _: &[Value]) -> Value {
    whole_param(input, b"r2")
}

/// The parts of a Via: `SIP/2.0/UDP host:port;params (comment)`.
#[derive(Default)]
struct Via<'a> {
    name: &'a [u8],
    version: &'a [u8],
    transport: &'a [u8],
    host: &'a [u8],
    port: Option<&'a [u8]>,
    params: &'a [u8],
    comment: Option<&'a [u8]>,
}

fn via(input: &[u8]) -> Option<Via<'_>> {
    let one = input.get(..unquoted(input, b',').unwrap_or(input.len())).unwrap_or_default();
    let (name, rest) = cut(one, b'/');
    let (version, rest) = cut(rest?, b'/');
    let rest = rest?.trim_ascii_start();
    let end = rest.iter().position(u8::is_ascii_whitespace)?;
    let (transport, rest) = rest.split_at(end);
    let (rest, comment) = cut(rest, b'(');
    let (host_port, params) = cut(rest.trim_ascii(), b';');
    let (host, port) = host_and_port(host_port.trim_ascii());
    Some(Via {
        name: name.trim_ascii(),
        version: version.trim_ascii(),
        transport,
        host: host.trim_ascii(),
        port: port.map(<[u8]>::trim_ascii),
        params: params.unwrap_or_default(),
        comment: comment.map(|comment| cut(comment, b')').0),
    })
}

fn of_via(input: &[u8], part: impl for<'a> FnOnce(&Via<'a>) -> Option<&'a [u8]>) -> Value {
    via(input).map_or(Value::Null, |parts| Value::str(part(&parts).unwrap_or_default()))
}

fn via_named(input: &[u8], name: &[u8]) -> Value {
    via(input).map_or(Value::Null, |parts| value_of(parts.params, name))
}

pub(super) fn via_name(input: &[u8], _: &[Value]) -> Value {
    of_via(input, |via| Some(via.name))
}

pub(super) fn via_version(input: &[u8], _: &[Value]) -> Value {
    of_via(input, |via| Some(via.version))
}

pub(super) fn via_transport(input: &[u8], _: &[Value]) -> Value {
    of_via(input, |via| Some(via.transport))
}

pub(super) fn via_host(input: &[u8], _: &[Value]) -> Value {
    of_via(input, |via| Some(via.host))
}

pub(super) fn via_port(input: &[u8], _: &[Value]) -> Value {
    of_via(input, |via| via.port)
}

pub(super) fn via_comment(input: &[u8], _: &[Value]) -> Value {
    of_via(input, |via| via.comment)
}

pub(super) fn via_params(input: &[u8], _: &[Value]) -> Value {
    of_via(input, |via| Some(via.params))
}

pub(super) fn via_param(input: &[u8], arguments: &[Value]) -> Value {
    via(input).map_or(Value::Null, |parts| named(parts.params, arguments))
}

pub(super) fn via_branch(input: &[u8], _: &[Value]) -> Value {
    via_named(input, b"branch")
}

pub(super) fn via_received(input: &[u8], _: &[Value]) -> Value {
    via_named(input, b"received")
}

pub(super) fn via_rport(input: &[u8], _: &[Value]) -> Value {
    via_named(input, b"rport")
}

pub(super) fn param_value(input: &[u8], arguments: &[Value]) -> Value {
    named(input, arguments)
}

pub(super) fn param_exist(input: &[u8], arguments: &[Value]) -> Value {
    Value::Int(i64::from(!named(input, arguments).is_null()))
}

fn param_at<'a>(input: &'a [u8], arguments: &[Value]) -> Option<(&'a [u8], Option<&'a [u8]>)> {
    let at = place(int(arguments, 0)?, params(input, b';').count())?;
    params(input, b';').nth(at)
}

pub(super) fn param_value_at(input: &[u8], arguments: &[Value]) -> Value {
    param_at(input, arguments).map_or(Value::Null, |(_, value)| Value::str(value.unwrap_or_default()))
}

pub(super) fn param_name(input: &[u8], arguments: &[Value]) -> Value {
    Value::optional(param_at(input, arguments).map(|(name, _)| name))
}

pub(super) fn param_count(input: &[u8], _: &[Value]) -> Value {
    Value::Int(i64::try_from(params(input, b';').count()).unwrap_or(i64::MAX))
}

/// The parts of `"name" <uri>;params` or `uri;params`, of the first address in a list.
struct NameAddr<'a> {
    name: &'a [u8],
    uri: &'a [u8],
    params: &'a [u8],
    len: usize,
}

fn nameaddr(input: &[u8]) -> NameAddr<'_> {
    let one = input.get(..list_end(input)).unwrap_or_default();
    let Some(open) = unquoted(one, b'<') else {
        let (uri, params) = cut(one, b';');
        return NameAddr {
            name: b"",
            uri: uri.trim_ascii(),
            params: params.unwrap_or_default().trim_ascii(),
            len: uri.trim_ascii().len(),
        };
    };
    let (name, rest) = one.split_at(open);
    let (inside, behind) = cut(rest.get(1..).unwrap_or_default(), b'>');
    let params = behind.unwrap_or_default().trim_ascii();
    let len = open + 1 + inside.len() + usize::from(behind.is_some());
    NameAddr {
        name: name.trim_ascii(),
        uri: inside.trim_ascii(),
        params: params.strip_prefix(b";").unwrap_or(params).trim_ascii(),
        len,
    }
}

/// Where the first address of a list ends: a comma outside of quotes and angle brackets.
fn list_end(input: &[u8]) -> usize {
    let (mut quoted, mut escaped, mut inside) = (false, false, false);
    for (at, byte) in input.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'<' => inside = true,
            b'>' => inside = false,
            b',' if !inside => return at,
            _ => {}
        }
    }
    input.len()
}

pub(super) fn nameaddr_name(input: &[u8], _: &[Value]) -> Value {
    Value::str(nameaddr(input).name)
}

pub(super) fn nameaddr_uri(input: &[u8], _: &[Value]) -> Value {
    Value::str(nameaddr(input).uri)
}

pub(super) fn nameaddr_len(input: &[u8], _: &[Value]) -> Value {
    Value::Int(i64::try_from(nameaddr(input).len).unwrap_or(i64::MAX))
}

pub(super) fn nameaddr_param(input: &[u8], arguments: &[Value]) -> Value {
    named(nameaddr(input).params, arguments)
}

pub(super) fn nameaddr_params(input: &[u8], _: &[Value]) -> Value {
    Value::str(nameaddr(input).params)
}

fn fields(input: &[u8]) -> Vec<&[u8]> {
    let mut fields = Vec::new();
    let mut rest = input;
    while let Some(comma) = unquoted(rest, b',') {
        let (field, tail) = rest.split_at(comma);
        fields.push(unquote(field.trim_ascii()));
        rest = tail.get(1..).unwrap_or_default();
    }
    if !input.trim_ascii().is_empty() {
        fields.push(unquote(rest.trim_ascii()));
    }
    fields
}

pub(super) fn csv_count(input: &[u8], _: &[Value]) -> Value {
    Value::Int(i64::try_from(fields(input).len()).unwrap_or(i64::MAX))
}

pub(super) fn csv_value(input: &[u8], arguments: &[Value]) -> Value {
    let fields = fields(input);
    let at = int(arguments, 0).and_then(|index| place(index, fields.len()));
    Value::optional(at.and_then(|at| fields.get(at).copied()))
}

pub(super) fn sdp_line(input: &[u8], arguments: &[Value]) -> Value {
    let mut digits = Digits::default();
    let letter = text(arguments, 0, &mut digits).first().copied();
    let wanted = usize::try_from(int(arguments, 1).unwrap_or(0)).unwrap_or(usize::MAX);
    let lines = input.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    let mut found = lines.filter(|line| line.first().copied() == letter && line.get(1) == Some(&b'='));
    Value::optional(found.nth(wanted))
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use crate::value::Value;

    #[test]
    fn the_parts_of_a_uri() {
        let uri = "sip:bob:pw@example.com:5070;transport=tcp;lr;user=phone?Subject=x";
        check(uri, "uri.user", "bob");
        check(uri, "uri.passwd", "pw");
        check(uri, "uri.host", "example.com");
        check(uri, "uri.port", "5070");
        check(uri, "uri.params", "transport=tcp;lr;user=phone");
        check(uri, "uri.param,transport", "tcp");
        check(uri, "uri.param,lr", "");
        check(uri, "uri.param,gone", Value::Null);
        check(uri, "uri.transport", "tcp");
        check(uri, "uri.uparam", "phone");
        check(uri, "uri.lr", "lr");
        check(uri, "uri.headers", "Subject=x");
        check(uri, "uri.schema", "sip");
        check("sip:example.com", "uri.user", "");
        check("sip:a;b?c@[2001:db8::1]:5060", "uri.user", "a;b?c");
        check("sip:a@[2001:db8::1]:5060", "uri.host", "[2001:db8::1]");
        check("sip:a@[2001:db8::1]:5060", "uri.port", "5060");
        check("tel:+123;phone-context=x", "uri.user", "+123");
        check("nonsense", "uri.user", Value::Null);
    }

    #[test]
    fn the_parts_of_a_via() {
        let via = "SIP/2.0/UDP 10.0.0.1:5062;branch=z9hG4bK1;rport=5;received=1.2.3.4 (x), SIP/2.0/TCP b";
        check(via, "via.name", "SIP");
        check(via, "via.version", "2.0");
        check(via, "via.transport", "UDP");
        check(via, "via.host", "10.0.0.1");
        check(via, "via.port", "5062");
        check(via, "via.branch", "z9hG4bK1");
        check(via, "via.rport", "5");
        check(via, "via.received", "1.2.3.4");
        check(via, "via.comment", "x");
        check(via, "via.param,gone", Value::Null);
        check("x", "via.host", Value::Null);
    }

    #[test]
    fn parameter_lists() {
        let list = "a=1;b=\"x;y\";c;";
        check(list, "param.value,a", "1");
        check(list, "param.value,B", "x;y");
        check(list, "param.value,c", "");
        check(list, "param.value,d", Value::Null);
        check(list, "param.exist,c", 1);
        check(list, "param.exist,d", 0);
        check(list, "param.valueat,1", "x;y");
        check(list, "param.valueat,-3", "1");
        check(list, "param.name,0", "a");
        check(list, "param.count", 3);
    }

    #[test]
    fn addresses_with_names() {
        let address = "\"B, ob <\" <sip:bob@x;a,b>;tag=7;q, <sip:other@y>";
        check(address, "nameaddr.name", "\"B, ob <\"");
        check(address, "nameaddr.uri", "sip:bob@x;a,b");
        check(address, "nameaddr.param,tag", "7");
        check(address, "nameaddr.params", "tag=7;q");
        check(address, "nameaddr.len", 25);
        check("sip:bob@x;tag=1", "nameaddr.uri", "sip:bob@x");
        check("sip:bob@x;tag=1", "nameaddr.param,tag", "1");
    }

    #[test]
    fn lists_and_session_descriptions() {
        check("a, \"b,c\" ,d", "csv.count", 3);
        check("a, \"b,c\" ,d", "csv.value,1", "b,c");
        check("a, \"b,c\" ,d", "csv.value,-1", "d");
        check("a", "csv.value,4", Value::Null);
        check("", "csv.count", 0);
        check("v=0\r\nm=a\r\nm=b\r\n", "sdp.line,m", "m=a");
        check("v=0\r\nm=a\r\nm=b\r\n", "sdp.line,m,1", "m=b");
        check("v=0\r\n", "sdp.line,c", Value::Null);
    }
}
