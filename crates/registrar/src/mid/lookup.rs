//! `mid_registrar_lookup()`: from a request of the main registrar to the contacts of a client (behaviour §7;
//! mid_registrar 1.6.2).

use seawall_sip::Uri;

use super::contact;
use super::settings::{Mode, Settings};
use crate::aor::{self, Aor};
use crate::lookup::{Found, Lookup, Targets};
use crate::policy::Policy;
use crate::reject::Reject;

/// Whom a request of the main registrar is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sought {
    /// One contact.
    Contact(u64),
    /// All contacts of an address of record.
    AddressOfRecord(Aor),
}

impl Settings {
    /// Appends the contacts that a request for `uri` goes to. `aor` is the given address of record, which takes the
    /// place of the one in `uri`; a contact id counts in any case.
    ///
    /// # Errors
    /// The address of record cannot be read (return code -3).
    pub fn lookup(
        &self,
        lookup: &Lookup<'_>,
        uri: &[u8],
        aor: Option<&[u8]>,
        targets: &mut Targets,
    ) -> Result<Found, Reject> {
        match self.sought(lookup.policy, uri, aor)? {
            None => Ok(Found::Nothing),
            Some(Sought::Contact(id)) => {
                let mut found = Vec::new();
                Ok(if lookup.domain.find_contact(id, lookup.now_s, &mut found) {
                    lookup.run_for(&found, Some(id), targets)
                } else {
                    Found::Nothing
                })
            }
            Some(Sought::AddressOfRecord(name)) => Ok(lookup.run_for(&name, None, targets)),
        }
    }

    /// Whom a request for `uri` is for; nothing when that is nobody. `aor` is the given address of record.
    ///
    /// # Errors
    /// The address of record cannot be read.
    pub fn sought(&self, policy: &Policy, uri: &[u8], aor: Option<&[u8]>) -> Result<Option<Sought>, Reject> {
        let parsed = Uri::parse(uri).ok().filter(Uri::is_sip);
        let id = parsed.as_ref().and_then(|uri| contact::contact_id(self, uri));
        let mut name = Aor::new();
        match (self.mode, id, aor) {
            (Mode::Mirror | Mode::Contact, Some(id), _) => return Ok(Some(Sought::Contact(id))),
            // Without a contact id there is no contact to derive (mid_registrar 1.6.2), unless the script names whom.
            (Mode::Contact, None, None) => return Ok(None),
            (_, _, Some(given)) => aor::canonical_text(given, policy, &mut name)?,
            (Mode::Aor, _, None) => {
                let uri = parsed.ok_or(Reject::AorParse)?;
                match contact::address_of_record(self, policy, &uri, &mut name) {
                    // A request for no user is a request for nobody.
                    Err(Reject::NoUsername) => return Ok(None),
                    other => other?,
                }
            }
            (Mode::Mirror, None, None) => match aor::canonical_text(uri, policy, &mut name) {
                Err(Reject::NoUsername) => return Ok(None),
                other => other?,
            },
        }
        Ok(Some(Sought::AddressOfRecord(name)))
    }
}
