//! What the main registrars hold, for `mid_reg_show` and `mid_reg_resync`.

use std::sync::Arc;

use seawall_control::server::{LocationError, Registration};
use seawall_location::Binding;
use seawall_modules::mid_registrar::{Front, MidSettings};
use seawall_modules::node::Node;
use seawall_registrar::Aor;
use seawall_registrar::aor;
use seawall_registrar::mid::{Shown, State};

/// Shows what is registered for an address of record, one by one, in every table.
///
/// # Errors
/// It cannot be read, or nothing is registered for it.
pub fn show(
    node: &Node,
    aor: &[u8],
    now_s: u64,
    each: &mut dyn FnMut(&Registration<'_>),
) -> Result<(), LocationError> {
    let settings = settings(node)?;
    let name = canonical(aor, &settings)?;
    let mut found = false;
    for front in node.fronts.all() {
        for shown in front.upstream.show(&name) {
            found = true;
            show_one(node, &front, &name, &shown, now_s, each);
        }
    }
    if found { Ok(()) } else { Err(LocationError::AorNotFound) }
}

/// One registration, once for each binding that it stands for.
fn show_one(
    node: &Node,
    front: &Front,
    name: &[u8],
    shown: &Shown,
    now_s: u64,
    each: &mut dyn FnMut(&Registration<'_>),
) {
    let socket = node.socket_by_name(shown.main.socket).and_then(|id| node.socket(id));
    let transport = socket.map_or_else(String::new, |socket| format!("{}:", socket.transport));
    let main = format!("{transport}{}", shown.main.peer);
    let registration = Registration {
        contact_id: shown.contact_id,
        contact: b"",
        expires_s: 0,
        upstream_contact: &shown.contact,
        state: match shown.state {
            State::Live => "live",
            State::Leaving => "leaving",
            State::Renewing => "renewing",
        },
        upstream_expires_s: u64::from(shown.deadline_s).saturating_sub(now_s),
        forward_in_s: None,
        main: main.as_bytes(),
        main_uri: &shown.main.uri,
        callid: &shown.callid,
        cseq: shown.cseq,
        attempts: shown.attempt,
    };
    let is_its = |binding: &Binding<'_>| shown.contact_id.is_none_or(|id| id == binding.numbers.contact_id);
    let entry = front.domain.lock(name, now_s);
    let bindings: Vec<_> = entry.valid().filter(|(_, binding)| is_its(binding)).collect();
    for (_, binding) in &bindings {
        let numbers = &binding.numbers;
        // A refresh asks for as long as the last one: it is forwarded once that would pass the limit.
        let life_s = numbers.expires_s.saturating_sub(numbers.last_modified_s);
        let absorbed_until_s = u64::from(shown.limit_s.saturating_sub(life_s));
        each(&Registration {
            contact_id: Some(numbers.contact_id),
            contact: binding.contact,
            expires_s: u64::from(numbers.expires_s).saturating_sub(now_s),
            forward_in_s: Some(absorbed_until_s.saturating_sub(now_s)),
            ..registration
        });
    }
    if bindings.is_empty() {
        each(&registration);
    }
}

/// Registers everything again, or one address of record. Gives how many registrations that are.
///
/// # Errors
/// The address of record cannot be read, or nothing is registered for it.
pub fn resync(node: &Node, aor: Option<&[u8]>, now_s: u64) -> Result<usize, LocationError> {
    let settings = settings(node)?;
    let name = aor.map(|aor| canonical(aor, &settings)).transpose()?;
    let fronts = node.fronts.all();
    let count =
        fronts.iter().map(|front| front.with(node, &settings, now_s, |mid| mid.resync(name.as_deref())));
    match (count.sum(), &name) {
        (0, Some(_)) => Err(LocationError::AorNotFound),
        (count, _) => Ok(count),
    }
}

fn settings(node: &Node) -> Result<Arc<MidSettings>, LocationError> {
    let configuration = node.configuration.load();
    configuration.settings.mid.clone().ok_or(LocationError::Failed("mid_registrar is not loaded"))
}

fn canonical(text: &[u8], settings: &MidSettings) -> Result<Aor, LocationError> {
    let mut name = Aor::new();
    let is_uri = text.starts_with(b"sip:") || text.starts_with(b"sips:");
    let uri = if is_uri { text.to_vec() } else { [b"sip:", text].concat() };
    match aor::canonical_text(&uri, &settings.policy, &mut name) {
        Ok(()) => Ok(name),
        // Without `use_domain` a user alone is one.
        Err(_) if !settings.policy.use_domain && !is_uri => Ok(text.into()),
        Err(_) => Err(LocationError::Refused("Bad AOR")),
    }
}
