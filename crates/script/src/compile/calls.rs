//! Calls of functions and routes.

use super::variables::constant;
use super::{Compiler, store};
use crate::ast::{self, Call, Expr, ExprKind};
use crate::code::{
    ArgumentForm, AssertSite, CallSite, LevelExpr, LogSite, Op, RouteSite, RouteTarget, SiteArgument,
    Template,
};
use crate::declare::{Argument, ArgumentKind, FlagDecl, Function, RouteKind};
use crate::diagnostics::Span;
use crate::flags;
use crate::host::{Host, level};
use crate::program::RouteId;
use crate::regexes;
use crate::suggest::nearest;
use crate::text::Text;
use crate::value::{Bytes, Value};

/// What the language itself offers in the form of a call, and what it does.
pub(crate) const OWN_FUNCTIONS: &[(&str, &str)] = &[
    ("xlog", "`xlog([level,] \"format\")`: writes a line to the log; without a level, as an error"),
    ("log", "`log([level,] \"text\")`: writes a line to the log, without variables"),
    ("route", "`route(name[, arguments])`: runs a route; its value is what it returns"),
    (
        "assert",
        "`assert(condition[, \"text\"])`: ends the script if the condition is false and `enable_asserts` is on",
    ),
    (
        "async",
        "`async(function(…), route[, timeout])`: waits without holding anything up, then goes on in the route",
    ),
    ("launch", "`launch(function(…)[, route[, parameter]])`: starts something and goes on at once"),
    ("return", "`return(code[, values])`: leaves the route; 0 ends the script"),
    ("exit", "`exit`: ends the script"),
    ("drop", "`drop`: ends the script and drops the message or the branch"),
];

