//! Functions that answer later: the run stops in the middle of anything and goes on elsewhere.
#![allow(clippy::unwrap_used)]

mod support;

use seawall_script::{Frame, Mode, Outcome, Program, RouteKind, Value, resume, run};
use support::{World, program, start};

/// Runs a script whose functions are pending, answers them one after the other, each on a thread of its own, and compares
/// the log.
fn check(text: &str, answers: &[i64], expected: &[&str]) -> (Outcome, World) {
    let program = program(text);
    let (mut frame, mut world) = start(&program);
    let mut outcome = run(&program, &mut frame, &mut world);
    for answer in answers {
        assert_eq!(outcome, Outcome::Parked, "{text}");
        assert!(frame.is_parked());
        (outcome, frame, world) = elsewhere(&program, frame, world, *answer);
    }
    assert_ne!(outcome, Outcome::Parked, "{text}");
    assert_eq!(world.log, expected, "{text}");
    (outcome, world)
}

fn elsewhere(
    program: &Program<World>,
    mut frame: Frame,
    mut world: World,
    answer: i64,
) -> (Outcome, Frame, World) {
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            if let Some(output) = world.output.take() {
                let text = Value::from(format!("answer {answer}").as_str());
                program.write_output(&mut frame, &mut world, &output, text).unwrap();
            }
            let outcome = resume(program, &mut frame, &mut world, answer);
            (outcome, frame, world)
        });
        thread.join().unwrap()
    })
}

#[test]
fn a_statement_waits_and_sees_the_answer() {
    check("route { pend(); echo(\"$rc\"); }", &[5], &["5"]);
    check("route { pend(); echo(\"x\"); }", &[0], &[]);
}

#[test]
fn a_condition_goes_on_where_it_was() {
    check("route { if (yes() && !pend() || no()) echo(\"t\"); else echo(\"f\"); }", &[-1], &["t"]);
    check(
        "route { if ($si == \"10.0.0.1\" && (pend() && pend())) echo(\"t\"); else echo(\"f\"); }",
        &[1, -1],
        &["f"],
    );
}

#[test]
fn nested_routes_loops_and_switches_survive() {
    check(
        "route { $var(i) = 0;
            while ($var(i) < 2) { $var(i) += 1; if (route(inner, $var(i))) echo(\"$var(i): $return(0)\"); } echo(\"end\"); }
         route[inner] { for ($var(h) in $(hdr(X)[*])) { switch ($var(h)) { case \"two\":
            pend(); return($rc, \"$param(1)$var(h)$rc\"); } } }",
        &[7, 8],
        &["1: 1two7", "2: 2two8", "end"],
    );
}

#[test]
fn a_pending_function_writes_its_variables_later() {
    check("route { pend($var(x)); echo(\"$var(x)\"); }", &[2], &["answer 2"]);
    check(
        "route { $var(n) = \"late\"; pend($avp($var(n))); $var(n) = \"\"; echo(\"$avp(late)\"); }",
        &[2],
        &["answer 2"],
    );
}

#[test]
fn async_goes_on_in_its_route() {
    let text = "route { $var(a) = 1; while (1) { route(sub, \"x\"); } }
                route[sub] { async(pend(), resume_here, 7); }
                route[resume_here] { echo(\"$var(a) $rc $param(1) $route\"); }";
    let (outcome, world) = check(text, &[3], &["1 3 <null> route[resume_here]"]);
    assert_eq!(outcome, Outcome::Done { exit: false, drop: false, code: 1 });
    assert_eq!(world.modes, [Mode::Async { timeout_s: Some(7) }]);
}

#[test]
fn a_resume_route_may_wait_again() {
    check(
        "route { async(pend(), two); } route[two] { echo(\"$rc\"); async(pend(), three); } route[three] { echo(\"$rc\"); }",
        &[1, -2],
        &["1", "-2"],
    );
}

#[test]
fn launch_does_not_wait() {
    let text = "route { launch(pend(), report, \"$si\"); echo(\"on\"); launch(pend()); } route[report] { echo(\"$param(1) $rc\"); }";
    let (_, world) = check(text, &[], &["on"]);
    let program = program(text);
    let report = program.route(RouteKind::Request, "report");
    assert_eq!(world.modes, [Mode::Launch { route: report }, Mode::Launch { route: None }]);
    let mut frame = Frame::new(report.unwrap());
    frame.parameter(Value::from("p"));
    frame.set_return_code(4);
    let mut world = World::default();
    run(&program, &mut frame, &mut world);
    assert_eq!(world.log, ["p 4"]);
}

#[test]
fn only_a_parked_frame_can_be_resumed() {
    let program = program("route { echo(\"x\"); }");
    let (mut frame, mut world) = start(&program);
    assert_eq!(resume(&program, &mut frame, &mut world, 1), Outcome::Error { line: 0 });
    run(&program, &mut frame, &mut world);
    assert_eq!(resume(&program, &mut frame, &mut world, 1), Outcome::Error { line: 0 });
    assert_eq!(world.log, ["x"]);
}

#[test]
fn a_frame_is_a_plain_value_and_a_program_is_shared() {
    fn plain<T: Send + 'static>() {}
    fn shared<T: Send + Sync>() {}
    plain::<Frame>();
    shared::<Program<World>>();
}
