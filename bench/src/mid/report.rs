//! What was found, for people.

use std::fmt::Write;

use super::shares::{evenness, shares};
use super::{MidArgs, Mode, Outcome};

/// The report as lines of text.
pub fn render(args: &MidArgs, outcome: &Outcome) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write(args, outcome, &mut text);
    text
}

fn write(args: &MidArgs, outcome: &Outcome, text: &mut String) -> std::fmt::Result {
    let MidArgs { users, phones_each, expires_s, outgoing_s, warm_up_s, duration_s, .. } = args;
    let mode = if args.mode == Mode::Contact { "contact" } else { "AoR" };
    writeln!(
        text,
        "{mode} mode, {} phones of {users} users, expires {expires_s} s, outgoing_expires {outgoing_s} s, \
         {duration_s} s measured after {warm_up_s} s; trouble: {:?}",
        users * phones_each,
        args.trouble
    )?;
    let measured = &outcome.measured;
    let front = &measured.front;
    let received = front.absorbed + front.forwarded + front.refused;
    let all = shares(args.mode, (*phones_each, *expires_s, *outgoing_s), measured);
    writeln!(
        text,
        "REGISTERs {received}: {} absorbed, {} forwarded, {} refused; the phones sent {} and {} again",
        front.absorbed, front.forwarded, front.refused, measured.phones.sent, measured.phones.sent_again
    )?;
    let (seconds, changes) = match args.mode {
        Mode::Contact => (measured.phone_s, measured.phones.arrivals + measured.phones.goodbyes),
        Mode::Aor => (measured.user_s, measured.phones.user_arrivals + measured.phones.last_goodbyes),
    };
    writeln!(
        text,
        "absorbed {:.3} %; limit {:.3} % = 1 - ({seconds:.0} s registered / {outgoing_s} s + {changes} that came or said \
         goodbye) / {received}; {:.3} points apart",
        all.absorbed,
        all.limit,
        all.limit - all.absorbed
    )?;
    let divisor = if args.mode == Mode::Contact { String::new() } else { format!(" / {phones_each}") };
    writeln!(
        text,
        "with one refresh in {expires_s} s it would be {:.3} %; limit {:.3} % = 1 - {expires_s} / {outgoing_s}{divisor}; \
         {:.3} points apart",
        all.at_expires,
        all.limit_at_expires,
        all.limit_at_expires - all.at_expires
    )?;
    spread(args, outcome, text)?;
    let contacts: u64 = outcome.found.iter().map(|found| found.contacts).sum();
    let held: u64 = outcome.found.iter().map(|found| found.held).sum();
    writeln!(
        text,
        "{} comparisons of {} contacts with {held} registered phones: {} inconsistencies",
        outcome.found.len(),
        contacts,
        outcome.wrong()
    )?;
    for found in outcome.found.iter().filter(|found| found.wrong() > 0) {
        writeln!(text, "  {found}")?;
    }
    let phones = &outcome.phones;
    writeln!(
        text,
        "phones, from the start: {} refused or unanswered {:?}, {} of them while registered upstream; {} answers without \
         their contact; {} refreshed late",
        phones.failed.values().sum::<u64>(),
        phones.failed,
        phones.broken_promises,
        phones.unlisted,
        phones.late
    )?;
    if let Some(example) = &phones.unlisted_example {
        writeln!(text, "without its contact: {example}")?;
    }
    writeln!(
        text,
        "front: {:.2} us of processor time a REGISTER, {} de-REGISTERs of its own",
        outcome.cpu_ns as f64 / 1e3 / received.max(1) as f64,
        front.deregisters
    )
}

/// How evenly forwards came.
fn spread(args: &MidArgs, outcome: &Outcome, text: &mut String) -> std::fmt::Result {
    let MidArgs { outgoing_s, warm_up_s, .. } = args;
    let readings: Vec<(u64, u64)> =
        outcome.readings.iter().map(|(at_ms, statistics)| (*at_ms, statistics.forwarded)).collect();
    let window_ms = (u64::from(*outgoing_s) * 1000 / 24).max(1000);
    let (from_ms, until_ms) = outcome.span_ms;
    let start_ms = from_ms - warm_up_s * 1000;
    let arrival_ms = u64::from(*outgoing_s) * 50;
    let spans =
        [("since all came", start_ms + arrival_ms + window_ms, from_ms), ("measured", from_ms, until_ms)];
    for (name, from_ms, until_ms) in spans {
        let even = evenness(&readings, window_ms, from_ms, until_ms);
        writeln!(
            text,
            "forwards in {} ms, {name}: {} windows, mean {:.1}, least {}, most {}, most/mean {:.2}",
            window_ms,
            even.windows,
            even.mean,
            even.least,
            even.most,
            even.ratio()
        )?;
    }
    Ok(())
}
