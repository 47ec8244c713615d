//! Tree to program: every name is looked up, every constant prepared, and everything that is wrong is said.

mod calls;
mod expressions;
mod items;
mod reach;
mod statements;
mod variables;

use std::collections::HashMap;

use crate::ast::{Block, Item, RouteItem};
use crate::code::{Code, Op, Template, VarExpr};
use crate::declare::{FlagSpace, Function, Module, RouteKind, Setup, Variable};
use crate::diagnostics::{Diagnostics, Span};
use crate::globals::Globals;
use crate::host::Host;
use crate::limits;
use crate::load::Catalog;
use crate::program::{ModuleParameters, Program, Route, RouteId};
use crate::regexes::RegexCache;
use crate::suggest::nearest;
pub(crate) use calls::{OWN_FUNCTIONS, signature};
pub(crate) use variables::OWN_VARIABLES;

/// Compiles the items of a script; nothing if there are errors, before or now.
pub(crate) fn compile<C: Host>(
    items: &[Item],
    catalog: Catalog<'_, C>,
    diagnostics: &mut Diagnostics,
) -> Option<Program<C>> {
    let mut compiler = Compiler {
        diagnostics,
        catalog,
        modules: Vec::new(),
        refused: Vec::new(),
        globals: Globals::default(),
        parameters: ModuleParameters::default(),
        code: Code::default(),
        routes: Vec::new(),
        names: HashMap::new(),
        slots: HashMap::new(),
        message_flags: Vec::new(),
        branch_flags: Vec::new(),
        parameter_variables: Vec::new(),
        parameter_formats: Vec::new(),
        current: RouteId(0),
        line: 0,
        depth: 0,
        breaks: Vec::new(),
        uses: Vec::new(),
        edges: Vec::new(),
    };
    compiler.load_modules(items);
    compiler.set_globals(items);
    compiler.collect_routes(items);
    compiler.set_parameters(items);
    compiler.compile_routes(items);
    compiler.check_reach();
    compiler.check_needs();
    compiler.check_events(items);
    let mut module_names: Vec<&'static str> = compiler.modules.iter().map(|module| module.name).collect();
    module_names.dedup();
    let called: Vec<&'static str> = compiler.code.calls.iter().map(|site| site.function.name).collect();
    for advise in compiler.modules.iter().filter_map(|module| module.advise) {
        let setup = Setup { parameters: &compiler.parameters, modules: &module_names, called: &called };
        advise(&setup, compiler.diagnostics);
    }
    compiler.diagnostics.sort();
    if compiler.diagnostics.has_errors() {
        return None;
    }
    let Compiler { globals, parameters, code, routes, names, slots, .. } = compiler;
    let while_loops = u32::try_from(globals.int("max_while_loops")).unwrap_or(limits::WHILE_LOOPS);
    Some(Program {
        globals,
        parameters,
        modules: module_names,
        code,
        routes,
        names,
        slots,
        message_flags: compiler.message_flags,
        branch_flags: compiler.branch_flags,
        parameter_variables: compiler.parameter_variables,
        parameter_formats: compiler.parameter_formats,
        while_loops,
        cache: RegexCache::default(),
    })
}

/// The state of compiling one script.
struct Compiler<'a, C: Host> {
    diagnostics: &'a mut Diagnostics,
    catalog: Catalog<'a, C>,
    /// The loaded modules.
    modules: Vec<&'static Module<C>>,
    /// Modules that the script loads and that are not provided.
    refused: Vec<String>,
    globals: Globals,
    parameters: ModuleParameters,
    code: Code<C>,
    routes: Vec<Route>,
    names: HashMap<(RouteKind, Box<str>), RouteId>,
    slots: HashMap<Box<[u8]>, u32>,
    message_flags: Vec<Box<str>>,
    branch_flags: Vec<Box<str>>,
    parameter_variables: Vec<VarExpr<C>>,
    parameter_formats: Vec<Template<C>>,
    /// The route that is being compiled.
    current: RouteId,
    /// The line of the statement that is being compiled.
    line: u32,
    /// How many format strings are being compiled, one inside of the name of a variable in the other.
    depth: usize,
    /// The jumps out of each enclosing loop or `switch` that wait for their target.
    breaks: Vec<Vec<usize>>,
    /// Which route calls which function where.
    uses: Vec<(RouteId, &'static Function<C>, Span)>,
    /// Which route calls which route.
    edges: Vec<(RouteId, RouteId)>,
}

