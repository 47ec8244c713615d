//! Transformations: `$(var{s.len})`. Each is a pure function over bytes, declared once in [`TABLE`].

mod addresses;
mod sip;
mod strings;
mod substitution;

use crate::code::{Template, VarExpr};
use crate::value::{Digits, Value};
pub(crate) use substitution::Substitution;

/// A transformation of the language.
pub(crate) struct Declaration {
    /// `class.name`.
    pub(crate) name: &'static str,
    /// The fewest and the most arguments.
    pub(crate) arguments: (usize, usize),
    /// What it gives, in a sentence.
    pub(crate) doc: &'static str,
    /// What it does with a string (or the digits of an integer) and its arguments.
    pub(crate) apply: fn(&[u8], &[Value]) -> Value,
}

impl std::fmt::Debug for Declaration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// A transformation where it stands in a script.
#[derive(Debug)]
pub(crate) struct Transformation<C: 'static> {
    pub(crate) declaration: &'static Declaration,
    pub(crate) arguments: Box<[Argument<C>]>,
    /// The argument of `re.subst`, when it is known at load.
    pub(crate) substitution: Option<Substitution>,
}

/// An argument of a transformation.
#[derive(Debug)]
pub(crate) enum Argument<C: 'static> {
    Fixed(Value),
    Var(VarExpr<C>),
    Format(Template<C>),
}

const fn row(
    name: &'static str,
    least: usize,
    most: usize,
    doc: &'static str,
    apply: fn(&[u8], &[Value]) -> Value,
) -> Declaration {
    Declaration { name, arguments: (least, most), doc, apply }
}

