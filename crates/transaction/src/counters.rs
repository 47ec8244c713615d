//! What the layer counts, under the names of `tm`'s statistics.

/// Counters of one shard since its start; sums over all shards are the statistics of `tm`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// `received_replies`: responses that matched a transaction.
    pub received_replies: u64,
    /// `relayed_replies`: responses that were passed upstream.
    pub relayed_replies: u64,
    /// `local_replies`: responses that were made here.
    pub local_replies: u64,
    /// `UAS_transactions`: server transactions.
    pub uas_transactions: u64,
    /// `UAC_transactions`: client branches.
    pub uac_transactions: u64,
    /// `2xx_transactions` to `6xx_transactions`: server transactions by the class of their final response.
    pub completed: [u64; 5],
    /// Requests that were recognised as retransmissions.
    pub absorbed_requests: u64,
    /// Messages that were sent again.
    pub retransmissions: u64,
    /// Transactions that were refused because the shard was full.
    pub refused_full: u64,
}

impl Counters {
    /// The number of server transactions that ended with a class of response, 2 to 6.
    #[must_use]
    pub fn completed_class(&self, class: u16) -> u64 {
        self.completed.get(usize::from(class).wrapping_sub(2)).copied().unwrap_or(0)
    }

    /// Adds those of another shard.
    pub fn add(&mut self, other: &Counters) {
        for (sum, (_, more)) in self.fields_mut().into_iter().zip(other.fields_named()) {
            *sum.1 += more;
        }
    }

    /// Sets the counter of this name to 0; false when there is none.
    pub fn reset(&mut self, name: &str) -> bool {
        let found = self.fields_mut().into_iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| *value = 0).is_some()
    }

    /// Every counter under the name that statistics have for it.
    #[must_use]
    pub fn fields_named(mut self) -> [(&'static str, u64); 13] {
        self.fields_mut().map(|(name, value)| (name, *value))
    }

    fn fields_mut(&mut self) -> [(&'static str, &mut u64); 13] {
        let [c2, c3, c4, c5, c6] = &mut self.completed;
        [
            ("received_replies", &mut self.received_replies),
            ("relayed_replies", &mut self.relayed_replies),
            ("local_replies", &mut self.local_replies),
            ("UAS_transactions", &mut self.uas_transactions),
            ("UAC_transactions", &mut self.uac_transactions),
            ("2xx_transactions", c2),
            ("3xx_transactions", c3),
            ("4xx_transactions", c4),
            ("5xx_transactions", c5),
            ("6xx_transactions", c6),
            ("absorbed_requests", &mut self.absorbed_requests),
            ("retransmissions", &mut self.retransmissions),
            ("refused_full", &mut self.refused_full),
        ]
    }

    pub(crate) fn count_completed(&mut self, status: u16) {
        if let Some(count) = self.completed.get_mut(usize::from(status / 100).wrapping_sub(2)) {
            *count += 1;
        }
    }
}
