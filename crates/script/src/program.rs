//! A loaded script: globals, parameters, routes and their code.

use std::collections::HashMap;

use crate::call::Output;
use crate::code::{ArgumentForm, Code, Template, VarExpr};
use crate::declare::{AssignOp, FlagSpace, RouteKind, WriteError};
use crate::diagnostics::Span;
use crate::frame::Frame;
use crate::globals::Globals;
use crate::host::Host;
use crate::regexes::RegexCache;
use crate::value::{Bytes, Value};
use crate::vm;

/// A route of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteId(pub(crate) u16);

/// What is known about a route.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its kind.
    pub kind: RouteKind,
    /// Its name; empty for the one without a name.
    pub name: Box<str>,
    /// The names of its parameters, if it declares them.
    pub parameters: Box<[Box<str>]>,
    /// The interval of a timer route, in seconds.
    pub interval_s: u32,
    /// The line on which it starts.
    pub line: u32,
    pub(crate) entry: u32,
}

/// A compiled variable of a parameter such as `received_avp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VariableId(pub(crate) u32);

/// A compiled format string of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FormatId(pub(crate) u32);

/// A loaded script, ready to run. It is never changed; a reload makes another one.
#[derive(Debug)]
pub struct Program<C: 'static> {
    /// The global settings.
    pub globals: Globals,
    /// What `modparam` set.
    pub parameters: ModuleParameters,
    /// The modules that are loaded, `core` included, in order.
    pub modules: Vec<&'static str>,
    pub(crate) code: Code<C>,
    pub(crate) routes: Vec<Route>,
    pub(crate) names: HashMap<(RouteKind, Box<str>), RouteId>,
    /// The names of `$var(…)` by slot.
    pub(crate) slots: HashMap<Box<[u8]>, u32>,
    pub(crate) message_flags: Vec<Box<str>>,
    pub(crate) branch_flags: Vec<Box<str>>,
    pub(crate) parameter_variables: Vec<VarExpr<C>>,
    pub(crate) parameter_formats: Vec<Template<C>>,
    pub(crate) while_loops: u32,
    pub(crate) cache: RegexCache,
}

impl<C: Host> Program<C> {
    /// The route of this kind and name. The name is empty for `route{}` and the other routes without one.
    pub fn route(&self, kind: RouteKind, name: &str) -> Option<RouteId> {
        self.names.get(&(kind, Box::from(name))).copied()
    }

    /// The main `route{}`.
    pub fn main(&self) -> Option<RouteId> {
        self.route(RouteKind::Request, "")
    }

    /// What is known about a route.
    pub fn describe(&self, route: RouteId) -> Option<&Route> {
        self.routes.get(usize::from(route.0))
    }

    /// The timer routes: name, interval in seconds, route.
    pub fn timers(&self) -> impl Iterator<Item = (&str, u32, RouteId)> {
        self.of_kind(RouteKind::Timer).map(|(route, id)| (&*route.name, route.interval_s, id))
    }

    /// The event routes: name of the event, route.
    pub fn event_routes(&self) -> impl Iterator<Item = (&str, RouteId)> {
        self.of_kind(RouteKind::Event).map(|(route, id)| (&*route.name, id))
    }

    /// Whether a module is loaded.
    pub fn is_loaded(&self, module: &str) -> bool {
        self.modules.contains(&module)
    }

    /// The name of a flag.
    pub fn flag_name(&self, space: FlagSpace, bit: u8) -> Option<&str> {
        self.flags(space).get(usize::from(bit)).map(|name| &**name)
    }

    /// The bit number of a flag that the script names somewhere.
    pub fn flag_bit(&self, space: FlagSpace, name: &str) -> Option<u8> {
        let bit = self.flags(space).iter().position(|known| **known == *name)?;
        u8::try_from(bit).ok()
    }

    /// Whether any route calls this function: for warnings about parameters that need one.
    pub fn calls(&self, function: &str) -> bool {
        self.code.calls.iter().any(|site| site.function.name == function)
    }

    /// Reads the variable of a parameter, outside of any frame.
    pub fn read_variable(&self, host: &C, variable: VariableId) -> Value {
        let frame = Frame::new(RouteId(0));
        match self.parameter_variables.get(variable.0 as usize) {
            Some(variable) => vm::read(self, &frame, host, variable),
            None => Value::Null,
        }
    }

    /// Writes the variable of a parameter.
    pub fn write_variable(
        &self,
        host: &mut C,
        variable: VariableId,
        op: AssignOp,
        value: Value,
    ) -> Result<(), WriteError> {
        let mut frame = Frame::new(RouteId(0));
        match self.parameter_variables.get(variable.0 as usize) {
            Some(variable) => vm::write(self, &mut frame, host, variable, op, value),
            None => Err(WriteError::NoTarget),
        }
    }

