//! Runs a compiled script. All of its state is in the [`Frame`], so that a run can stop in the middle of an expression and go on
//! later on another thread.

mod arguments;
mod operators;
mod variables;

use crate::call::{Call, Flow, Manner, Mode};
use crate::code::{CallSite, LevelExpr, LogSite, Op, RouteTarget};
use crate::declare::{AssignOp, RouteKind};
use crate::frame::{Activation, Frame, Loop, State};
use crate::host::{Host, level};
use crate::limits;
use crate::program::{Program, RouteId};
use crate::value::{Bytes, Digits, Value};
pub(crate) use variables::{expand, read, read_all, resolve, write, write_resolved};

/// How a run, or a part of one, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is over.
    Done {
        /// It ended by `exit` or by a function or route whose value was 0.
        exit: bool,
        /// It ended by `drop`: the message is not to be passed on.
        drop: bool,
        /// The value of the route: what it returned, or 1.
        code: i64,
    },
    /// A function is pending: keep the frame and call [`resume`] with its value.
    Parked,
    /// It ran into [`crate::limits::SCRIPT_STEPS`].
    StepLimit {
        /// The line it was on.
        line: u32,
    },
    /// It was stopped by an error that has been logged.
    Error {
        /// The line it was on.
        line: u32,
    },
}

/// Starts a frame, and runs it until it ends or parks.
// A few lines around what does it, for every message.
#[inline(always)]
pub fn run<C: Host>(program: &Program<C>, frame: &mut Frame, host: &mut C) -> Outcome {
    make_room(program, frame);
    if !frame.named.is_empty() {
        frame.params.extend(frame.named.iter().map(|(_, value)| value.clone()));
    }
    let start = frame.start;
    let outcome = match enter(program, frame, start, None, 0) {
        true => execute(program, frame, host),
        false => Outcome::Error { line: 0 },
    };
    finish(frame, outcome)
}

/// Makes room in a frame for the variables of a program.
#[inline]
pub(crate) fn make_room<C: Host>(program: &Program<C>, frame: &mut Frame) {
    if frame.vars.len() != program.slots.len() {
        frame.vars.resize(program.slots.len(), variables::UNSET);
    }
}

/// Goes on with a parked frame; `value` is what the pending function returned. A frame that is not parked is left alone and
/// gives an error.
pub fn resume<C: Host>(program: &Program<C>, frame: &mut Frame, host: &mut C, value: i64) -> Outcome {
    frame.rc = value;
    let outcome = match frame.state {
        State::ParkedInCall if value == 0 => Outcome::Done { exit: true, drop: false, code: 0 },
        State::ParkedInCall => {
            frame.operands.push(Value::Int(value));
            execute(program, frame, host)
        }
        State::ParkedInAsync(route) => {
            restart(frame);
            match enter(program, frame, route, None, 0) {
                true => execute(program, frame, host),
                false => Outcome::Error { line: 0 },
            }
        }
        State::Ready | State::Finished => return Outcome::Error { line: 0 },
    };
    finish(frame, outcome)
}

#[inline]
fn finish(frame: &mut Frame, outcome: Outcome) -> Outcome {
    if outcome != Outcome::Parked {
        frame.state = State::Finished;
    }
    outcome
}

/// Forgets where the run was: a resume route starts from nothing but its variables.
fn restart(frame: &mut Frame) {
    frame.calls.clear();
    frame.operands.clear();
    frame.loops.clear();
    frame.params.clear();
}

/// Starts a route whose arguments are the last `arguments` parameters; false if there is no such route.
#[inline(always)]
fn enter<C: Host>(
    program: &Program<C>,
    frame: &mut Frame,
    route: RouteId,
    return_pc: Option<u32>,
    arguments: usize,
) -> bool {
    let Some(description) = program.describe(route) else { return false };
    let params = if return_pc.is_some() { frame.params.len() - arguments } else { 0 };
    let (operands, loops) = (frame.operands.len(), frame.loops.len());
    frame.calls.push(Activation { route, return_pc, params, operands, loops });
    frame.pc = description.entry;
    true
}

