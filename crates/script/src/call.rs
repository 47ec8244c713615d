//! How a function of a module sees its call, and what it answers.

use regex::bytes::Regex;
use smallvec::SmallVec;

use crate::code::{ArgumentForm, CallSite, VarExpr};
use crate::declare::{AssignOp, Prepared, WriteError};
use crate::frame::Frame;
use crate::host::Host;
use crate::program::{Program, RouteId, VariableId};
use crate::value::{Bytes, Value};
use crate::vm;

/// What a function answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Its value: positive is true, negative is false, 0 stops the script.
    Value(i64),
    /// Stop the script.
    Exit,
    /// Stop the script and drop the message.
    Drop,
    /// The answer comes later: the host keeps the frame and hands the value to `resume`.
    Pending,
    /// Something is broken that the script cannot handle: stop it with an error.
    Error,
}

impl Flow {
    /// 1: success.
    pub const TRUE: Flow = Flow::Value(1);
    /// -1: failure.
    pub const FALSE: Flow = Flow::Value(-1);

    /// 1 or -1.
    pub const fn bool(success: bool) -> Flow {
        if success { Flow::TRUE } else { Flow::FALSE }
    }
}

/// How a function is being run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    /// In line: a pending answer parks the script right there.
    Inline,
    /// By `async(…)`: a pending answer parks the script, which then goes on in a resume route.
    Async {
        /// The timeout that the script gave, in seconds.
        timeout_s: Option<i64>,
    },
    /// By `launch(…)`: the script goes on at once. Whoever answers "pending" remembers the route and the parameter
    /// (`Call::launch_parameter`) and starts it when done.
    Launch {
        /// The route to run afterwards, with the result in `$rc`.
        route: Option<RouteId>,
    },
}

/// The index behind a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Index {
    /// None given.
    None,
    /// `[n]`; negative counts from the last.
    Int(i64),
    /// `[*]`; only variables without a `count` see it on reading. On writing it means every value.
    All,
}

/// The message in whose context a variable is read: `$(<request>ru)` in a reply route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Context {
    /// The one that the route is running for.
    #[default]
    Own,
    /// `<request>`: the request that a reply or a failure belongs to.
    Request,
    /// `<reply>`: the reply that made a failure route run.
    Reply,
}

/// Which value of a variable is meant.
#[derive(Clone, Copy, Debug)]
pub struct VarRef<'a> {
    /// What stands in the parentheses, after evaluation; empty if nothing does.
    pub name: &'a [u8],
    /// The index.
    pub index: Index,
    /// The message that is meant.
    pub context: Context,
    /// What `Variable::prepare` made of a name that was known at load.
    pub prepared: Option<&'a Prepared>,
}

impl VarRef<'_> {
    /// What `Variable::prepare` made of the name, if it is of this type.
    pub fn prepared<T: std::any::Any + Send + Sync>(&self) -> Option<&T> {
        self.prepared.and_then(Prepared::get)
    }
}

/// A flags argument, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlagSet {
    pub(crate) present: u64,
    pub(crate) values: SmallVec<[(u8, Value); 2]>,
}

impl FlagSet {
    /// Whether the flag with this place in its declaration is there.
    pub fn has(&self, flag: usize) -> bool {
        flag < 64 && self.present & (1 << flag) != 0
    }

    /// The integer of the flag with this place in its declaration.
    pub fn int(&self, flag: usize) -> Option<i64> {
        self.value(flag)?.as_int()
    }

