//! What few messages need of a context. Most only read it, and leave nothing in it to be emptied.

use std::net::IpAddr;
use std::sync::Arc;

use seawall_script::{Output, Value};
use seawall_sip::edit::Edits;
use seawall_transaction::TransactionId;

use super::{EventParameters, Failure};
use crate::acc::Accounting;
use crate::auth::Verdict;
use crate::avps::Avps;
use crate::branch::Branch;
use crate::host::Launched;
use crate::mid_registrar::Journey;
use crate::originate::Departure;
use crate::path::PathHeader;
use crate::registrar::waking::Asleep;
use crate::rr::{LooseRoute, RecordRoute};
use crate::serial::Waiting;
use crate::store::Drafted;
use crate::tm::state::{Armed, TransactionState};
use crate::waiting::{Launch, Wait};

/// The part of a [`Context`](super::Context) that is emptied only after a message which could have changed it. It stands behind
/// [`Touched`](super::Touched), so nothing in it may be a cell.
#[derive(Default)]
pub struct Rare {
    /// Changes to the message, applied when it is forwarded.
    pub edits: Edits,
    /// Further destinations.
    pub branches: Vec<Branch>,
    /// Destinations that are to be tried later.
    pub serial: Waiting,
    /// `$avp` values.
    pub avps: Avps,
    /// Header lines for replies (`append_to_reply`).
    pub reply_headers: Vec<u8>,
    /// Parameters for the Record-Route that `record_route` asked for.
    pub record_route: Option<RecordRoute>,
    /// What `add_path` asked for.
    pub path_header: Option<Box<PathHeader>>,
    /// What `loose_route` found out about the Route set.
    pub loose_route: LooseRoute,
    /// The transaction of whoever subscribed to the event that this route runs for.
    pub notice: Option<(TransactionId, Arc<TransactionState>)>,
    /// Whether the contact of that event is woken by pushes.
    pub notice_is_pushed: bool,
    /// Phones that have to be woken for this request when its route has ended.
    pub wakes: Vec<Asleep>,
    /// The Request-URI that a lookup left as it was, because it found nobody who is awake; empty for none.
    pub asleep_uri: Vec<u8>,
    /// The branch whose branch, reply or failure route runs.
    pub branch_index: u16,
    /// Set in a failure route.
    pub failure: Option<Failure>,
    /// Routes armed for the transaction that is to come.
    pub armed: Armed,
    /// What `do_accounting` asked for.
    pub accounting: Accounting,
    /// What the authorize functions found out.
    pub authentication: Verdict,
    /// Set in an event route.
    pub event: Option<EventParameters>,
    /// The request of the server itself that a `local_route` runs for: what is to be known when it is sent.
    pub own: Option<Box<Departure>>,
    /// The REGISTER as it goes to the main registrar, after `mid_registrar_save()`.
    pub journey: Option<Arc<Journey>>,
    /// What the answer of another registrar has changed here, in the database: the answer passes when that is on disk.
    pub drafted: Option<Drafted>,
    /// Addresses that were resolved for this message, by host name.
    pub resolved: Vec<(String, Vec<IpAddr>)>,
    /// The Max-Forwards to send, when the script has lowered it.
    pub max_forwards: Option<u32>,
    /// What the last function that failed would answer (`sl_reply_error`).
    pub error: Option<(u16, &'static str)>,
    /// Whether replies go to the source port even if the request did not ask for it (`force_rport`).
    pub force_rport: bool,
    /// Whether our own Via asks for rport (`add_local_rport`).
    pub add_local_rport: bool,
    /// `$T_fr_timeout` and `$T_fr_inv_timeout` in milliseconds, when the script has set them.
    pub timeouts_ms: Option<(u32, u32)>,
    /// Headers that `t_add_hdrs` wants before there is a transaction.
    pub added_headers: Vec<u8>,
    /// Routes to run after this one (`launch`).
    pub launched: Vec<Launched>,
    /// Errands that `launch` started and nobody waits for.
    pub launches: Vec<Launch>,
    /// Header fields for the next request over HTTP (`rest_append_hf`).
    pub http_headers: Vec<(String, String)>,
    /// What the function that answers "pending" waits for.
    pub waiting: Option<Wait>,
    /// Variables that a function which waited gives values to, before its script goes on.
    pub outputs: Vec<(Output, Value)>,
}

impl Rare {
    /// Forgets everything about the last message; allocations stay.
    pub(super) fn empty(&mut self) {
        // By name, so that nothing that is added can be forgotten here.
        let Rare {
            edits,
            branches,
            serial,
            avps,
            reply_headers,
            record_route,
            path_header,
            loose_route,
            notice,
            notice_is_pushed,
            wakes,
            asleep_uri,
            branch_index,
            failure,
            armed,
            accounting,
            authentication,
            event,
            own,
            journey,
            drafted,
            resolved,
            max_forwards,
            error,
            force_rport,
            add_local_rport,
            timeouts_ms,
            added_headers,
            launched,
            launches,
            http_headers,
            waiting,
            outputs,
        } = self;
        edits.clear();
        branches.clear();
        serial.clear();
        avps.clear();
        reply_headers.clear();
        *record_route = None;
        *path_header = None;
        *loose_route = LooseRoute::default();
        *notice = None;
        *notice_is_pushed = false;
        wakes.clear();
        asleep_uri.clear();
        *branch_index = 0;
        *failure = None;
        *armed = Armed::default();
        *accounting = Accounting::default();
        *authentication = Verdict::default();
        *event = None;
        *own = None;
        *journey = None;
        *drafted = None;
        resolved.clear();
        *max_forwards = None;
        *error = None;
        *force_rport = false;
        *add_local_rport = false;
        *timeouts_ms = None;
        added_headers.clear();
        launched.clear();
        launches.clear();
        http_headers.clear();
        *waiting = None;
        outputs.clear();
    }
}

#[cfg(test)]
mod tests {
    use seawall_script::{Flow, Value};
    use seawall_sip::Message;

