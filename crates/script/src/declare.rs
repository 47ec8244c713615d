//! The tables in which a module declares what it gives to the script: parameters, functions, variables, statistics and
//! events. The checks at load, the messages of `seawall check` and the generated reference all come from here.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::call::{Call, Flow, VarRef};
use crate::diagnostics::Diagnostics;
use crate::program::ModuleParameters;
pub use crate::routes::{RouteKind, Routes};
use crate::value::Value;

/// One module. Those named `core`, of which there may be several, need no `loadmodule`.
#[derive(Debug)]
pub struct Module<C: 'static> {
    /// The name as `loadmodule` and `modparam` write it, without `.so`.
    pub name: &'static str,
    /// The public document that describes it, for the reference.
    pub document: &'static str,
    /// What `modparam` can set.
    pub parameters: &'static [Parameter],
    /// What a route can call.
    pub functions: &'static [Function<C>],
    /// What a route can read and write with `$`.
    pub variables: &'static [Variable<C>],
    /// What `get_statistics` shows.
    pub statistics: &'static [Statistic],
    /// What `event_route` can wait for.
    pub events: &'static [Event],
    /// Modules that must be loaded too.
    pub requires: &'static [&'static str],
    /// Looks at the parameters of a loaded script, if it loads the module, and warns about what is allowed and not wise.
    pub advise: Option<Advise>,
}

/// Warns about parameters; see [`Module::advise`].
pub type Advise = fn(&Setup<'_>, &mut Diagnostics);

/// What a script loads and sets, besides its routes.
#[derive(Clone, Copy, Debug)]
pub struct Setup<'a> {
    /// The parameters of the loaded modules.
    pub parameters: &'a ModuleParameters,
    /// The names of the loaded modules.
    pub modules: &'a [&'static str],
    /// The names of the functions that its routes call.
    pub called: &'a [&'static str],
}

impl Setup<'_> {
    /// Whether the script loads a module.
    pub fn is_loaded(&self, module: &str) -> bool {
        self.modules.contains(&module)
    }

    /// Whether any route calls a function.
    pub fn calls(&self, function: &str) -> bool {
        self.called.contains(&function)
    }
}

impl<C> Module<C> {
    /// An empty module, to be filled with `..Module::new("name", "document")`.
    pub const fn new(name: &'static str, document: &'static str) -> Self {
        Module {
            name,
            document,
            parameters: &[],
            functions: &[],
            variables: &[],
            statistics: &[],
            events: &[],
            requires: &[],
            advise: None,
        }
    }
}

/// A module of OpenSIPS that is known by name and not provided: its functions are refused by name.
#[derive(Clone, Copy, Debug)]
pub struct LaterModule {
    /// The module.
    pub name: &'static str,
    /// Its functions.
    pub functions: &'static [&'static str],
}

/// What a parameter accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterKind {
    /// An integer (`yes`, `no`, `true`, `false`, `on`, `off` count as 1 and 0).
    Int,
    /// A string.
    Str,
    /// A boolean: as `Int`, 0 or 1.
    Bool,
    /// Either.
    IntOrStr,
    /// The name of a message or branch flag; its value is the bit number.
    Flag(FlagSpace),
    /// One variable, such as `$avp(rcv)`; see `ModuleParameters::variable`.
    Variable,
    /// A format string with variables; see `ModuleParameters::format`.
    Format,
    /// The name of a route of the script.
    Route(RouteKind),
}

/// Whether setting a parameter or a global changes anything here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It does what its document says.
    Used,
    /// It is accepted and warned about; the text is the reason, as part of a sentence: "workers are threads here".
    NoEffect(&'static str),
}

/// Checks a value; the error completes a sentence.
pub type Check = fn(&Value) -> Result<(), String>;
/// Prepares the constant argument with this index.
pub type PrepareArgument = fn(usize, &Value) -> Result<Prepared, String>;
/// Prepares the name of a variable.
pub type PrepareName = fn(&str) -> Result<Prepared, String>;

