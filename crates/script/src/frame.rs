//! The state of one run of a script: a plain value that can be parked, moved to another thread and resumed.

use crate::limits;
use crate::program::RouteId;
use crate::value::{Bytes, Value};

/// A run of a script. It holds no reference to the program or the host: keep it with the program that it was started with
/// and hand both to [`crate::vm::run`] and [`crate::vm::resume`].
#[derive(Debug)]
pub struct Frame {
    pub(crate) start: RouteId,
    pub(crate) pc: u32,
    pub(crate) calls: Vec<Activation>,
    pub(crate) operands: Vec<Value>,
    pub(crate) loops: Vec<Loop>,
    /// The arguments of all active route calls, one behind the other.
    pub(crate) params: Vec<Value>,
    /// Parameters by name: those of an event.
    pub(crate) named: Vec<(Bytes, Value)>,
    pub(crate) vars: Vec<Value>,
    pub(crate) dynamic_vars: Vec<(Bytes, Value)>,
    pub(crate) returns: Vec<Value>,
    pub(crate) rc: i64,
    pub(crate) steps_left: u32,
    pub(crate) state: State,
}

/// An active route call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Activation {
    pub(crate) route: RouteId,
    /// Where to go on in the caller; nothing for the route that the host started.
    pub(crate) return_pc: Option<u32>,
    pub(crate) params: usize,
    pub(crate) operands: usize,
    pub(crate) loops: usize,
}

/// An active loop.
#[derive(Debug)]
pub(crate) enum Loop {
    While { iterations: u32 },
    For { values: std::vec::IntoIter<Value> },
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Ready,
    /// A function is pending; its value goes on the stack.
    ParkedInCall,
    /// A function of `async` is pending; this route goes on.
    ParkedInAsync(RouteId),
    Finished,
}

impl Frame {
    /// A run that will start with this route.
    pub fn new(start: RouteId) -> Self {
        Frame {
            start,
            pc: 0,
            calls: Vec::new(),
            operands: Vec::new(),
            loops: Vec::new(),
            params: Vec::new(),
            named: Vec::new(),
            vars: Vec::new(),
            dynamic_vars: Vec::new(),
            returns: Vec::new(),
            rc: 1,
            steps_left: limits::SCRIPT_STEPS,
            state: State::Ready,
        }
    }

    /// Makes this a fresh run of another route; the memory of the last one is kept.
    #[inline(always)]
    pub fn clear(&mut self, start: RouteId) {
        self.start = start;
        self.pc = 0;
        self.calls.clear();
        // Runs that have only called functions, as most have, leave nothing behind but the route that they were in.
        let left = self.operands.len()
            | self.loops.len()
            | self.params.len()
            | self.named.len()
            | self.vars.len()
            | self.dynamic_vars.len()
            | self.returns.len();
        if left != 0 {
            self.clear_lists();
        }
        self.rc = 1;
        self.steps_left = limits::SCRIPT_STEPS;
        self.state = State::Ready;
    }

    #[inline(never)]
    fn clear_lists(&mut self) {
        self.operands.clear();
        self.loops.clear();
        self.params.clear();
        self.named.clear();
        self.vars.clear();
        self.dynamic_vars.clear();
        self.returns.clear();
    }

    /// Gives the started route a parameter by name: `$param(name)`; the n-th is `$param(n)` too. For events.
    pub fn named_parameter(&mut self, name: impl AsRef<[u8]>, value: Value) {
        self.named.push((Bytes::copy(name.as_ref()), value));
    }

    /// Gives the started route its next parameter: `$param(1)`, `$param(2)` and so on.
    pub fn parameter(&mut self, value: Value) {
        self.named.push((Bytes::new(), value));
    }

    /// Lets the run execute this many instructions instead of [`limits::SCRIPT_STEPS`].
    pub fn limit_steps(&mut self, steps: u32) {
        self.steps_left = steps;
    }

    /// Sets `$rc`, for a route that the host starts with a result, such as one of `launch`.
    pub fn set_return_code(&mut self, code: i64) {
        self.rc = code;
    }

    /// Whether the run waits for [`crate::vm::resume`].
    pub fn is_parked(&self) -> bool {
        matches!(self.state, State::ParkedInCall | State::ParkedInAsync(_))
    }

    /// The route that the host started.
    pub fn start(&self) -> RouteId {
        self.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_that_was_cleared_is_as_a_new_one_whatever_was_in_it() {
        let (route, other) = (RouteId(7), RouteId(3));
        let value = || Value::Int(5);
        let name = || Bytes::copy(b"name");
        // Each list alone, so that none hides behind another, and all at once.
        for filled in (0..8).map(|list| 1 << list).chain([0, 0xff]) {
            let has = |list: u32| usize::from(filled & (1 << list) != 0);
            let activation =
                Activation { route: other, return_pc: Some(1), params: 2, operands: 3, loops: 4 };
            let mut frame = Frame {
                start: other,
                pc: 9,
                calls: vec![activation; has(0)],
                operands: vec![value(); has(1)],
                loops: (0..has(2)).map(|_| Loop::While { iterations: 1 }).collect(),
                params: vec![value(); has(3)],
                named: vec![(name(), value()); has(4)],
                vars: vec![value(); has(5)],
                dynamic_vars: vec![(name(), value()); has(6)],
                returns: vec![value(); has(7)],
                rc: -1,
                steps_left: 0,
                state: State::ParkedInAsync(other),
            };
            frame.clear(route);
            assert_eq!(format!("{frame:?}"), format!("{:?}", Frame::new(route)), "{filled:#b}");
        }
    }
}
