//! A small host: what a script does is what it logs.
#![allow(dead_code, missing_docs, clippy::panic, clippy::expect_used)]

use std::io;

use seawall_script::{
    Argument, ArgumentKind, AssignOp, Call, Catalog, Event, FlagDecl, FlagSpace, Flow, Frame, Function, Host,
    Index, LaterModule, Loaded, Mode, Module, Outcome, Output, Parameter, ParameterKind, Prepared, Program,
    RouteId, RouteKind, Routes, Statistic, Value, VarRef, Variable, VariableArguments, WriteError, load, run,
};

#[derive(Default)]
pub struct World {
    pub log: Vec<String>,
    pub uri: Vec<u8>,
    pub avps: Vec<(Vec<u8>, Value)>,
    pub output: Option<Output>,
    pub quiet: bool,
    pub launched: Vec<(Option<RouteId>, Option<Value>, i64)>,
    pub flags: u32,
    pub modes: Vec<Mode>,
}

impl Host for World {
    fn log_enabled(&self, level: i8) -> bool {
        level < 4
    }

    fn log(&mut self, _: i8, text: &[u8]) {
        self.log.push(String::from_utf8_lossy(text).trim_end().to_string());
    }

    fn launched(&mut self, route: Option<RouteId>, parameter: Option<&Value>, code: i64) {
        self.launched.push((route, parameter.cloned(), code));
    }
}

type Test<'a> = Call<'a, World>;

fn yes(_: &mut World, _: &mut Test<'_>) -> Flow {
    Flow::TRUE
}

fn no(_: &mut World, _: &mut Test<'_>) -> Flow {
    Flow::FALSE
}

fn value(_: &mut World, call: &mut Test<'_>) -> Flow {
    Flow::Value(call.int(0).unwrap_or(-99))
}

fn echo(world: &mut World, call: &mut Test<'_>) -> Flow {
    let shown: Vec<String> = (0..call.len())
        .filter(|index| call.present(*index))
        .map(|index| String::from_utf8_lossy(call.str(index).unwrap_or_default()).into_owned())
        .collect();
    world.log.push(shown.join("|"));
    Flow::TRUE
}

fn pend(world: &mut World, call: &mut Test<'_>) -> Flow {
    world.modes.push(call.mode());
    world.output = if call.present(0) { call.output(world, 0) } else { None };
    Flow::Pending
}

fn set_out(world: &mut World, call: &mut Test<'_>) -> Flow {
    let text = Value::str(call.str(1).unwrap_or_default());
    Flow::bool(call.write(world, 0, text).is_ok())
}

fn count_values(world: &mut World, call: &mut Test<'_>) -> Flow {
    let values = call.read_all(world, 0);
    world.log.push(format!("{} values", values.len()));
    Flow::TRUE
}

fn upper(index: usize, value: &Value) -> Result<Prepared, String> {
    match value {
        Value::Str(text) if index == 0 && text.iter().all(u8::is_ascii_uppercase) => {
            Ok(Prepared::new(String::from_utf8_lossy(text).into_owned()))
        }
        _ => Err("not in upper case".into()),
    }
}

fn is_method(world: &mut World, call: &mut Test<'_>) -> Flow {
    match call.prepared::<String>(0) {
        Some(name) => Flow::bool(name == "INVITE"),
        None => {
            world.log.push("dynamic".into());
            Flow::bool(call.str(0) == Some(b"INVITE"))
        }
    }
}

fn save(world: &mut World, call: &mut Test<'_>) -> Flow {
    let flags = call.flags(1).map(|flags| (flags.has(0), flags.int(1)));
    world.log.push(format!("save {flags:?}"));
    Flow::TRUE
}

fn on_failure(world: &mut World, call: &mut Test<'_>) -> Flow {
    let name = call.route(0).and_then(|route| call.program().describe(route)).map(|route| route.name.clone());
    world.log.push(format!("failure {name:?}"));
    Flow::TRUE
}

fn setflag(world: &mut World, call: &mut Test<'_>) -> Flow {
    world.flags |= 1 << call.flag(0).unwrap_or(31);
    Flow::TRUE
}

fn isflagset(world: &mut World, call: &mut Test<'_>) -> Flow {
    Flow::bool(world.flags & (1 << call.flag(0).unwrap_or(31)) != 0)
}

fn grep(_: &mut World, call: &mut Test<'_>) -> Flow {
    match (call.str(0), call.regex(1)) {
        (Some(text), Some(regex)) => Flow::bool(regex.is_match(text)),
        _ => Flow::FALSE,
    }
}