fn execute<C: Host>(program: &Program<C>, frame: &mut Frame, host: &mut C) -> Outcome {
    loop {
        let Some(op) = program.code.ops.get(frame.pc as usize) else { return Outcome::Error { line: 0 } };
        let Some(left) = frame.steps_left.checked_sub(1) else { return out_of_steps(program, frame, host) };
        frame.steps_left = left;
        frame.pc += 1;
        if let Some(outcome) = step(program, frame, host, op) {
            return outcome;
        }
    }
}

#[cold]
fn out_of_steps<C: Host>(program: &Program<C>, frame: &Frame, host: &mut C) -> Outcome {
    let line = line(program, frame.pc);
    let text = format!("line {line}: the script was stopped, it ran for too long\n");
    host.log(level::CRIT, text.as_bytes());
    Outcome::StepLimit { line }
}

fn line<C>(program: &Program<C>, pc: u32) -> u32 {
    program.code.lines.get(pc as usize).copied().unwrap_or(0)
}

fn pop(frame: &mut Frame) -> Value {
    frame.operands.pop().unwrap_or_default()
}

/// Executes one instruction; the outcome if the run ends or parks.
#[inline]
fn step<C: Host>(program: &Program<C>, frame: &mut Frame, host: &mut C, op: &Op) -> Option<Outcome> {
    let code = &program.code;
    match *op {
        Op::Call(site) | Op::CallAndPop(site) | Op::CallOrJump { site, .. } => {
            match call(program, frame, host, site) {
                Flow::Value(value) if value != 0 => returned(frame, op, value),
                flow => return Some(ended_in_call(program, frame, host, site, flow)),
            }
        }
        Op::Int(number) => frame.operands.push(Value::Int(i64::from(number))),
        Op::Const(index) => frame.operands.push(code.constants.get(index as usize)?.clone()),
        Op::Var(index) => {
            let value = read(program, frame, host, code.variables.get(index as usize)?);
            frame.operands.push(value);
        }
        Op::Format(index) => {
            let mut text = Bytes::new();
            expand(program, frame, host, code.templates.get(index as usize)?, &mut text);
            frame.operands.push(Value::Str(text));
        }
        Op::Pop => drop(frame.operands.pop()),
        Op::Duplicate => frame.operands.push(frame.operands.last().cloned().unwrap_or_default()),
        Op::Jump(target) => frame.pc = target,
        Op::JumpIfFalse(target) => jump_if(frame, target, |value| !value.is_true()),
        Op::JumpIfTrue(target) => jump_if(frame, target, Value::is_true),
        Op::JumpIfFailed(target) => jump_if(frame, target, |value| !succeeded(value)),
        Op::JumpIfSucceeded(target) => jump_if(frame, target, succeeded),
        Op::Not => unary(frame, |value| Value::Int(i64::from(!value.is_true()))),
        Op::Complement => {
            unary(frame, |value| value.as_int().map_or(Value::Null, |number| Value::Int(!number)))
        }
        Op::Negate => {
            unary(frame, |value| {
                value.as_int().map_or(Value::Null, |number| Value::Int(number.wrapping_neg()))
            });
        }
        Op::Arithmetic(operation) => {
            let (right, left) = (pop(frame), pop(frame));
            frame.operands.push(operators::arithmetic(operation, left, right));
        }
        Op::Compare(comparison) => {
            let (right, left) = (pop(frame), pop(frame));
            frame.operands.push(Value::Int(i64::from(operators::compare(comparison, &left, &right))));
        }
        Op::Match(_) | Op::MatchDynamic => matches(program, frame, host, *op),
        Op::Assign(index) => {
            let value = pop(frame);
            assign(program, frame, host, index, value);
        }
        Op::WhileEnter | Op::WhileTick(_) | Op::ForEnter(_) | Op::ForNext { .. } | Op::LoopExit => {
            iterate(program, frame, host, *op);
        }
        Op::Route(site) => return call_route(program, frame, host, site),
        Op::Async(site) | Op::Launch(site) => return call_later(program, frame, host, site, *op),
        Op::Return { values } => return return_from(frame, values as usize),
        Op::Exit => return Some(Outcome::Done { exit: true, drop: false, code: frame.rc }),
        Op::Drop => return Some(Outcome::Done { exit: true, drop: true, code: frame.rc }),
        Op::Log(site) => write_log(program, frame, host, code.logs.get(site as usize)?),
        Op::Assert(site) => return assert(program, frame, host, site),
    }
    None
}

