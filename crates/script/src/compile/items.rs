//! Modules, parameters and globals.

use super::{Compiler, store};
use crate::ast::{GlobalValue, Item, ParameterLiteral, Word};
use crate::declare::{Effect, Module, Parameter, ParameterKind};
use crate::diagnostics::Span;
use crate::globals::{self, GLOBALS, Global, GlobalKind, SocketDefinition, socket, word_number};
use crate::host::Host;
use crate::program::{FormatId, ParameterValue, VariableId};
use crate::suggest::nearest;
use crate::text::Text;
use crate::value::Value;

/// The name in `loadmodule "dir/name.so"`.
fn module_name(path: &str) -> &str {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.strip_suffix(".so").unwrap_or(file)
}

impl<C: Host> Compiler<'_, C> {
    pub(super) fn load_modules(&mut self, items: &[Item]) {
        // The core may stand in several tables: it has more variables than one file should hold.
        let core = self.catalog.modules.iter().copied().filter(|module| module.name == "core");
        self.modules.extend(core);
        let mut loaded: Vec<(&'static Module<C>, Span)> = Vec::new();
        for item in items {
            if let Item::LoadModule { path } = item {
                loaded.extend(self.load_module(path).map(|module| (module, path.span)));
            }
        }
        for (module, span) in loaded {
            for needed in module.requires {
                if !self.modules.iter().any(|other| other.name == *needed) {
                    self.diagnostics
                        .error(span, format!("module `{}` needs module `{needed}`", module.name))
                        .help(format!("add `loadmodule \"{needed}.so\"`"));
                }
            }
        }
        for module in &self.modules {
            let defaults = self.parameters.defaults.entry(module.name).or_default();
            for parameter in module.parameters {
                defaults.insert(parameter.name, default(parameter));
            }
        }
    }

    fn load_module(&mut self, path: &Text) -> Option<&'static Module<C>> {
        let whole = path.to_string_lossy();
        let name = module_name(&whole);
        if self.modules.iter().any(|module| module.name == name) {
            if name != "core" {
                self.diagnostics.warning(path.span, format!("module `{name}` is loaded twice"));
            }
            return None;
        }
        if let Some(module) = self.catalog.modules.iter().copied().find(|module| module.name == name) {
            self.modules.push(module);
            return Some(module);
        }
        self.refused.push(name.to_string());
        if self.catalog.later.iter().any(|later| later.name == name) {
            self.diagnostics.error(path.span, format!("module `{name}` is not provided by this version"));
            return None;
        }
        let known = self.catalog.modules.iter().map(|module| module.name);
        let suggestion = nearest(name, known).map(|name| format!("{name}.so"));
        self.diagnostics.error(path.span, format!("there is no module `{name}`")).suggest(suggestion);
        None
    }

    pub(super) fn set_parameters(&mut self, items: &[Item]) {
        for item in items {
            let Item::ModuleParameter { modules, name, value } = item else { continue };
            let mut start = 0;
            for part in modules.bytes.split(|byte| *byte == b'|') {
                let place = modules.part(start, start + part.len()).trim();
                start += part.len() + 1;
                self.set_parameter(&place, name, value);
            }
        }
    }

    fn set_parameter(&mut self, module_text: &Text, name_text: &Text, literal: &ParameterLiteral) {
        let module_name = module_text.to_string_lossy();
        let Some(module) = self.modules.iter().copied().find(|module| module.name == module_name) else {
            return self.unknown_module(&module_name, module_text.span);
        };
        let name = name_text.to_string_lossy();
        let Some(parameter) = module.parameters.iter().find(|parameter| parameter.name == name) else {
            let suggestion = nearest(&name, module.parameters.iter().map(|parameter| parameter.name));
            self.diagnostics
                .error(name_text.span, format!("module `{module_name}` has no parameter `{name}`"))
                .suggest(suggestion);
            return;
        };
        let Some((value, span)) = self.parameter_value(parameter, literal) else { return };
        if let Some(check) = parameter.check
            && let Err(problem) = check(&value)
        {
            self.diagnostics.error(span, format!("bad value of `{name}`: {problem}"));
            return;
        }
        let needed = parameter.needs_module;
        if !needed.is_empty() && !self.modules.iter().any(|module| module.name == needed) {
            self.diagnostics
                .error(name_text.span, format!("`{name}` needs module `{needed}`"))
                .help(format!("add `loadmodule \"{needed}.so\"`"));
        }
        if let Effect::NoEffect(reason) = parameter.effect {
            self.diagnostics.warning(name_text.span, format!("`{name}` has no effect here: {reason}"));
        }
        let Some(set) = self.parameter_form(parameter, value, span, literal) else { return };
        let values = self.parameters.set.entry(module.name).or_default().entry(parameter.name).or_default();
        if !parameter.many {
            values.clear();
        }
        values.push(set);
    }

    fn unknown_module(&mut self, name: &str, span: Span) {
        // What its `loadmodule` was refused for has been said there.
        if self.refused.iter().any(|refused| refused == name) {
            return;
        }
        if self.catalog.modules.iter().any(|module| module.name == name) {
            self.diagnostics
                .error(span, format!("module `{name}` is not loaded"))
                .help(format!("add `loadmodule \"{name}.so\"`"));
            return;
        }
        let suggestion = nearest(name, self.modules.iter().map(|module| module.name));
        self.diagnostics.error(span, format!("there is no module `{name}`")).suggest(suggestion);
    }

    /// The value of a literal as the parameter's kind reads it, and where it stands.
    fn parameter_value(
        &mut self,
        parameter: &Parameter,
        literal: &ParameterLiteral,
    ) -> Option<(Value, Span)> {
        let name = parameter.name;
        match literal {
            ParameterLiteral::Broken => None,
            ParameterLiteral::Int(number, span) => match parameter.kind {
                ParameterKind::Int | ParameterKind::Bool | ParameterKind::IntOrStr => {
                    Some((Value::Int(*number), *span))
                }
                _ => {
                    self.diagnostics
                        .error(*span, format!("`{name}` takes a string"))
                        .help(format!("write \"{number}\" in quotes"));
                    None
                }
            },
            ParameterLiteral::Word(word) => self.parameter_word(parameter, word),
            ParameterLiteral::Str(text) => match parameter.kind {
                ParameterKind::Int | ParameterKind::Bool => {
                    let error =
                        self.diagnostics.error(text.span, format!("`{name}` takes an integer, not a string"));
                    let content = text.to_string_lossy();
                    if word_number(&content).is_some() {
                        error.help(format!("write {content} without quotes"));
                    }
                    None
                }
                _ => Some((Value::str(&text.bytes), text.span)),
            },
        }
    }

    fn parameter_word(&mut self, parameter: &Parameter, word: &Word) -> Option<(Value, Span)> {
        let takes_int =
            matches!(parameter.kind, ParameterKind::Int | ParameterKind::Bool | ParameterKind::IntOrStr);
        match word_number(&word.text) {
            Some(number) if takes_int => Some((Value::Int(number), word.span)),
            _ => {
                let what = if takes_int { "an integer" } else { "a string" };
                self.diagnostics
                    .error(
                        word.span,
                        format!("`{}` takes {what}, not the word `{}`", parameter.name, word.text),
                    )
                    .help(format!("write \"{}\" in quotes", word.text));
                None
            }
        }
    }

    /// What a parameter that names something in the script stands for.
    fn parameter_form(
        &mut self,
        parameter: &Parameter,
        value: Value,
        span: Span,
        literal: &ParameterLiteral,
    ) -> Option<ParameterValue> {
        let mut set = ParameterValue { value, span, variable: None, format: None, route: None };
        let ParameterLiteral::Str(text) = literal else { return Some(set) };
        let content = text.to_string_lossy();
        match parameter.kind {
            // An empty string unsets what names something.
            ParameterKind::Flag(_) | ParameterKind::Variable | ParameterKind::Route(_)
                if content.is_empty() =>
            {
                set.value = Value::Null;
            }
            ParameterKind::Flag(space) => {
                set.value = Value::Int(i64::from(self.flag(space, &content, span)?));
            }
            ParameterKind::Variable => {
                let variable = self.only_variable(text)?;
                set.variable = Some(VariableId(store(&mut self.parameter_variables, variable)));
            }
            ParameterKind::Format => {
                let template = self.template(text);
                set.format = Some(FormatId(store(&mut self.parameter_formats, template)));
            }
            ParameterKind::Route(kind) => set.route = Some(self.find_route(kind, &content, span)?),
            _ => {}
        }
        Some(set)
    }

    pub(super) fn set_globals(&mut self, items: &[Item]) {
        for item in items {
            let Item::Global { name, value } = item else { continue };
            match globals::find(&name.text) {
                Some(global) => self.set_global(global, name, value),
                None => {
                    let suggestion = nearest(&name.text, GLOBALS.iter().map(|global| global.name));
                    self.diagnostics
                        .error(name.span, format!("there is no setting `{}`", name.text))
                        .suggest(suggestion);
                }
            }
        }
    }

    /// Says which options of a socket change nothing.
    fn warn_of_idle_options(&mut self, socket: &SocketDefinition) {
        let options = [
            (socket.use_workers.is_some(), "use_workers", "every worker reads from every socket"),
            (socket.anycast, "anycast", "transactions are not shared between servers"),
            (socket.reuse_port, "reuse_port", "the workers share the port already"),
            (socket.tos.is_some(), "tos", "packets leave with the system's type of service"),
        ];
        for (_, option, reason) in options.into_iter().filter(|(given, _, _)| *given) {
            self.diagnostics.warning(socket.span, format!("`{option}` has no effect here: {reason}"));
        }
    }

    fn set_global(&mut self, global: &'static Global, name: &Word, value: &GlobalValue) {
        let Some(first) = value.words.first() else { return };
        if let Effect::NoEffect(reason) = global.effect {
            // Every script sets the path of its modules, and it means nothing anywhere.
            if global.name != "mpath" {
                self.diagnostics.warning(name.span, format!("`{}` has no effect here: {reason}", name.text));
            }
        }
        let content = first.to_string_lossy();
        let set = match global.kind {
            GlobalKind::Socket => match socket::socket(&value.words, value.span) {
                Ok(socket) => {
                    self.warn_of_idle_options(&socket);
                    return self.globals.sockets.push(socket);
                }
                Err((span, problem)) => {
                    self.diagnostics.error(span, problem);
                    return;
                }
            },
            GlobalKind::Alias => match socket::alias(&value.words, value.span) {
                Ok(alias) => return self.globals.aliases.push(alias),
                Err((span, problem)) => {
                    self.diagnostics.error(span, problem);
                    return;
                }
            },
            GlobalKind::Str => Value::str(&first.bytes),
            GlobalKind::Int | GlobalKind::Bool => match word_number(&content) {
                Some(number) if global.kind == GlobalKind::Int || matches!(number, 0 | 1) => {
                    Value::Int(number)
                }
                _ => {
                    let what = if global.kind == GlobalKind::Int { "an integer" } else { "`yes` or `no`" };
                    self.diagnostics
                        .error(first.span, format!("`{}` takes {what}, not `{content}`", name.text));
                    return;
                }
            },
        };
        self.globals.set.insert(global.name, (set, value.span));
    }
}

/// The declared default of a parameter.
fn default(parameter: &Parameter) -> Value {
    match parameter.kind {
        _ if parameter.default.is_empty() => Value::Null,
        ParameterKind::Int | ParameterKind::Bool | ParameterKind::IntOrStr => {
            word_number(parameter.default).map_or_else(|| Value::from(parameter.default), Value::Int)
        }
        _ => Value::from(parameter.default),
    }
}
