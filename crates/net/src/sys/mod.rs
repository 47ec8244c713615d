//! The system calls which the standard library does not have. All `unsafe` of the server is in this folder.

pub(crate) mod address;
pub(crate) mod clock;
pub(crate) mod control;
pub(crate) mod files;
pub(crate) mod interfaces;
pub(crate) mod memory;
pub(crate) mod options;
pub(crate) mod receive;
pub(crate) mod send;
