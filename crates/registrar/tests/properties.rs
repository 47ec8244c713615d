//! Random sequences of REGISTER requests: all or nothing, the same answer to the same request, and bounds that hold.

mod common;

use common::{Registrar, message};
use proptest::prelude::*;
use seawall_registrar::Policy;

#[derive(Clone, Debug)]
struct Request {
    wait_s: u64,
    callid: u8,
    cseq: u32,
    contacts: Vec<(u8, &'static str)>,
}

fn request() -> impl Strategy<Value = Request> {
    let params = prop::sample::select(vec![
        "",
        "",
        ";expires=0",
        ";expires=70",
        ";expires=300",
        ";q=0.5",
        ";q=9",
        ";expires=",
    ]);
    let contacts = prop::collection::vec((0..6u8, params), 0..4);
    (0..60u64, 0..2u8, 1..12u32, contacts).prop_map(|(wait_s, callid, cseq, contacts)| Request {
        wait_s,
        callid,
        cseq,
        contacts,
    })
}

fn lines(request: &Request) -> String {
    let mut lines = format!("Call-ID: {}\nCSeq: {} REGISTER\n", request.callid, request.cseq);
    for (number, params) in &request.contacts {
        // Two spellings of the same URI, and one that must be refused.
        let uri = match number {
            0 => "sip:a@h",
            1 => "sip:%61@H",
            2 => "sip:b@h",
            3 => "sip:c@h;x=1",
            4 => "sip:d@h",
            _ => "sip:e@224.0.0.1",
        };
        lines += &format!("Contact: <{uri}>{params}\n");
    }
    lines
}

proptest! {
    #[test]
    fn requests_are_served_completely_or_not_at_all(
        requests in prop::collection::vec(request(), 1..25),
        force in any::<bool>(),
        max_contacts in 0..4u32,
    ) {
        let mut registrar = Registrar::new(Policy { max_contacts, ..Policy::default() });
        let flags = if force { "force-registration" } else { "" };
        for request in &requests {
            registrar.now_s += request.wait_s;
            let message = message(&lines(request));
            let before = registrar.dump();
            registrar.log.0.clear();
            let (outcome, reply) = registrar.serve(flags, None, &message);
            let after = registrar.dump();
            let expired_only = registrar.log.0.iter().all(|line| line.ends_with("Expired") || line == "-aor");
            if !outcome.changed {
                prop_assert_eq!(&before, &after, "changed silently");
                prop_assert!(expired_only, "{:?}", registrar.log.0);
            }
            if outcome.reject.is_some() {
                prop_assert!(!outcome.changed && outcome.status != 200);
                continue;
            }
            prop_assert_eq!(reply.matches("expires=").count(), after.lines().count());
            // Somebody who lowers nothing and only adds never gets beyond the limit.
            prop_assert!(max_contacts == 0 || after.lines().count() <= max_contacts as usize);
            let (again, same_reply) = registrar.serve(flags, None, &message);
            prop_assert!(!again.changed && again.status == 200, "{:?} to {:?}", again, request);
            prop_assert_eq!(reply, same_reply);
            prop_assert_eq!(after, registrar.dump());
        }
        // Everything runs out in the end.
        registrar.now_s += 4000;
        for shard in 0..registrar.domain.shard_count() {
            while registrar.domain.expire(shard, registrar.now_s, 10, &mut ()) {}
        }
        prop_assert_eq!(registrar.domain.statistics().contacts, 0);
    }

    #[test]
    fn no_bytes_in_a_contact_break_the_reply(contact in prop::collection::vec(any::<u8>(), 0..60)) {
        let mut registrar = Registrar::default();
        let mut bytes = b"REGISTER sip:h SIP/2.0\r\nTo: <sip:alice@example.com>\r\nCall-ID: a\r\nCSeq: 1 REGISTER\r\nContact: ".to_vec();
        bytes.extend_from_slice(&contact);
        bytes.extend_from_slice(b"\r\n\r\n");
        let Ok(message) = seawall_sip::Message::parse(bytes) else { return Ok(()) };
        let (outcome, reply) = registrar.serve("", None, &message);
        if outcome.status == 200 {
            // At most one line, and it is a well-formed Contact header field.
            prop_assert!(reply.matches('\n').count() <= 1 && !reply.contains('\0'), "{:?}", reply);
            let value = reply.strip_prefix("Contact: ").unwrap_or_default().trim_end();
            let contacts: Vec<_> = seawall_sip::name_addr::NameAddrs::new(value.as_bytes()).collect();
            prop_assert!(contacts.iter().all(|contact| contact.as_ref().is_ok_and(|contact| contact.params.check().is_ok())));
        }
    }
}