fn fail(_: &mut World, _: &mut Test<'_>) -> Flow {
    Flow::Error
}

fn read_uri(world: &World, _: &VarRef<'_>) -> Value {
    Value::str(&world.uri)
}

fn write_uri(world: &mut World, _: &VarRef<'_>, _: AssignOp, value: Value) -> Result<(), WriteError> {
    match value {
        Value::Str(text) if text.starts_with(b"sip:") => {
            world.uri = text.to_vec();
            Ok(())
        }
        _ => Err(WriteError::BadValue),
    }
}

fn source(_: &World, _: &VarRef<'_>) -> Value {
    Value::from("10.0.0.1")
}

fn nothing(_: &World, _: &VarRef<'_>) -> Value {
    Value::Null
}

/// Three headers named X: one, two, three.
fn header(_: &World, reference: &VarRef<'_>) -> Value {
    let values = ["one", "two", "three"];
    let index = match reference.index {
        Index::Int(index) if index < 0 => values.len() as i64 + index,
        Index::Int(index) => index,
        _ => 0,
    };
    if reference.name != b"X" {
        return Value::Null;
    }
    usize::try_from(index)
        .ok()
        .and_then(|index| values.get(index))
        .map_or(Value::Null, |text| Value::from(*text))
}

fn headers(_: &World, reference: &VarRef<'_>) -> usize {
    if reference.name == b"X" { 3 } else { 0 }
}

fn avp_values<'a>(world: &'a World, name: &'a [u8]) -> impl Iterator<Item = &'a Value> {
    world.avps.iter().rev().filter(move |(known, _)| known == name).map(|(_, value)| value)
}

fn read_avp(world: &World, reference: &VarRef<'_>) -> Value {
    let index = match reference.index {
        Index::Int(index) => usize::try_from(index).unwrap_or(usize::MAX),
        _ => 0,
    };
    avp_values(world, reference.name).nth(index).cloned().unwrap_or_default()
}

fn count_avps(world: &World, reference: &VarRef<'_>) -> usize {
    avp_values(world, reference.name).count()
}

fn write_avp(
    world: &mut World,
    reference: &VarRef<'_>,
    op: AssignOp,
    value: Value,
) -> Result<(), WriteError> {
    if op == AssignOp::Replace || value.is_null() {
        world.avps.retain(|(name, _)| name != reference.name);
    }
    if !value.is_null() {
        world.avps.push((reference.name.to_vec(), value));
    }
    Ok(())
}

fn port(value: &Value) -> Result<(), String> {
    match value.as_int() {
        Some(1..=65535) => Ok(()),
        _ => Err("not a port".into()),
    }
}

const TEXT: Argument = Argument::new("text", ArgumentKind::Str, "a text");

pub static CORE: Module<World> = Module {
    functions: &[
        Function::new("yes", &[], Routes::ALL, "true", yes),
        Function::new("no", &[], Routes::ALL, "false", no),
        Function::new(
            "value",
            &[Argument::new("number", ArgumentKind::Int, "it")],
            Routes::ALL,
            "the number",
            value,
        ),
        Function::new(
            "echo",
            &[TEXT, TEXT.optional(), TEXT.optional()],
            Routes::ALL,
            "logs its arguments",
            echo,
        ),
        Function::new(
            "pend",
            &[Argument::new("result", ArgumentKind::Variable, "the result").optional()],
            Routes::ALL,
            "answers later",
            pend,
        )
        .asynchronous(),
        Function::new(
            "set_out",
            &[Argument::new("result", ArgumentKind::Variable, "the result"), TEXT],
            Routes::ALL,
            "writes a variable",
            set_out,
        ),
        Function::new(
            "count_values",
            &[Argument::new("variable", ArgumentKind::ReadVariable, "the values")],
            Routes::ALL,
            "counts",
            count_values,
        ),
        Function::new("is_method", &[TEXT], Routes::ALL, "compares the method", is_method).prepare(upper),
        Function::new(
            "setflag",
            &[Argument::new("flag", ArgumentKind::Flag(FlagSpace::Message), "it")],
            Routes::ALL,
            "sets a flag",
            setflag,
        ),
        Function::new(
            "isflagset",
            &[Argument::new("flag", ArgumentKind::Flag(FlagSpace::Message), "it")],
            Routes::ALL,
            "tests a flag",
            isflagset,
        ),
        Function::new(
            "grep",
            &[TEXT, Argument::new("pattern", ArgumentKind::Regex, "it")],
            Routes::ALL,
            "matches",
            grep,
        ),
        Function::new("fail", &[], Routes::ALL, "breaks", fail),
    ],
    variables: &[
        Variable::new("ru", "the URI", read_uri).write(write_uri),
        Variable::new("si", "the source", source),
        Variable::new("null", "nothing", nothing),
        Variable::new("hdr", "a header", header).arguments(VariableArguments::Name).count(headers),
        Variable::new("avp", "an AVP", read_avp)
            .arguments(VariableArguments::Name)
            .count(count_avps)
            .write(write_avp),
    ],
    ..Module::new("core", "https://example.org/core")
};