/// What becomes of the value of a function. The instruction behind a call that does not leave it on the stack is for a call
/// that was pending, whose value comes there.
#[inline]
fn returned(frame: &mut Frame, op: &Op, value: i64) {
    match *op {
        Op::CallOrJump { target, .. } if value < 0 => frame.pc = target,
        Op::CallOrJump { .. } | Op::CallAndPop(_) => frame.pc += 1,
        _ => frame.operands.push(Value::Int(value)),
    }
}

/// What the result of a function means as a condition.
fn succeeded(value: &Value) -> bool {
    matches!(value, Value::Int(number) if *number > 0)
}

fn jump_if(frame: &mut Frame, target: u32, test: impl FnOnce(&Value) -> bool) {
    let value = frame.operands.pop();
    if value.is_some_and(|value| test(&value)) {
        frame.pc = target;
    }
}

fn unary(frame: &mut Frame, operation: impl FnOnce(&Value) -> Value) {
    if let Some(value) = frame.operands.last_mut() {
        *value = operation(value);
    }
}

fn matches<C: Host>(program: &Program<C>, frame: &mut Frame, host: &mut C, op: Op) {
    let found = match op {
        Op::Match(index) => {
            let value = pop(frame);
            let mut digits = Digits::default();
            let regex = program.code.regexes.get(index as usize);
            value.as_bytes(&mut digits).zip(regex).is_some_and(|(text, regex)| regex.is_match(text))
        }
        _ => {
            let (pattern, value) = (pop(frame), pop(frame));
            let (mut digits, mut more_digits) = (Digits::default(), Digits::default());
            match value.as_bytes(&mut digits).zip(pattern.as_bytes(&mut more_digits)) {
                Some((text, pattern)) => match program.cache.get(pattern, true) {
                    Ok(regex) => regex.is_match(text),
                    Err(error) => {
                        let line = line(program, frame.pc.saturating_sub(1));
                        let pattern = pattern.escape_ascii();
                        let text = format!("line {line}: `{pattern}` is no regular expression: {error}\n");
                        host.log(level::ERR, text.as_bytes());
                        false
                    }
                },
                None => false,
            }
        }
    };
    frame.operands.push(Value::Int(i64::from(found)));
}

fn assign<C: Host>(program: &Program<C>, frame: &mut Frame, host: &mut C, index: u32, value: Value) {
    let Some(assignment) = program.code.assignments.get(index as usize) else { return };
    let op = if assignment.replace { AssignOp::Replace } else { AssignOp::Set };
    if let Err(error) = write(program, frame, host, &assignment.target, op, value) {
        let text = format!("line {}: the assignment failed: {error}\n", assignment.line);
        host.log(level::ERR, text.as_bytes());
        frame.rc = -1;
    }
}

fn iterate<C: Host>(program: &Program<C>, frame: &mut Frame, host: &mut C, op: Op) {
    match op {
        Op::WhileEnter => frame.loops.push(Loop::While { iterations: 0 }),
        Op::WhileTick(end) => {
            let Some(Loop::While { iterations }) = frame.loops.last_mut() else { return };
            *iterations += 1;
            if *iterations > program.while_loops {
                let line = line(program, frame.pc.saturating_sub(1));
                let text = format!(
                    "line {line}: the loop was left after {} rounds (max_while_loops)\n",
                    program.while_loops
                );
                host.log(level::ERR, text.as_bytes());
                frame.pc = end;
            }
        }
        Op::ForEnter(index) => {
            let variable = program.code.variables.get(index as usize);
            let mut values =
                variable.map_or_else(Vec::new, |variable| read_all(program, frame, host, variable));
            values.truncate(limits::FOR_ITEMS);
            frame.loops.push(Loop::For { values: values.into_iter() });
        }
        Op::ForNext { target, end } => {
            let next = match frame.loops.last_mut() {
                Some(Loop::For { values }) => values.next(),
                _ => None,
            };
            match next {
                Some(value) => assign(program, frame, host, target, value),
                None => frame.pc = end,
            }
        }
        _ => drop(frame.loops.pop()),
    }
}

