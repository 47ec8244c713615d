//! Variables, transformations and format strings.

use super::Compiler;
use crate::ast::{self, FormatPart, Var};
use crate::code::{IndexExpr, Name, ParamKey, Part, RoutePart, Source, Template, VarExpr};
use crate::declare::{Variable, VariableArguments};
use crate::diagnostics::Span;
use crate::host::Host;
use crate::limits;
use crate::parser::variables;
use crate::suggest::nearest;
use crate::text::Text;
use crate::transform::{self, Argument, Substitution, Transformation};
use crate::value::Value;

/// The variables of the VM itself, and what they are.
pub(crate) const OWN_VARIABLES: &[(&str, &str)] = &[
    ("var", "a variable of this run of the script: `$var(name)`; 0 until it is assigned"),
    ("param", "a parameter of the route, by number from 1 or by name: `$param(1)`"),
    ("return", "a value that the last route returned behind its code, by number from 0: `$return(0)`"),
    ("rc", "the value of the last function or route"),
    ("retcode", "the value of the last function or route"),
    ("route", "the running route; `$(route[1])` is its caller"),
    ("route.name", "the name of the running route"),
    ("route.type", "the kind of the running route"),
    ("cfg_line", "the line of the script"),
    ("cfg_file", "the file of the script"),
];

