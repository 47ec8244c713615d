//! What stands at the top of a file: globals, modules, parameters, includes and routes.

use super::{Parser, lexer::Token, parse_file};
use crate::ast::{GlobalValue, Item, ParameterLiteral, RouteItem, Word};
use crate::declare::RouteKind;
use crate::diagnostics::Span;
use crate::limits;
use crate::suggest;
use crate::text::Text;

/// The words that open a route.
pub(super) const ROUTE_WORDS: &[(&str, RouteKind)] = &[
    ("route", RouteKind::Request),
    ("request_route", RouteKind::Request),
    ("branch_route", RouteKind::Branch),
    ("failure_route", RouteKind::Failure),
    ("onreply_route", RouteKind::Reply),
    ("error_route", RouteKind::Error),
    ("local_route", RouteKind::Local),
    ("startup_route", RouteKind::Startup),
    ("timer_route", RouteKind::Timer),
    ("event_route", RouteKind::Event),
];

/// Words that go on with the value of a `socket=`.
const SOCKET_WORDS: &[&str] =
    &["as", "use_workers", "use_children", "anycast", "reuse_port", "tag", "tos", "accept_subdomain"];

const TOP_WORDS: &[&str] = &["loadmodule", "modparam", "include_file", "import_file"];

impl Parser<'_> {
    /// Reads items to the end of the file.
    pub(super) fn items(&mut self, items: &mut Vec<Item>) {
        while !self.at_end() {
            if self.accept(";") {
                continue;
            }
            let before = self.span.start;
            self.item(items);
            if self.span.start == before && !self.at_end() {
                self.bump();
            }
        }
    }

    fn item(&mut self, items: &mut Vec<Item>) {
        let word = self.word();
        match word {
            "" if self.at("}") => {
                self.error_here("this `}` closes nothing");
                self.bump();
            }
            "" => {
                let message = format!("expected a setting, a module or a route, found {}", self.found());
                self.error_here(message);
                self.skip_item();
            }
            "loadmodule" => self.load_module(items),
            "modparam" => self.module_parameter(items),
            "include_file" | "import_file" => self.include(items, word == "import_file"),
            _ if ROUTE_WORDS.iter().any(|(known, _)| *known == word) => self.route(items),
            _ => self.global(items),
        }
    }

    /// Skips a thing that cannot be read, to where the next item probably starts: a known word at the start of a line.
    fn skip_item(&mut self) {
        let mut depth = 0usize;
        loop {
            if self.at("{") {
                depth += 1;
            } else if self.at("}") {
                depth = depth.saturating_sub(1);
            }
            self.bump();
            if self.at_end() {
                return;
            }
            let before = self.bytes(self.last.end as usize, self.span.start as usize);
            let starts = TOP_WORDS.contains(&self.word()) || self.at_route_definition();
            let setting = depth == 0 && matches!(self.token, Token::Word) && before.contains(&b'\n');
            if starts || setting {
                return;
            }
        }
    }

    fn string(&mut self, what: &str) -> Option<Text> {
        if let Token::Str(text) = &self.token {
            let text = text.clone();
            self.bump();
            return Some(text);
        }
        let message = format!("expected {what} in quotes, found {}", self.found());
        self.error_here(message);
        None
    }

    fn load_module(&mut self, items: &mut Vec<Item>) {
        self.bump();
        match self.string("the module's name") {
            Some(path) => items.push(Item::LoadModule { path }),
            None => self.skip_item(),
        }
    }

    fn module_parameter(&mut self, items: &mut Vec<Item>) {
        self.bump();
        if !self.expect("(", "behind `modparam`") {
            return self.skip_item();
        }
        let Some(modules) = self.string("the module's name") else { return self.skip_item() };
        if !self.expect(",", "behind the module's name") {
            return self.skip_item();
        }
        let Some(name) = self.string("the parameter's name") else { return self.skip_item() };
        if !self.expect(",", "behind the parameter's name") {
            return self.skip_item();
        }
        let value = self.parameter_literal();
        if matches!(value, ParameterLiteral::Broken) {
            return self.skip_item();
        }
        self.expect(")", "behind the value");
        items.push(Item::ModuleParameter { modules, name, value });
    }

    fn parameter_literal(&mut self) -> ParameterLiteral {
        let start = self.span;
        let negative = self.accept("-");
        let literal = match &self.token {
            Token::Int(number) => {
                let number = if negative { number.saturating_neg() } else { *number };
                ParameterLiteral::Int(number, start.to(self.span))
            }
            Token::Str(text) if !negative => ParameterLiteral::Str(text.clone()),
            Token::Word if !negative => {
                ParameterLiteral::Word(Word { text: self.word().to_string(), span: self.span })
            }
            _ => {
                let message = format!("expected a number or a string in quotes, found {}", self.found());
                self.error_here(message);
                return ParameterLiteral::Broken;
            }
        };
        self.bump();
        literal
    }

    fn include(&mut self, items: &mut Vec<Item>, optional: bool) {
        self.bump();
        let Some(path) = self.string("the file's name") else { return self.skip_item() };
        let name = path.to_string_lossy();
        if self.depth + 1 >= limits::INCLUDE_DEPTH || self.diagnostics.sources.len() >= limits::FILES {
            self.diagnostics
                .error(path.span, format!("`{name}` is included through too many other files"))
                .help("does it include itself?");
            return;
        }
        match (self.includes)(&name) {
            Ok(bytes) => {
                let depth = self.depth + 1;
                parse_file(&name, &bytes, self.includes, self.diagnostics, items, depth);
            }
            // `import_file` is the include that may be missing.
            Err(error) if optional && error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                self.diagnostics.error(path.span, format!("cannot read `{name}`: {error}"));
            }
        }
    }

    fn global(&mut self, items: &mut Vec<Item>) {
        let Some(name) = self.take_word() else { return };
        if !self.at("=") {
            let known = TOP_WORDS.iter().chain(ROUTE_WORDS.iter().map(|(word, _)| word)).copied();
            let suggestion = suggest::nearest(&name.text, known);
            let message = match suggestion {
                Some(_) => format!("`{}` means nothing here", name.text),
                None => format!("expected `=` behind `{}`, found {}", name.text, self.found()),
            };
            self.diagnostics.error(name.span, message).suggest(suggestion);
            return self.skip_item();
        }
        let value = self.global_value(name.text == "socket" || name.text == "listen");
        items.push(Item::Global { name, value });
    }

    /// Reads the value behind the `=`, which is at hand. Values are words without quotes as often as not, with colons, slashes,
    /// stars and brackets in them, so they are read by white space and not by tokens.
    fn global_value(&mut self, socket: bool) -> GlobalValue {
        let (mut at, _) = self.lexer.skip_space(self.span.end as usize);
        let equals = self.span;
        let mut value = GlobalValue { words: Vec::new(), quoted: false, span: equals };
        let first = self.lexer.bytes.get(at).copied();
        let behind = self.bytes(equals.end as usize, at);
        if first.is_none() || behind.contains(&b'\n') && first.is_some_and(|b| b.is_ascii_alphabetic()) {
            self.diagnostics.error(equals, "a value is missing behind the `=`");
            self.bump();
            return value;
        }
        loop {
            let (word, quoted) = self.raw_word(at);
            let end = word.span.end as usize;
            if end <= at {
                break;
            }
            value.quoted |= quoted;
            value.words.push(word);
            at = end;
            let (next, _) = self.lexer.skip_space(at);
            let upcoming = self.raw_word(next).0.to_string_lossy();
            let last = value.words.last().map(Text::to_string_lossy).unwrap_or_default();
            let goes_on = SOCKET_WORDS.contains(&upcoming.as_str())
                || matches!(last.as_str(), "as" | "use_workers" | "use_children" | "tag" | "tos");
            if !socket || !goes_on {
                break;
            }
            at = next;
        }
        let start = value.words.first().map_or(equals, |word| word.span);
        let end = value.words.last().map_or(equals, |word| word.span);
        value.span = start.to(end);
        self.last = value.span;
        self.advance_to(at);
        value
    }

    /// A word without quotes, a string, or a value in braces.
    fn raw_word(&self, at: usize) -> (Text, bool) {
        let (token, span, _) = self.lexer.token(at);
        if let Token::Str(text) | Token::OpenStr(text) = token {
            return (text, true);
        }
        let start = span.start as usize;
        let mut end = start;
        let mut braces = 0usize;
        while let Some(byte) = self.lexer.bytes.get(end) {
            match byte {
                b'{' => braces += 1,
                b'}' if braces > 0 => braces -= 1,
                b'}' => break,
                _ if braces > 0 => {}
                b'#' | b';' | b'=' if end > start => break,
                byte if byte.is_ascii_whitespace() => break,
                _ => {}
            }
            end += 1;
        }
        let span: Span = self.lexer.span(start, end);
        (Text::verbatim(self.lexer.bytes.get(start..end).unwrap_or_default(), span), false)
    }

    fn route(&mut self, items: &mut Vec<Item>) {
        let keyword = self.span;
        let word = self.word();
        let Some((_, kind)) = ROUTE_WORDS.iter().find(|(known, _)| *known == word) else { return };
        self.bump();
        let (mut name, mut option) = (None, None);
        if self.at("[") {
            (name, option) = self.route_name();
        }
        let parameters = if self.at("(") { self.route_parameters() } else { Vec::new() };
        if !self.at("{") {
            let message = format!("expected `{{` to open the route, found {}", self.found());
            self.error_here(message);
            return self.skip_item();
        }
        let body = self.block();
        items.push(Item::Route(RouteItem { kind: *kind, keyword, name, parameters, option, body }));
    }

    /// `[name]` or `[name, option]`; the bracket is at hand. Names may hold what a word cannot.
    fn route_name(&mut self) -> (Option<Word>, Option<Text>) {
        let open = self.span;
        let from = open.end as usize;
        let line: &[u8] = self.bytes(from, self.lexer.bytes.len());
        let stop = line.iter().position(|byte| matches!(byte, b']' | b'\n' | b'{')).unwrap_or(line.len());
        if line.get(stop) != Some(&b']') {
            self.diagnostics.error(open, "this `[` has no `]`");
            self.bump();
            self.take_word();
            return (None, None);
        }
        let inside = Text::verbatim(line.get(..stop).unwrap_or_default(), self.lexer.span(from, from + stop));
        let comma = inside.bytes.iter().position(|byte| *byte == b',');
        let name = inside.part(0, comma.unwrap_or(stop)).trim();
        let option = comma.map(|at| inside.part(at + 1, stop).trim());
        self.last = self.lexer.span(from + stop, from + stop + 1);
        self.advance_to(from + stop + 1);
        let text = name.to_string_lossy();
        let text = text.trim_matches(|c| c == '"' || c == '\'').to_string();
        if text.is_empty() {
            self.diagnostics.error(open, "a route needs a name in its brackets");
            return (None, option);
        }
        (Some(Word { text, span: name.span }), option)
    }

    /// `(a, b)` behind a route's name: names for its parameters.
    fn route_parameters(&mut self) -> Vec<Word> {
        let mut names = Vec::new();
        self.bump();
        while !self.at(")") && !self.at("{") && !self.at_end() {
            if matches!(self.token, Token::Dollar) {
                self.bump();
            }
            match self.take_word() {
                Some(name) => names.push(name),
                None => {
                    let message = format!("expected the name of a parameter, found {}", self.found());
                    self.error_here(message);
                    self.bump();
                }
            }
            if !self.accept(",") {
                break;
            }
        }
        self.expect(")", "behind the names of the parameters");
        names
    }
}
