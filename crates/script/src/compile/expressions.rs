//! Expressions: values on the stack, and conditions as jumps.

use super::variables::constant;
use super::{Compiler, store};
use crate::ast::{Expr, ExprKind};
use crate::code::Op;
use crate::diagnostics::Span;
use crate::host::Host;
use crate::regexes;
use crate::text::Text;
use crate::value::Value;

/// Words of older scripts that stand for variables.
const OLD_WORDS: &[(&str, &str)] = &[
    ("method", "$rm"),
    ("uri", "$ru"),
    ("from_uri", "$fu"),
    ("to_uri", "$tu"),
    ("src_ip", "$si"),
    ("src_port", "$sp"),
    ("dst_ip", "$socket_in(ip)"),
    ("dst_port", "$socket_in(port)"),
    ("status", "$rs"),
    ("retcode", "$rc"),
    ("proto", "$socket_in(proto)"),
    ("af", "$af"),
    ("msg:len", "$ml"),
];

/// Words that stand for themselves in comparisons.
const CONSTANT_WORDS: &[&str] = &["INET", "INET6", "UDP", "TCP", "TLS", "SCTP", "WS", "WSS"];

impl<C: Host> Compiler<'_, C> {
    /// Pushes the value of an expression.
    pub(super) fn value(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Null => self.push_constant(Value::Null),
            ExprKind::Int(number) => self.push_constant(Value::Int(*number)),
            ExprKind::Str(text) => self.push_string(text),
            ExprKind::Var(var) => {
                if let Some(variable) = self.variable(var) {
                    let index = store(&mut self.code.variables, variable);
                    self.emit(Op::Var(index));
                }
            }
            ExprKind::Word(word) => self.word(word, expr.span),
            ExprKind::Call(call) => self.call_value(call),
            ExprKind::Not(inner) => {
                if is_call(inner) {
                    return self.truth(expr);
                }
                self.value(inner);
                self.emit(Op::Not);
            }
            ExprKind::Negate(inner) => {
                self.value(inner);
                self.emit(Op::Negate);
            }
            ExprKind::Complement(inner) => {
                self.value(inner);
                self.emit(Op::Complement);
            }
            ExprKind::And(..) | ExprKind::Or(..) => self.truth(expr),
            ExprKind::Compare(comparison, left, right) => {
                self.value(left);
                self.value(right);
                self.emit(Op::Compare(*comparison));
            }
            ExprKind::Match { negated, value, pattern } => {
                self.value(value);
                self.pattern(pattern);
                if *negated {
                    self.emit(Op::Not);
                }
            }
            ExprKind::Arithmetic(operation, left, right) => {
                self.value(left);
                self.value(right);
                self.emit(Op::Arithmetic(*operation));
            }
            ExprKind::Test(inner) => self.value(inner),
            ExprKind::Broken => {}
        }
    }

    /// Pushes 1 or 0.
    pub(super) fn truth(&mut self, expr: &Expr) {
        let no = self.branch(expr, false);
        self.emit(Op::Int(1));
        let end = self.emit(Op::Jump(0));
        self.land_all(no);
        self.emit(Op::Int(0));
        self.land(end);
    }

    /// Jumps when the expression is `sense`, and falls through otherwise; gives the jumps, which wait for their target.
    pub(super) fn branch(&mut self, expr: &Expr, sense: bool) -> Vec<usize> {
        match &expr.kind {
            ExprKind::Not(inner) => self.branch(inner, !sense),
            ExprKind::And(left, right) => self.both(left, right, sense, false),
            ExprKind::Or(left, right) => self.both(left, right, sense, true),
            ExprKind::Test(inner) => self.branch(inner, sense),
            ExprKind::Call(_) => {
                self.value(expr);
                // The two are one when the function answers at once; when it has to wait, its value arrives on the stack
                // and the jump behind the call takes it from there.
                if let (false, Some(Op::Call(site))) = (sense, self.code.ops.last().copied()) {
                    self.code.ops.pop();
                    self.code.lines.pop();
                    let fast = self.emit(Op::CallOrJump { site, target: 0 });
                    return vec![fast, self.emit(Op::JumpIfFailed(0))];
                }
                vec![self.emit(if sense { Op::JumpIfSucceeded(0) } else { Op::JumpIfFailed(0) })]
            }
            _ => {
                self.value(expr);
                vec![self.emit(if sense { Op::JumpIfTrue(0) } else { Op::JumpIfFalse(0) })]
            }
        }
    }

    /// `left && right` when `decided` is false, `left || right` when it is true: the value of the left side that decides alone.
    fn both(&mut self, left: &Expr, right: &Expr, sense: bool, decided: bool) -> Vec<usize> {
        if sense == decided {
            let mut jumps = self.branch(left, sense);
            jumps.extend(self.branch(right, sense));
            return jumps;
        }
        let early = self.branch(left, decided);
        let jumps = self.branch(right, sense);
        self.land_all(early);
        jumps
    }

    pub(super) fn push_constant(&mut self, value: Value) {
        let op = match &value {
            Value::Int(number) if i32::try_from(*number).is_ok() => {
                Op::Int(i32::try_from(*number).unwrap_or(0))
            }
            _ => Op::Const(store(&mut self.code.constants, value)),
        };
        self.emit(op);
    }

    /// Pushes a string, which is a format string.
    pub(super) fn push_string(&mut self, text: &Text) {
        let template = self.template(text);
        match constant(&template) {
            Some(value) => self.push_constant(value),
            None => {
                let index = store(&mut self.code.templates, template);
                self.emit(Op::Format(index));
            }
        }
    }

    fn word(&mut self, word: &str, span: Span) {
        if CONSTANT_WORDS.contains(&word) {
            return self.push_constant(Value::from(word));
        }
        let old = OLD_WORDS.iter().find(|(old, _)| *old == word);
        let error = self.diagnostics.error(span, format!("`{word}` means nothing here"));
        match old {
            Some((_, new)) => error.help(format!("write `{new}`")),
            None => error.help(format!("a string is written \"{word}\", a call `{word}(…)`")),
        };
    }

    /// Matches the value on the stack. A literal pattern is taken as it stands, without variables.
    fn pattern(&mut self, pattern: &Expr) {
        let ExprKind::Str(text) = &pattern.kind else {
            self.value(pattern);
            self.emit(Op::MatchDynamic);
            return;
        };
        match regexes::compile(&text.bytes, true) {
            Ok(regex) => {
                let index = store(&mut self.code.regexes, regex);
                self.emit(Op::Match(index));
            }
            Err(problem) => {
                self.diagnostics.error(text.span, format!("this is no regular expression: {problem}"));
            }
        }
        let variable = ["$var(", "$avp(", "$("]
            .iter()
            .any(|start| text.bytes.windows(start.len()).any(|window| window == start.as_bytes()));
        if variable {
            self.diagnostics
                .warning(text.span, "variables in a literal pattern are not expanded")
                .help("assign the pattern to a variable first, and match against that");
        }
    }
}

fn is_call(expr: &Expr) -> bool {
    matches!(expr.kind, ExprKind::Call(_))
}
