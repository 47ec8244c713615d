//! A registrar that tells refreshes which say nothing new does exactly what one does that reads each anew.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test that cannot go on fails

mod common;

use std::sync::Arc;

use proptest::prelude::*;
use seawall_registrar::{Familiar, Gruu, MatchingMode, Policy, Push};

use common::{Registrar, answer, message};

/// One thing that happens.
#[derive(Clone, Debug)]
enum Happening {
    /// So many seconds pass.
    Pass(u64),
    /// A REGISTER with these header lines, CSeq so much higher than the last, under these flags, from a sender with this
    /// received URI.
    Register { lines: String, step: u32, flags: &'static str, received: &'static str },
}

const FLAGS: [&str; 8] = [
    "",
    "",
    "max-contacts=2",
    "max-contacts=1,force-registration",
    "only-request-contacts",
    "matching-mode=1",
    "path-lazy,path-received",
    "min-expires=100,max-expires=1000",
];

/// A line or nothing; the first of them more often than all others.
fn one_of(lines: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop_oneof![6 => Just(lines[0]), 1 => prop::sample::select(lines)]
}

fn happening() -> impl Strategy<Value = Happening> {
    let contact =
        prop::sample::select(&["<sip:a@192.0.2.7>", "<sip:b@192.0.2.8;x=1>", "<sip:a@192.0.2.7;y=%61>"][..]);
    let pushed = prop::sample::select(
        &[
            "<sip:a@192.0.2.7;pn-provider=fcm;pn-param=p;pn-prid=t>",
            "<sip:a@192.0.2.8;pn-prid=t;pn-param=p;pn-provider=fcm>",
            "<sip:a;pn-provider=no@192.0.2.8;x=1;PN-Provider=APNS;pn-param=p;pn-prid=u?h=1>",
            "<sip:a@192.0.2.7;pn-provider=webpush;pn-prid=v>",
            "<sip:a@192.0.2.7;pn-provider=other;pn-param=p;pn-prid=t>",
            "<sip:a@192.0.2.7;pn-provider=other>",
            "<sip:a@192.0.2.7;pn-provider=fcm>",
            "<sip:a@192.0.2.7;pn-provider>",
        ][..],
    );
    let contact = (
        prop_oneof![contact, pushed],
        one_of(&["", ";expires=0", ";expires=60", ";q=0.5", ";+sip.instance=\"<urn:u:1>\";reg-id=1"]),
    );
    let more = one_of(&[
        "",
        ", <sip:c@192.0.2.9>",
        ", <sip:a@192.0.2.7>;expires=0",
        "\r\nContact: <sip:d@192.0.2.1:5080>",
    ]);
    let rest = (
        one_of(&["Call-ID: 1\r\n", "Call-ID: 2\r\n"]),
        one_of(&["", "Expires: 300\r\n", "Expires: 0\r\n", "Expires: 4294967295\r\n"]),
        one_of(&["User-Agent: A\r\n", "User-Agent: B\r\n", ""]),
        one_of(&["Allow: INVITE\r\n", "Allow: INVITE, BYE\r\n", "Allow: INVITE\r\nAllow: BYE\r\n"]),
        one_of(&["", "Supported: path, gruu\r\n", "Supported: outbound\r\n", "Require: nothing\r\n"]),
        one_of(&[
            "",
            "Path: <sip:p@192.0.2.3;lr>\r\n",
            "Path: <sip:p;lr>\r\nSupported: path\r\n",
            "Feature-Caps: *;+sip.pns=\"fcm\"\r\n",
            "Feature-Caps: *;+sip.pns=\"other\"\r\n",
            "Feature-Caps: *;+sip.pns=\"x\"\r\nFeature-Caps: *;+sip.pns=\"other\"\r\n",
        ]),
    );
    let register =
        (contact, more, rest, 0_u32..4, prop::sample::select(&FLAGS[..]), one_of(&["", "sip:192.0.2.44:5"]));
    let register = register.prop_map(|((contact, params), more, rest, step, flags, received)| {
        let (callid, expires, agent, allow, supported, path) = rest;
        let lines =
            format!("{callid}Contact: {contact}{params}{more}\r\n{expires}{agent}{allow}{supported}{path}");
        Happening::Register { lines, step, flags, received }
    });
    let all = Just("Call-ID: 1\r\nContact: *\r\nExpires: 0\r\n").prop_map(|lines| Happening::Register {
        lines: lines.into(),
        step: 1,
        flags: "",
        received: "",
    });
    prop_oneof![3 => (0_u64..700).prop_map(Happening::Pass), 12 => register, 1 => all]
}

fn policy() -> impl Strategy<Value = Policy> {
    let matching = prop_oneof![
        3 => Just(MatchingMode::Uri),
        1 => Just(MatchingMode::UriAndCallId),
        1 => Just(MatchingMode::Param((*b"x").into())),
    ];
    let push = prop_oneof![1 => Just(None), 2 => any::<bool>().prop_map(|purr| Some(Arc::new(push(purr))))];
    (matching, any::<bool>(), 0_u32..3, prop_oneof![3 => Just(0), 1 => Just(20)], push).prop_map(
        |(matching, has_gruu, max_contacts, deviation_s, push)| Policy {
            push,
            matching,
            max_contacts,
            expires_max_deviation_s: deviation_s,
            gruu: has_gruu.then(|| Arc::new(Gruu::new(b"a secret of some length", false))),
            ..Policy::default()
        },
    )
}

/// Pushes to two services and to browsers.
fn push(purr: bool) -> Push {
    let providers = [&b"fcm"[..], b"apns", b"webpush"].map(Box::from).into();
    Push { providers, purr, vapid: Some((*b"key").into()), ..Push::default() }
}

/// What a registrar holds, in words.
fn held(registrar: &Registrar) -> Vec<String> {
    let entry = registrar.domain.lock(b"alice@example.com", registrar.now_s);
    entry.bindings().map(|binding| format!("{binding:?}")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_short_way_ends_where_the_long_one_does(
        policy in policy(),
        happenings in prop::collection::vec((happening(), 1_usize..4), 1..25),
    ) {
        let mut short = Registrar::new(policy.clone());
        short.familiar = Some(Familiar::new(99));
        let mut long = Registrar { familiar: None, ..Registrar::new(policy) };
        let mut cseq = 1;
        let both = |registrars: [&mut Registrar; 2], lines: &str, flags: &str, received: &'static str| {
            registrars.map(|registrar| {
                registrar.received = received;
                let (outcome, headers) = registrar.serve(flags, None, &message(lines));
                (answer(&outcome, &headers), format!("{outcome:?}"), held(registrar), std::mem::take(&mut registrar.log.0))
            })
        };
        for (happening, times) in happenings {
            match happening {
                Happening::Pass(seconds) => {
                    short.now_s += seconds;
                    long.now_s += seconds;
                }
                Happening::Register { lines, step, flags, received } => {
                    // Phones say the same again.
                    for _ in 0..times {
                        cseq += step;
                        let lines = format!("CSeq: {cseq} REGISTER\r\n{lines}");
                        let [found, expected] = both([&mut short, &mut long], &lines, flags, received);
                        prop_assert_eq!(found, expected, "{} {}", lines, flags);
                        short.now_s += 7;
                        long.now_s += 7;
                    }
                }
            }
        }
    }
}
