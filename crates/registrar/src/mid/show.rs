//! What the main registrars hold, for people and for a store (`mid_reg_show`).

use smallvec::SmallVec;

use super::registration::{Registration, State, Texts, WHOLE_AOR};
use super::upstream::{Main, Upstream};

/// One registration at a main registrar, as plain data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The contact that it stands for; `None` when it stands for the whole address of record.
    pub contact_id: Option<u64>,
    /// Unix second at which the main registrar forgets it.
    pub deadline_s: u32,
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
        let shown = |held: &Registration| Shown {
            contact_id: Some(held.key).filter(|key| *key != WHOLE_AOR),
            deadline_s: held.deadline_s,
            sure_s: held.sure_s,
            limit_s: held.limit_s,
            accepted_s: held.accepted_s,
            asked_s: held.asked_s,
            state: held.state,
            attempt: held.attempt,
            main: (*held.main).clone(),
            contact: held.texts.contact().into(),
            callid: held.texts.callid().into(),
            cseq: held.cseq,
            to: held.texts.to().into(),
            passed: held.texts.passed().into(),
            flow: held.flow,
            throttled: held.throttled,
        };
        shard
            .account(hash, aor)
            .map_or_else(Vec::new, |account| account.registrations.iter().map(shown).collect())
    }

    /// Puts back what [`show`](Upstream::show) gave, after a restart. What was to be taken away is due again when
    /// [`Mid::gone`](super::Mid::gone) is told of its contact.
    pub fn restore(&self, aor: &[u8], all: &[Shown]) {
        let hash = self.hash(aor);
        let mut shard = self.shard(hash);
        let restored = |shown: &Shown| Registration {
            key: shown.contact_id.unwrap_or(WHOLE_AOR),
            flow: shown.flow,
            ticket: 0,
            deadline_s: shown.deadline_s,
            possible_s: shown.deadline_s,
            sure_s: shown.sure_s,
            limit_s: shown.limit_s,
            accepted_s: shown.accepted_s,
            cseq: shown.cseq,
            asked_s: shown.asked_s,
            due_s: 0,
            attempt: 0,
            state: State::Live,
            throttled: shown.throttled,
            main: self.main(&shown.main),
            texts: Texts::new(&shown.contact, &shown.callid, &shown.to, &shown.passed),
        };
        let registrations: SmallVec<[Registration; 1]> = all.iter().map(restored).collect();
        if !registrations.is_empty() {
            shard.open(self, hash, aor).registrations = registrations;
        }
    }
}