impl<C: Host> Compiler<'_, C> {
    /// A call whose value is not used.
    pub(super) fn call_statement(&mut self, call: &Call) {
        match call.name.text.as_str() {
            "xlog" => self.log(call, true),
            "log" => self.log(call, false),
            "assert" => self.assert(call),
            _ => {
                self.call_value(call);
                if let Some(last) = self.code.ops.last_mut()
                    && let Op::Call(site) = *last
                {
                    *last = Op::CallAndPop(site);
                }
                self.emit(Op::Pop);
            }
        }
    }

    /// Pushes the value of a call.
    pub(super) fn call_value(&mut self, call: &Call) {
        match call.name.text.as_str() {
            "route" => self.route_call(call),
            "xlog" | "log" => {
                self.log(call, call.name.text == "xlog");
                self.emit(Op::Int(1));
            }
            _ => {
                if self.find_function(&call.name.text).is_some_and(|function| function.only_asynchronous) {
                    let name = &call.name.text;
                    self.diagnostics
                        .error(call.name.span, format!("`{name}` can only be run by `async` or `launch`"))
                        .help(format!("write async({name}(…), route)"));
                    return;
                }
                if let Some(site) = self.function_call(call) {
                    self.emit(Op::Call(site));
                }
            }
        }
    }

    /// The call inside of `async` or `launch`; its arguments are pushed.
    pub(super) fn later_call(&mut self, call: &Call, word: &str) -> Option<u32> {
        if let Some(function) = self.find_function(&call.name.text)
            && !function.asynchronous
        {
            let known = self.modules.iter().flat_map(|module| module.functions.iter());
            let suggestion = nearest(&call.name.text, known.filter(|f| f.asynchronous).map(|f| f.name));
            self.diagnostics
                .error(call.name.span, format!("`{}` cannot be run by `{word}`", call.name.text))
                .suggest(suggestion);
            return None;
        }
        self.function_call(call)
    }

    /// Prepares a call and pushes what is only known at run time; gives its site.
    fn function_call(&mut self, call: &Call) -> Option<u32> {
        let name = call.name.text.as_str();
        let Some(function) = self.find_function(name) else {
            self.unknown_function(call);
            // What is wrong in the arguments is worth saying all the same.
            for argument in &call.arguments {
                if let ast::ArgumentKind::Expr(expr) = &argument.kind {
                    self.value(expr);
                }
            }
            return None;
        };
        self.uses.push((self.current, function, call.name.span));
        self.check_count(call, function)?;
        let line = self.diagnostics.position(call.name.span).line;
        let mut stack = 0;
        let mut arguments = Vec::new();
        let mut complete = true;
        for (index, declared) in function.arguments.iter().enumerate() {
            let given = call.arguments.get(index).filter(|given| !is_empty(given));
            let form = match given {
                None => Some(self.left_out(call, function, index, declared)),
                Some(given) => self.argument(function, index, declared, given, &mut stack),
            };
            match form {
                Some(form) => {
                    arguments.push(SiteArgument { kind: declared.kind, optional: declared.optional, form })
                }
                None => complete = false,
            }
        }
        let is_given = |argument: &SiteArgument<C>| !matches!(argument.form, ArgumentForm::Absent);
        let given = arguments.iter().rposition(is_given).map_or(0, |last| last + 1);
        let given = u32::try_from(given).unwrap_or(u32::MAX);
        let site = CallSite { function, arguments: arguments.into_boxed_slice(), stack, given, line };
        complete.then(|| store(&mut self.code.calls, site))
    }

    fn unknown_function(&mut self, call: &Call) {
        let (name, span) = (call.name.text.as_str(), call.name.span);
        if let Some(module) = self.unloaded().into_iter().find(|m| m.functions.iter().any(|f| f.name == name))
        {
            self.diagnostics
                .error(span, format!("`{name}` needs module `{}`", module.name))
                .help(format!("add `loadmodule \"{}.so\"`", module.name));
            return;
        }
        if let Some(later) = self.catalog.later.iter().find(|later| later.functions.contains(&name)) {
            let message =
                format!("`{name}` belongs to module `{}`, which is not provided by this version", later.name);
            self.diagnostics.error(span, message);
            return;
        }
        let own = OWN_FUNCTIONS.iter().map(|(name, _)| *name);
        let declared = self.modules.iter().flat_map(|module| module.functions.iter().map(|f| f.name));
        let suggestion = nearest(name, own.chain(declared)).map(|near| format!("did you mean `{near}`?"));
        // A slip in the name of a function whose module is not loaded either.
        let suggestion = suggestion.or_else(|| {
            let unloaded = self.unloaded();
            let near = nearest(name, unloaded.iter().flat_map(|m| m.functions.iter().map(|f| f.name)))?;
            let module = unloaded.iter().find(|m| m.functions.iter().any(|f| f.name == near))?;
            Some(format!("did you mean `{near}` of module `{}`, which is not loaded?", module.name))
        });
        let refused = self.refused.join("`, `");
        let error = self.diagnostics.error(span, format!("there is no function `{name}`"));
        match suggestion {
            Some(suggestion) => error.help(suggestion),
            None if refused.is_empty() => error,
            None => error.help(format!("it may belong to a module that is not provided: `{refused}`")),
        };
    }

    fn check_count(&mut self, call: &Call, function: &'static Function<C>) -> Option<()> {
        let most = function.arguments.len();
        let given = call.arguments.len();
        if given <= most {
            return Some(());
        }
        let least = function.arguments.iter().rposition(|a| !a.optional).map_or(0, |last| last + 1);
        let wanted = match (least, most) {
            (0, 0) => "no arguments".to_string(),
            (1, 1) => "1 argument".to_string(),
            (a, b) if a == b => format!("{a} arguments"),
            (a, b) => format!("{a} to {b} arguments"),
        };
        let span = call.arguments.get(most).map_or(call.span, |first| first.span);
        let span = call.arguments.last().map_or(span, |last| span.to(last.span));
        self.diagnostics
            .error(span, format!("`{}` takes {wanted}, {given} given", function.name))
            .help(signature(function));
        None
    }

    fn left_out(
        &mut self,
        call: &Call,
        function: &'static Function<C>,
        index: usize,
        declared: &Argument,
    ) -> ArgumentForm<C> {
        if !declared.optional {
            let span = call.arguments.get(index).map_or(call.span, |given| given.span);
            self.diagnostics
                .error(span, format!("`{}` needs its argument `{}`", function.name, declared.name))
                .help(signature(function));
        }
        ArgumentForm::Absent
    }

    fn argument(
        &mut self,
        function: &'static Function<C>,
        index: usize,
        declared: &Argument,
        given: &ast::Argument,
        stack: &mut u32,
    ) -> Option<ArgumentForm<C>> {
        match declared.kind {
            ArgumentKind::Variable | ArgumentKind::ReadVariable => {
                return self.variable_argument(function, declared, given);
            }
            ArgumentKind::StaticStr => return self.static_argument(function, index, declared, given),
            _ => {}
        }
        if let Some((text, span)) = self.literal(declared, given)? {
            return self.constant_argument(function, index, declared, text, span, given);
        }
        if let ast::ArgumentKind::Expr(expr) = &given.kind {
            self.value(expr);
        }
        *stack += 1;
        Some(ArgumentForm::Stack(*stack - 1))
    }

    /// The constant that an argument is, with its place; the outer nothing means that it is wrong.
    fn literal(&mut self, declared: &Argument, given: &ast::Argument) -> Option<Option<(Value, Span)>> {
        match &given.kind {
            ast::ArgumentKind::Empty => Some(None),
            ast::ArgumentKind::Word(word) => {
                if matches!(declared.kind, ArgumentKind::Route(_) | ArgumentKind::Flag(_)) {
                    return Some(Some((Value::from(word.as_str()), given.span)));
                }
                self.diagnostics
                    .error(given.span, format!("`{word}` means nothing here"))
                    .help(format!("a string is written \"{word}\""));
                None
            }
            ast::ArgumentKind::Expr(expr) => match &expr.kind {
                ExprKind::Int(number) => Some(Some((Value::Int(*number), expr.span))),
                ExprKind::Str(text) => {
                    let before = self.diagnostics.errors().count();
                    let template = self.template(text);
                    if self.diagnostics.errors().count() > before {
                        return None;
                    }
                    Some(constant(&template).map(|value| (value, text.span)))
                }
                ExprKind::Broken => None,
                _ => Some(None),
            },
        }
    }

    /// Makes a constant what its kind asks for.
    fn constant_argument(
        &mut self,
        function: &'static Function<C>,
        index: usize,
        declared: &Argument,
        value: Value,
        span: Span,
        given: &ast::Argument,
    ) -> Option<ArgumentForm<C>> {
        let text = || value.clone().into_bytes().unwrap_or_default();
        let name = String::from_utf8_lossy(&text()).into_owned();
        match declared.kind {
            ArgumentKind::Int => match value.as_int() {
                Some(number) => self.prepared(function, index, Value::Int(number), span),
                None => {
                    let message =
                        format!("the argument `{}` of `{}` is an integer", declared.name, function.name);
                    self.diagnostics.error(span, message);
                    None
                }
            },
            ArgumentKind::IntOrStr => self.prepared(function, index, value, span),
            ArgumentKind::Route(kind) => self.find_route(kind, &name, span).map(ArgumentForm::Route),
            ArgumentKind::Flag(space) => self.flag(space, &name, span).map(ArgumentForm::Flag),
            ArgumentKind::Flags(list) => self.flags_argument(list, text(), given),
            ArgumentKind::Regex => match regexes::compile(&text(), false) {
                Ok(regex) => Some(ArgumentForm::Regex(Value::Str(text()), regex)),
                Err(problem) => {
                    self.diagnostics.error(span, format!("this is no regular expression: {problem}"));
                    None
                }
            },
            _ => self.prepared(function, index, Value::Str(text()), span),
        }
    }

    fn flags_argument(
        &mut self,
        declared: &[FlagDecl],
        text: Bytes,
        given: &ast::Argument,
    ) -> Option<ArgumentForm<C>> {
        match flags::parse(declared, &text) {
            Ok(set) => Some(ArgumentForm::Flags(Value::Str(text), set)),
            Err(error) => {
                let span = match &given.kind {
                    ast::ArgumentKind::Expr(Expr { kind: ExprKind::Str(source), .. }) => {
                        source.place(error.start, error.end)
                    }
                    _ => given.span,
                };
                let names: Vec<&str> = declared.iter().map(|flag| flag.name).collect();
                let diagnostic = self.diagnostics.error(span, error.message);
                match error.suggestion {
                    Some(flag) => diagnostic.help(format!("did you mean `{flag}`?")),
                    None if error.unknown => diagnostic.help(format!("the flags are {}", names.join(", "))),
                    None => diagnostic,
                };
                None
            }
        }
    }

    /// Lets the function prepare a constant.
    fn prepared(
        &mut self,
        function: &'static Function<C>,
        index: usize,
        value: Value,
        span: Span,
    ) -> Option<ArgumentForm<C>> {
        let prepared = match function.prepare.map(|prepare| prepare(index, &value)) {
            None => None,
            Some(Ok(prepared)) => {
                if let Some(warning) = prepared.warning() {
                    self.diagnostics.warning(span, format!("`{}`: {warning}", function.name));
                }
                Some(prepared)
            }
            Some(Err(problem)) => {
                self.diagnostics.error(span, format!("`{}`: {problem}", function.name));
                return None;
            }
        };
        Some(ArgumentForm::Constant { value, prepared })
    }

    fn static_argument(
        &mut self,
        function: &'static Function<C>,
        index: usize,
        declared: &Argument,
        given: &ast::Argument,
    ) -> Option<ArgumentForm<C>> {
        match &given.kind {
            ast::ArgumentKind::Expr(Expr { kind: ExprKind::Str(text), .. }) => {
                self.prepared(function, index, Value::str(&text.bytes), text.span)
            }
            _ => {
                let message =
                    format!("the argument `{}` of `{}` is a string in quotes", declared.name, function.name);
                self.diagnostics.error(given.span, message);
                None
            }
        }
    }

    fn variable_argument(
        &mut self,
        function: &'static Function<C>,
        declared: &Argument,
        given: &ast::Argument,
    ) -> Option<ArgumentForm<C>> {
        let only_read = matches!(declared.kind, ArgumentKind::ReadVariable);
        let variable = match &given.kind {
            ast::ArgumentKind::Expr(Expr { kind: ExprKind::Var(var), .. }) => {
                if only_read {
                    self.variable(var)?
                } else {
                    self.writable(var)?
                }
            }
            // Older scripts put the variable into quotes.
            ast::ArgumentKind::Expr(Expr { kind: ExprKind::Str(text), .. })
                if text.bytes.starts_with(b"$") =>
            {
                self.only_variable(text)?
            }
            _ => {
                let message =
                    format!("the argument `{}` of `{}` is a variable", declared.name, function.name);
                self.diagnostics.error(given.span, message);
                return None;
            }
        };
        Some(ArgumentForm::Variable(variable))
    }

    /// The route of this kind and name, or an error.
    pub(super) fn find_route(&mut self, kind: RouteKind, name: &str, span: Span) -> Option<RouteId> {
        let wanted = if kind == RouteKind::Request && name == "0" { "" } else { name };
        if let Some(route) = self.names.get(&(kind, Box::from(wanted))) {
            return Some(*route);
        }
        let known = self.names.keys().filter(|(other, _)| *other == kind).map(|(_, name)| &**name);
        let suggestion = nearest(name, known).map(str::to_string);
        let other = self.names.keys().find(|(_, known)| **known == *name).map(|(other, _)| other.keyword());
        let error = self.diagnostics.error(span, format!("there is no `{}[{name}]`", kind.keyword()));
        match other {
            Some(other) => error.help(format!("there is a `{other}[{name}]`")),
            None => error.suggest(suggestion),
        };
        None
    }

    fn route_call(&mut self, call: &Call) {
        let line = self.diagnostics.position(call.name.span).line;
        let Some((first, rest)) = call.arguments.split_first() else {
            self.diagnostics.error(call.span, "`route` needs the name of a route");
            return;
        };
        let route = match &first.kind {
            ast::ArgumentKind::Word(word) => self.find_route(RouteKind::Request, word, first.span),
            ast::ArgumentKind::Expr(Expr { kind: ExprKind::Int(number), .. }) => {
                self.find_route(RouteKind::Request, &number.to_string(), first.span)
            }
            ast::ArgumentKind::Expr(expr) => match &expr.kind {
                ExprKind::Str(text) if !text.bytes.contains(&b'$') => {
                    self.find_route(RouteKind::Request, &text.to_string_lossy(), first.span)
                }
                _ => {
                    self.value(expr);
                    self.route_arguments(rest);
                    return self.emit_route(RouteTarget::Dynamic, rest.len(), line);
                }
            },
            ast::ArgumentKind::Empty => {
                self.diagnostics.error(call.span, "`route` needs the name of a route");
                None
            }
        };
        self.route_arguments(rest);
        if let Some(route) = route {
            self.edges.push((self.current, route));
            self.emit_route(RouteTarget::Fixed(route), rest.len(), line);
        }
    }

    fn emit_route(&mut self, route: RouteTarget, arguments: usize, line: u32) {
        let arguments = u32::try_from(arguments).unwrap_or(u32::MAX);
        let site = store(&mut self.code.routes, RouteSite { route, arguments, line });
        self.emit(Op::Route(site));
    }

    fn route_arguments(&mut self, arguments: &[ast::Argument]) {
        for argument in arguments {
            match &argument.kind {
                ast::ArgumentKind::Empty => self.push_constant(Value::Null),
                ast::ArgumentKind::Word(word) => self.push_constant(Value::from(word.as_str())),
                ast::ArgumentKind::Expr(expr) => self.value(expr),
            }
        }
    }

    /// `xlog` and `log`.
    fn log(&mut self, call: &Call, expands: bool) {
        let name = call.name.text.as_str();
        let (level, format) = match call.arguments.as_slice() {
            [format] => (LevelExpr::Fixed(self.default_level()), format),
            [level, format] => match self.level(level) {
                Some(level) => (level, format),
                None => return,
            },
            _ => {
                let help = OWN_FUNCTIONS.iter().find(|(own, _)| *own == name).map_or("", |(_, doc)| doc);
                let message = format!("`{name}` takes a format, and a level before it if need be");
                self.diagnostics.error(call.span, message).help(help);
                return;
            }
        };
        let template = match &format.kind {
            ast::ArgumentKind::Expr(Expr { kind: ExprKind::Str(text), .. }) if expands => self.template(text),
            ast::ArgumentKind::Expr(Expr { kind: ExprKind::Str(text), .. }) => literal_template(text),
            ast::ArgumentKind::Expr(Expr { kind: ExprKind::Var(var), .. }) => match self.variable(var) {
                Some(variable) => Template { parts: Box::new([crate::code::Part::Var(variable)]) },
                None => return,
            },
            _ => {
                self.diagnostics.error(format.span, format!("the text of `{name}` is a string in quotes"));
                return;
            }
        };
        let site = store(&mut self.code.logs, LogSite { level, template });
        self.emit(Op::Log(site));
    }

    /// The level of a line without one.
    fn default_level(&self) -> i8 {
        i8::try_from(self.globals.int("xlog_print_level")).unwrap_or(level::ERR)
    }

    fn level(&mut self, given: &ast::Argument) -> Option<LevelExpr<C>> {
        let fixed = |name: &str| level::from_name(name.as_bytes()).map(LevelExpr::Fixed);
        let found = match &given.kind {
            ast::ArgumentKind::Word(word) => fixed(word),
            ast::ArgumentKind::Expr(expr) => match &expr.kind {
                ExprKind::Int(number) => i8::try_from(*number).ok().map(LevelExpr::Fixed),
                ExprKind::Str(text) if !text.bytes.contains(&b'$') => fixed(&text.to_string_lossy()),
                ExprKind::Str(text) => Some(LevelExpr::Dynamic(self.template(text))),
                ExprKind::Var(var) => {
                    let variable = self.variable(var)?;
                    let template = Template { parts: Box::new([crate::code::Part::Var(variable)]) };
                    Some(LevelExpr::Dynamic(template))
                }
                _ => None,
            },
            ast::ArgumentKind::Empty => Some(LevelExpr::Fixed(self.default_level())),
        };
        if found.is_none() {
            self.diagnostics
                .error(given.span, "this is no level of the log")
                .help("the levels are L_ALERT, L_CRIT, L_ERR, L_WARN, L_NOTICE, L_INFO and L_DBG");
        }
        found
    }

    /// `assert(condition, "text")`: compiled only when `enable_asserts` is on, checked always.
    fn assert(&mut self, call: &Call) {
        let (condition, text) = match call.arguments.as_slice() {
            [condition] => (condition, None),
            [condition, text] => (condition, Some(text)),
            _ => {
                self.diagnostics
                    .error(call.span, "`assert` takes a condition, and a text behind it if need be");
                return;
            }
        };
        let text = match text.map(|text| &text.kind) {
            Some(ast::ArgumentKind::Expr(Expr { kind: ExprKind::Str(text), .. })) => Bytes::copy(&text.bytes),
            _ => Bytes::new(),
        };
        let ast::ArgumentKind::Expr(expr) = &condition.kind else {
            self.diagnostics.error(condition.span, "the first argument of `assert` is a condition");
            return;
        };
        let skip = if self.globals.bool("enable_asserts") { None } else { Some(self.emit(Op::Jump(0))) };
        let line = self.line;
        self.truth(expr);
        let site = store(&mut self.code.asserts, AssertSite { text, line });
        self.emit(Op::Assert(site));
        if let Some(skip) = skip {
            self.land(skip);
        }
    }
}

fn is_empty(argument: &ast::Argument) -> bool {
    matches!(argument.kind, ast::ArgumentKind::Empty)
}

fn literal_template<C>(text: &Text) -> Template<C> {
    Template { parts: Box::new([crate::code::Part::Text(text.bytes.clone().into_boxed_slice())]) }
}

/// `save(domain[, flags[, aor]])`
pub(crate) fn signature<C>(function: &Function<C>) -> String {
    let mut text = format!("{}(", function.name);
    let mut open = 0;
    for (index, argument) in function.arguments.iter().enumerate() {
        if argument.optional {
            text.push('[');
            open += 1;
        }
        if index > 0 {
            text.push_str(", ");
        }
        text.push_str(argument.name);
    }
    text.push_str(&"]".repeat(open));
    text.push(')');
    text
}
