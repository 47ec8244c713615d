//! The timers of a transaction: RFC 3261 table 4 as corrected by RFC 6026, with the names that `tm` gives them.

/// How long things take, in milliseconds. A transaction copies these when it is created and may change its own.
///
/// | field | RFC 3261, RFC 6026 | `tm` parameter |
/// |---|---|---|
/// | `t1_ms`, `t2_ms` | T1, T2: timers A, E, G | `T1_timer`, `T2_timer` |
/// | `fr_timeout_ms` | timers B, F | `fr_timeout` |
/// | `fr_inv_timeout_ms` | timer C | `fr_inv_timeout` |
/// | `d_ms` `i_ms` `j_ms` `k_ms` | timers D, I, J, K | `wt_timer` |
/// | `h_ms` `l_ms` `m_ms` | timers H, L, M | |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// First interval of a retransmission.
    pub t1_ms: u32,
    /// Longest interval of a retransmission, except that an INVITE goes on doubling (RFC 3261 §17.1.1.2).
    pub t2_ms: u32,
    /// Timers B and F: no response at all to an INVITE, no final response to another request.
    pub fr_timeout_ms: u32,
    /// Timer C: no final response to an INVITE after a provisional one.
    pub fr_inv_timeout_ms: u32,
    /// Whether each provisional response above 100 starts timer C anew (RFC 3261 §16.7 step 2), or only the first.
    pub restart_fr_on_each_reply: bool,
    /// Timer D: how long retransmissions of a final response to INVITE are acknowledged. 0 over reliable transport.
    pub d_ms: u32,
    /// Timer H: how long a final response to INVITE waits for its ACK.
    pub h_ms: u32,
    /// Timer I: how long further ACKs are absorbed. 0 over reliable transport.
    pub i_ms: u32,
    /// Timer J: how long retransmissions of a request that is not INVITE are absorbed. 0 over reliable transport.
    pub j_ms: u32,
    /// Timer K: how long further responses to a request that is not INVITE are absorbed. 0 over reliable transport.
    pub k_ms: u32,
    /// Timer L: how long retransmissions of an INVITE that was answered 2xx are absorbed.
    pub l_ms: u32,
    /// Timer M: how long further 2xx to an INVITE are passed on.
    pub m_ms: u32,
    /// How long after its creation an INVITE transaction that has sent nothing answers 100 (Trying). 0: at once, as
    /// `auto_100trying` does; `None`: never. RFC 3261 §17.2.1 asks for 200.
    pub trying_ms: Option<u32>,
}

impl Timers {
    /// The values of RFC 3261 table 4 and RFC 6026, timer C a little over three minutes (§16.6 step 11).
    #[must_use]
    pub const fn rfc3261() -> Timers {
        Timers {
            t1_ms: 500,
            t2_ms: 4000,
            fr_timeout_ms: 32_000,
            fr_inv_timeout_ms: 181_000,
            restart_fr_on_each_reply: true,
            d_ms: 32_000,
            h_ms: 32_000,
            i_ms: 5000,
            j_ms: 32_000,
            k_ms: 5000,
            l_ms: 32_000,
            m_ms: 32_000,
            trying_ms: Some(200),
        }
    }

    /// The defaults of `tm`: `fr_timeout` 30 s, `fr_inv_timeout` 120 s, `wt_timer` 5 s, `T1_timer` 500 ms,
    /// `T2_timer` 4 s, 100 (Trying) at once. `wt_timer` stands above T2 so that one lost response is still repeated.
    #[must_use]
    pub const fn tm() -> Timers {
        let mut timers = Timers::rfc3261();
        timers.fr_timeout_ms = 30_000;
        timers.fr_inv_timeout_ms = 120_000;
        timers.trying_ms = Some(0);
        timers.set_wait(5000);
        timers
    }

    /// Sets timers D, I, J and K at once, as `wt_timer` does.
    pub const fn set_wait(&mut self, wait_ms: u32) {
        self.d_ms = wait_ms;
        self.i_ms = wait_ms;
        self.j_ms = wait_ms;
        self.k_ms = wait_ms;
    }

    /// 64 times T1: how long an answer to a CANCEL is waited for, and how long the sender of a request waits.
    #[must_use]
    pub const fn patience_ms(&self) -> u64 {
        64 * self.t1_ms as u64
    }
}

impl Default for Timers {
    fn default() -> Timers {
        Timers::tm()
    }
}
