//! The first contact of somebody who has none: nothing can match it, nothing has to give way to it, and it is all that there
//! is to list. What it comes to is what a [`Plan`](crate::plan::Plan) of one step would; a property test compares the two.

use seawall_location::{Entry, Sink};
use seawall_sip::{Message, Name, Uri, ascii};
use smallvec::SmallVec;

use crate::plan::{self, Fate, Step};
use crate::policy::Policy;
use crate::reject::Reject;
use crate::reply;
use crate::request::{Asked, Register};
use crate::save::{Outcome, Save};

/// Reads the only contact of a request where it is written as nearly all are: a usual URI in brackets with no parameter behind
/// them but `expires`. `None` is no verdict, and nothing was added.
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
    let (uri, behind) = Uri::usual_in_brackets(message.value(Name::Contact)?)?;
    let given_s = match behind {
        [] => general_s,
        _ => Some(ascii::parse_u32(behind.strip_prefix(b";expires=")?).ok()?),
    };
    if uri.raw.len() > policy.max_contact_len {
        return None;
    }
    contacts.push(Asked { uri: uri.raw, taken: Some(uri), ..Asked::new(given_s, policy) });
    Some(())
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
        let mut binding = self.binding(register, &step);
        self.name(&mut binding, entry);
        // Sizes were checked, so it is not refused.
        let changed = entry.insert(&binding, sink).is_ok();
        if let Some(fingerprint) = register.fingerprint
            && self.is_told_by_fingerprint(register, &step)
        {
            entry.mark(0, fingerprint);
        }
        let ids = [binding.numbers.contact_id];
        let is_brief = self.bounded(register.message, register.wish, &ids, reply, |_, reply| {
            reply::write_contact(&binding, self.now_s, self.policy, self.gruus(register).as_ref(), reply);
            self.write_others(register, entry, reply);
        })?;
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
