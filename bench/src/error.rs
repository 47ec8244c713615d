//! What can go wrong in a benchmark, told to the person who started it.

use std::io;

/// A benchmark that could not be run or finished.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An argument is out of its bounds or contradicts another one.
    #[error("{0}")]
    Usage(String),
    /// The operating system refused something.
    #[error("{what}: {source}")]
    System {
        /// What was being done.
        what: String,
        /// The system's reason.
        source: io::Error,
    },
    /// A server of the comparison did not start, did not answer or died.
    #[error("{server}: {reason}")]
    Server {
        /// The server's name in the table.
        server: &'static str,
        /// What was seen of it.
        reason: String,
    },
}

impl Error {
    /// Turns an [`io::Error`] into an [`Error::System`] that says what was being done.
    pub fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
        let what = what.into();
        move |source| Error::System { what, source }
    }
}