/// All transformations.
pub(crate) static TABLE: &[Declaration] = &[
    row("s.len", 0, 0, "the length in bytes; 0 for NULL", strings::len),
    row("s.int", 0, 0, "the integer at the start of the string; 0 if there is none", strings::to_int),
    row("s.md5", 0, 0, "the MD5 digest in hexadecimal", strings::md5),
    row("s.reverse", 0, 0, "the string backwards", strings::reverse),
    row(
        "s.substr",
        2,
        2,
        "from an offset (negative: from the end), so many bytes (0: to the end)",
        strings::substr,
    ),
    row(
        "s.select",
        2,
        2,
        "the field with this number (negative: from the end) between separators",
        strings::select,
    ),
    row("s.encode.hexa", 0, 0, "the bytes in hexadecimal", strings::encode_hexa),
    row("s.decode.hexa", 0, 0, "the bytes that a hexadecimal string stands for", strings::decode_hexa),
    row(
        "s.escape.common",
        0,
        0,
        "with backslashes before quotes, backslashes and NUL",
        strings::escape_common,
    ),
    row("s.unescape.common", 0, 0, "without those backslashes", strings::unescape_common),
    row("s.escape.user", 0, 0, "escaped as the user part of a URI", strings::escape_user),
    row("s.unescape.user", 0, 0, "that escape undone", strings::unescape_percent),
    row("s.escape.param", 0, 0, "escaped as a URI parameter", strings::escape_param),
    row("s.unescape.param", 0, 0, "that escape undone", strings::unescape_percent),
    row("s.escape.csv", 0, 0, "quoted as a field of a comma-separated list", strings::escape_csv),
    row("s.tolower", 0, 0, "in lower case", strings::to_lower),
    row("s.toupper", 0, 0, "in upper case", strings::to_upper),
    row("s.index", 1, 2, "where a string first occurs, from an offset on; -1 if nowhere", strings::index),
    row("s.rindex", 1, 2, "where a string last occurs, up to an offset; -1 if nowhere", strings::rindex),
    row("s.fill.left", 2, 2, "filled up on the left with a string, to a length", strings::fill_left),
    row("s.fill.right", 2, 2, "filled up on the right with a string, to a length", strings::fill_right),
    row("s.width", 1, 1, "cut, or filled up with spaces on the right, to a length", strings::width),
    row("s.trim", 0, 0, "without white space at both ends", strings::trim),
    row("s.triml", 0, 0, "without white space on the left", strings::trim_left),
    row("s.trimr", 0, 0, "without white space on the right", strings::trim_right),
    row("s.dec2hex", 0, 0, "a decimal number in hexadecimal", strings::dec2hex),
    row("s.hex2dec", 0, 0, "a hexadecimal number as an integer", strings::hex2dec),
    row("s.b64encode", 0, 0, "in base64", strings::base64_encode),
    row("s.b64decode", 0, 0, "the bytes that base64 stands for", strings::base64_decode),
    row("s.xor", 1, 1, "combined with a repeated secret by exclusive or", strings::xor),
    row(
        "rest.escape",
        0,
        0,
        "with percent-escapes, as a part of a URL (rest_client 1.7)",
        strings::escape_url,
    ),
    row("rest.unescape", 0, 0, "that escape undone (rest_client 1.7)", strings::unescape_percent),
    row("uri.user", 0, 0, "the user of a URI", sip::uri_user),
    row("uri.username", 0, 0, "the user of a URI", sip::uri_user),
    row("uri.host", 0, 0, "the host of a URI", sip::uri_host),
    row("uri.domain", 0, 0, "the host of a URI", sip::uri_host),
    row("uri.passwd", 0, 0, "the password of a URI", sip::uri_password),
    row("uri.password", 0, 0, "the password of a URI", sip::uri_password),
    row("uri.port", 0, 0, "the port of a URI", sip::uri_port),
    row("uri.params", 0, 0, "all parameters of a URI", sip::uri_params),
    row("uri.param", 1, 1, "the value of a URI parameter; NULL if it is not there", sip::uri_param),
    row("uri.headers", 0, 0, "the headers of a URI", sip::uri_headers),
    row("uri.transport", 0, 0, "the `transport` of a URI", sip::uri_transport),
    row("uri.ttl", 0, 0, "the `ttl` of a URI", sip::uri_ttl),
    row("uri.uparam", 0, 0, "the `user` parameter of a URI", sip::uri_uparam),
    row("uri.maddr", 0, 0, "the `maddr` of a URI", sip::uri_maddr),
    row("uri.method", 0, 0, "the `method` of a URI", sip::uri_method),
    row("uri.lr", 0, 0, "the `lr` parameter of a URI", sip::uri_lr),
    row("uri.r2", 0, 0, "the `r2` parameter of a URI", sip::uri_r2),
    row("uri.schema", 0, 0, "the scheme of a URI", sip::uri_scheme),
    row("uri.scheme", 0, 0, "the scheme of a URI", sip::uri_scheme),
    row("via.name", 0, 0, "the protocol name of a Via", sip::via_name),
    row("via.version", 0, 0, "the protocol version of a Via", sip::via_version),
    row("via.transport", 0, 0, "the transport of a Via", sip::via_transport),
    row("via.host", 0, 0, "the host of a Via", sip::via_host),
    row("via.port", 0, 0, "the port of a Via", sip::via_port),
    row("via.comment", 0, 0, "the comment of a Via", sip::via_comment),
    row("via.params", 0, 0, "all parameters of a Via", sip::via_params),
    row("via.param", 1, 1, "the value of a Via parameter; NULL if it is not there", sip::via_param),
    row("via.branch", 0, 0, "the `branch` of a Via", sip::via_branch),
    row("via.received", 0, 0, "the `received` of a Via", sip::via_received),
    row("via.rport", 0, 0, "the `rport` of a Via", sip::via_rport),
    row("param.value", 1, 1, "the value of a parameter in a list; NULL if it is not there", sip::param_value),
    row("param.exist", 1, 1, "1 if a parameter is in a list, else 0", sip::param_exist),
    row("param.valueat", 1, 1, "the value of the parameter with this number", sip::param_value_at),
    row("param.name", 1, 1, "the name of the parameter with this number", sip::param_name),
    row("param.count", 0, 0, "how many parameters a list has", sip::param_count),
    row("nameaddr.name", 0, 0, "the display name of an address", sip::nameaddr_name),
    row("nameaddr.uri", 0, 0, "the URI of an address", sip::nameaddr_uri),
    row("nameaddr.len", 0, 0, "the length of name and URI of an address", sip::nameaddr_len),
    row(
        "nameaddr.param",
        1,
        1,
        "the value of an address parameter; NULL if it is not there",
        sip::nameaddr_param,
    ),
    row("nameaddr.params", 0, 0, "all parameters of an address", sip::nameaddr_params),
    row("csv.count", 0, 0, "how many fields a comma-separated list has", sip::csv_count),
    row("csv.value", 1, 1, "the field with this number (negative: from the end)", sip::csv_value),
    row(
        "sdp.line",
        1,
        2,
        "the first (or n-th) line of a session description that starts with this letter",
        sip::sdp_line,
    ),
    row("ip.pton", 0, 0, "an address in its binary form", addresses::pton),
    row("ip.ntop", 0, 0, "a binary address as text", addresses::ntop),
    row("ip.isip", 0, 0, "1 for an IP address, else 0", addresses::is_ip),
    row("ip.family", 0, 0, "INET or INET6, of a binary or textual address", addresses::family),
    row("ip.matches", 1, 1, "1 if an address is in a network such as 10.0.0.0/8, else 0", addresses::matches),
    row("ip.isprivate", 0, 0, "1 if an address is private or loopback, else 0", addresses::is_private),
    row("re.subst", 1, 1, "with `/pattern/replacement/flags` applied; flags i, g, s", substitution::apply),
];

