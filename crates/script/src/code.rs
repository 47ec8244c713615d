//! What a script is compiled to: a list of instructions per program, and the tables that they point into.

use regex::bytes::Regex;

use crate::call::{Context, FlagSet};
use crate::declare::{ArgumentKind, Function, Prepared, Variable};
use crate::program::RouteId;
use crate::transform::Transformation;
use crate::value::{Bytes, Value};

/// An instruction. Jump targets are indexes into `Code::ops`, the other numbers are indexes into its tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// Pushes a constant.
    Const(u32),
    /// Pushes a small integer.
    Int(i32),
    /// Pushes the value of a variable.
    Var(u32),
    /// Pushes an expanded format string.
    Format(u32),
    /// Calls a function; pushes its value.
    Call(u32),
    /// Calls a route with the arguments that stand on the stack; its value is pushed when it returns.
    Route(u32),
    /// Calls a function; jumps when its value is not positive. A call that was pending comes back to the jump behind this.
    CallOrJump {
        /// The call.
        site: u32,
        /// Where to go.
        target: u32,
    },
    /// Calls a function and throws its value away. A call that was pending comes back to the `Pop` behind this.
    CallAndPop(u32),
    /// Runs a function for `async`: nothing after it is executed.
    Async(u32),
    /// Runs a function for `launch`.
    Launch(u32),
    /// Throws the topmost value away.
    Pop,
    /// Jumps.
    Jump(u32),
    /// Pops; jumps when the value is not true.
    JumpIfFalse(u32),
    /// Pops; jumps when the value is true.
    JumpIfTrue(u32),
    /// Pops the result of a call; jumps when it is not positive.
    JumpIfFailed(u32),
    /// Pops the result of a call; jumps when it is positive.
    JumpIfSucceeded(u32),
    /// Replaces the topmost value by 1 if it is not true and 0 if it is.
    Not,
    /// Replaces the topmost value by its bitwise complement.
    Complement,
    /// Replaces the topmost value by its negative.
    Negate,
    /// Pops two values, pushes the result of the arithmetic.
    Arithmetic(Arithmetic),
    /// Pops two values, pushes 1 or 0.
    Compare(Comparison),
    /// Pops a value, pushes whether a constant expression matches.
    Match(u32),
    /// Pops a pattern and a value, pushes whether it matches.
    MatchDynamic,
    /// Pops a value and assigns it.
    Assign(u32),
    /// Duplicates the topmost value.
    Duplicate,
    /// Starts a `while`.
    WhileEnter,
    /// Counts an iteration; jumps out when there have been too many.
    WhileTick(u32),
    /// Starts a `for` over all values of a variable.
    ForEnter(u32),
    /// Assigns the next value to an assignment's target, or jumps out.
    ForNext {
        /// The assignment.
        target: u32,
        /// Where to go after the last.
        end: u32,
    },
    /// Ends the innermost loop.
    LoopExit,
    /// Returns from a route; the code and then `values` values are on the stack.
    Return {
        /// How many values stand behind the code.
        values: u32,
    },
    /// Ends the script.
    Exit,
    /// Ends the script and drops the message.
    Drop,
    /// Writes to the log: pops the format's arguments of `log`'s table entry.
    Log(u32),
    /// Pops a value; if it is not true the script ends with an error that shows the text.
    Assert(u32),
}

/// Arithmetic on two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    And,
    Or,
    Xor,
    ShiftLeft,
    ShiftRight,
}

/// Comparison of two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A variable as it stands in the script, ready to be read or written.
#[derive(Debug)]
pub(crate) struct VarExpr<C: 'static> {
    pub(crate) source: Source<C>,
    pub(crate) name: Name<C>,
    pub(crate) index: IndexExpr<C>,
    pub(crate) context: Context,
    pub(crate) transformations: Box<[Transformation<C>]>,
}

/// Where a variable lives.
#[derive(Debug)]
pub(crate) enum Source<C: 'static> {
    /// `$var(name)`, its place in the frame.
    Slot(u32),
    /// `$var($…)`: the name is only known at run time.
    DynamicSlot,
    /// `$param(…)`.
    Param(ParamKey<C>),
    /// `$return(n)`.
    Return(ParamKey<C>),
    /// `$rc` and `$retcode`.
    ReturnCode,
    /// `$route`, `$route.name`, `$route.type`.
    Route(RoutePart),
    /// `$cfg_line`, known at load.
    Line(u32),
    /// `$cfg_file`, known at load.
    File(Box<str>),
    /// `$$`: a constant.
    Constant(Value),
    /// A module's.
    Host(&'static Variable<C>),
}

/// What is asked of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RoutePart {
    Whole,
    Name,
    Kind,
}

/// The key of `$param` and `$return`.
#[derive(Debug)]
pub(crate) enum ParamKey<C: 'static> {
    /// A number: parameters count from 1, returned values from 0.
    Number(usize),
    /// A name that is looked for among the route's own parameters and the event's.
    Name(Box<str>),
    /// Worked out at run time.
    Dynamic(Box<Template<C>>),
}

