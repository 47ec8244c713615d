//! From, To, Contact, Call-ID and every other header: `$fu`, `$ct.fields(uri)`, `$hdr(name)`.

use seawall_script::{Prepared, Value, VarRef, Variable, VariableArguments};
use seawall_sip::digest::Credentials;
use seawall_sip::{Contact, Message, Name, NameAddr, Uri, ascii};

use super::{Part, part};
use crate::context::Context;

/// The variables of this file.
pub const VARIABLES: &[Variable<Context>] = &[
    Variable::<Context>::new("fu", "The From URI.", |context, _| uri(context, Name::From)),
    Variable::<Context>::new("fU", "The user part of the From URI.", |context, _| {
        uri_part(context, Name::From, Part::User)
    }),
    Variable::<Context>::new("fd", "The host of the From URI.", |context, _| {
        uri_part(context, Name::From, Part::Host)
    }),
    Variable::<Context>::new("fn", "The display name of From.", |context, _| display(context, Name::From)),
    Variable::<Context>::new("ft", "The From tag.", |context, _| tag(context, Name::From)),
    Variable::<Context>::new("from", "The From header.", |context, _| header(context, Name::From)),
    Variable::<Context>::new("tu", "The To URI.", |context, _| uri(context, Name::To)),
    Variable::<Context>::new("tU", "The user part of the To URI.", |context, _| {
        uri_part(context, Name::To, Part::User)
    }),
    Variable::<Context>::new("td", "The host of the To URI.", |context, _| {
        uri_part(context, Name::To, Part::Host)
    }),
    Variable::<Context>::new("tn", "The display name of To.", |context, _| display(context, Name::To)),
    Variable::<Context>::new("tt", "The To tag.", |context, _| tag(context, Name::To)),
    Variable::<Context>::new("to", "The To header.", |context, _| header(context, Name::To)),
    Variable::<Context>::new("ci", "The Call-ID.", |context, _| header(context, Name::CallId)),
    Variable::<Context>::new("cs", "The number in CSeq.", |context, _| {
        seawall_sip::cseq::CSeq::of(context.message())
            .map_or(Value::Null, |cseq| Value::Int(i64::from(cseq.number)))
    }),
    Variable::<Context>::new("ua", "The User-Agent.", |context, _| header(context, Name::UserAgent)),
    Variable::<Context>::new("cT", "The Content-Type.", |context, _| header(context, Name::ContentType)),
    Variable::<Context>::new("rt", "The URI of Refer-To.", |context, _| uri(context, Name::ReferTo)),
    Variable::<Context>::new("ai", "The URI of P-Asserted-Identity.", |context, _| {
        uri(context, Name::PAssertedIdentity)
    }),
    Variable::<Context>::new("di", "The URI of Diversion.", |context, _| named_uri(context, b"Diversion")),
    Variable::<Context>::new("dir", "The reason in Diversion.", |context, _| {
        named_param(context, b"Diversion", b"reason")
    }),
    Variable::<Context>::new("dip", "The privacy in Diversion.", |context, _| {
        named_param(context, b"Diversion", b"privacy")
    }),
    Variable::<Context>::new("pu", "The URI of P-Preferred-Identity.", |context, _| {
        named_uri(context, b"P-Preferred-Identity")
    }),
    Variable::<Context>::new("pU", "The user part of P-Preferred-Identity.", |context, _| {
        named_uri_part(context, b"P-Preferred-Identity", Part::User)
    }),
    Variable::<Context>::new("pd", "The host of P-Preferred-Identity.", |context, _| {
        named_uri_part(context, b"P-Preferred-Identity", Part::Host)
    }),
    Variable::<Context>::new("pn", "The display name of P-Preferred-Identity.", |context, _| {
        let display = named_address(context, b"P-Preferred-Identity").map(|address| address.display);
        Value::optional(display.filter(|display| !display.is_empty()))
    }),
    Variable::<Context>::new("path", "The Path header.", |context, _| header(context, Name::Path)),
    Variable::<Context>::new("cl", "The Content-Length.", |context, _| {
        let length =
            context.message().value(Name::ContentLength).and_then(|value| ascii::parse_u32(value).ok());
        length.map_or(Value::Null, |length| Value::Int(i64::from(length)))
    }),
    Variable::<Context>::new("re", "The URI of Remote-Party-ID.", |context, _| {
        named_uri(context, b"Remote-Party-ID")
    }),
    Variable::<Context>::new("ct", "A Contact, with its parameters.", |context, reference| {
        contact(context.message(), reference, |contact| match contact {
            Contact::Star => Value::from("*"),
            Contact::Address(address) => Value::str(address.raw),
        })
    })
    .count(|context, _| contact_count(context)),
    Variable::<Context>::new(
        "ct.fields",
        "A part of a Contact: uri, name, q, expires, methods, received, params.",
        |context, reference| {
            contact(context.message(), reference, |contact| contact_field(contact, reference.name))
        },
    )
    .arguments(VariableArguments::Name)
    .prepare(check_contact_field)
    .count(|context, _| contact_count(context)),
    Variable::<Context>::new("hdr", "The value of a header by its name.", |context, reference| {
        named(context.message(), reference, |header| Value::str(header.value))
    })
    .arguments(VariableArguments::Name)
    .count(|context, reference| context.message().header_named(reference.name).count()),
    Variable::<Context>::new("hdrcnt", "How many headers of this name there are.", |context, reference| {
        Value::Int(i64::try_from(context.message().header_named(reference.name).count()).unwrap_or(i64::MAX))
    })
    .arguments(VariableArguments::Name),
    Variable::<Context>::new("hdr_name", "The name of the header at a position.", |context, reference| {
        let Some(index) = position(reference, context.message().header_count()) else { return Value::Null };
        context.message().header_at(index).map_or(Value::Null, |header| Value::str(header.name))
    })
    .count(|context, _| context.message().header_count()),
    Variable::<Context>::new("ar", "The realm of the credentials.", |context, _| {
        credential(context, b"realm")
    }),
    Variable::<Context>::new("au", "The user name of the credentials, without a domain.", |context, _| {
        with_username(context, |name| name.split(|byte| *byte == b'@').next())
    }),
    Variable::<Context>::new("aU", "The user name of the credentials.", |context, _| {
        with_username(context, |name| Some(name))
    }),
    Variable::<Context>::new("ad", "The domain in the user name of the credentials.", |context, _| {
        with_username(context, |name| name.split(|byte| *byte == b'@').nth(1))
    }),
    Variable::<Context>::new("an", "The nonce of the credentials.", |context, _| {
        credential(context, b"nonce")
    }),
    Variable::<Context>::new("adu", "The URI of the credentials.", |context, _| credential(context, b"uri")),
    Variable::<Context>::new("auth.cnonce", "The cnonce of the credentials.", |context, _| {
        credential(context, b"cnonce")
    }),
    Variable::<Context>::new("auth.nc", "The nonce count of the credentials.", |context, _| {
        credential(context, b"nc")
    }),
    Variable::<Context>::new("auth.nonce", "The nonce of the credentials.", |context, _| {
        credential(context, b"nonce")
    }),
    Variable::<Context>::new("auth.resp", "The response of the credentials.", |context, _| {
        credential(context, b"response")
    }),
    Variable::<Context>::new("auth.opaque", "The opaque value of the credentials.", |context, _| {
        credential(context, b"opaque")
    }),
    Variable::<Context>::new("auth.alg", "The algorithm of the credentials.", |context, _| {
        credential(context, b"algorithm")
    }),
    Variable::<Context>::new("auth.qop", "The qop of the credentials.", |context, _| {
        credential(context, b"qop")
    }),
];

