//! A REGISTER without a network: scan, checks, `save()` and the 200 OK, in one thread and in memory.
//!
//! It shows what Seawall itself adds to what the kernel costs. `seawall-bench pure` prints times and memory; the
//! comparison counts its instructions under callgrind.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use seawall_cost::{Fault, Registrar};
use seawall_location::{Domain, Location, Settings};
use seawall_sip::Message;

use crate::error::Error;
use crate::histogram::Histogram;
use crate::load::RegisterTexts;
use crate::{limits, process, socket};

/// `seawall-bench pure`: REGISTERs without a network.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct PureArgs {
    /// Addresses of record.
    #[arg(long, default_value_t = 100_000)]
    pub users: u32,
    /// Times that every user registers: the first is fresh, the others are refreshes.
    #[arg(long, default_value_t = 5)]
    pub passes: u32,
    /// Only write the requests and serve none: what has to be taken off a count of instructions.
    #[arg(long)]
    pub dry: bool,
    /// Also take the time of each REGISTER by itself, and of each second of the hour after the last one in which expired
    /// bindings are looked for: the longest of them is what somebody has to wait while a large table grows or grows old.
    /// By the processor time of this thread, so that it holds on a busy machine.
    #[arg(long, conflicts_with = "dry")]
    pub longest: bool,
}

/// How long after the last REGISTER expired bindings are looked for, seconds: the first ones end then.
const HOUR_S: u64 = 3590;
/// Steps of one look at a shard, as the server takes them.
const EXPIRE_BUDGET: usize = 8;

/// Serves as `args` say and prints, for each pass, the time of a request, and the memory of a binding.
///
/// # Errors
/// [`Error::Usage`] when a request is not answered 200 (then the figures would be those of something else) or the
/// arguments are out of bounds.
pub fn cli(args: PureArgs) -> Result<(), Error> {
    if args.users == 0 || args.users > limits::MAX_USERS || args.passes > limits::MAX_PASSES {
        return Err(Error::Usage(format!(
            "1 to {} users, at most {} passes",
            limits::MAX_USERS,
            limits::MAX_PASSES
        )));
    }
    let location = Location::new(Settings::new(*b"a secret of 16 B"));
    let domain = location.declare("location").ok_or_else(|| Error::Usage("no location table".to_owned()))?;
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut registrar = Registrar::new(&domain, now_s);
    let mut batch: Vec<Message> = (0..limits::BATCH).map(|_| Message::empty()).collect();
    let texts = RegisterTexts::new();
    let memory_before = own_memory()?;
    for pass in 0..args.passes {
        let mut serving_ns = 0;
        let mut each = Histogram::default();
        for first in (0..args.users).step_by(limits::BATCH) {
            let users = first..args.users.min(first + limits::BATCH as u32);
            for (user, message) in users.clone().zip(&mut batch) {
                texts.write(user, pass, message.buffer_mut());
            }
            if !args.dry {
                let began = Instant::now();
                for (_, message) in users.zip(&mut batch) {
                    let began_ns = if args.longest { socket::thread_cpu_ns() } else { 0 };
                    registrar.serve(message).map_err(|Fault(what)| Error::Usage(what.to_owned()))?;
                    if args.longest {
                        each.record(socket::thread_cpu_ns().saturating_sub(began_ns));
                    }
                }
                serving_ns += began.elapsed().as_nanos() as u64;
            }
        }
        let kind = if pass == 0 { "fresh" } else { "refresh" };
        println!("{kind:<8} {:>6.0} ns a REGISTER", serving_ns as f64 / f64::from(args.users));
        if args.longest {
            print_longest("a REGISTER", &each);
        }
        if pass == 0 {
            let growth = own_memory()?.saturating_sub(memory_before);
            println!("memory   {:>6.0} bytes a binding", growth as f64 / f64::from(args.users));
        }
    }
    if args.longest {
        print_longest("a second of expiry", &grow_old(&domain, now_s));
    }
    Ok(())
}

/// Lets an hour pass, and tells how long each of its seconds takes.
fn grow_old(domain: &Domain, now_s: u64) -> Histogram {
    let mut seconds = Histogram::default();
    for second in 1..=HOUR_S {
        let began_ns = socket::thread_cpu_ns();
        for shard in 0..domain.shard_count() {
            while domain.expire(shard, now_s + second, EXPIRE_BUDGET, &mut ()) {}
        }
        seconds.record(socket::thread_cpu_ns().saturating_sub(began_ns));
    }
    seconds
}

fn print_longest(what: &str, times: &Histogram) {
    let us = |ns: u64| ns as f64 / 1e3;
    println!(
        "{what}: p50 {:.1} us, p99.9 {:.1} us, longest {:.1} us",
        us(times.percentile_ns(50.0)),
        us(times.percentile_ns(99.9)),
        us(times.max_ns())
    );
}

fn own_memory() -> Result<u64, Error> {
    process::memory_bytes(std::process::id()).map_err(Error::system("cannot read the own memory"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_register_of_every_pass_is_answered_200() {
        cli(PureArgs { users: 200, passes: 3, dry: false, longest: true }).unwrap();
    }

    #[test]
    fn no_users_are_refused() {
        assert!(cli(PureArgs { users: 0, passes: 1, dry: false, longest: false }).is_err());
    }
}