impl<C: Host> Compiler<'_, C> {
    fn collect_routes(&mut self, items: &[Item]) {
        for item in items {
            if let Item::Route(route) = item {
                self.collect_route(route);
            }
        }
        if self.routes.is_empty() {
            return;
        }
        let main = (RouteKind::Request, Box::from(""));
        if !self.names.contains_key(&main) {
            let span = items.iter().find_map(|item| match item {
                Item::Route(route) => Some(route.keyword),
                _ => None,
            });
            self.diagnostics.warning(
                span.unwrap_or_default(),
                "the script has no `route { … }`: requests are not handled",
            );
        }
    }

    fn collect_route(&mut self, item: &RouteItem) {
        let mut name = item.name.as_ref().map_or("", |word| word.text.as_str());
        // The older number of the main route.
        if item.kind == RouteKind::Request && name == "0" {
            name = "";
        }
        let needs_name =
            matches!(item.kind, RouteKind::Branch | RouteKind::Failure | RouteKind::Timer | RouteKind::Event);
        if needs_name && name.is_empty() {
            self.diagnostics.error(item.keyword, format!("a `{}` needs a name", item.kind.keyword()));
        }
        let has_none = matches!(item.kind, RouteKind::Error | RouteKind::Local | RouteKind::Startup);
        if let (true, Some(word)) = (has_none, &item.name) {
            self.diagnostics.error(word.span, format!("`{}` takes no name", item.kind.keyword()));
        }
        let interval_s = self.timer_interval(item);
        let Ok(id) = u16::try_from(self.routes.len()) else {
            self.diagnostics.error(item.keyword, "too many routes");
            return;
        };
        self.routes.push(Route {
            kind: item.kind,
            name: Box::from(name),
            parameters: item.parameters.iter().map(|word| Box::from(word.text.as_str())).collect(),
            interval_s,
            line: self.diagnostics.position(item.keyword).line,
            entry: 0,
        });
        let key = (item.kind, Box::from(name));
        if let Some(first) = self.names.get(&key) {
            let line = self.routes.get(usize::from(first.0)).map_or(0, |route| route.line);
            let span = item.name.as_ref().map_or(item.keyword, |word| word.span);
            self.diagnostics.error(span, format!("this route is there already, on line {line}"));
        } else {
            self.names.insert(key, RouteId(id));
        }
    }

    fn timer_interval(&mut self, item: &RouteItem) -> u32 {
        if item.kind != RouteKind::Timer {
            if let (Some(option), false) = (&item.option, item.kind == RouteKind::Event) {
                self.diagnostics.error(option.span, "a name is all that stands in these brackets");
            }
            return 0;
        }
        let Some(option) = &item.option else {
            self.diagnostics
                .error(item.keyword, "a `timer_route` needs an interval")
                .help("write `timer_route[name, 10]` for every 10 seconds");
            return 0;
        };
        match option.to_string_lossy().parse() {
            Ok(interval) if interval > 0 => interval,
            _ => {
                self.diagnostics.error(option.span, "an interval is a number of seconds above 0");
                0
            }
        }
    }

    fn compile_routes(&mut self, items: &[Item]) {
        let routes = items.iter().filter_map(|item| match item {
            Item::Route(route) => Some(route),
            _ => None,
        });
        for (index, item) in routes.enumerate() {
            let Ok(id) = u16::try_from(index) else { return };
            self.current = RouteId(id);
            let entry = self.here();
            if let Some(route) = self.routes.get_mut(index) {
                route.entry = entry;
            }
            self.route_body(&item.body);
        }
    }

    /// Warns of event routes that nothing will ever run: neither a loaded module nor the script raises the event.
    fn check_events(&mut self, items: &[Item]) {
        if self.code.calls.iter().any(|site| site.function.name == "raise_event") {
            return;
        }
        let raised: Vec<&str> =
            self.modules.iter().flat_map(|module| module.events).map(|event| event.name).collect();
        for item in items {
            let Item::Route(route) = item else { continue };
            let (RouteKind::Event, Some(word)) = (route.kind, &route.name) else { continue };
            if raised.contains(&word.text.as_str()) {
                continue;
            }
            let provider = self
                .catalog
                .modules
                .iter()
                .find(|module| module.events.iter().any(|event| event.name == word.text));
            let suggestion =
                nearest(&word.text, raised.iter().copied()).map(|near| format!("did you mean `{near}`?"));
            let help = match provider {
                Some(module) => Some(format!("the module `{}` raises it; add `loadmodule`", module.name)),
                None => suggestion,
            };
            let warning = self
                .diagnostics
                .warning(word.span, format!("nothing raises `{}`: this route never runs", word.text));
            if let Some(help) = help {
                warning.help(help);
            }
        }
    }

    /// The code of a route: falling off its end returns 1.
    fn route_body(&mut self, body: &Block) {
        self.block(body);
        self.line = self.diagnostics.position(body.end).line;
        self.emit(Op::Int(1));
        self.emit(Op::Return { values: 0 });
    }

    /// Appends an instruction; gives its place.
    fn emit(&mut self, op: Op) -> usize {
        self.code.ops.push(op);
        self.code.lines.push(self.line);
        self.code.ops.len() - 1
    }

    /// The place of the next instruction.
    fn here(&self) -> u32 {
        u32::try_from(self.code.ops.len()).unwrap_or(u32::MAX)
    }

    /// Lets a jump go to the next instruction.
    fn land(&mut self, jump: usize) {
        let target = self.here();
        self.aim(jump, target);
    }

    fn land_all(&mut self, jumps: Vec<usize>) {
        for jump in jumps {
            self.land(jump);
        }
    }

    fn aim(&mut self, jump: usize, target: u32) {
        let Some(op) = self.code.ops.get_mut(jump) else { return };
        match op {
            Op::Jump(to)
            | Op::JumpIfFalse(to)
            | Op::JumpIfTrue(to)
            | Op::JumpIfFailed(to)
            | Op::JumpIfSucceeded(to)
            | Op::WhileTick(to)
            | Op::CallOrJump { target: to, .. }
            | Op::ForNext { end: to, .. } => *to = target,
            _ => {}
        }
    }

    /// The bit of a flag, which is given one when it is first named.
    fn flag(&mut self, space: FlagSpace, name: &str, span: Span) -> Option<u8> {
        let list = match space {
            FlagSpace::Message => &mut self.message_flags,
            FlagSpace::Branch => &mut self.branch_flags,
        };
        let index = list.iter().position(|known| **known == *name).unwrap_or_else(|| {
            list.push(Box::from(name));
            list.len() - 1
        });
        if index >= limits::FLAG_NAMES {
            list.pop();
            self.diagnostics.error(span, format!("more than {} flags of one kind", limits::FLAG_NAMES));
            return None;
        }
        u8::try_from(index).ok()
    }

    fn find_function(&self, name: &str) -> Option<&'static Function<C>> {
        self.modules.iter().find_map(|module| module.functions.iter().find(|function| function.name == name))
    }

    fn find_variable(&self, name: &str) -> Option<&'static Variable<C>> {
        self.modules.iter().find_map(|module| module.variables.iter().find(|variable| variable.name == name))
    }

    /// The provided modules that are not loaded.
    fn unloaded(&self) -> Vec<&'static Module<C>> {
        let loaded: Vec<&str> = self.modules.iter().map(|module| module.name).collect();
        let provided = self.catalog.modules.iter().copied();
        provided.filter(|module| !loaded.contains(&module.name)).collect()
    }
}

/// Adds an element to a table of the code; gives its index.
fn store<T>(list: &mut Vec<T>, element: T) -> u32 {
    list.push(element);
    u32::try_from(list.len() - 1).unwrap_or(u32::MAX)
}
