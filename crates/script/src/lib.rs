//! The routing language: lexer, parser, compiler, virtual machine and diagnostics.
//!
//! The crate knows no SIP. Modules declare what they give to a script in [`declare::Module`] tables over a context type that
//! implements [`Host`]; [`load()`] turns a text into a [`Program`] or says everything that is wrong with it; [`run`] executes
//! a [`Frame`] of it, and [`resume`] goes on with one whose function had to wait.

mod ast;
pub mod base64;
mod call;
mod code;
mod compile;
pub mod declare;
mod diagnostics;
mod flags;
mod frame;
pub mod globals;
mod host;
pub mod limits;
mod load;
mod parser;
mod program;
pub mod reference;
pub mod regexes;
mod routes;
mod suggest;
mod text;
mod transform;
mod value;
mod vm;

pub use call::{Call, Context, FlagSet, Flow, Index, Mode, Output, VarRef};
pub use declare::{
    Argument, ArgumentKind, AssignOp, Effect, Event, FlagDecl, FlagSpace, FlagValue, Function, LaterModule,
    Module, Parameter, ParameterKind, Prepared, RouteKind, Routes, Setup, Statistic, Variable,
    VariableArguments, WriteError,
};
pub use diagnostics::{Diagnostic, Diagnostics, Position, Severity, Span};
pub use frame::Frame;
pub use globals::{Alias, Globals, SocketDefinition};
pub use host::{Host, level};
pub use load::{Catalog, Loaded, load, parse};
pub use program::{FormatId, ModuleParameters, ParameterValue, Program, Route, RouteId, VariableId};
pub use suggest::nearest;
pub use value::{Bytes, Digits, Value};
pub use vm::{Outcome, resume, run};
