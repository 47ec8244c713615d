//! What a main registrar tells a client in a 2xx besides its contacts: the route of its requests (Service-Route,
//! RFC 3608 §6.3) and its identities (P-Associated-URI, RFC 7315 §4.1). Every 2xx says it anew, so one that is given here
//! has to say the same: it is kept with the registration as the last 2xx had it.

use seawall_sip::{Message, Name};

use super::Mid;
use super::absorb::View;
use super::limits::MAX_PASSED_LEN;
use super::registration::WHOLE_AOR;
use super::settings::Mode;
use super::upstream::Account;
use crate::plan::Plan;
use crate::proportion;
use crate::request::Register;
use crate::save::Source;

/// The header field of a client's identities.
const ASSOCIATED: &[u8] = b"P-Associated-URI";

/// What a listed contact takes besides its URI: the name of the header field, brackets, and `;expires=`.
const CONTACT_LEN: usize = 40;

/// The header lines of a 2xx that an answer of our own has to repeat. `None` when they are too long to be kept.
pub(super) fn lines(response: &Message) -> Option<Vec<u8>> {
    let mut lines = Vec::new();
    let routes = response.header_all(Name::ServiceRoute).map(|header| (&b"Service-Route"[..], header.value));
    let identities = response.header_named(ASSOCIATED).map(|header| (ASSOCIATED, header.value));
    for (name, value) in routes.chain(identities) {
        if lines.len() + name.len() + value.len() + 4 > MAX_PASSED_LEN {
            return None;
        }
        lines.extend_from_slice(name);
        lines.extend_from_slice(b": ");
        // A folded value becomes one line.
        lines.extend(value.iter().filter(|byte| !matches!(byte, b'\r' | b'\n')));
        lines.extend_from_slice(b"\r\n");
    }
    Some(lines)
}

/// Whether an answer over UDP to somebody who has not proven who he is may have these lines too (`max_reply_percent`).
pub(super) fn fits(register: &Register<'_>, source: &Source<'_>, percent: u32, passed: &[u8]) -> bool {
    let (Some(added), 1..) = (source.unproven, percent) else { return true };
    let contacts: usize = register.contacts.iter().map(|asked| asked.uri.len() + CONTACT_LEN).sum();
    !proportion::exceeds(register.message, passed.len() + added.needed + contacts, percent)
}

impl Mid<'_> {
    /// What the main registrar has said last to whoever asks here, about what he asks for.
    pub(super) fn passed<'a>(&self, view: &View<'a, '_, '_>, plan: &Plan<'_, '_>) -> &'a [u8] {
        let Some(account) = view.shard.account(view.hash, &view.register.aor) else { return b"" };
        let asked = || match self.settings.mode {
            Mode::Aor => Some(WHOLE_AOR),
            Mode::Mirror | Mode::Contact => {
                plan.steps.iter().find_map(|step| step.stored).map(|stored| stored.contact_id)
            }
        };
        let known = asked().and_then(|key| account.registration(key));
        // A request without contacts is answered with what he was told before.
        let known = known.or_else(|| account.registrations.first());
        match known {
            Some(known) if !known.texts.passed().is_empty() && self.was_told(view, account) => {
                known.texts.passed()
            }
            _ => b"",
        }
    }

    /// Whether the main registrar has said it to the sender himself: identities are for nobody else.
    fn was_told(&self, view: &View<'_, '_, '_>, account: &Account) -> bool {
        let registrations = account.registrations.iter().map(|registration| registration.flow);
        let mut flows = registrations.chain(account.flows.iter().map(|(_, flow)| *flow));
        flows.any(|flow| self.is_trusted(view, Some(flow)))
    }
}