/// A module parameter.
#[derive(Clone, Copy)]
pub struct Parameter {
    /// The name as `modparam` writes it.
    pub name: &'static str,
    /// What it accepts.
    pub kind: ParameterKind,
    /// The value when it is not set, as a script would write it; empty for "not set".
    pub default: &'static str,
    /// The unit: `s`, `ms`, `bytes` or empty.
    pub unit: &'static str,
    /// The section of the module's document.
    pub section: &'static str,
    /// What it does, in a sentence.
    pub doc: &'static str,
    /// Whether it may be given several times, each adding a value.
    pub many: bool,
    /// Whether it changes anything.
    pub effect: Effect,
    /// A further check of a value; the error completes the sentence "bad value: …".
    pub check: Option<Check>,
    /// A module that must be loaded where this parameter is set; empty for none.
    pub needs_module: &'static str,
}

impl fmt::Debug for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parameter")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl Parameter {
    /// A parameter without unit and section.
    pub const fn new(
        name: &'static str,
        kind: ParameterKind,
        default: &'static str,
        doc: &'static str,
    ) -> Parameter {
        Parameter {
            name,
            kind,
            default,
            unit: "",
            section: "",
            doc,
            many: false,
            effect: Effect::Used,
            check: None,
            needs_module: "",
        }
    }

    /// Names the module without which it can do nothing.
    pub const fn needs_module(mut self, name: &'static str) -> Self {
        self.needs_module = name;
        self
    }

    /// Adds the unit.
    pub const fn unit(mut self, unit: &'static str) -> Self {
        self.unit = unit;
        self
    }

    /// Adds the section of the document.
    pub const fn section(mut self, section: &'static str) -> Self {
        self.section = section;
        self
    }

    /// Lets it be given several times.
    pub const fn many(mut self) -> Self {
        self.many = true;
        self
    }

    /// Says that it is accepted without effect, and why.
    pub const fn no_effect(mut self, reason: &'static str) -> Self {
        self.effect = Effect::NoEffect(reason);
        self
    }

    /// Adds a check.
    pub const fn check(mut self, check: Check) -> Self {
        self.check = Some(check);
        self
    }
}

/// The two name spaces of flags, each of 32 names at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagSpace {
    /// `setflag`, `isflagset`, `resetflag`.
    Message,
    /// `setbflag` and friends, and `usrloc`'s `nat_bflag`.
    Branch,
}

/// A script function.
pub struct Function<C: 'static> {
    /// The name.
    pub name: &'static str,
    /// Its arguments, in order.
    pub arguments: &'static [Argument],
    /// Where it may be called.
    pub routes: Routes,
    /// What it returns, for the reference and the tests: code and meaning.
    pub returns: &'static [(i64, &'static str)],
    /// The section of the module's document.
    pub section: &'static str,
    /// What it does, in a sentence or two.
    pub doc: &'static str,
    /// Whether `async()` and `launch()` may run it.
    pub asynchronous: bool,
    /// Whether it may only be run by `async()` or `launch()`.
    pub only_asynchronous: bool,
    /// The function.
    pub call: fn(&mut C, &mut Call<'_, C>) -> Flow,
    /// Prepares a constant argument at load, by its index; the error is shown at the argument.
    pub prepare: Option<PrepareArgument>,
    /// A parameter of its module that a script which calls it has to set; empty for none.
    pub needs_parameter: &'static str,
}

impl<C> fmt::Debug for Function<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<C> Function<C> {
    /// A function without listed return codes, section and preparation.
    pub const fn new(
        name: &'static str,
        arguments: &'static [Argument],
        routes: Routes,
        doc: &'static str,
        call: fn(&mut C, &mut Call<'_, C>) -> Flow,
    ) -> Self {
        Function {
            name,
            arguments,
            routes,
            returns: &[],
            section: "",
            doc,
            asynchronous: false,
            only_asynchronous: false,
            call,
            prepare: None,
            needs_parameter: "",
        }
    }

    /// Names the parameter of its module without which it can do nothing.
    pub const fn needs_parameter(mut self, name: &'static str) -> Self {
        self.needs_parameter = name;
        self
    }

    /// Adds the return codes.
    pub const fn returns(mut self, returns: &'static [(i64, &'static str)]) -> Self {
        self.returns = returns;
        self
    }

    /// Adds the section of the document.
    pub const fn section(mut self, section: &'static str) -> Self {
        self.section = section;
        self
    }

    /// Lets `async()` and `launch()` run it.
    pub const fn asynchronous(mut self) -> Self {
        self.asynchronous = true;
        self
    }

    /// Lets only `async()` and `launch()` run it.
    pub const fn only_asynchronous(mut self) -> Self {
        self.asynchronous = true;
        self.only_asynchronous = true;
        self
    }

    /// Adds the preparation of constant arguments.
    pub const fn prepare(mut self, prepare: PrepareArgument) -> Self {
        self.prepare = Some(prepare);
        self
    }
}

