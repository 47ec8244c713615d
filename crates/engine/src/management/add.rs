//! `ul_add`: a binding that an operator makes.

use seawall_control::server::{LocationError, NewContact};
use seawall_location::{Binding, Domain, MADE_BY_HAND, Numbers, PERMANENT, Q_NONE, Sink};
use seawall_modules::node::Node;
use seawall_net::unix_s;
use seawall_script::FlagSpace;
use seawall_sip::Uri;

/// Adds a binding, or changes the one with that contact.
///
/// # Errors
/// The contact is not a SIP URI, is too long, or there are too many.
pub fn add(
    node: &Node,
    domain: &Domain,
    aor: &[u8],
    contact: &NewContact<'_>,
    sink: &mut dyn Sink,
) -> Result<(), LocationError> {
    let wanted = Uri::parse(contact.contact).ok().filter(Uri::is_sip);
    let wanted = wanted.ok_or(LocationError::Refused("Bad contact URI"))?;
    let now_s = unix_s();
    let ends_s = u32::try_from(now_s.saturating_add(u64::from(contact.expires_s))).unwrap_or(PERMANENT);
    let numbers = Numbers {
        expires_s: if contact.expires_s == 0 { PERMANENT } else { ends_s },
        last_modified_s: u32::try_from(now_s).unwrap_or(u32::MAX),
        cseq: 1,
        flags: branch_flags(node, contact.cflags)?,
        cflags: contact.flags,
        methods: contact.methods,
        q: contact.q_per_mille.unwrap_or(Q_NONE),
        ..Numbers::default()
    };
    let binding = Binding {
        numbers,
        contact: contact.contact,
        callid: MADE_BY_HAND,
        user_agent: b"Seawall MI Server",
        ..Binding::default()
    };
    let mut entry = domain.lock(aor, now_s);
    let same = |known: &Binding<'_>| Uri::parse(known.contact).is_ok_and(|known| known.equals(&wanted));
    let position = entry.bindings().position(|known| same(&known));
    let done = match position {
        Some(position) => entry.replace(position, &binding, sink),
        None => entry.insert(&binding, sink).map(|_| ()),
    };
    done.map_err(|_| LocationError::Refused("The contact is too long, or there are too many"))
}

/// Branch flags as MI gives them: a number, or names separated by spaces.
fn branch_flags(node: &Node, text: &str) -> Result<u32, LocationError> {
    if let Ok(mask) = text.trim().parse::<u32>() {
        return Ok(mask);
    }
    let configuration = node.configuration.load();
    text.split_whitespace().try_fold(0, |mask, name| {
        let bit = configuration.program.flag_bit(FlagSpace::Branch, name);
        let bit = bit.and_then(|bit| 1u32.checked_shl(u32::from(bit)));
        bit.map(|bit| mask | bit).ok_or(LocationError::Refused("Unknown branch flag"))
    })
}
