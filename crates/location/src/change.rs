//! What changed in the table, for those who listen: the E_UL_* events, the mid-registrar, and a store.

use crate::binding::Binding;
use crate::record::RecordView;

/// Why a binding went away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Its owner asked for it (`expires=0` or `*`), or another binding took its place.
    Asked,
    /// Its time was over.
    Expired,
    /// A new contact needed its place (`force-registration`).
    Evicted,
    /// An operator or the script removed it.
    Administrative,
}

/// One change, told while the shard is locked: copy what you need and return.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// The first binding of an address of record is about to be inserted (E_UL_AOR_INSERT).
    AorInsert,
    /// The last binding of an address of record went away (E_UL_AOR_DELETE).
    AorDelete,
    /// A new binding, after it was stored (E_UL_CONTACT_INSERT).
    ContactInsert(Binding<'a>),
    /// A refreshed binding, as it is now (E_UL_CONTACT_UPDATE).
    ContactUpdate(Binding<'a>),
    /// The key/value store of the address of record has changed; told for each of its bindings, for a store. No event
    /// belongs to it.
    KeysUpdate(Binding<'a>),
    /// A binding that went away, as it was (E_UL_CONTACT_DELETE).
    ContactDelete(Binding<'a>, Removal),
}

/// What those who listen want to hear of a binding that is refreshed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Updates {
    /// Nothing: they care for what comes and goes alone.
    Nothing,
    /// Which one it is ([`Sink::refreshed`]).
    Ids,
    /// All of it ([`Change::ContactUpdate`]).
    Whole,
}

/// Someone who is told of changes. `()` is nobody, and costs nothing.
pub trait Sink {
    /// Whether anybody listens. When not, changes are not even put together.
    fn listens(&self) -> bool;
    /// What anybody wants to hear of bindings that are refreshed. That is most of what happens, and is not told where all
    /// who listen care for what comes and goes alone.
    fn listens_to_updates(&self) -> Updates {
        if self.listens() { Updates::Whole } else { Updates::Nothing }
    }
    /// Told of a binding of `domain` that was refreshed, where its id is all that is wanted.
    fn refreshed(&mut self, _domain: &str, _contact_id: u64) {}
    /// Takes one change of `aor` in `domain`.
    fn change(&mut self, domain: &str, aor: &[u8], change: Change<'_>);
    /// Shown what `aor` holds, nothing when it has no bindings, before each change of it: a store that may have to take
    /// a change back copies an [`Image`](crate::Image). Called under the same lock as the change, if anybody listens.
    fn before(&mut self, _domain: &str, _aor: &[u8], _record: Option<RecordView<'_>>) {}
    /// Takes a binding that should have been refreshed by now ([`Domain::set_refresh_before`](crate::Domain)). It
    /// stays as it is. Told whether or not [`listens`](Sink::listens).
    fn refresh_due(&mut self, _domain: &str, _aor: &[u8], _binding: &Binding<'_>) {}
}

impl Sink for () {
    fn listens(&self) -> bool {
        false
    }

    fn change(&mut self, _domain: &str, _aor: &[u8], _change: Change<'_>) {}
}
