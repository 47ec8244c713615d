//! A mid-registrar that tells refreshes which say nothing new does exactly what one does that reads each anew.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test that cannot go on fails

use proptest::prelude::*;
use seawall_registrar::mid::{Mode, Settings, Trust, UpstreamDown};

use crate::harness::{Front, policy};

/// One thing that happens.
#[derive(Clone, Debug)]
enum Happening {
    /// So many seconds pass.
    Pass(u64),
    /// A REGISTER with these header lines comes from this port, with a CSeq so much higher than the last.
    Register { lines: String, step: u32, port: u16 },
    /// The main registrar answers the one that waits longest, or the last one, in this way.
    Answer { is_last: bool, answer: Answer },
    /// The main registrar is known not to answer, or to answer again.
    HoldBack(bool),
    /// More waits than can be served, or does no longer.
    Crowd(bool),
    /// What the script adds to Contact URIs, and the interval that it wants of the main registrar.
    Script { extra: &'static str, outgoing_s: Option<u32> },
    /// The binding is removed by hand.
    Remove,
    /// The main registrar answers what was sent by the mid-registrar itself.
    OwnAnswer(u16),
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    Grant,
    /// All that was asked for, but with this interval, and these lines besides.
    Interval(u32, &'static str),
    Status(u16),
    Late,
}

fn register() -> impl Strategy<Value = Happening> {
    let contact = prop_oneof![
        6 => Just("<sip:a@192.0.2.7>"),
        2 => Just("<sip:b@192.0.2.8;x=1>;q=0.5"),
        1 => Just("<sip:a@192.0.2.7>, <sip:c@192.0.2.9>"),
        1 => Just("\"A\" <sip:a@192.0.2.7>;expires=60"),
    ];
    let callid = prop_oneof![6 => Just("Call-ID: a\n"), 1 => Just("Call-ID: b\n")];
    let expires = prop_oneof![6 => Just("Expires: 600\n"), 1 => Just(""), 1 => Just("Expires: 0\n")];
    let more = prop_oneof![
        8 => Just(""),
        1 => Just("Authorization: Digest x=y\n"),
        1 => Just("To: <sip:ALICE@example.com>\n"),
        1 => Just("Path: <sip:p@192.0.2.3;lr>\n"),
        1 => Just("Supported: gruu, outbound\n"),
    ];
    let port = prop_oneof![8 => Just(5070), 1 => Just(5071)];
    (contact, callid, expires, more, 0_u32..3, port).prop_map(
        |(contact, callid, expires, more, step, port)| {
            let lines = format!("{callid}Contact: {contact}\n{expires}{more}");
            Happening::Register { lines, step, port }
        },
    )
}

fn happening() -> impl Strategy<Value = Happening> {
    let answer = prop_oneof![
        8 => Just(Answer::Grant),
        2 => prop::sample::select(&[30, 599, 600, 700, 3600][..]).prop_map(|s| Answer::Interval(s, "")),
        1 => Just(Answer::Interval(900, "Service-Route: <sip:r;lr>\n")),
        1 => Just(Answer::Late),
        1 => prop::sample::select(&[401, 403, 404, 408, 423, 500][..]).prop_map(Answer::Status),
    ];
    let script = (prop::sample::select(&["", "", ";x=y"][..]), prop::option::of(Just(1200)));
    prop_oneof![
        4 => (0_u64..900).prop_map(Happening::Pass),
        12 => register(),
        12 => (any::<bool>(), answer).prop_map(|(is_last, answer)| Happening::Answer { is_last, answer }),
        1 => any::<bool>().prop_map(Happening::HoldBack),
        1 => any::<bool>().prop_map(Happening::Crowd),
        1 => script.prop_map(|(extra, outgoing_s)| Happening::Script { extra, outgoing_s }),
        1 => Just(Happening::Remove),
        2 => prop::sample::select(&[200, 404, 408, 500][..]).prop_map(Happening::OwnAnswer),
    ]
}

/// Lets it happen, and gives in words what comes of it.
fn act(front: &mut Front, cseq: u32, happening: &Happening) -> Vec<String> {
    let mut told = match happening {
        Happening::Pass(seconds) => front.wait(*seconds),
        Happening::Register { lines, port, .. } => {
            front.port = *port;
            vec![front.send(&format!("CSeq: {cseq} REGISTER\n{lines}"))]
        }
        Happening::Answer { is_last, answer } => {
            let mut waiting = (0..front.flying.len()).filter(|number| front.flying[*number].is_some());
            let number = if *is_last { waiting.next_back() } else { waiting.next() };
            number.map(|number| vec![answered(front, number, *answer)]).unwrap_or_default()
        }
        Happening::HoldBack(holds_back) => {
            front.holds_back = *holds_back;
            Vec::new()
        }
        Happening::Crowd(is_behind) => {
            front.is_behind = *is_behind;
            Vec::new()
        }
        Happening::Script { extra, outgoing_s } => {
            front.extra = extra;
            front.outgoing_s = *outgoing_s;
            Vec::new()
        }
        Happening::Remove => {
            front.remove_all();
            Vec::new()
        }
        Happening::OwnAnswer(status) => {
            if let Some(number) = front.errands.iter().position(Option::is_some) {
                front.done(number, *status, "");
            }
            Vec::new()
        }
    };
    told.extend(front.due());
    told.extend(held(front));
    told
}

fn answered(front: &mut Front, number: usize, answer: Answer) -> String {
    front.took_ms = if matches!(answer, Answer::Late) { 60_000 } else { 0 };
    match answer {
        Answer::Grant | Answer::Late => front.grant_to(number),
        Answer::Status(status) => front.answer(number, status, "Min-Expires: 1800\n"),
        Answer::Interval(interval_s, more) => {
            let forwarded = &front.flying[number].as_ref().unwrap().forwarded;
            let mut lines = String::from(more);
            for contact in seawall_sip::name_addr::contacts(forwarded) {
                let Ok(seawall_sip::Contact::Address(address)) = contact else { continue };
                let uri = String::from_utf8_lossy(address.uri).into_owned();
                lines += &format!("Contact: <{uri}>;expires={interval_s}\n");
            }
            front.answer(number, 200, &lines)
        }
    }
}

/// Everything in both tables.
fn held(front: &Front) -> Vec<String> {
    let entry = front.domain.lock(b"alice@example.com", front.now_s);
    let bindings: Vec<String> = entry.bindings().map(|binding| format!("{binding:?}")).collect();
    drop(entry);
    let shown = front.upstream.show(b"alice@example.com");
    bindings.into_iter().chain(shown.iter().map(|shown| format!("{shown:?}"))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_short_way_ends_where_the_long_one_does(
        (mode, trust, upstream_down) in (
            prop::sample::select(&[Mode::Contact, Mode::Contact, Mode::Aor, Mode::Mirror][..]),
            prop::sample::select(&[Trust::Verified, Trust::Any][..]),
            prop::sample::select(&[UpstreamDown::Absorb, UpstreamDown::Pass][..]),
        ),
        outgoing_s in prop::sample::select(&[0, 600, 1800][..]),
        random in any::<u64>(),
        happenings in prop::collection::vec((happening(), 1_usize..4), 1..30),
    ) {
        let settings = Settings { mode, trust, upstream_down, outgoing_expires_s: outgoing_s, ..Settings::default() };
        let mut short = Front::with(settings.clone(), policy());
        let mut long = Front::with(settings, policy());
        short.random = random;
        long.random = random;
        long.familiar = None;
        let mut cseq = 1;
        for (happening, times) in happenings {
            // Phones say the same again, and are answered before they do.
            for _ in 0..times {
                let answer = Happening::Answer { is_last: true, answer: Answer::Grant };
                let mut all = vec![happening.clone()];
                if let Happening::Register { step, .. } = &happening {
                    cseq += step;
                    if times > 1 {
                        all.push(answer);
                        all.push(Happening::Pass(7));
                    }
                }
                for happening in all {
                    let found = act(&mut short, cseq, &happening);
                    let expected = act(&mut long, cseq, &happening);
                    prop_assert_eq!(found, expected, "{:?}", happening);
                }
            }
        }
    }
}