    use super::super::Touched;
    use super::*;
    use crate::waiting::Errand;

    fn wait() -> Wait {
        Wait { errand: Errand::Commit(1), resume: Box::new(|_, _| Flow::TRUE), patience_ms: Some(1) }
    }

    /// Touches all of it that has a value which is easily made. The rest are `Option`s of what only a server can make.
    fn touch(rare: &mut Rare) {
        let message = Message::parse(b"OPTIONS sip:a@b SIP/2.0\r\nCall-ID: 1\r\n\r\n".to_vec()).unwrap();
        rare.edits.append_header(&message, b"X: y\r\n");
        rare.branches.push(Branch::default());
        rare.avps.add(b"name", Value::Int(1));
        rare.reply_headers.push(1);
        rare.record_route = Some(RecordRoute::default());
        rare.loose_route = LooseRoute { driven: true, params: b";a".to_vec() };
        rare.notice_is_pushed = true;
        rare.asleep_uri.push(1);
        rare.branch_index = 1;
        rare.failure = Some(Failure { code: 408, branch: 1 });
        rare.accounting.level = 3;
        rare.authentication.stale = true;
        rare.event = Some(EventParameters::default());
        rare.resolved.push(("host".to_owned(), Vec::new()));
        rare.max_forwards = Some(1);
        rare.error = Some((400, "Bad Request"));
        rare.force_rport = true;
        rare.add_local_rport = true;
        rare.timeouts_ms = Some((1, 2));
        rare.added_headers.push(1);
        rare.launches.push(Launch { wait: wait(), route: None, parameter: None });
        rare.http_headers.push(("name".to_owned(), "value".to_owned()));
        rare.waiting = Some(wait());
    }

    /// Whether everything is as in a new one.
    fn is_new(rare: &Rare) -> bool {
        let lists = [
            rare.edits.is_empty(),
            rare.branches.is_empty(),
            rare.serial.is_empty(),
            rare.avps.is_empty(),
            rare.reply_headers.is_empty(),
            rare.wakes.is_empty(),
            rare.asleep_uri.is_empty(),
            rare.resolved.is_empty(),
            rare.added_headers.is_empty(),
            rare.launched.is_empty(),
            rare.launches.is_empty(),
            rare.http_headers.is_empty(),
            rare.outputs.is_empty(),
        ];
        let options = [
            rare.record_route.is_none(),
            rare.path_header.is_none(),
            rare.notice.is_none(),
            rare.failure.is_none(),
            rare.event.is_none(),
            rare.own.is_none(),
            rare.journey.is_none(),
            rare.drafted.is_none(),
            rare.max_forwards.is_none(),
            rare.error.is_none(),
            rare.timeouts_ms.is_none(),
            rare.waiting.is_none(),
        ];
        let verdict = format!("{:?}", rare.authentication) == format!("{:?}", Verdict::default());
        let flags = [rare.notice_is_pushed, rare.force_rport, rare.add_local_rport];
        lists.iter().chain(&options).all(|is_new| *is_new)
            && verdict
            && !flags.contains(&true)
            && rare.branch_index == 0
            && rare.loose_route == LooseRoute::default()
            && rare.armed == Armed::default()
            && rare.accounting == Accounting::default()
    }

    #[test]
    fn what_a_message_has_left_is_gone_before_the_next_one() {
        let mut rare = Touched::<Rare>::default();
        assert!(is_new(&rare) && !rare.is_touched());
        for _ in 0..2 {
            touch(&mut rare);
            assert!(rare.is_touched() && !is_new(&rare));
            rare.renew(Rare::empty);
            assert!(is_new(&rare) && !rare.is_touched());
        }
    }
}
