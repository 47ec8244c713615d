//! Expressions and calls. From loose to tight: `||`, `&&`, `!`, comparisons, `|`, `^`, `&`, shifts, sums, products, signs. A
//! `!` negates a whole comparison.

use super::{Parser, lexer::Token};
use crate::ast::{Argument, ArgumentKind, Call, Expr, ExprKind, Word};
use crate::code::{Arithmetic, Comparison};
use crate::diagnostics::Span;
use crate::text::Text;

/// Comparisons that are no match.
const COMPARISONS: &[(&str, Comparison)] = &[
    ("==", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    ("<=", Comparison::LessOrEqual),
    (">=", Comparison::GreaterOrEqual),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
];

/// The arithmetic operators and how tightly they bind.
const OPERATORS: &[(&str, u8, Arithmetic)] = &[
    ("|", 1, Arithmetic::Or),
    ("^", 2, Arithmetic::Xor),
    ("&", 3, Arithmetic::And),
    ("<<", 4, Arithmetic::ShiftLeft),
    (">>", 4, Arithmetic::ShiftRight),
    ("+", 5, Arithmetic::Add),
    ("-", 5, Arithmetic::Subtract),
    ("*", 6, Arithmetic::Multiply),
    ("/", 6, Arithmetic::Divide),
    ("%", 6, Arithmetic::Modulo),
];

impl Parser<'_> {
    /// A whole expression.
    pub(super) fn expression(&mut self) -> Expr {
        if !self.enter() {
            self.leave();
            return self.broken();
        }
        let mut left = self.conjunction();
        while self.at("||") || self.word() == "or" {
            self.bump();
            let right = self.conjunction();
            left = join(left, right, ExprKind::Or);
        }
        self.leave();
        left
    }

    fn broken(&mut self) -> Expr {
        Expr { kind: ExprKind::Broken, span: self.span }
    }

    fn conjunction(&mut self) -> Expr {
        let mut left = self.negation();
        while self.at("&&") || self.word() == "and" {
            self.bump();
            let right = self.negation();
            left = join(left, right, ExprKind::And);
        }
        left
    }

    fn negation(&mut self) -> Expr {
        if !self.at("!") && self.word() != "not" {
            return self.comparison();
        }
        let start = self.span;
        self.bump();
        if !self.enter() {
            self.leave();
            return self.broken();
        }
        let inner = self.negation();
        self.leave();
        let span = start.to(inner.span);
        Expr { kind: ExprKind::Not(Box::new(inner)), span }
    }

    fn comparison(&mut self) -> Expr {
        let left = self.arithmetic(0);
        if self.at("=~") || self.at("!~") {
            let negated = self.at("!~");
            self.bump();
            let right = self.arithmetic(0);
            return join(left, right, |value, pattern| ExprKind::Match { negated, value, pattern });
        }
        if self.at("=") {
            let span = self.span;
            self.diagnostics.warning(span, "`=` in a condition is taken as `==`").help("write `==`");
            self.bump();
            let right = self.arithmetic(0);
            return join(left, right, |a, b| ExprKind::Compare(Comparison::Equal, a, b));
        }
        match COMPARISONS.iter().find(|(symbol, _)| self.at(symbol)) {
            Some((_, comparison)) => {
                self.bump();
                let right = self.arithmetic(0);
                join(left, right, |a, b| ExprKind::Compare(*comparison, a, b))
            }
            None => left,
        }
    }

    /// Operators that bind at least as tightly as `least`, by precedence climbing: one level of the stack for all of them.
    fn arithmetic(&mut self, least: u8) -> Expr {
        let mut left = self.signed();
        while let Some((_, binding, op)) =
            OPERATORS.iter().find(|(symbol, binding, _)| *binding >= least && self.at(symbol))
        {
            self.bump();
            let right = self.arithmetic(binding + 1);
            left = join(left, right, |a, b| ExprKind::Arithmetic(*op, a, b));
        }
        left
    }

    fn signed(&mut self) -> Expr {
        let start = self.span;
        let kind: fn(Box<Expr>) -> ExprKind = if self.at("-") {
            |inner| match inner.kind {
                ExprKind::Int(number) => ExprKind::Int(number.wrapping_neg()),
                _ => ExprKind::Negate(inner),
            }
        } else if self.at("~") {
            ExprKind::Complement
        } else if self.at("!") {
            ExprKind::Not
        } else {
            self.accept("+");
            return self.primary();
        };
        self.bump();
        if !self.enter() {
            self.leave();
            return self.broken();
        }
        let inner = self.signed();
        self.leave();
        let span = start.to(inner.span);
        Expr { kind: kind(Box::new(inner)), span }
    }

    fn primary(&mut self) -> Expr {
        let span = self.span;
        let kind = match &self.token {
            Token::Int(number) => ExprKind::Int(*number),
            Token::Str(text) => ExprKind::Str(text.clone()),
            Token::Address => ExprKind::Str(Text::verbatim(self.text(span).as_bytes(), span)),
            Token::Dollar => {
                return match self.variable() {
                    Some(var) => Expr { span: var.span, kind: ExprKind::Var(Box::new(var)) },
                    None => Expr { kind: ExprKind::Broken, span },
                };
            }
            Token::Word => return self.word_expression(),
            Token::Symbol("(") => return self.parentheses(")"),
            Token::Symbol("[") => return self.parentheses("]"),
            _ => {
                let message = format!("expected a value, found {}", self.found());
                self.error_here(message);
                return self.broken();
            }
        };
        self.bump();
        Expr { kind, span }
    }

    fn parentheses(&mut self, close: &'static str) -> Expr {
        let open = self.span;
        self.bump();
        let inner = self.expression();
        if !self.accept(close) && !matches!(inner.kind, ExprKind::Broken) {
            let message = format!("expected `{close}`, found {}", self.found());
            self.error_here(message);
        }
        let span = open.to(self.last);
        let kind = if close == "]" { ExprKind::Test(Box::new(inner)) } else { inner.kind };
        Expr { kind, span }
    }

    fn word_expression(&mut self) -> Expr {
        let span = self.span;
        let word = self.word();
        let (next, _, _) = self.lexer.token(span.end as usize);
        let calls = matches!(next, Token::Symbol("("));
        let kind = match word {
            _ if calls => {
                let name = Word { text: word.to_string(), span };
                self.bump();
                let call = self.call(name);
                return Expr { span: call.span, kind: ExprKind::Call(Box::new(call)) };
            }
            "NULL" | "null" => ExprKind::Null,
            "yes" | "true" | "on" | "enable" => ExprKind::Int(1),
            "no" | "false" | "off" | "disable" => ExprKind::Int(0),
            _ => {
                let name = Word { text: word.to_string(), span };
                self.bump();
                // Older scripts write `msg:len` and `uri:host`.
                if self.at(":") && legacy_prefix(&name.text) {
                    self.bump();
                    if let Some(part) = self.take_word() {
                        let text = format!("{}:{}", name.text, part.text);
                        return Expr { kind: ExprKind::Word(text), span: span.to(part.span) };
                    }
                }
                return Expr { kind: ExprKind::Word(name.text), span };
            }
        };
        self.bump();
        Expr { kind, span }
    }

    /// A call; its `(` is at hand.
    pub(super) fn call(&mut self, name: Word) -> Call {
        let open = self.span;
        self.bump();
        let mut arguments = Vec::new();
        if !self.at(")") {
            loop {
                arguments.push(self.argument());
                if !self.accept(",") {
                    break;
                }
            }
        }
        if !self.accept(")") {
            let message =
                format!("expected `,` or `)` in the call of `{}`, found {}", name.text, self.found());
            let span = if self.at_end() || self.at_route_definition() { open } else { self.span };
            let long =
                self.bytes_of(self.last).starts_with(b"\"") && self.bytes_of(self.last).contains(&b'\n');
            let line = self.diagnostics.position(self.last).line;
            let error = self.diagnostics.error(span, message);
            if long {
                error.help(format!("a string goes on from line {line} to here: is its quote missing there?"));
            }
            self.skip_arguments();
        }
        let span = name.span.to(self.last);
        Call { name, arguments, span }
    }

    /// Skips to the `)` of a call that cannot be read, but not beyond its statement.
    fn skip_arguments(&mut self) {
        let mut depth = 0usize;
        while !self.at_end() && !self.at(";") && !self.at("{") && !self.at("}") && !self.at_route_definition()
        {
            if self.at("(") {
                depth += 1;
            } else if self.at(")") {
                if depth == 0 {
                    self.bump();
                    return;
                }
                depth -= 1;
            }
            self.bump();
        }
    }

    fn argument(&mut self) -> Argument {
        let start = self.span;
        if self.at(",") || self.at(")") {
            let span = Span { end: start.start, ..start };
            return Argument { kind: ArgumentKind::Empty, span };
        }
        if matches!(self.token, Token::Word) && self.is_bare() {
            let word = self.raw_name();
            return match word.text.as_str() {
                "NULL" | "null" => expression(ExprKind::Null, word.span),
                "yes" | "true" | "on" => expression(ExprKind::Int(1), word.span),
                "no" | "false" | "off" => expression(ExprKind::Int(0), word.span),
                _ => Argument { kind: ArgumentKind::Word(word.text), span: word.span },
            };
        }
        let expr = self.expression();
        Argument { span: expr.span, kind: ArgumentKind::Expr(expr) }
    }

    /// Whether the word at hand is a whole argument.
    fn is_bare(&self) -> bool {
        let end = self.raw_name_end();
        let (next, _, _) = self.lexer.token(end);
        matches!(next, Token::Symbol("," | ")"))
    }

    fn raw_name_end(&self) -> usize {
        let start = self.span.start as usize;
        let rest = self.bytes(start, self.lexer.bytes.len());
        let part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':');
        start + rest.iter().position(|byte| !part(byte)).unwrap_or(rest.len())
    }

    /// A name that may hold dashes and dots.
    pub(super) fn raw_name(&mut self) -> Word {
        let end = self.raw_name_end();
        let span = self.lexer.span(self.span.start as usize, end);
        let text = self.text(span).to_string();
        self.last = span;
        self.advance_to(end);
        Word { text, span }
    }
}

fn join(left: Expr, right: Expr, kind: impl FnOnce(Box<Expr>, Box<Expr>) -> ExprKind) -> Expr {
    let span = left.span.to(right.span);
    Expr { kind: kind(Box::new(left), Box::new(right)), span }
}

fn expression(kind: ExprKind, span: Span) -> Argument {
    Argument { kind: ArgumentKind::Expr(Expr { kind, span }), span }
}

fn legacy_prefix(word: &str) -> bool {
    matches!(word, "msg" | "uri" | "max")
}