/// The names and descriptions, for the reference.
pub(crate) fn describe() -> impl Iterator<Item = (&'static str, (usize, usize), &'static str)> {
    TABLE.iter().map(|declaration| (declaration.name, declaration.arguments, declaration.doc))
}

/// The transformation with this name.
pub(crate) fn find(name: &str) -> Option<&'static Declaration> {
    TABLE.iter().find(|declaration| declaration.name == name)
}

/// Applies one transformation.
pub(crate) fn apply<C>(transformation: &Transformation<C>, value: &Value, arguments: &[Value]) -> Value {
    let declaration = transformation.declaration;
    let mut digits = Digits::default();
    match value.as_bytes(&mut digits) {
        Some(bytes) => match &transformation.substitution {
            Some(substitution) => substitution.apply(bytes),
            None => (declaration.apply)(bytes, arguments),
        },
        // The length of nothing ends a loop over it, as scripts expect.
        None if declaration.name == "s.len" => Value::Int(0),
        None => Value::Null,
    }
}

/// An integer argument.
fn int(arguments: &[Value], index: usize) -> Option<i64> {
    arguments.get(index)?.as_int()
}

/// The text of an argument; empty for NULL.
fn text<'a>(arguments: &'a [Value], index: usize, digits: &'a mut Digits) -> &'a [u8] {
    arguments.get(index).and_then(|value| value.as_bytes(digits)).unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Applies `class.name,argument,…` to a string and compares.
    pub(crate) fn check(input: &str, transformation: &str, expected: impl Into<Value>) {
        let mut words = transformation.split(',');
        let declaration = find(words.next().unwrap()).unwrap_or_else(|| panic!("no {transformation}"));
        let arguments: Vec<Value> = words.map(Value::from).collect();
        let value = (declaration.apply)(input.as_bytes(), &arguments);
        assert_eq!(value, expected.into(), "{input:?} {{{transformation}}}");
    }

    #[test]
    fn names_are_unique() {
        for (index, declaration) in TABLE.iter().enumerate() {
            assert!(
                TABLE[..index].iter().all(|other| other.name != declaration.name),
                "{}",
                declaration.name
            );
        }
    }
}
