//! Several times more requests than the server can serve, whatever becomes of them: what it accepts, whom it prefers, and
//! that it has recovered afterwards. Ratios of one run only.

use std::time::Duration;

use seawall_bench::load::{Generator, Operation, Options, Pace, Storm, Work};
use seawall_bench::process::cpu_ns;

use crate::harness::scripts::MODULES;
use crate::harness::{Server, mi, namespace};

/// Users who are registered.
const USERS: u32 = 500;

#[test]
fn a_storm_costs_those_who_are_known_little_and_is_over_when_it_ends() {
    // The kernel keeps a storm for the superuser only, who runs these other tests too.
    if !namespace::wanted() {
        return;
    }
    // What every REGISTER costs is the script, as it is where much is done before it is saved.
    let script = format!(
        "{MODULES}modparam(\"registrar\", \"overload_early\", 1)\n\
         route {{ if (!is_method(\"REGISTER\")) exit; $var(n) = 300; while ($var(n) > 0) {{ $var(n) = $var(n) - 1; }}\n\
         save(\"location\"); }}\n"
    );
    let server = Server::start(&script.replace("udp_workers=2", "udp_workers=1"));
    let mut generator = Generator::open(Options::new(server.udp())).unwrap();
    let patience = Duration::from_secs(20);
    let all = Work { patience, ..Work::once(Operation::Register, USERS) };
    assert!(generator.run(&all).unwrap().is_clean());
    let refreshes = Work { count: u64::from(USERS) * 4, pace: Pace::Closed { window: 64 }, ..all };
    // By the processor time of the server: other tests run beside this one.
    let cpu_s = || cpu_ns(server.id()).unwrap() as f64 / 1e9;
    let began_s = cpu_s();
    let calm = generator.run(&refreshes).unwrap();
    assert_eq!(calm.succeeded, calm.started, "{calm}");
    let (capacity, each_calm_s) = (calm.rate_per_s(), (cpu_s() - began_s) / calm.succeeded as f64);

    let storm = Storm {
        users: USERS,
        first_new_user: USERS,
        known_percent: 50,
        rate_per_s: capacity * 10.0,
        duration: Duration::from_secs(3),
    };
    let began_s = cpu_s();
    let wave = generator.storm(&storm).unwrap();
    let good = each_calm_s * wave.known.accepted as f64 / (cpu_s() - began_s);
    println!("{:.0} % of the time was of use to those who are known", good * 100.0);
    assert!(good > 0.55, "{good:.2} of the time was of use to those who are known");
    let share = |accepted: u64, sent: u64| accepted as f64 / sent.max(1) as f64;
    let (known, new) = (share(wave.known.accepted, wave.known.sent), share(wave.new.accepted, wave.new.sent));
    assert!(known > 4.0 * new, "{known:.4} of the known and {new:.4} of the new were accepted");
    assert!(wave.new.refused > 0, "some are told to come back later");
    assert!(mi::statistic(&server, "registrar:shed_regs") >= wave.new.refused);

    // Afterwards everybody is welcome.
    let first_new_user = USERS + u32::try_from(wave.new.sent).unwrap();
    let calm = Storm { first_new_user, known_percent: 90, rate_per_s: capacity * 0.1, ..storm };
    let after = generator.storm(&calm).unwrap();
    let last = &after.slices[after.slices.len() / 2..];
    let (sent, accepted): (u64, u64) =
        last.iter().fold((0, 0), |sum, slice| (sum.0 + slice.sent, sum.1 + slice.accepted));
    assert_eq!(accepted, sent, "a second and a half after the storm");
}
