//! The first contact of somebody who has none: nothing can match it, nothing has to give way to it, and it is all that there
//! is to list. What it comes to is what a [`Plan`](crate::plan::Plan) of one step would; a property test compares the two.

use seawall_location::{Entry, Sink};
use seawall_sip::name_addr::parse_q;
use seawall_sip::{Message, Name, Uri, ascii};
use smallvec::SmallVec;

use crate::limits::MAX_INSTANCE_LEN;
use crate::plan::{self, Fate, Step};
use crate::policy::Policy;
use crate::reject::Reject;
use crate::reply;
use crate::request::{Asked, Register};
use crate::save::{Outcome, Save};

/// Reads the only contact of a request where it is written as nearly all are: a usual URI in brackets, and behind them no
/// parameters but those of [`read_usual_params`]. `None` is no verdict, and nothing was added.
#[inline]
pub(crate) fn read_usual_contact<'m>(
    message: &'m Message,
    general_s: Option<u32>,
    policy: &Policy,
    contacts: &mut SmallVec<[Asked<'m>; 1]>,
) -> Option<()> {
    if message.is_repeated(Name::Contact) {
        return None;
    }
    let (uri, taken, behind) = Uri::usual_in_brackets(message.value(Name::Contact)?)?;
    let params = read_usual_params(behind)?;
    let is_long = uri.len() > policy.max_contact_len || params.instance.len() > MAX_INSTANCE_LEN;
    if is_long {
        return None;
    }
    contacts.push(Asked {
        uri,
        taken: Some(taken),
        instance: params.instance,
        // RFC 5626 §6: without an instance it means nothing.
        reg_id: if params.instance.is_empty() { 0 } else { params.reg_id },
        q: params.q,
        ..Asked::new(params.expires_s.or(general_s), policy)
    });
    Some(())
}

/// What the parameters of a contact say.
#[derive(Default)]
struct Params<'m> {
    expires_s: Option<u32>,
    instance: &'m [u8],
    reg_id: u32,
    q: Option<u16>,
}

/// Reads the parameters that phones send as a rule, written as they write them: `expires`, `+sip.instance`, `reg-id` and `q`,
/// in lower case, without blanks, and none of them wrong. The last one of a name holds. `None` is no verdict.
#[inline]
fn read_usual_params(mut text: &[u8]) -> Option<Params<'_>> {
    let mut params = Params::default();
    while !text.is_empty() {
        text = if let Some(value) = text.strip_prefix(b";expires=") {
            let (expires_s, behind) = leading_number(value)?;
            params.expires_s = Some(expires_s);
            behind
        } else if let Some(value) = text.strip_prefix(b";+sip.instance=\"") {
            let (instance, behind) = value.split_at_checked(ascii::find_quoted_end(value)?)?;
            params.instance = instance;
            behind.strip_prefix(b"\"")?
        } else if let Some(value) = text.strip_prefix(b";reg-id=") {
            let (reg_id, behind) = leading_number(value)?;
            params.reg_id = reg_id;
            behind
        } else {
            let value = text.strip_prefix(b";q=")?;
            let (q, behind) = value.split_at_checked(ascii::find(value, b';').unwrap_or(value.len()))?;
            params.q = Some(parse_q(q).ok()?);
            behind
        };
    }
    Some(params)
}

/// The number that a text begins with, and what is behind it.
#[inline]
fn leading_number(text: &[u8]) -> Option<(u32, &[u8])> {
    let (number, len) = ascii::leading_number(text)?;
    Some((number, text.get(len..)?))
}

impl Save<'_> {
    /// Stores the only contact of a request whose address of record has no binding. Its interval is not 0.
    #[inline]
    pub(crate) fn insert_first(
        &self,
        register: &Register<'_>,
        asked: &Asked<'_>,
        entry: &mut Entry<'_>,
        reply: &mut Vec<u8>,
        sink: &mut dyn Sink,
    ) -> Result<Outcome, Reject> {
        let base_s = plan::interval_s(self, asked)?;
        plan::check_uri(self, register, asked, base_s)?;
        if self.flags.known_only {
            return Err(Reject::overloaded(self.policy, self.source.random));
        }
        let step =
            Step { asked, granted_s: plan::deviate(self, base_s, 0), fate: Fate::Insert, stored: None };
        self.check_sizes(register, &step)?;
        let contact_id = self.contact_id(asked.uri, register.callid, entry);
        let binding = self.binding_as(register, asked, step.granted_s, (contact_id, 0));
        let mark = register.fingerprint.filter(|_| self.is_told_by_fingerprint(register, &step));
        // Sizes were checked, so it is not refused.
        let changed = entry.insert_marked(&binding, mark, sink).is_ok();
        let start = reply.len();
        reply::write_contact(&binding, self.now_s, self.policy, self.gruus(register).as_ref(), reply);
        self.write_others(register, entry, reply);
        // It lists this contact alone, and cannot be shorter.
        let is_brief = self.is_brief(register.message, reply.len() - start);
        Ok(Outcome {
            status: 200,
            reason: "OK",
            reject: None,
            changed,
            retransmission: false,
            expires_s: binding.numbers.expires_s,
            is_brief,
        })
    }
}