pub static REGISTRAR: Module<World> = Module {
    parameters: &[
        Parameter::new("max_expires", ParameterKind::Int, "3600", "the longest expiry")
            .unit("s")
            .section("1.1"),
        Parameter::new("realm_prefix", ParameterKind::Str, "", "a prefix"),
        Parameter::new("received_avp", ParameterKind::Variable, "", "where from"),
        Parameter::new("tcp_persistent_flag", ParameterKind::Flag(FlagSpace::Message), "", "a flag"),
        Parameter::new("port", ParameterKind::Int, "5060", "a port").check(port),
        Parameter::new("extra", ParameterKind::Format, "", "a format").many(),
        Parameter::new("hash_size", ParameterKind::Int, "9", "a size").no_effect("the table grows by itself"),
        Parameter::new("report", ParameterKind::Route(RouteKind::Request), "", "a route"),
    ],
    functions: &[
        Function::new(
            "save",
            &[
                Argument::new("domain", ArgumentKind::StaticStr, "the table"),
                Argument::new(
                    "flags",
                    ArgumentKind::Flags(&[
                        FlagDecl::new("no-reply", "r", "no reply"),
                        FlagDecl::int("max-contacts", "c", "a limit"),
                    ]),
                    "flags",
                )
                .optional(),
                Argument::new("aor", ArgumentKind::Str, "another AoR").optional(),
            ],
            Routes::REQUEST,
            "saves",
            save,
        )
        .returns(&[(1, "saved"), (-1, "not saved")])
        .section("1.2"),
        Function::new(
            "t_on_failure",
            &[Argument::new("route", ArgumentKind::Route(RouteKind::Failure), "it")],
            Routes::REQUEST.or(Routes::BRANCH),
            "arms a route",
            on_failure,
        ),
    ],
    variables: &[Variable::new("registered", "a variable of a module", nothing)],
    statistics: &[Statistic { name: "accepted_regs", doc: "accepted", resettable: true }],
    events: &[Event { name: "E_SAVED", parameters: &["aor"], doc: "saved" }],
    requires: &["usrloc"],
    ..Module::new("registrar", "https://example.org/registrar")
};

pub static USRLOC: Module<World> = Module::new("usrloc", "https://example.org/usrloc");

pub const MODULES: &[&Module<World>] = &[&CORE, &REGISTRAR, &USRLOC];
pub const LATER: &[LaterModule] = &[LaterModule { name: "dialog", functions: &["create_dialog"] }];

pub fn include(name: &str) -> io::Result<Vec<u8>> {
    match name {
        "extra.cfg" => Ok(b"route[extra] { echo(\"included\"); }\n".to_vec()),
        "circle.cfg" => Ok(b"include_file \"circle.cfg\"\n".to_vec()),
        "broken.cfg" => Ok(b"route[broken] { nonsense(); }\n".to_vec()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    }
}

pub fn load_text(text: &str) -> Loaded<World> {
    load("test.cfg", text.as_bytes(), &Catalog { modules: MODULES, later: LATER }, &include)
}

/// The program, or the report as a panic.
pub fn program(text: &str) -> Program<World> {
    let loaded = load_text(text);
    match loaded.program {
        Some(program) => program,
        None => panic!("{}", loaded.diagnostics.render(false)),
    }
}

pub fn start(program: &Program<World>) -> (Frame, World) {
    let world = World { uri: b"sip:bob@example.com:5070;lr".to_vec(), ..World::default() };
    (Frame::new(program.main().expect("a main route")), world)
}

/// Runs the main route of a script and compares the log.
pub fn check(text: &str, expected: &[&str]) -> Outcome {
    let program = program(text);
    let (mut frame, mut world) = start(&program);
    let outcome = run(&program, &mut frame, &mut world);
    assert_eq!(world.log, expected, "{text}");
    outcome
}

/// Runs statements as a main route and compares the log.
pub fn check_body(body: &str, expected: &[&str]) -> Outcome {
    check(&format!("route {{\n{body}\n}}"), expected)
}
