//! Statements.

use super::{Compiler, store};
use crate::ast::{Assign, Block, Case, Expr, ExprKind, Statement, StatementKind, Var, Word};
use crate::code::{Assignment, AsyncSite, Comparison, Op};
use crate::declare::RouteKind;
use crate::diagnostics::Span;
use crate::host::Host;
use crate::value::Value;

impl<C: Host> Compiler<'_, C> {
    pub(super) fn block(&mut self, block: &Block) {
        self.statements(&block.statements);
    }

    fn statements(&mut self, statements: &[Statement]) {
        let mut ended: Option<Span> = None;
        for statement in statements {
            // A `break` behind an `exit` is how many people end a case.
            let customary = matches!(statement.kind, StatementKind::Break);
            if ended.take().is_some() && !customary {
                self.diagnostics.warning(statement.span, "this is never reached");
            }
            self.statement(statement);
            if matches!(
                statement.kind,
                StatementKind::Exit
                    | StatementKind::Drop
                    | StatementKind::Return { .. }
                    | StatementKind::Async { .. }
            ) {
                ended = Some(statement.span);
            }
        }
    }

    fn statement(&mut self, statement: &Statement) {
        self.line = self.diagnostics.position(statement.span).line;
        match &statement.kind {
            StatementKind::Block(block) => self.block(block),
            StatementKind::If { condition, then, otherwise } => {
                self.conditional(condition, then, otherwise.as_ref());
            }
            StatementKind::While { condition, body } => self.while_loop(condition, body),
            StatementKind::For { target, list, body } => self.for_loop(target, list, body, statement.span),
            StatementKind::Switch { value, cases } => self.switch(value, cases),
            StatementKind::Break => self.break_statement(statement.span),
            StatementKind::Return { values } => self.return_statement(values),
            StatementKind::Exit => {
                self.emit(Op::Exit);
            }
            StatementKind::Drop => {
                self.emit(Op::Drop);
            }
            StatementKind::Assign { target, op, value } => self.assign(target, *op, value),
            StatementKind::Call(call) => self.call_statement(call),
            StatementKind::Async { call, route, timeout } => {
                self.async_statement(call, route, timeout.as_ref())
            }
            StatementKind::Launch { call, route, parameter } => {
                self.launch_statement(call, route.as_ref(), parameter.as_ref());
            }
        }
    }

    fn conditional(&mut self, condition: &Expr, then: &Block, otherwise: Option<&Block>) {
        let no = self.branch(condition, false);
        self.block(then);
        match otherwise {
            Some(otherwise) => {
                let end = self.emit(Op::Jump(0));
                self.land_all(no);
                self.block(otherwise);
                self.land(end);
            }
            None => self.land_all(no),
        }
    }

    fn while_loop(&mut self, condition: &Expr, body: &Block) {
        self.emit(Op::WhileEnter);
        let start = self.here();
        let tick = self.emit(Op::WhileTick(0));
        let no = self.branch(condition, false);
        self.breaks.push(Vec::new());
        self.block(body);
        self.emit(Op::Jump(start));
        let breaks = self.breaks.pop().unwrap_or_default();
        self.land(tick);
        self.land_all(no);
        self.land_all(breaks);
        self.emit(Op::LoopExit);
    }

    fn for_loop(&mut self, target: &Var, list: &Var, body: &Block, span: Span) {
        let line = self.diagnostics.position(span).line;
        let compiled = self.writable(target);
        let values = self.variable(list);
        let (Some(target), Some(values)) = (compiled, values) else {
            self.breaks.push(Vec::new());
            self.block(body);
            self.breaks.pop();
            return;
        };
        let list = store(&mut self.code.variables, values);
        let target = store(&mut self.code.assignments, Assignment { target, replace: false, line });
        self.emit(Op::ForEnter(list));
        let start = self.here();
        let next = self.emit(Op::ForNext { target, end: 0 });
        self.breaks.push(Vec::new());
        self.block(body);
        self.emit(Op::Jump(start));
        let breaks = self.breaks.pop().unwrap_or_default();
        self.land(next);
        self.land_all(breaks);
        self.emit(Op::LoopExit);
    }

    /// The value stays on the stack while the cases run, so that they can be left from anywhere; it goes at the end.
    fn switch(&mut self, value: &Expr, cases: &[Case]) {
        self.value(value);
        let mut entries = Vec::new();
        let mut default = None;
        for (index, case) in cases.iter().enumerate() {
            match &case.value {
                Some(constant) => {
                    self.emit(Op::Duplicate);
                    self.value(constant);
                    self.emit(Op::Compare(Comparison::Equal));
                    entries.push((index, self.emit(Op::JumpIfTrue(0))));
                }
                None if default.is_some() => {
                    self.diagnostics.error(case.span, "this `switch` has a `default` already");
                }
                None => default = Some(index),
            }
        }
        let otherwise = self.emit(Op::Jump(0));
        self.breaks.push(Vec::new());
        for (index, case) in cases.iter().enumerate() {
            for (_, jump) in entries.iter().filter(|(wanted, _)| *wanted == index) {
                self.land(*jump);
            }
            if default == Some(index) {
                self.land(otherwise);
            }
            self.statements(&case.body);
        }
        let breaks = self.breaks.pop().unwrap_or_default();
        if default.is_none() {
            self.land(otherwise);
        }
        self.land_all(breaks);
        self.emit(Op::Pop);
    }

    fn break_statement(&mut self, span: Span) {
        let jump = self.emit(Op::Jump(0));
        match self.breaks.last_mut() {
            Some(breaks) => breaks.push(jump),
            None => {
                self.diagnostics
                    .error(span, "`break` stands outside of any `switch`, `while` or `for`")
                    .help("write `return` to leave a route");
            }
        }
    }

    fn return_statement(&mut self, values: &[Expr]) {
        match values.split_first() {
            None => {
                self.emit(Op::Int(1));
                self.emit(Op::Return { values: 0 });
            }
            Some((code, rest)) => {
                self.value(code);
                for value in rest {
                    self.value(value);
                }
                let values = u32::try_from(rest.len()).unwrap_or(u32::MAX);
                self.emit(Op::Return { values });
            }
        }
    }

    fn assign(&mut self, target: &Var, op: Assign, value: &Expr) {
        let Some(compiled) = self.writable(target) else {
            return self.value(value);
        };
        if let (Assign::With(_), Some(read)) = (op, self.variable(target)) {
            let index = store(&mut self.code.variables, read);
            self.emit(Op::Var(index));
        }
        // A bare word on the right is most often a forgotten pair of quotes.
        if let ExprKind::Word(word) = &value.kind
            && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        {
            self.diagnostics
                .error(value.span, format!("`{word}` means nothing here"))
                .help(format!("a string is written \"{word}\""));
            return self.push_constant(Value::Null);
        }
        self.value(value);
        if let Assign::With(operation) = op {
            self.emit(Op::Arithmetic(operation));
        }
        let replace = matches!(op, Assign::Replace);
        let assignment = Assignment { target: compiled, replace, line: self.line };
        let index = store(&mut self.code.assignments, assignment);
        self.emit(Op::Assign(index));
    }

    fn async_statement(&mut self, call: &crate::ast::Call, route: &Word, timeout: Option<&Expr>) {
        let target = self.find_route(RouteKind::Request, &route.text, route.span);
        if let Some(target) = target {
            self.edges.push((self.current, target));
        }
        let Some(site) = self.later_call(call, "async") else { return };
        if let Some(timeout) = timeout {
            self.value(timeout);
        }
        let site = AsyncSite { call: site, route: target, extra: timeout.is_some() };
        let index = store(&mut self.code.asyncs, site);
        self.emit(Op::Async(index));
    }

    fn launch_statement(&mut self, call: &crate::ast::Call, route: Option<&Word>, parameter: Option<&Expr>) {
        let target = route.and_then(|word| self.find_route(RouteKind::Request, &word.text, word.span));
        if let Some(target) = target {
            self.edges.push((self.current, target));
        }
        let Some(site) = self.later_call(call, "launch") else { return };
        if let Some(parameter) = parameter {
            self.value(parameter);
        }
        let site = AsyncSite { call: site, route: target, extra: parameter.is_some() };
        let index = store(&mut self.code.asyncs, site);
        self.emit(Op::Launch(index));
    }
}
