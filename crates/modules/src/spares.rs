//! Memory of transactions that have ended, for those that come: a relayed request needs a dozen pieces, and asking for them
//! and giving them back costs more than filling them.

use std::sync::Arc;

use seawall_transaction::{Bytes, Request};

use crate::branch::Branch;
use crate::configuration::Configuration;
use crate::context::Target;
use crate::tm::state::TransactionState;

/// Pieces of each kind that are kept: as many as requests come in one turn of a worker before their answers do. All of them
/// together take a megabyte.
const MOST: usize = 128;

/// Longest text that is kept, in bytes. Few messages are longer than what fits into a datagram of a local network.
const LONGEST: usize = 2048;

/// The spare pieces of a worker. The context that serves a message has them meanwhile.
#[derive(Debug, Default)]
pub struct Spares {
    /// Nobody else has a hold of any of them.
    texts: Vec<Bytes>,
    requests: Vec<Arc<Request<Target>>>,
    states: Vec<Arc<TransactionState>>,
    branches: Vec<Branch>,
}

impl Spares {
    /// A text that nobody else has a hold of, with anything in it.
    #[inline]
    pub fn text(&mut self) -> Option<Bytes> {
        self.texts.pop()
    }

    /// A request that nobody else has a hold of, to be written over.
    #[inline]
    pub fn request(&mut self) -> Option<Arc<Request<Target>>> {
        self.requests.pop()
    }

    /// A state that nobody else has a hold of, with nothing in it, of any configuration and origin.
    #[inline]
    pub fn state(&mut self) -> Option<Arc<TransactionState>> {
        self.states.pop()
    }

    /// An empty destination.
    #[inline]
    pub fn branch(&mut self) -> Branch {
        self.branches.pop().unwrap_or_default()
    }

    /// Keeps a text if nobody else has a hold of it.
    #[inline]
    pub fn give_text(&mut self, mut text: Bytes) {
        if self.texts.len() < MOST && Arc::get_mut(&mut text).is_some_and(|text| text.capacity() <= LONGEST) {
            self.texts.push(text);
        }
    }

    /// Keeps a request if nobody else has a hold of it.
    #[inline]
    pub fn give_request(&mut self, mut request: Arc<Request<Target>>) {
        let fits = |request: &mut Request<Target>| request.message.bytes().len() <= LONGEST;
        if self.requests.len() < MOST && Arc::get_mut(&mut request).is_some_and(fits) {
            self.requests.push(request);
        }
    }

    /// Keeps the state of a transaction that has ended, if nobody else has a hold of it and it is of the present configuration.
    #[inline]
    pub fn give_state(&mut self, mut state: Arc<TransactionState>, configuration: &Arc<Configuration>) {
        if self.states.len() >= MOST || !Arc::ptr_eq(&state.configuration, configuration) {
            return;
        }
        if let Some(ended) = Arc::get_mut(&mut state) {
            let branches = &mut self.branches;
            ended.empty(|branch| {
                if branches.len() < MOST {
                    branches.push(branch);
                }
            });
            self.states.push(state);
        }
    }

    /// Lets go of what belongs to a configuration that was replaced.
    pub fn forget_states(&mut self) {
        self.states.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_once_nobody_else_reads_it_and_if_it_is_not_long() {
        let mut spares = Spares::default();
        let text: Bytes = Arc::new(b"text".to_vec());
        spares.give_text(Arc::clone(&text));
        assert_eq!(spares.text(), None);
        spares.give_text(text);
        assert!(spares.text().is_some());
        spares.give_text(Arc::new(Vec::with_capacity(LONGEST + 1)));
        assert_eq!(spares.text(), None);
        (0..=MOST).for_each(|_| spares.give_text(Arc::default()));
        assert_eq!(spares.texts.len(), MOST);
    }
}
