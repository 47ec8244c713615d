//! `is_registered()`, `is_contact_registered()` and `is_ip_registered()`: what the table has.

use std::net::IpAddr;
use std::sync::Arc;

use seawall_location::Domain;
use seawall_registrar::{Aor, aor};
use seawall_script::{Call, Flow, Value};
use seawall_sip::{Method, Name, NameAddr};

use super::Table;
use crate::context::Context;
use crate::store::{self, Known};

/// The address of record of an argument, else of To in a REGISTER, else of From.
fn asked_aor(context: &Context, given: Option<&[u8]>) -> Option<aor::Aor> {
    let message = context.message();
    let uri = match given {
        Some(uri) => uri,
        None if !message.is_request() => return None,
        None => {
            let name = if message.method_id() == Method::Register { Name::To } else { Name::From };
            NameAddr::parse(message.value(name)?).ok()?.uri
        }
    };
    let mut name = aor::Aor::new();
    aor::canonical_text(uri, &context.configuration.settings.registrar.policy, &mut name).ok()?;
    Some(name)
}

/// `is_registered` (registrar 1.4.5).
pub fn is_registered(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let Some(domain) = call.prepared::<Table>(0).and_then(|table| table.domain(context)) else {
        return Flow::FALSE;
    };
    let Some(name) = asked_aor(context, call.str(1)) else { return Flow::FALSE };
    when_known(context, domain, name, has_any)
}

/// Lets `look` have its answer when the database has said what it knows, which is at once as a rule.
fn when_known(
    context: &mut Context,
    domain: &Arc<Domain>,
    name: Aor,
    look: impl FnOnce(&mut Context, &Domain, &Aor) -> Flow + Send + 'static,
) -> Flow {
    if !store::lacks(context, domain, &name) {
        return look(context, domain, &name);
    }
    let (asked, table) = (name.clone(), Arc::clone(domain));
    store::when_known(context, domain, asked, move |context, known| match known {
        Known::Yes(_held) => look(context, &table, &name),
        Known::Failed => Flow::FALSE,
    })
}

fn has_any(context: &mut Context, domain: &Domain, name: &Aor) -> Flow {
    let settings = &context.configuration.settings.registrar;
    if settings.attribute_name.is_empty() {
        return Flow::bool(seawall_registrar::is_registered(domain, context.now_s, name));
    }
    let (attribute, order) = (settings.attribute_name.clone(), settings.policy.order);
    let found = seawall_registrar::attribute(domain, context.now_s, name, order);
    let Some(value) = found else { return Flow::FALSE };
    let value = if value.is_empty() { Value::Null } else { Value::str(&value) };
    context.target.set_attribute(&attribute, value);
    Flow::TRUE
}

/// `is_contact_registered` (registrar 1.4.6).
pub fn is_contact_registered(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let Some(domain) = call.prepared::<Table>(0).and_then(|table| table.domain(context)) else {
        return Flow::FALSE;
    };
    let Some(name) = asked_aor(context, call.str(1)) else { return Flow::FALSE };
    let callid = call.str(3);
    let own;
    let contact = match (call.str(2), callid) {
        (Some(contact), _) => Some(contact),
        (None, Some(_)) => None,
        (None, None) => {
            let first = seawall_sip::name_addr::contacts(context.message()).next();
            let Some(Ok(seawall_sip::Contact::Address(address))) = first else { return Flow::FALSE };
            own = address.uri;
            Some(own)
        }
    };
    let (contact, callid) = (contact.map(<[u8]>::to_vec), callid.map(<[u8]>::to_vec));
    when_known(context, domain, name, move |context, domain, name| {
        let (contact, callid) = (contact.as_deref(), callid.as_deref());
        Flow::bool(seawall_registrar::is_contact_registered(domain, context.now_s, name, contact, callid))
    })
}

/// `is_ip_registered` (registrar 1.4.7).
pub fn is_ip_registered(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let Some(domain) = call.prepared::<Table>(0).and_then(|table| table.domain(context)) else {
        return Flow::FALSE;
    };
    let Some(name) = asked_aor(context, call.str(1)) else { return Flow::FALSE };
    let addresses = call.read_all(context, 2);
    let ports = if call.present(3) { Some(call.read_all(context, 3)) } else { None };
    if ports.as_ref().is_some_and(|ports| ports.len() != addresses.len()) {
        return Flow::FALSE;
    }
    when_known(context, domain, name, move |context, domain, name| {
        is_any_registered(context, domain, name, addresses, ports.as_deref())
    })
}

fn is_any_registered(
    context: &mut Context,
    domain: &Domain,
    name: &Aor,
    addresses: Vec<Value>,
    ports: Option<&[Value]>,
) -> Flow {
    let found = addresses.into_iter().enumerate().any(|(index, address)| {
        let Some(address) = address.into_bytes() else { return false };
        let Some(ip) = std::str::from_utf8(&address).ok().and_then(|text| text.parse::<IpAddr>().ok()) else {
            return false;
        };
        let port = match ports {
            None => None,
            Some(ports) => {
                match ports.get(index).and_then(Value::as_int).and_then(|port| u16::try_from(port).ok()) {
                    Some(port) => Some(port),
                    None => return false,
                }
            }
        };
        seawall_registrar::is_ip_registered(domain, context.now_s, name, ip, port)
    });
    Flow::bool(found)
}