/// Calls a function, and remembers its value.
#[inline]
fn call<C: Host>(program: &Program<C>, frame: &mut Frame, host: &mut C, index: u32) -> Flow {
    let Some(site) = program.code.calls.get(index as usize) else { return Flow::Error };
    let flow = if site.stack == 0 {
        let mut call = Call { program, site, index, frame: &mut *frame, manner: Manner::PLAIN };
        (site.function.call)(host, &mut call)
    } else {
        invoke_with_stack(program, frame, host, (site, index), Mode::Inline, None)
    };
    if let Flow::Value(value) = flow {
        frame.rc = value;
    }
    flow
}

/// How a run ends or parks in a call that had no value, or the value 0.
#[inline(never)]
fn ended_in_call<C: Host>(
    program: &Program<C>,
    frame: &mut Frame,
    host: &mut C,
    index: u32,
    flow: Flow,
) -> Outcome {
    match flow {
        Flow::Value(_) | Flow::Exit => Outcome::Done { exit: true, drop: false, code: frame.rc },
        Flow::Drop => Outcome::Done { exit: true, drop: true, code: frame.rc },
        Flow::Pending => {
            frame.state = State::ParkedInCall;
            Outcome::Parked
        }
        Flow::Error => {
            let site = program.code.calls.get(index as usize);
            let (line, name) = site.map_or((0, ""), |site| (site.line, site.function.name));
            failed(host, line, name)
        }
    }
}

fn failed<C: Host>(host: &mut C, line: u32, name: &str) -> Outcome {
    let text = format!("line {line}: {name}() failed badly, the script is stopped\n");
    host.log(level::CRIT, text.as_bytes());
    Outcome::Error { line }
}

/// Runs a function with its arguments, which it takes off the stack, for `async` and `launch`.
fn invoke<C: Host>(
    program: &Program<C>,
    frame: &mut Frame,
    host: &mut C,
    index: u32,
    mode: Mode,
    extra: Option<&Value>,
) -> Flow {
    let Some(site) = program.code.calls.get(index as usize) else { return Flow::Error };
    if site.stack != 0 {
        return invoke_with_stack(program, frame, host, (site, index), mode, extra);
    }
    // A function puts nothing on the stack, so nothing has to be taken off.
    let manner = &Manner { base: 0, dynamic: &[], mode, extra };
    let mut call = Call { program, site, index, frame, manner };
    (site.function.call)(host, &mut call)
}

/// As [`invoke`], for a call that has arguments on the stack.
fn invoke_with_stack<C: Host>(
    program: &Program<C>,
    frame: &mut Frame,
    host: &mut C,
    (site, index): (&CallSite<C>, u32),
    mode: Mode,
    extra: Option<&Value>,
) -> Flow {
    let base = frame.operands.len().saturating_sub(site.stack as usize);
    let flow = match arguments::prepare(program, frame, site, base) {
        Ok(dynamic) => {
            let manner = &Manner { base, dynamic: dynamic.as_slice(), mode, extra };
            let mut call = Call { program, site, index, frame: &mut *frame, manner };
            (site.function.call)(host, &mut call)
        }
        Err(problem) => {
            let text = format!("line {}: {}(): {problem}\n", site.line, site.function.name);
            host.log(level::ERR, text.as_bytes());
            Flow::FALSE
        }
    };
    frame.operands.truncate(base);
    flow
}

/// `async` and `launch`.
fn call_later<C: Host>(
    program: &Program<C>,
    frame: &mut Frame,
    host: &mut C,
    index: u32,
    op: Op,
) -> Option<Outcome> {
    let site = program.code.asyncs.get(index as usize)?;
    let line = program.code.calls.get(site.call as usize)?.line;
    let name = program.code.calls.get(site.call as usize)?.function.name;
    let extra = if site.extra { Some(pop(frame)) } else { None };
    if let Op::Launch(_) = op {
        let mode = Mode::Launch { route: site.route };
        match invoke(program, frame, host, site.call, mode, extra.as_ref()) {
            Flow::Value(value) => host.launched(site.route, extra.as_ref(), value),
            Flow::Pending | Flow::Exit | Flow::Drop => {}
            Flow::Error => return Some(failed(host, line, name)),
        }
        frame.rc = 1;
        return None;
    }
    let timeout_s = extra.as_ref().and_then(Value::as_int);
    let route = site.route?;
    match invoke(program, frame, host, site.call, Mode::Async { timeout_s }, extra.as_ref()) {
        Flow::Value(value) => {
            frame.rc = value;
            restart(frame);
            if enter(program, frame, route, None, 0) { None } else { Some(Outcome::Error { line }) }
        }
        Flow::Pending => {
            frame.state = State::ParkedInAsync(route);
            Some(Outcome::Parked)
        }
        Flow::Exit => Some(Outcome::Done { exit: true, drop: false, code: frame.rc }),
        Flow::Drop => Some(Outcome::Done { exit: true, drop: true, code: frame.rc }),
        Flow::Error => Some(failed(host, line, name)),
    }
}