/// The name inside the parentheses.
#[derive(Debug)]
pub(crate) enum Name<C: 'static> {
    None,
    Fixed { text: Box<[u8]>, prepared: Option<Prepared> },
    Dynamic(Box<Template<C>>),
}

/// The index.
#[derive(Debug)]
pub(crate) enum IndexExpr<C: 'static> {
    None,
    All,
    Fixed(i64),
    Dynamic(Box<VarExpr<C>>),
}

/// A format string.
#[derive(Debug)]
pub(crate) struct Template<C: 'static> {
    pub(crate) parts: Box<[Part<C>]>,
}

/// A piece of a format string.
#[derive(Debug)]
pub(crate) enum Part<C: 'static> {
    Text(Box<[u8]>),
    Var(VarExpr<C>),
}

/// A call as it stands in the script.
#[derive(Debug)]
pub(crate) struct CallSite<C: 'static> {
    pub(crate) function: &'static Function<C>,
    pub(crate) arguments: Box<[SiteArgument<C>]>,
    /// How many of the arguments stand on the stack.
    pub(crate) stack: u32,
    /// How many arguments there are up to the last one that was not left out.
    pub(crate) given: u32,
    pub(crate) line: u32,
}

/// What is known about an argument after load.
#[derive(Debug)]
pub(crate) struct SiteArgument<C: 'static> {
    pub(crate) kind: ArgumentKind,
    pub(crate) optional: bool,
    pub(crate) form: ArgumentForm<C>,
}

/// An argument.
#[derive(Debug)]
pub(crate) enum ArgumentForm<C: 'static> {
    /// Left out.
    Absent,
    /// Known at load.
    Constant { value: Value, prepared: Option<Prepared> },
    /// A pattern known at load.
    Regex(Value, Regex),
    /// Flags known at load.
    Flags(Value, FlagSet),
    /// A variable to be written.
    Variable(VarExpr<C>),
    /// A route.
    Route(RouteId),
    /// A flag.
    Flag(u8),
    /// The value stands on the stack, this many places above the first argument.
    Stack(u32),
}

/// A route call as it stands in the script.
#[derive(Debug)]
pub(crate) struct RouteSite {
    pub(crate) route: RouteTarget,
    pub(crate) arguments: u32,
    pub(crate) line: u32,
}

/// Which route is called.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RouteTarget {
    Fixed(RouteId),
    /// Its name stands on the stack below the arguments.
    Dynamic,
}

/// An `async` or `launch` as it stands in the script.
#[derive(Debug)]
pub(crate) struct AsyncSite {
    pub(crate) call: u32,
    pub(crate) route: Option<RouteId>,
    /// Whether the timeout of `async` or the parameter of `launch` stands on the stack above the arguments.
    pub(crate) extra: bool,
}

/// An assignment's target.
#[derive(Debug)]
pub(crate) struct Assignment<C: 'static> {
    pub(crate) target: VarExpr<C>,
    pub(crate) replace: bool,
    pub(crate) line: u32,
}

/// A line of the log.
#[derive(Debug)]
pub(crate) struct LogSite<C: 'static> {
    pub(crate) level: LevelExpr<C>,
    pub(crate) template: Template<C>,
}

/// The level of a line.
#[derive(Debug)]
pub(crate) enum LevelExpr<C: 'static> {
    Fixed(i8),
    Dynamic(Template<C>),
}

/// An assertion.
#[derive(Debug)]
pub(crate) struct AssertSite {
    pub(crate) text: Bytes,
    pub(crate) line: u32,
}

/// A whole script.
#[derive(Debug)]
pub(crate) struct Code<C: 'static> {
    pub(crate) ops: Vec<Op>,
    /// The line of each instruction.
    pub(crate) lines: Vec<u32>,
    pub(crate) constants: Vec<Value>,
    pub(crate) variables: Vec<VarExpr<C>>,
    pub(crate) templates: Vec<Template<C>>,
    pub(crate) calls: Vec<CallSite<C>>,
    pub(crate) routes: Vec<RouteSite>,
    pub(crate) asyncs: Vec<AsyncSite>,
    pub(crate) assignments: Vec<Assignment<C>>,
    pub(crate) regexes: Vec<Regex>,
    pub(crate) logs: Vec<LogSite<C>>,
    pub(crate) asserts: Vec<AssertSite>,
}

impl<C> Default for Code<C> {
    fn default() -> Self {
        Code {
            ops: Vec::new(),
            lines: Vec::new(),
            constants: Vec::new(),
            variables: Vec::new(),
            templates: Vec::new(),
            calls: Vec::new(),
            routes: Vec::new(),
            asyncs: Vec::new(),
            assignments: Vec::new(),
            regexes: Vec::new(),
            logs: Vec::new(),
            asserts: Vec::new(),
        }
    }
}