    /// Expands the format string of a parameter.
    pub fn expand(&self, host: &C, format: FormatId) -> Bytes {
        let frame = Frame::new(RouteId(0));
        let mut text = Bytes::new();
        if let Some(template) = self.parameter_formats.get(format.0 as usize) {
            vm::expand(self, &frame, host, template, &mut text);
        }
        text
    }

    /// Writes a variable argument of a call that is pending, into the frame of its script or into one that has not begun
    /// yet.
    pub fn write_output(
        &self,
        frame: &mut Frame,
        host: &mut C,
        output: &Output,
        value: Value,
    ) -> Result<(), WriteError> {
        vm::make_room(self, frame);
        let site = self.code.calls.get(output.call as usize).ok_or(WriteError::NoTarget)?;
        match site.arguments.get(output.argument as usize).map(|argument| &argument.form) {
            Some(ArgumentForm::Variable(variable)) => {
                vm::write_resolved(self, frame, host, variable, output, value)
            }
            _ => Err(WriteError::NoTarget),
        }
    }

    /// How many instructions the script has.
    pub fn len(&self) -> usize {
        self.code.ops.len()
    }

    /// Whether the script has no instructions.
    pub fn is_empty(&self) -> bool {
        self.code.ops.is_empty()
    }

    fn flags(&self, space: FlagSpace) -> &[Box<str>] {
        match space {
            FlagSpace::Message => &self.message_flags,
            FlagSpace::Branch => &self.branch_flags,
        }
    }

    fn of_kind(&self, kind: RouteKind) -> impl Iterator<Item = (&Route, RouteId)> {
        self.routes
            .iter()
            .enumerate()
            .filter(move |(_, route)| route.kind == kind)
            .filter_map(|(index, route)| Some((route, RouteId(u16::try_from(index).ok()?))))
    }
}

/// A value that `modparam` set.
#[derive(Clone, Debug)]
pub struct ParameterValue {
    /// The value; a flag's is its bit number.
    pub value: Value,
    /// Where it stands.
    pub span: Span,
    pub(crate) variable: Option<VariableId>,
    pub(crate) format: Option<FormatId>,
    pub(crate) route: Option<RouteId>,
}

impl ParameterValue {
    /// The compiled form of a parameter of kind `Variable`.
    pub fn variable(&self) -> Option<VariableId> {
        self.variable
    }

    /// The compiled form of a parameter of kind `Format`.
    pub fn format(&self) -> Option<FormatId> {
        self.format
    }

    /// The route of a parameter of kind `Route`.
    pub fn route(&self) -> Option<RouteId> {
        self.route
    }
}

/// The parameters of the loaded modules, with their declared defaults.
#[derive(Clone, Debug, Default)]
pub struct ModuleParameters {
    /// By module, then by parameter.
    pub(crate) set: HashMap<&'static str, HashMap<&'static str, Vec<ParameterValue>>>,
    pub(crate) defaults: HashMap<&'static str, HashMap<&'static str, Value>>,
}

impl ModuleParameters {
    /// Whether the script sets the parameter.
    pub fn is_set(&self, module: &str, name: &str) -> bool {
        !self.all(module, name).is_empty()
    }

    /// All values that the script gave to a parameter.
    pub fn all(&self, module: &str, name: &str) -> &[ParameterValue] {
        self.find(module, name).map_or(&[], Vec::as_slice)
    }

    /// The last value that the script gave to the parameter, or its default; NULL if it has none.
    pub fn value(&self, module: &str, name: &str) -> &Value {
        match self.all(module, name).last() {
            Some(set) => &set.value,
            None => self.defaults.get(module).and_then(|names| names.get(name)).unwrap_or(&Value::Null),
        }
    }

    /// The parameter as an integer; 0 if it has no value.
    pub fn int(&self, module: &str, name: &str) -> i64 {
        self.value(module, name).as_int().unwrap_or(0)
    }

    /// The parameter as a condition.
    pub fn bool(&self, module: &str, name: &str) -> bool {
        self.int(module, name) != 0
    }

    /// The parameter as a string; nothing if it has no value.
    pub fn str(&self, module: &str, name: &str) -> Option<&[u8]> {
        match self.value(module, name) {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The bit number of a flag parameter that is set.
    pub fn flag(&self, module: &str, name: &str) -> Option<u8> {
        u8::try_from(self.all(module, name).last()?.value.as_int()?).ok()
    }

    /// The variable of a parameter of kind `Variable` that is set.
    pub fn variable(&self, module: &str, name: &str) -> Option<VariableId> {
        self.all(module, name).last()?.variable
    }

    /// The format string of a parameter of kind `Format` that is set.
    pub fn format(&self, module: &str, name: &str) -> Option<FormatId> {
        self.all(module, name).last()?.format
    }

    /// The route of a parameter of kind `Route` that is set.
    pub fn route(&self, module: &str, name: &str) -> Option<RouteId> {
        self.all(module, name).last()?.route
    }

    fn find(&self, module: &str, name: &str) -> Option<&Vec<ParameterValue>> {
        self.set.get(module)?.get(name)
    }
}
