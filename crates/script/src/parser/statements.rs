//! Statements.

use super::{Parser, lexer::Token, variables};
use crate::ast::{Assign, Block, Case, Expr, Statement, StatementKind, Var, Word};
use crate::code::Arithmetic;
use crate::diagnostics::Span;

/// The operators of an assignment.
const ASSIGNMENTS: &[(&str, Assign)] = &[
    ("=", Assign::Set),
    (":=", Assign::Replace),
    ("+=", Assign::With(Arithmetic::Add)),
    ("-=", Assign::With(Arithmetic::Subtract)),
    ("*=", Assign::With(Arithmetic::Multiply)),
    ("/=", Assign::With(Arithmetic::Divide)),
    ("%=", Assign::With(Arithmetic::Modulo)),
    ("&=", Assign::With(Arithmetic::And)),
    ("|=", Assign::With(Arithmetic::Or)),
    ("^=", Assign::With(Arithmetic::Xor)),
    ("<<=", Assign::With(Arithmetic::ShiftLeft)),
    (">>=", Assign::With(Arithmetic::ShiftRight)),
];

impl Parser<'_> {
    /// A block; its `{` is at hand.
    pub(super) fn block(&mut self) -> Block {
        let open = self.span;
        self.bump();
        let mut block = Block::default();
        if !self.enter() {
            self.leave();
            self.skip_block();
            return block;
        }
        // A `case` inside of braces belongs to a `switch` inside of them.
        let switches = std::mem::take(&mut self.switches);
        self.statements(&mut block.statements);
        self.switches = switches;
        block.end = self.span;
        if !self.accept("}") {
            self.diagnostics
                .error(open, "this `{` is not closed")
                .help("a `}` is missing before the next route");
        }
        self.leave();
        block
    }

    /// Statements up to a `}`, a `case`, or what cannot be in a block.
    fn statements(&mut self, list: &mut Vec<Statement>) {
        while !self.at("}") && !self.at_end() && !self.at_route_definition() {
            if self.at_label() {
                if self.switches > 0 {
                    return;
                }
                let word = self.word();
                self.error_here(format!("`{word}` stands outside of any `switch`"));
                self.skip_statement();
                continue;
            }
            let before = self.span.start;
            if let Some(statement) = self.statement() {
                list.push(statement);
            }
            if self.span.start == before && !self.at_end() && !self.at("}") {
                self.bump();
            }
        }
    }

    fn at_label(&self) -> bool {
        let (next, _, _) = self.lexer.token(self.span.end as usize);
        self.word() == "case" || self.word() == "default" && matches!(next, Token::Symbol(":"))
    }

    /// Skips the rest of a statement that cannot be read.
    fn skip_statement(&mut self) {
        let mut depth = 0usize;
        while !self.at_end() && !self.at_route_definition() {
            if depth == 0 {
                if self.at("}") {
                    return;
                }
                if self.accept(";") {
                    return;
                }
                // A statement word at the start of a line is more likely a new statement than a part of this one.
                let before = self.bytes(self.last.end as usize, self.span.start as usize);
                let words = ["if", "while", "for", "switch", "exit", "return", "drop", "route", "break"];
                if before.contains(&b'\n') && words.contains(&self.word()) {
                    return;
                }
            }
            if self.at("{") {
                depth += 1;
            } else if self.at("}") {
                depth -= 1;
                self.bump();
                if depth == 0 {
                    return;
                }
                continue;
            }
            self.bump();
        }
    }

    fn skip_block(&mut self) {
        let mut depth = 1usize;
        while depth > 0 && !self.at_end() && !self.at_route_definition() {
            if self.at("{") {
                depth += 1;
            } else if self.at("}") {
                depth -= 1;
            }
            self.bump();
        }
    }

    /// One statement; nothing for an empty one or one that cannot be read.
    fn statement(&mut self) -> Option<Statement> {
        let start = self.span;
        let kind = match self.word() {
            "" if self.accept(";") => return None,
            "" if self.at("{") => StatementKind::Block(self.block()),
            "" if matches!(self.token, Token::Dollar) => self.assignment()?,
            "" => {
                let message = format!("expected a statement, found {}", self.found());
                self.error_here(message);
                self.skip_statement();
                return None;
            }
            "if" => self.conditional()?,
            "while" => self.while_loop()?,
            "for" => self.for_loop()?,
            "switch" => self.switch()?,
            "exit" => self.simple(StatementKind::Exit),
            "drop" => self.simple(StatementKind::Drop),
            "break" => self.simple(StatementKind::Break),
            "return" => self.return_statement(),
            "async" => self.async_statement()?,
            "launch" => self.launch_statement()?,
            "else" => {
                self.error_here("this `else` belongs to no `if`");
                self.bump();
                return None;
            }
            _ => self.call_statement()?,
        };
        Some(Statement { kind, span: start.to(self.last) })
    }

    /// Expects the `;` that ends a statement.
    fn semicolon(&mut self) {
        if !self.accept(";") {
            // The last statement of a block: what is meant is clear, and even documentation forgets it.
            if self.at("}") && self.last.end > 0 {
                let span = Span { start: self.last.end.saturating_sub(1), ..self.last };
                self.diagnostics.warning(span, "a `;` is missing behind the statement");
                return;
            }
            if !self.expect(";", "behind the statement") {
                let between = self.bytes(self.last.end as usize, self.span.start as usize);
                // On a new line the next statement starts; on the same line the rest is noise.
                if !between.contains(&b'\n') {
                    self.skip_statement();
                }
            }
        }
    }

    /// `exit`, `exit()` and their like.
    fn simple(&mut self, kind: StatementKind) -> StatementKind {
        self.bump();
        if self.accept("(") {
            self.expect(")", "behind the `(`");
        }
        self.semicolon();
        kind
    }

    /// A block, or a single statement as one.
    fn body(&mut self) -> Block {
        if self.at("{") {
            return self.block();
        }
        let mut block = Block::default();
        if self.accept(";") {
            block.end = self.last;
            return block;
        }
        if self.at("}") || self.at_end() {
            let message = format!("expected a statement or a `{{`, found {}", self.found());
            self.error_here(message);
            return block;
        }
        if self.enter() {
            block.statements.extend(self.statement());
        } else {
            self.skip_statement();
        }
        self.leave();
        block.end = self.last;
        block
    }

    /// The condition in parentheses.
    fn condition(&mut self, word: &str) -> Option<Expr> {
        self.bump();
        if !self.expect("(", &format!("behind `{word}`")) {
            self.skip_statement();
            return None;
        }
        let condition = self.expression();
        if !self.expect(")", "behind the condition") {
            // Usually the `)` alone is missing; go on with the block if it is near.
            while !self.at("{")
                && !self.at(";")
                && !self.at("}")
                && !self.at_end()
                && !self.at_route_definition()
            {
                self.bump();
            }
        }
        Some(condition)
    }

    fn conditional(&mut self) -> Option<StatementKind> {
        let condition = self.condition("if")?;
        let then = self.body();
        // A stray `;` between `}` and `else` is common in old scripts.
        if self.at(";") {
            let (next, span, _) = self.lexer.token(self.span.end as usize);
            if matches!(next, Token::Word) && self.text(span) == "else" {
                self.bump();
            }
        }
        let otherwise = if self.word() == "else" {
            self.bump();
            Some(self.body())
        } else {
            None
        };
        Some(StatementKind::If { condition, then, otherwise })
    }

    fn while_loop(&mut self) -> Option<StatementKind> {
        let condition = self.condition("while")?;
        let body = self.body();
        Some(StatementKind::While { condition, body })
    }

    fn for_loop(&mut self) -> Option<StatementKind> {
        self.bump();
        if !self.expect("(", "behind `for`") {
            self.skip_statement();
            return None;
        }
        let target = self.variable_or_skip()?;
        if self.word() == "in" {
            self.bump();
        } else {
            let message = format!("expected `in` behind the variable, found {}", self.found());
            self.error_here(message).help("a loop over values is written `for ($var(x) in $(avp(list)[*]))`");
            self.skip_statement();
            return None;
        }
        let list = self.variable_or_skip()?;
        self.expect(")", "behind the list");
        let body = self.body();
        Some(StatementKind::For { target, list, body })
    }

    fn variable_or_skip(&mut self) -> Option<Var> {
        let var = if matches!(self.token, Token::Dollar) {
            self.variable()
        } else {
            let message = format!("expected a variable, found {}", self.found());
            self.error_here(message);
            None
        };
        if var.is_none() {
            self.skip_statement();
        }
        var
    }

    fn switch(&mut self) -> Option<StatementKind> {
        let value = self.condition("switch")?;
        let open = self.span;
        if !self.expect("{", "behind `switch (…)`") {
            self.skip_statement();
            return None;
        }
        let mut cases = Vec::new();
        self.switches += 1;
        while !self.at("}") && !self.at_end() && !self.at_route_definition() {
            let before = self.span.start;
            match self.word() {
                "case" => cases.extend(self.case()),
                "default" => {
                    let span = self.span;
                    self.bump();
                    self.expect(":", "behind `default`");
                    let mut body = Vec::new();
                    self.statements(&mut body);
                    cases.push(Case { value: None, body, span });
                }
                _ => {
                    let message = format!("expected `case` or `default`, found {}", self.found());
                    self.error_here(message);
                    self.skip_statement();
                }
            }
            if self.span.start == before && !self.at("}") && !self.at_end() {
                self.bump();
            }
        }
        self.switches -= 1;
        if !self.accept("}") {
            self.diagnostics.error(open, "this `{` is not closed");
        }
        Some(StatementKind::Switch { value, cases })
    }

    fn case(&mut self) -> Option<Case> {
        let span = self.span;
        self.bump();
        let value = self.expression();
        self.expect(":", "behind the value of the case");
        let mut body = Vec::new();
        self.statements(&mut body);
        Some(Case { value: Some(value), body, span })
    }

    /// `return;` `return -1;` `return(1);` `return(1, $var(x));`
    fn return_statement(&mut self) -> StatementKind {
        self.bump();
        let mut values = Vec::new();
        if self.at("(") && self.parenthesised_list() {
            self.bump();
            while !self.at(")") && !self.at(";") && !self.at("}") && !self.at_end() {
                values.push(self.expression());
                if !self.accept(",") {
                    break;
                }
            }
            self.expect(")", "behind the values");
        } else if !self.at(";") && !self.at("}") {
            values.push(self.expression());
        }
        self.semicolon();
        StatementKind::Return { values }
    }

    /// Whether the parentheses at hand hold the whole of what is returned: the matching one is followed by `;`.
    fn parenthesised_list(&self) -> bool {
        let mut at = self.span.end as usize;
        let mut depth = 1usize;
        while depth > 0 {
            let (token, span, _) = self.lexer.token(at);
            match token {
                Token::Symbol("(") => depth += 1,
                Token::Symbol(")") => depth -= 1,
                Token::End | Token::Symbol(";" | "{" | "}") => return true,
                _ => {}
            }
            at = span.end as usize;
        }
        !matches!(
            self.lexer.token(at).0,
            Token::Symbol("+" | "-" | "*" | "/" | "%" | "&" | "|" | "^" | "<<" | ">>")
        )
    }

    fn async_statement(&mut self) -> Option<StatementKind> {
        let call = self.wrapped_call("async")?;
        if !self.expect(",", "and the route to resume in") {
            self.skip_statement();
            return None;
        }
        let Some(route) = self.bare_name() else {
            let message = format!("expected the name of the route to resume in, found {}", self.found());
            self.error_here(message);
            self.skip_statement();
            return None;
        };
        let timeout = if self.accept(",") { Some(self.expression()) } else { None };
        self.expect(")", "behind the arguments of `async`");
        self.semicolon();
        Some(StatementKind::Async { call, route, timeout })
    }

    fn launch_statement(&mut self) -> Option<StatementKind> {
        let call = self.wrapped_call("launch")?;
        let mut route = None;
        let mut parameter = None;
        if self.accept(",") {
            route = self.bare_name();
            if route.is_none() {
                let message = format!("expected the name of a route, found {}", self.found());
                self.error_here(message);
                self.skip_statement();
                return None;
            }
            if self.accept(",") {
                parameter = Some(self.expression());
            }
        }
        self.expect(")", "behind the arguments of `launch`");
        self.semicolon();
        Some(StatementKind::Launch { call, route, parameter })
    }

    fn wrapped_call(&mut self, word: &str) -> Option<crate::ast::Call> {
        self.bump();
        if !self.expect("(", &format!("behind `{word}`")) {
            self.skip_statement();
            return None;
        }
        let Some(name) = self.take_word() else {
            let message = format!("expected a function, found {}", self.found());
            self.error_here(message);
            self.skip_statement();
            return None;
        };
        if !self.at("(") {
            let message = format!("expected `(` behind `{}`, found {}", name.text, self.found());
            self.error_here(message);
            self.skip_statement();
            return None;
        }
        Some(self.call(name))
    }

    /// The name of a route, bare or in quotes.
    fn bare_name(&mut self) -> Option<Word> {
        match &self.token {
            Token::Str(text) => {
                let word = Word { text: text.to_string_lossy(), span: text.span };
                self.bump();
                Some(word)
            }
            Token::Word | Token::Int(_) => {
                let word = self.raw_name();
                Some(word)
            }
            _ => None,
        }
    }

    fn assignment(&mut self) -> Option<StatementKind> {
        let Some(target) = self.variable() else {
            self.skip_statement();
            return None;
        };
        let found = ASSIGNMENTS.iter().find(|(symbol, _)| self.at(symbol));
        let Some((_, op)) = found else {
            let message = format!("expected an assignment behind the variable, found {}", self.found());
            self.error_here(message);
            self.skip_statement();
            return None;
        };
        self.bump();
        let value = self.expression();
        self.semicolon();
        Some(StatementKind::Assign { target, op: *op, value })
    }

    fn call_statement(&mut self) -> Option<StatementKind> {
        let name = self.take_word()?;
        if !self.at("(") {
            let message = format!("expected `(` behind `{}`, found {}", name.text, self.found());
            let setting = self.at("=");
            let error = self.diagnostics.error(name.span, message);
            if setting {
                error.help("settings stand outside of the routes, and variables start with a `$`");
            }
            self.skip_statement();
            return None;
        }
        let call = self.call(name);
        self.semicolon();
        Some(StatementKind::Call(call))
    }

    /// The variable whose `$` is at hand; nothing, with an error, if it cannot be read.
    pub(super) fn variable(&mut self) -> Option<Var> {
        let at = self.span.start as usize;
        match variables::variable(self.whole, at, true, 0) {
            Ok((var, end)) => {
                self.last = var.span;
                self.advance_to(end);
                Some(var)
            }
            Err((span, message)) => {
                self.diagnostics.error(span, message);
                self.bump();
                None
            }
        }
    }
}
