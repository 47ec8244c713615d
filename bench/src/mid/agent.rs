//! One phone of the crowd, and what it may rely on.
//!
//! All times are Unix milliseconds, because a registrar counts in Unix seconds.

/// What a phone knows about its own registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Since then it has held a 200 without a gap, and this one holds at least until then.
    Held {
        /// When the first of these came.
        since_ms: u64,
        /// The least end of the last one.
        until_ms: u64,
    },
    /// Since then nobody may reach it: it said goodbye and that was answered, or its last 200 has run out.
    Gone {
        /// The latest moment at which it went.
        since_ms: u64,
    },
    /// It is coming or going.
    Unsure,
}

/// What a request that waits for its answer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// To be registered, for the first time or again.
    Register,
    /// To be registered no longer.
    Goodbye,
}

/// A request that waits for its answer.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// What for.
    pub wish: Wish,
    /// How often it was sent.
    pub attempts: u8,
    /// When it was sent first.
    pub first_ms: u64,
}

/// A phone.
#[derive(Clone, Debug)]
pub struct Agent {
    /// Its life: with each return it has a new address, contact and Call-ID.
    pub life: u32,
    /// The CSeq number of its last request.
    pub cseq: u32,
    /// The socket that it has in this life.
    pub socket: usize,
    /// What it may rely on.
    pub standing: Standing,
    /// When its life before this one ended at the latest.
    pub before_gone_ms: u64,
    /// The request under way.
    pub ask: Option<Ask>,
    /// Until when the main registrar held it when that was last looked at; 0 for not.
    pub upstream_until_ms: u64,
    /// Which of its timers counts.
    pub serial: u32,
}

impl Agent {
    /// A phone that was never there.
    pub fn new(socket: usize) -> Agent {
        Agent {
            life: 1,
            cseq: 0,
            socket,
            standing: Standing::Gone { since_ms: 0 },
            before_gone_ms: 0,
            ask: None,
            upstream_until_ms: 0,
            serial: 0,
        }
    }

    /// A 200 came for a REGISTER that was sent at `sent_ms`. Gives whether it was not registered before.
    ///
    /// A registrar that counts in whole seconds may have served the request in the second in which it was sent.
    pub fn granted(&mut self, sent_ms: u64, now_ms: u64, granted_s: u32) -> bool {
        let until_ms = (sent_ms / 1000 + u64::from(granted_s)) * 1000;
        let (since_ms, is_new) = match self.standing {
            Standing::Held { since_ms, until_ms } if until_ms > now_ms => (since_ms, false),
            Standing::Held { .. } => (now_ms, false),
            Standing::Gone { .. } | Standing::Unsure => (now_ms, true),
        };
        self.standing = Standing::Held { since_ms, until_ms };
        is_new
    }

    /// It vanishes without a word. Its last 200 was for `expires_s`, so nobody may be told of it later than that.
    pub fn vanish(&mut self, now_ms: u64, expires_s: u32) {
        self.standing = Standing::Gone { since_ms: now_ms + u64::from(expires_s) * 1000 };
    }

    /// It comes back, from another address.
    pub fn come_back(&mut self, socket: usize, now_ms: u64) {
        self.before_gone_ms = match self.standing {
            Standing::Gone { since_ms } => since_ms,
            Standing::Held { .. } | Standing::Unsure => now_ms,
        };
        self.life += 1;
        self.socket = socket;
        self.standing = Standing::Unsure;
        self.upstream_until_ms = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_is_held_without_a_gap_and_to_the_second() {
        let mut agent = Agent::new(0);
        assert!(agent.granted(10_900, 11_100, 2));
        assert_eq!(agent.standing, Standing::Held { since_ms: 11_100, until_ms: 12_000 });
        assert!(!agent.granted(11_500, 11_600, 2));
        assert_eq!(agent.standing, Standing::Held { since_ms: 11_100, until_ms: 13_000 });
        // Too late: it holds again from now on.
        assert!(!agent.granted(13_100, 13_200, 2));
        assert_eq!(agent.standing, Standing::Held { since_ms: 13_200, until_ms: 15_000 });
        agent.vanish(14_000, 2);
        assert_eq!(agent.standing, Standing::Gone { since_ms: 16_000 });
        agent.come_back(3, 20_000);
        assert_eq!((agent.life, agent.before_gone_ms, agent.standing), (2, 16_000, Standing::Unsure));
    }
}
