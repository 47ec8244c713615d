//! What the main registrars hold, for people and for a store (`mid_reg_show`).

use super::registration::{Registration, State, WHOLE_AOR};
use super::upstream::{Main, Upstream};

/// One registration at a main registrar, as plain data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The contact that it stands for; `None` when it stands for the whole address of record.
    pub contact_id: Option<u64>,
    /// Unix second at which the main registrar forgets it.
    pub deadline_s: u32,
    /// Unix second until which it may hold it after all, where that is later.
    pub possible_s: u32,
    /// Unix second until which it holds it for certain, however long its answer took.
    pub sure_s: u32,
    /// The next REGISTER that would let a local binding end after this Unix second is forwarded.
    pub limit_s: u32,
    /// Unix second at which the main registrar accepted it.
    pub accepted_s: u32,
    /// The interval that was asked for.
    pub asked_s: u32,
    /// How it stands.
    pub state: State,
    /// How often a request of our own was tried.
    pub attempt: u8,
    /// Where it is registered.
    pub main: Main,
    /// The Contact value there, without `expires`.
    pub contact: Box<[u8]>,
    /// The Call-ID that the main registrar knows.
    pub callid: Box<[u8]>,
    /// The CSeq number that the main registrar knows.
    pub cseq: u32,
    /// The URI of To.
    pub to: Box<[u8]>,
    /// The header lines of the 2xx that an absorbed REGISTER is answered with again, each with its line break.
    pub passed: Box<[u8]>,
    /// The flow that it was accepted from, as a keyed hash.
    pub flow: u64,
    /// Whether it is taken away from the main registrar when it ends here.
    pub throttled: bool,
}

impl Upstream {
    /// What is registered for an address of record in its canonical form.
    #[must_use]
    pub fn show(&self, aor: &[u8]) -> Vec<Shown> {
        let hash = self.hash(aor);
        let shard = self.shard(hash);
        shard
            .account(hash, aor)
            .map_or_else(Vec::new, |account| account.registrations.iter().map(Registration::shown).collect())
    }
}

impl Registration {
    pub(super) fn shown(&self) -> Shown {
        Shown {
            contact_id: Some(self.key).filter(|key| *key != WHOLE_AOR),
            deadline_s: self.deadline_s,
            possible_s: self.possible_s,
            sure_s: self.sure_s,
            limit_s: self.limit_s,
            accepted_s: self.accepted_s,
            asked_s: self.asked_s,
            state: self.state,
            attempt: self.attempt,
            main: (*self.main).clone(),
            contact: self.texts.contact().into(),
            callid: self.texts.callid().into(),
            cseq: self.cseq,
            to: self.texts.to().into(),
            passed: self.texts.passed().into(),
            flow: self.flow,
            throttled: self.throttled,
        }
    }
}