    /// The string of the flag with this place in its declaration.
    pub fn str(&self, flag: usize) -> Option<&[u8]> {
        match self.value(flag)? {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    fn value(&self, flag: usize) -> Option<&Value> {
        self.values.iter().find(|(index, _)| usize::from(*index) == flag).map(|(_, value)| value)
    }
}

/// A variable that a pending function writes when its answer is there: `Program::write_output`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    pub(crate) call: u32,
    pub(crate) argument: u32,
    pub(crate) name: Bytes,
    pub(crate) index: Index,
}

/// One call of a function. Arguments are counted from 0; those of kind string have been expanded, those of kind integer
/// have been read as integers, and a required argument is never NULL.
pub struct Call<'a, C: 'static> {
    pub(crate) program: &'a Program<C>,
    pub(crate) site: &'a CallSite<C>,
    pub(crate) index: u32,
    pub(crate) frame: &'a mut Frame,
    pub(crate) manner: &'a Manner<'a>,
}

/// What distinguishes a call from most calls: those in line, whose arguments are all known at load.
#[derive(Debug)]
pub(crate) struct Manner<'a> {
    /// Where the evaluated arguments start on the stack.
    pub(crate) base: usize,
    /// What was made of arguments that are only known at run time.
    pub(crate) dynamic: &'a [(u8, Dynamic)],
    pub(crate) mode: Mode,
    pub(crate) extra: Option<&'a Value>,
}

impl Manner<'_> {
    /// That of most calls. It is one for all of them, so that they do not have to write it down.
    pub(crate) const PLAIN: &'static Manner<'static> =
        &Manner { base: 0, dynamic: &[], mode: Mode::Inline, extra: None };
}

/// What the VM made of an argument that was only known at run time.
#[derive(Debug)]
pub(crate) enum Dynamic {
    Regex(Regex),
    Flags(FlagSet),
    Route(RouteId),
    Flag(u8),
}

impl<'a, C: Host> Call<'a, C> {
    /// Whether the argument was given. An optional argument that evaluates to NULL was not.
    pub fn present(&self, argument: usize) -> bool {
        match self.form(argument) {
            None | Some(ArgumentForm::Absent) => false,
            Some(ArgumentForm::Stack(_)) => !self.value(argument).is_none_or(Value::is_null),
            Some(_) => true,
        }
    }

    /// The value of an argument; nothing for one that was left out, and for variables, routes and flags.
    pub fn value(&self, argument: usize) -> Option<&Value> {
        match self.form(argument)? {
            ArgumentForm::Constant { value, .. }
            | ArgumentForm::Regex(value, _)
            | ArgumentForm::Flags(value, _) => Some(value),
            ArgumentForm::Stack(place) => self.frame.operands.get(self.manner.base + *place as usize),
            _ => None,
        }
    }