impl<C: Host> Compiler<'_, C> {
    pub(super) fn knows_variable(&self, name: &str) -> bool {
        OWN_VARIABLES.iter().any(|(own, _)| *own == name)
            || self.catalog.modules.iter().any(|m| m.variables.iter().any(|variable| variable.name == name))
    }

    /// Compiles a variable for reading; nothing, with an error, if something is wrong.
    pub(super) fn variable(&mut self, var: &Var) -> Option<VarExpr<C>> {
        let source = self.source(var)?;
        let name = match &source {
            Source::Host(declared) => self.host_name(declared, var)?,
            Source::DynamicSlot => Name::Dynamic(Box::new(self.template(var.inner.as_ref()?))),
            _ => Name::None,
        };
        let index = self.index(&source, var)?;
        let before = self.diagnostics.errors().count();
        let transformations: Vec<Transformation<C>> =
            var.transformations.iter().filter_map(|one| self.transformation(one)).collect();
        if self.diagnostics.errors().count() > before {
            return None;
        }
        let transformations = transformations.into_boxed_slice();
        Some(VarExpr { source, name, index, context: var.context, transformations })
    }

    /// Compiles a variable that is going to be written.
    pub(super) fn writable(&mut self, var: &Var) -> Option<VarExpr<C>> {
        let compiled = self.variable(var)?;
        let name = &var.name.text;
        if let Some(first) = var.transformations.first() {
            self.diagnostics.error(first.span, "a variable with a transformation cannot be written");
            return None;
        }
        let writable = match &compiled.source {
            Source::Host(declared) => declared.write.is_some(),
            Source::Slot(_) | Source::DynamicSlot | Source::ReturnCode => true,
            _ => false,
        };
        if !writable {
            self.diagnostics.error(var.span, format!("`${name}` can only be read"));
            return None;
        }
        Some(compiled)
    }

    /// A string that is one variable and nothing else.
    pub(super) fn only_variable(&mut self, text: &Text) -> Option<VarExpr<C>> {
        let trimmed = text.trim();
        if trimmed.bytes.first() == Some(&b'$') {
            match variables::variable(&trimmed, 0, true, 0) {
                Ok((var, end)) if end == trimmed.bytes.len() => return self.variable(&var),
                Ok(_) => {}
                Err((span, problem)) => {
                    self.diagnostics.error(span, problem);
                    return None;
                }
            }
        }
        self.diagnostics.error(text.span, "expected one variable such as \"$avp(name)\"");
        None
    }

    fn source(&mut self, var: &Var) -> Option<Source<C>> {
        let name = var.name.text.as_str();
        let inner = var.inner.as_ref();
        let own = match name {
            "var" => return self.slot(var),
            "param" => Source::Param(self.key(var)?),
            "return" => Source::Return(self.key(var)?),
            "rc" | "retcode" => Source::ReturnCode,
            "route" => Source::Route(RoutePart::Whole),
            "route.name" => Source::Route(RoutePart::Name),
            "route.type" => Source::Route(RoutePart::Kind),
            "cfg_line" => Source::Line(self.diagnostics.position(var.span).line),
            "cfg_file" => Source::File(Box::from(self.diagnostics.file(var.span))),
            "$" => Source::Constant(Value::from("$")),
            _ => {
                return match self.find_variable(name) {
                    Some(declared) => Some(Source::Host(declared)),
                    None => {
                        self.unknown_variable(name, var.name.span);
                        None
                    }
                };
            }
        };
        if let (Some(inner), false) = (inner, matches!(own, Source::Param(_) | Source::Return(_))) {
            self.diagnostics.error(inner.span, format!("`${name}` takes nothing in parentheses"));
            return None;
        }
        Some(own)
    }

    fn unknown_variable(&mut self, name: &str, span: Span) {
        if let Some(module) = self
            .unloaded()
            .into_iter()
            .find(|module| module.variables.iter().any(|variable| variable.name == name))
        {
            self.diagnostics
                .error(span, format!("`${name}` needs module `{}`", module.name))
                .help(format!("add `loadmodule \"{}.so\"`", module.name));
            return;
        }
        let own = OWN_VARIABLES.iter().map(|(name, _)| *name);
        let declared = self.modules.iter().flat_map(|module| module.variables.iter().map(|v| v.name));
        let suggestion = nearest(name, own.chain(declared)).map(|name| format!("${name}"));
        self.diagnostics.error(span, format!("there is no variable `${name}`")).suggest(suggestion);
    }

    /// `$var(name)`: its place in the frame, or a name that is only known at run time.
    fn slot(&mut self, var: &Var) -> Option<Source<C>> {
        let Some(inner) = var.inner.as_ref().filter(|inner| !inner.bytes.is_empty()) else {
            self.diagnostics.error(var.span, "`$var` needs a name: `$var(name)`");
            return None;
        };
        if inner.bytes.contains(&b'$') {
            return Some(Source::DynamicSlot);
        }
        let next = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        let slot = *self.slots.entry(Box::from(inner.bytes.as_slice())).or_insert(next);
        Some(Source::Slot(slot))
    }

    fn key(&mut self, var: &Var) -> Option<ParamKey<C>> {
        let name = &var.name.text;
        // `$(return[0])` is the index form of `$return(0)`.
        let Some(inner) = var.inner.as_ref().filter(|inner| !inner.bytes.is_empty()) else {
            if let Some(ast::Index::Int(number)) = var.index {
                return Some(ParamKey::Number(usize::try_from(number).unwrap_or(usize::MAX)));
            }
            self.diagnostics.error(var.span, format!("`${name}` needs a number or a name: `${name}(1)`"));
            return None;
        };
        if inner.bytes.contains(&b'$') {
            return Some(ParamKey::Dynamic(Box::new(self.template(inner))));
        }
        let text = inner.to_string_lossy();
        Some(match text.parse() {
            Ok(number) => ParamKey::Number(number),
            Err(_) => ParamKey::Name(text.into_boxed_str()),
        })
    }

    fn host_name(&mut self, declared: &'static Variable<C>, var: &Var) -> Option<Name<C>> {
        let inner = var.inner.as_ref().filter(|inner| !inner.bytes.is_empty());
        let name = declared.name;
        let text = match (declared.arguments, inner) {
            (VariableArguments::None | VariableArguments::Optional, None) => return Some(Name::None),
            (VariableArguments::None, Some(inner)) => {
                self.diagnostics.error(inner.span, format!("`${name}` takes nothing in parentheses"));
                return None;
            }
            (VariableArguments::Name, None) => {
                self.diagnostics.error(var.span, format!("`${name}` needs a name: `${name}(…)`"));
                return None;
            }
            (_, Some(inner)) => inner,
        };
        if text.bytes.contains(&b'$') {
            return Some(Name::Dynamic(Box::new(self.template(text))));
        }
        // Scripts of old versions write the type of an AVP before its name.
        let bytes = match text.bytes.as_slice() {
            [b'i' | b's', b':', rest @ ..] if name == "avp" => rest,
            bytes => bytes,
        };
        let prepared = match declared.prepare.map(|prepare| prepare(&String::from_utf8_lossy(bytes))) {
            None => None,
            Some(Ok(prepared)) => Some(prepared),
            Some(Err(problem)) => {
                self.diagnostics.error(text.span, format!("`${name}`: {problem}"));
                return None;
            }
        };
        Some(Name::Fixed { text: Box::from(bytes), prepared })
    }

    fn index(&mut self, source: &Source<C>, var: &Var) -> Option<IndexExpr<C>> {
        let Some(index) = &var.index else { return Some(IndexExpr::None) };
        let allowed = match source {
            Source::Host(declared) => declared.indexable,
            Source::Route(_) | Source::Return(_) => true,
            _ => false,
        };
        if !allowed {
            self.diagnostics.error(var.span, format!("`${}` has a single value: no index", var.name.text));
            return None;
        }
        Some(match index {
            ast::Index::All => IndexExpr::All,
            ast::Index::Int(number) => IndexExpr::Fixed(*number),
            ast::Index::Var(var) => IndexExpr::Dynamic(Box::new(self.variable(var)?)),
            ast::Index::Word(word) => {
                self.diagnostics.error(word.span, "an index is a number, a variable or `*`");
                return None;
            }
        })
    }

    fn transformation(&mut self, item: &ast::Transformation) -> Option<Transformation<C>> {
        let name = &item.name.text;
        let Some(declaration) = transform::find(name) else {
            let suggestion = nearest(name, transform::TABLE.iter().map(|declaration| declaration.name));
            let suggestion = suggestion.map(|name| format!("{{{name}}}"));
            self.diagnostics
                .error(item.name.span, format!("there is no transformation `{{{name}}}`"))
                .suggest(suggestion);
            return None;
        };
        let mut texts = item.arguments.clone();
        // A comma as the separator of `{s.select,1,,}` arrives as two empty arguments.
        let comma = texts.len() == 3 && texts.iter().skip(1).all(|text| text.bytes.is_empty());
        if name == "s.select" && comma {
            texts.truncate(2);
            if let Some(separator) = texts.last_mut() {
                separator.bytes = b",".to_vec();
            }
        }
        let (least, most) = declaration.arguments;
        if !(least..=most).contains(&texts.len()) {
            let wanted = if least == most { format!("{least}") } else { format!("{least} to {most}") };
            let given = texts.len();
            let message = format!("`{{{name}}}` takes {wanted} arguments, {given} given");
            self.diagnostics.error(item.span, message);
            return None;
        }
        let mut substitution = None;
        if name == "re.subst"
            && let Some(text) = texts.first().filter(|text| text.bytes.first() != Some(&b'$'))
        {
            match Substitution::parse(&text.bytes) {
                Ok(parsed) => substitution = Some(parsed),
                Err(problem) => {
                    self.diagnostics.error(text.span, format!("this is no substitution: {problem}"));
                    return None;
                }
            }
            texts.clear();
        }
        let arguments: Option<Vec<Argument<C>>> =
            texts.iter().map(|text| self.transformation_argument(text)).collect();
        Some(Transformation { declaration, arguments: arguments?.into_boxed_slice(), substitution })
    }

    fn transformation_argument(&mut self, text: &Text) -> Option<Argument<C>> {
        // White space around an argument is not part of it, unless the argument is white space.
        let trimmed = text.trim();
        let used = if trimmed.bytes.is_empty() { text } else { &trimmed };
        if !used.bytes.contains(&b'$') {
            let value = crate::value::parse_decimal(&used.bytes);
            return Some(Argument::Fixed(value.map_or_else(|| Value::str(&used.bytes), Value::Int)));
        }
        if used.bytes.first() == Some(&b'$')
            && let Ok((var, end)) = variables::variable(used, 0, true, 0)
            && end == used.bytes.len()
        {
            return Some(Argument::Var(self.variable(&var)?));
        }
        Some(Argument::Format(self.template(used)))
    }

    /// Compiles a format string; what is wrong in it is reported and left out.
    pub(super) fn template(&mut self, text: &Text) -> Template<C> {
        if self.depth > limits::VARIABLE_NESTING {
            self.diagnostics.error(text.span, "variables are nested too deeply");
            return Template { parts: Box::new([]) };
        }
        self.depth += 1;
        let (parts, errors) = {
            let known = |name: &str| self.knows_variable(name);
            variables::format(text, &known, 0)
        };
        for (span, problem) in errors {
            self.diagnostics.error(span, problem);
        }
        let parts = parts
            .into_iter()
            .filter_map(|part| match part {
                FormatPart::Text(text) => Some(Part::Text(text.into_boxed_slice())),
                FormatPart::Var(var) => self.variable(&var).map(Part::Var),
            })
            .collect();
        self.depth -= 1;
        Template { parts }
    }
}

/// The text of a format string without variables.
pub(super) fn constant<C>(template: &Template<C>) -> Option<Value> {
    match &*template.parts {
        [] => Some(Value::from("")),
        [Part::Text(text)] => Some(Value::str(text)),
        _ => None,
    }
}