fn call_route<C: Host>(program: &Program<C>, frame: &mut Frame, host: &mut C, index: u32) -> Option<Outcome> {
    let site = program.code.routes.get(index as usize)?;
    let arguments = site.arguments as usize;
    let start = frame.operands.len().saturating_sub(arguments);
    let Frame { params, operands, .. } = &mut *frame;
    params.extend(operands.drain(start..));
    let route = match site.route {
        RouteTarget::Fixed(route) => Some(route),
        RouteTarget::Dynamic => {
            let name = pop(frame).into_bytes().unwrap_or_default();
            program.route(RouteKind::Request, &String::from_utf8_lossy(&name))
        }
    };
    if frame.calls.len() >= limits::ROUTE_DEPTH {
        let text =
            format!("line {}: routes call each other more than {} deep\n", site.line, limits::ROUTE_DEPTH);
        host.log(level::CRIT, text.as_bytes());
        return Some(Outcome::Error { line: site.line });
    }
    let return_pc = Some(frame.pc);
    if !route.is_some_and(|route| enter(program, frame, route, return_pc, arguments)) {
        let text = format!("line {}: there is no route with this name\n", site.line);
        host.log(level::ERR, text.as_bytes());
        frame.params.truncate(frame.params.len() - arguments);
        frame.rc = -1;
        frame.operands.push(Value::Int(-1));
    }
    None
}

fn return_from(frame: &mut Frame, values: usize) -> Option<Outcome> {
    frame.returns.clear();
    if values > 0 {
        let start = frame.operands.len().saturating_sub(values);
        let Frame { returns, operands, .. } = &mut *frame;
        returns.extend(operands.drain(start..));
    }
    let code = pop(frame).as_int().unwrap_or(-1);
    frame.rc = code;
    let Some(activation) = frame.calls.pop() else { return Some(Outcome::Error { line: 0 }) };
    frame.operands.truncate(activation.operands);
    frame.loops.truncate(activation.loops);
    frame.params.truncate(activation.params);
    match activation.return_pc {
        // Returning 0 is the same as exit, in a route as in a function.
        Some(_) if code == 0 => Some(Outcome::Done { exit: true, drop: false, code }),
        Some(pc) => {
            frame.pc = pc;
            frame.operands.push(Value::Int(code));
            None
        }
        None => Some(Outcome::Done { exit: false, drop: false, code }),
    }
}

fn write_log<C: Host>(program: &Program<C>, frame: &mut Frame, host: &mut C, site: &LogSite<C>) {
    let level = match &site.level {
        LevelExpr::Fixed(level) => *level,
        LevelExpr::Dynamic(template) => {
            let mut text = Bytes::new();
            expand(program, frame, host, template, &mut text);
            let number = Value::Str(text.clone()).as_int().and_then(|number| i8::try_from(number).ok());
            number.or_else(|| level::from_name(&text)).unwrap_or(level::ERR)
        }
    };
    if host.log_enabled(level) {
        let mut text = Bytes::new();
        expand(program, frame, host, &site.template, &mut text);
        host.log(level, &text);
    }
    frame.rc = 1;
}

fn assert<C: Host>(program: &Program<C>, frame: &mut Frame, host: &mut C, index: u32) -> Option<Outcome> {
    let site = program.code.asserts.get(index as usize)?;
    if pop(frame).is_true() {
        return None;
    }
    let mut text = Bytes::from(format!("line {}: assertion failed: ", site.line).as_str());
    text.push(&site.text);
    text.push(b"\n");
    host.log(level::CRIT, &text);
    Some(Outcome::Error { line: site.line })
}