    /// The string of an argument.
    pub fn str(&self, argument: usize) -> Option<&[u8]> {
        match self.value(argument)? {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The integer of an argument.
    pub fn int(&self, argument: usize) -> Option<i64> {
        self.value(argument)?.as_int()
    }

    /// What `Function::prepare` made of an argument; nothing if it was only known at run time.
    pub fn prepared<T: std::any::Any + Send + Sync>(&self, argument: usize) -> Option<&'a T> {
        match self.site.arguments.get(argument).map(|argument| &argument.form) {
            Some(ArgumentForm::Constant { prepared, .. }) => prepared.as_ref()?.get(),
            _ => None,
        }
    }

    /// The route that an argument names.
    pub fn route(&self, argument: usize) -> Option<RouteId> {
        match self.form(argument)? {
            ArgumentForm::Route(route) => Some(*route),
            _ => self.manner.dynamic.iter().find_map(|(index, dynamic)| match dynamic {
                Dynamic::Route(route) if usize::from(*index) == argument => Some(*route),
                _ => None,
            }),
        }
    }

    /// The bit number of the flag that an argument names.
    pub fn flag(&self, argument: usize) -> Option<u8> {
        match self.form(argument)? {
            ArgumentForm::Flag(bit) => Some(*bit),
            _ => self.manner.dynamic.iter().find_map(|(index, dynamic)| match dynamic {
                Dynamic::Flag(bit) if usize::from(*index) == argument => Some(*bit),
                _ => None,
            }),
        }
    }

    /// The flags of an argument of kind `Flags`; nothing when it was left out.
    pub fn flags(&self, argument: usize) -> Option<&FlagSet> {
        match self.form(argument)? {
            ArgumentForm::Flags(_, flags) => Some(flags),
            _ => self.manner.dynamic.iter().find_map(|(index, dynamic)| match dynamic {
                Dynamic::Flags(flags) if usize::from(*index) == argument => Some(flags),
                _ => None,
            }),
        }
    }

    /// The compiled expression of an argument of kind `Regex`.
    pub fn regex(&self, argument: usize) -> Option<&Regex> {
        match self.form(argument)? {
            ArgumentForm::Regex(_, regex) => Some(regex),
            _ => self.manner.dynamic.iter().find_map(|(index, dynamic)| match dynamic {
                Dynamic::Regex(regex) if usize::from(*index) == argument => Some(regex),
                _ => None,
            }),
        }
    }

    /// The present value of a variable argument.
    pub fn read(&self, host: &C, argument: usize) -> Value {
        match self.variable(argument) {
            Some(variable) => vm::read(self.program, self.frame, host, variable),
            None => Value::Null,
        }
    }

    /// All values of a variable argument, as `[*]` would give them.
    pub fn read_all(&self, host: &C, argument: usize) -> Vec<Value> {
        match self.variable(argument) {
            Some(variable) => vm::read_all(self.program, self.frame, host, variable),
            None => Vec::new(),
        }
    }

    /// Writes a variable argument.
    pub fn write(&mut self, host: &mut C, argument: usize, value: Value) -> Result<(), WriteError> {
        match self.site.arguments.get(argument).map(|argument| &argument.form) {
            Some(ArgumentForm::Variable(variable)) => {
                vm::write(self.program, self.frame, host, variable, AssignOp::Set, value)
            }
            _ => Err(WriteError::NoTarget),
        }
    }

    /// A variable argument, to be written later by `Program::write_output`.
    pub fn output(&self, host: &C, argument: usize) -> Option<Output> {
        let variable = self.variable(argument)?;
        let (name, index) = vm::resolve(self.program, self.frame, host, variable);
        Some(Output { call: self.index, argument: u32::try_from(argument).ok()?, name, index })
    }

    /// The present value of a parameter's variable, that of a `$var` of the running script included.
    pub fn parameter(&self, host: &C, variable: VariableId) -> Value {
        match self.program.parameter_variables.get(variable.0 as usize) {
            Some(variable) => vm::read(self.program, self.frame, host, variable),
            None => Value::Null,
        }
    }

    /// How many arguments the call has up to the last one that the script gives; those behind it are left out.
    #[inline]
    pub fn given(&self) -> usize {
        self.site.given as usize
    }

    /// How many arguments the call has, those left out in the middle included.
    pub fn len(&self) -> usize {
        self.site.arguments.len()
    }

    /// Whether the call has no arguments.
    pub fn is_empty(&self) -> bool {
        self.site.arguments.is_empty()
    }

    /// How the function is being run.
    pub fn mode(&self) -> Mode {
        self.manner.mode
    }

    /// The third argument of `launch(…)`, which becomes `$param(1)` of its route.
    pub fn launch_parameter(&self) -> Option<&Value> {
        self.manner.extra
    }

    /// The line of the script on which the call stands.
    pub fn line(&self) -> u32 {
        self.site.line
    }

    /// The program that is running.
    pub fn program(&self) -> &'a Program<C> {
        self.program
    }

    fn form(&self, argument: usize) -> Option<&'a ArgumentForm<C>> {
        self.site.arguments.get(argument).map(|argument| &argument.form)
    }

    fn variable(&self, argument: usize) -> Option<&'a VarExpr<C>> {
        match self.form(argument)? {
            ArgumentForm::Variable(variable) => Some(variable),
            _ => None,
        }
    }
}