/// An argument of a function.
#[derive(Clone, Copy, Debug)]
pub struct Argument {
    /// The name in the document.
    pub name: &'static str,
    /// What it accepts.
    pub kind: ArgumentKind,
    /// Whether it may be left out or left empty.
    pub optional: bool,
    /// What it means.
    pub doc: &'static str,
    /// The flags that may stand in a string which the function itself reads; for the reference.
    pub words: &'static [FlagDecl],
}

impl Argument {
    /// A required argument.
    pub const fn new(name: &'static str, kind: ArgumentKind, doc: &'static str) -> Self {
        Argument { name, kind, optional: false, doc, words: &[] }
    }

    /// Lets it be left out.
    pub const fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// Names the flags that the function itself reads in it.
    pub const fn words(mut self, words: &'static [FlagDecl]) -> Self {
        self.words = words;
        self
    }
}

/// What an argument accepts, and with which accessor of [`Call`] the function sees it.
#[derive(Clone, Copy, Debug)]
pub enum ArgumentKind {
    /// A string, possibly with variables: `Call::str`.
    Str,
    /// A string without variables: `Call::str`, `Call::prepared`.
    StaticStr,
    /// An integer or a variable that holds one: `Call::int`.
    Int,
    /// Either: `Call::value`.
    IntOrStr,
    /// A variable that the function may write, and read: `Call::write`, `Call::read`, `Call::output`.
    Variable,
    /// A variable that the function only reads, possibly with all its values: `Call::read`, `Call::read_all`.
    ReadVariable,
    /// The name of a route of this kind: `Call::route`.
    Route(RouteKind),
    /// A flag's name, bare or quoted: `Call::flag` gives its bit number.
    Flag(FlagSpace),
    /// Comma-separated flags as declared, or the older letters in a row: `Call::flags`.
    Flags(&'static [FlagDecl]),
    /// A regular expression, compiled at load when it is constant: `Call::regex`.
    Regex,
}

/// A flag that the flags argument of a function accepts, such as `max-contacts=10` or the older `c10`.
#[derive(Clone, Copy, Debug)]
pub struct FlagDecl {
    /// The long name.
    pub name: &'static str,
    /// The older letters (`c`, `p0`), or empty.
    pub old: &'static str,
    /// Whether a value follows.
    pub value: FlagValue,
    /// What it does.
    pub doc: &'static str,
}

impl FlagDecl {
    /// A flag without a value.
    pub const fn new(name: &'static str, old: &'static str, doc: &'static str) -> Self {
        FlagDecl { name, old, value: FlagValue::None, doc }
    }

    /// A flag with an integer.
    pub const fn int(name: &'static str, old: &'static str, doc: &'static str) -> Self {
        FlagDecl { name, old, value: FlagValue::Int, doc }
    }

    /// A flag with a string.
    pub const fn str(name: &'static str, old: &'static str, doc: &'static str) -> Self {
        FlagDecl { name, old, value: FlagValue::Str, doc }
    }
}

/// What stands behind the `=` of a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagValue {
    /// Nothing.
    None,
    /// An integer; the older form has its digits behind the letter.
    Int,
    /// A string. The older form has it behind the letter as digits, `<text>` or `/text/`; the value is given
    /// without the angle brackets, and with the slashes.
    Str,
}

/// What stands in the parentheses of a variable: `$hdr(x)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VariableArguments {
    /// Nothing: `$ru`.
    None,
    /// A name: `$hdr(x)`.
    Name,
    /// A name or nothing: `$route`, `$route(name)`.
    Optional,
}

/// How a script assigns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssignOp {
    /// `=`. The VM has worked out `+=` and its like already: they arrive as `Set`.
    Set,
    /// `:=`: replaces all values of an AVP, where `=` adds one.
    Replace,
}