/// The index of a reference as a position among `len` values; negative counts from the last.
pub(super) fn position(reference: &VarRef<'_>, len: usize) -> Option<usize> {
    use seawall_script::Index;
    match reference.index {
        Index::None | Index::All => Some(0),
        Index::Int(index) if index >= 0 => usize::try_from(index).ok(),
        Index::Int(index) => len.checked_sub(usize::try_from(index.unsigned_abs()).ok()?),
    }
}

fn header(context: &Context, name: Name) -> Value {
    Value::optional(context.message().value(name))
}

fn address<'a>(message: &'a Message, name: Name) -> Option<NameAddr<'a>> {
    NameAddr::parse(message.value(name)?).ok()
}

fn uri(context: &Context, name: Name) -> Value {
    Value::optional(address(context.message(), name).map(|address| address.uri))
}

fn named_address<'a>(context: &'a Context, name: &'a [u8]) -> Option<NameAddr<'a>> {
    NameAddr::parse(context.message().header_named(name).next()?.value).ok()
}

fn named_uri(context: &Context, name: &[u8]) -> Value {
    Value::optional(named_address(context, name).map(|address| address.uri))
}

fn named_uri_part(context: &Context, name: &[u8], which: Part) -> Value {
    named_address(context, name).map_or(Value::Null, |address| part(address.uri, which))
}

