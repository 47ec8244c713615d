//! A script as it was written.

use crate::call::Context;
use crate::code::{Arithmetic, Comparison};
use crate::declare::RouteKind;
use crate::diagnostics::Span;
use crate::text::Text;

/// A name where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) span: Span,
}

/// What can stand at the top of a file.
#[derive(Debug)]
pub(crate) enum Item {
    Global { name: Word, value: GlobalValue },
    LoadModule { path: Text },
    ModuleParameter { modules: Text, name: Text, value: ParameterLiteral },
    Route(RouteItem),
}

/// What stands behind the `=` of a global.
#[derive(Debug)]
pub(crate) struct GlobalValue {
    /// The words, the quotes removed.
    pub(crate) words: Vec<Text>,
    pub(crate) quoted: bool,
    pub(crate) span: Span,
}

/// The value of a `modparam`.
#[derive(Debug)]
pub(crate) enum ParameterLiteral {
    Str(Text),
    Int(i64, Span),
    /// `yes`, `no` and so on.
    Word(Word),
    /// It could not be read; the error has been reported.
    Broken,
}

/// A route.
#[derive(Debug)]
pub(crate) struct RouteItem {
    pub(crate) kind: RouteKind,
    pub(crate) keyword: Span,
    pub(crate) name: Option<Word>,
    pub(crate) parameters: Vec<Word>,
    /// What follows the name in the brackets: the interval of a timer, the mode of an event.
    pub(crate) option: Option<Text>,
    pub(crate) body: Block,
}

/// Statements in braces.
#[derive(Debug, Default)]
pub(crate) struct Block {
    pub(crate) statements: Vec<Statement>,
    pub(crate) end: Span,
}

/// A statement.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) kind: StatementKind,
    pub(crate) span: Span,
}

/// What a statement does.
#[derive(Debug)]
pub(crate) enum StatementKind {
    Block(Block),
    If { condition: Expr, then: Block, otherwise: Option<Block> },
    While { condition: Expr, body: Block },
    For { target: Var, list: Var, body: Block },
    Switch { value: Expr, cases: Vec<Case> },
    Break,
    Return { values: Vec<Expr> },
    Exit,
    Drop,
    Assign { target: Var, op: Assign, value: Expr },
    Call(Call),
    Async { call: Call, route: Word, timeout: Option<Expr> },
    Launch { call: Call, route: Option<Word>, parameter: Option<Expr> },
}

/// `case 1: case "a": statements`, or `default:`.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) value: Option<Expr>,
    pub(crate) body: Vec<Statement>,
    pub(crate) span: Span,
}

/// The operators of an assignment.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Assign {
    Set,
    Replace,
    With(Arithmetic),
}

/// A function call.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) name: Word,
    pub(crate) arguments: Vec<Argument>,
    pub(crate) span: Span,
}

/// An argument of a call.
#[derive(Debug)]
pub(crate) struct Argument {
    pub(crate) kind: ArgumentKind,
    pub(crate) span: Span,
}

/// What an argument is.
#[derive(Debug)]
pub(crate) enum ArgumentKind {
    /// Nothing between two commas.
    Empty,
    /// A bare word.
    Word(String),
    Expr(Expr),
}

/// An expression.
#[derive(Debug)]
pub(crate) struct Expr {
    pub(crate) kind: ExprKind,
    pub(crate) span: Span,
}

/// What an expression is.
#[derive(Debug)]
pub(crate) enum ExprKind {
    Null,
    Int(i64),
    Str(Text),
    Var(Box<Var>),
    /// A bare word; only some mean anything.
    Word(String),
    Call(Box<Call>),
    Not(Box<Expr>),
    Negate(Box<Expr>),
    Complement(Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Compare(Comparison, Box<Expr>, Box<Expr>),
    Match {
        negated: bool,
        value: Box<Expr>,
        pattern: Box<Expr>,
    },
    Arithmetic(Arithmetic, Box<Expr>, Box<Expr>),
    /// `[ … ]`
    Test(Box<Expr>),
    /// It could not be read; the error has been reported.
    Broken,
}

/// A variable.
#[derive(Clone, Debug)]
pub(crate) struct Var {
    pub(crate) name: Word,
    pub(crate) context: Context,
    pub(crate) inner: Option<Text>,
    pub(crate) index: Option<Index>,
    pub(crate) transformations: Vec<Transformation>,
    /// Written as `$(…)`: it cannot be cut at a dot.
    pub(crate) enclosed: bool,
    pub(crate) span: Span,
}

/// What stands in the brackets of a variable.
#[derive(Clone, Debug)]
pub(crate) enum Index {
    All,
    Int(i64),
    Var(Box<Var>),
    /// A place such as `[insert]`, which only some variables have.
    Word(Word),
}

/// `{class.name,argument,…}`
#[derive(Clone, Debug)]
pub(crate) struct Transformation {
    pub(crate) name: Word,
    pub(crate) arguments: Vec<Text>,
    pub(crate) span: Span,
}

/// A format string, taken apart.
#[derive(Clone, Debug)]
pub(crate) enum FormatPart {
    Text(Vec<u8>),
    Var(Var),
}