/// Why a variable was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The variable cannot be written.
    #[error("the variable is read-only")]
    ReadOnly,
    /// The value does not fit: not a URI, not a port, NULL where there must be something.
    #[error("the value does not fit the variable")]
    BadValue,
    /// There is no such place: no such branch, no message.
    #[error("there is nothing to write to here")]
    NoTarget,
    /// A limit is reached.
    #[error("a limit is reached")]
    Full,
}

/// Reads a variable.
pub type Read<C> = fn(&C, &VarRef<'_>) -> Value;
/// Writes a variable; NULL deletes it.
pub type Write<C> = fn(&mut C, &VarRef<'_>, AssignOp, Value) -> Result<(), WriteError>;
/// Counts the values of a variable, for `[*]`.
pub type Count<C> = fn(&C, &VarRef<'_>) -> usize;

/// A pseudo-variable.
pub struct Variable<C: 'static> {
    /// The name without `$`: `ru`, `hdr`, `msg.branch.uri`.
    pub name: &'static str,
    /// What stands in its parentheses.
    pub arguments: VariableArguments,
    /// Whether `[n]` may follow.
    pub indexable: bool,
    /// Reads it.
    pub read: Read<C>,
    /// Writes it; nothing for a variable that is only read.
    pub write: Option<Write<C>>,
    /// Counts its values, so that `[*]` can walk over them; `read` then sees indexes from 0.
    pub count: Option<Count<C>>,
    /// Prepares a name that is known at load.
    pub prepare: Option<PrepareName>,
    /// What it is.
    pub doc: &'static str,
    /// The section of the document.
    pub section: &'static str,
}

impl<C> fmt::Debug for Variable<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Variable").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<C> Variable<C> {
    /// A variable that is only read and has no name in parentheses.
    pub const fn new(name: &'static str, doc: &'static str, read: Read<C>) -> Self {
        Variable {
            name,
            arguments: VariableArguments::None,
            indexable: false,
            read,
            write: None,
            count: None,
            prepare: None,
            doc,
            section: "",
        }
    }

    /// Says what stands in its parentheses.
    pub const fn arguments(mut self, arguments: VariableArguments) -> Self {
        self.arguments = arguments;
        self
    }

    /// Lets `[n]` follow.
    pub const fn indexable(mut self) -> Self {
        self.indexable = true;
        self
    }

    /// Makes it writable.
    pub const fn write(mut self, write: Write<C>) -> Self {
        self.write = Some(write);
        self
    }

    /// Lets `[n]` and `[*]` follow.
    pub const fn count(mut self, count: Count<C>) -> Self {
        self.indexable = true;
        self.count = Some(count);
        self
    }

    /// Prepares names that are known at load.
    pub const fn prepare(mut self, prepare: PrepareName) -> Self {
        self.prepare = Some(prepare);
        self
    }

    /// Adds the section of the document.
    pub const fn section(mut self, section: &'static str) -> Self {
        self.section = section;
        self
    }
}

/// A statistic of a module.
#[derive(Clone, Copy, Debug)]
pub struct Statistic {
    /// The name without the module.
    pub name: &'static str,
    /// What it counts.
    pub doc: &'static str,
    /// Whether `reset_statistics` sets it to 0.
    pub resettable: bool,
}

/// An event of a module.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// The name: `E_UL_CONTACT_INSERT`.
    pub name: &'static str,
    /// The names of its parameters, as `$param(name)` gives them.
    pub parameters: &'static [&'static str],
    /// When it is raised.
    pub doc: &'static str,
}

/// What a module made of a constant at load: any value, shared.
#[derive(Clone)]
pub struct Prepared {
    value: Arc<dyn Any + Send + Sync>,
    warning: Option<&'static str>,
}

impl Prepared {
    /// Wraps a value.
    pub fn new<T: Any + Send + Sync>(value: T) -> Self {
        Prepared { value: Arc::new(value), warning: None }
    }

    /// Says something about the constant that is no error; shown at the argument when the script is checked.
    #[must_use]
    pub fn warn(mut self, warning: &'static str) -> Self {
        self.warning = Some(warning);
        self
    }

    /// What is to be said about the constant.
    pub(crate) fn warning(&self) -> Option<&'static str> {
        self.warning
    }

    /// The value, if it is of this type.
    pub fn get<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.value.downcast_ref()
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prepared")
    }
}