fn named_param(context: &Context, name: &[u8], param: &[u8]) -> Value {
    let value = named_address(context, name).and_then(|address| address.param(param).flatten());
    Value::optional(value.map(ascii::strip_quotes))
}

fn uri_part(context: &Context, name: Name, which: Part) -> Value {
    address(context.message(), name).map_or(Value::Null, |address| part(address.uri, which))
}

fn display(context: &Context, name: Name) -> Value {
    let display = address(context.message(), name).map(|address| address.display);
    Value::optional(display.filter(|display| !display.is_empty()))
}

fn tag(context: &Context, name: Name) -> Value {
    Value::optional(address(context.message(), name).and_then(|address| address.tag()))
}

fn contact_count(context: &Context) -> usize {
    seawall_sip::name_addr::contacts(context.message()).count()
}

fn contact(message: &Message, reference: &VarRef<'_>, read: impl Fn(Contact<'_>) -> Value) -> Value {
    let count = if matches!(reference.index, seawall_script::Index::Int(index) if index < 0) {
        seawall_sip::name_addr::contacts(message).count()
    } else {
        0
    };
    let Some(index) = position(reference, count) else { return Value::Null };
    match seawall_sip::name_addr::contacts(message).nth(index) {
        Some(Ok(contact)) => read(contact),
        _ => Value::Null,
    }
}

/// The parts that `$ct.fields` knows.
const CONTACT_FIELDS: &[&str] = &["uri", "name", "q", "expires", "methods", "received", "params"];

fn check_contact_field(name: &str) -> Result<Prepared, String> {
    if CONTACT_FIELDS.contains(&name) {
        Ok(Prepared::new(()))
    } else {
        Err(format!("a contact has no part \"{name}\"; it has {}", CONTACT_FIELDS.join(", ")))
    }
}

fn contact_field(contact: Contact<'_>, field: &[u8]) -> Value {
    let Contact::Address(address) = contact else {
        return if field == b"uri" { Value::from("*") } else { Value::Null };
    };
    match field {
        b"uri" => Value::str(address.uri),
        b"name" => Value::optional(Some(address.display).filter(|display| !display.is_empty())),
        b"params" => Value::optional(Some(address.params.as_bytes()).filter(|params| !params.is_empty())),
        other => match address.param(other).flatten() {
            Some(value) => Value::str(ascii::strip_quotes(value)),
            None => Value::Null,
        },
    }
}

fn named(
    message: &Message,
    reference: &VarRef<'_>,
    read: impl Fn(seawall_sip::Header<'_>) -> Value,
) -> Value {
    let count = match reference.index {
        seawall_script::Index::Int(index) if index < 0 => message.header_named(reference.name).count(),
        _ => 0,
    };
    let Some(index) = position(reference, count) else { return Value::Null };
    message.header_named(reference.name).nth(index).map_or(Value::Null, read)
}

/// A part of the user name of the credentials. That of credentials which were found right is known already.
fn with_username(context: &Context, part: impl Fn(&[u8]) -> Option<&[u8]>) -> Value {
    if let Some(name) = context.rare.authentication.username(context.message()) {
        return Value::optional(part(name));
    }
    match credential(context, b"username") {
        Value::Str(name) => Value::optional(part(&name)),
        other => other,
    }
}

/// A parameter of the credentials: those that an authorize function found right, else those of Authorization, else
/// those of Proxy-Authorization.
fn credential(context: &Context, name: &[u8]) -> Value {
    let message = context.message();
    let authorized = context.rare.authentication.header(message).map(|header| header.value);
    let value = authorized
        .or_else(|| message.value(Name::Authorization))
        .or_else(|| message.value(Name::ProxyAuthorization));
    let Some(Ok(credentials)) = value.map(Credentials::parse) else { return Value::Null };
    Value::optional(credentials.params.value(name))
}

/// The URI that stands in From, for functions that need an address of record.
#[must_use]
pub fn from_uri(message: &Message) -> Option<Uri<'_>> {
    Uri::parse(address(message, Name::From)?.uri).ok()
}
