//! Which of several final responses goes upstream, and what is done to it (RFC 3261 §16.7 steps 6 and 7).

use std::sync::Arc;

use seawall_sip::{message::Message, name::Name};

use crate::{effect::Bytes, limits::MAX_AGGREGATED_CHALLENGES_BYTES};

/// The final response of one branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub branch: u16,
    pub status: u16,
    /// Whether it came from the network; else it was made here.
    pub received: bool,
}

/// The best of several responses; of equals the first.
pub(crate) fn choose(candidates: impl Iterator<Item = Candidate>) -> Option<Candidate> {
    candidates.min_by_key(rank)
}

/// Lower is better: any 6xx, else the lowest class. Within 4xx first what the client can do something about, last
/// what only says that we stopped waiting. Within 5xx a 503 comes last, because it speaks for one server only.
fn rank(candidate: &Candidate) -> (u16, u16) {
    let class = match candidate.status {
        600.. => 0,
        status => status / 100,
    };
    let within = match candidate.status {
        401 | 407 | 415 | 420 | 484 => 0,
        487 => 2,
        408 | 503 if candidate.received => 3,
        408 | 503 => 4,
        _ => 1,
    };
    (class, within)
}

/// Adds the challenges of the other 401 and 407 responses, so that the client can answer all of them at once
/// (RFC 3261 §16.7 step 7).
pub(crate) fn with_challenges<'a>(best: Bytes, others: impl Iterator<Item = &'a Message>) -> Bytes {
    let mut lines = Vec::new();
    for other in others.filter(|other| matches!(other.status(), 401 | 407)) {
        for name in [Name::WwwAuthenticate, Name::ProxyAuthenticate] {
            for header in other.header_all(name) {
                let line = header.span.of(other.bytes());
                if lines.len() + line.len() <= MAX_AGGREGATED_CHALLENGES_BYTES {
                    lines.extend_from_slice(line);
                }
            }
        }
    }
    let end = best.windows(4).position(|window| window == b"\r\n\r\n");
    let Some((head, rest)) = end.and_then(|end| best.split_at_checked(end + 2)) else { return best };
    if lines.is_empty() {
        return best;
    }
    Arc::new([head, &lines, rest].concat())
}

/// Turns a 503 into a 500: the server that is out of service is the next one, not this one, and a client that took
/// it literally would stop using us (RFC 3261 §16.7 step 6).
pub(crate) fn as_500(response: Bytes) -> Bytes {
    let end = response.iter().position(|&byte| byte == b'\r' || byte == b'\n').unwrap_or(0);
    let rest = response.get(end..).unwrap_or_default();
    Arc::new([b"SIP/2.0 500 Server Internal Error", rest].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(statuses: &[u16], expected: u16) {
        let candidates = statuses.iter().enumerate();
        let candidates = candidates.map(|(branch, &status)| Candidate {
            branch: branch as u16,
            status,
            received: status != 408,
        });
        assert_eq!(choose(candidates).map(|best| best.status), Some(expected), "{statuses:?}");
    }

    #[test]
    fn the_best_response_is_any_6xx_or_the_lowest_class() {
        check(&[486], 486);
        check(&[486, 603], 603);
        check(&[302, 404], 302);
        check(&[500, 404], 404);
        check(&[500, 302], 302);
        check(&[604, 302, 404], 604);
    }

    #[test]
    fn within_4xx_what_the_client_can_act_on_comes_first() {
        check(&[404, 401], 401);
        check(&[486, 407], 407);
        check(&[404, 415], 415);
        check(&[404, 420], 420);
        check(&[404, 484], 484);
        check(&[486, 404], 486);
    }

    #[test]
    fn a_timeout_of_our_own_and_a_cancelled_branch_come_last_in_4xx() {
        check(&[408, 486], 486);
        check(&[487, 486], 486);
        check(&[408, 487], 487);
        check(&[408, 500], 408);
    }

    #[test]
    fn a_503_comes_last_in_5xx() {
        check(&[503, 500], 500);
        check(&[503, 501], 501);
        check(&[503, 404], 404);
        check(&[503], 503);
    }

    #[test]
    fn a_503_becomes_a_500_and_keeps_its_headers() {
        let response = Arc::new(b"SIP/2.0 503 Busy\r\nRetry-After: 5\r\n\r\n".to_vec());
        assert_eq!(**as_500(response), *b"SIP/2.0 500 Server Internal Error\r\nRetry-After: 5\r\n\r\n");
    }
}
