//! Users who may log in, as the management plane changes them.

/// Why users were not changed. [`crate::MiError`] gives each its code and text.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum UserError {
    /// The script keeps no users: 501.
    #[error("The script keeps no users")]
    NoUsers,
    /// The name or the password cannot be used: 400.
    #[error("{0}")]
    Refused(&'static str),
    /// There is a user of that name: 409.
    #[error("There is a user of that name already")]
    Exists,
    /// There is none: 404.
    #[error("User not found")]
    Unknown,
    /// The database fails: 500.
    #[error("The database fails")]
    Failed(String),
}

/// The users of the running server. A name is `user` or `user@domain`. Methods wait for the database; passwords are
/// neither kept nor logged.
pub trait Users: Send + Sync {
    /// Adds a user.
    ///
    /// # Errors
    /// See [`UserError`].
    fn add(&self, name: &str, password: &str) -> Result<(), UserError>;

    /// Gives a user another password.
    ///
    /// # Errors
    /// See [`UserError`].
    fn change(&self, name: &str, password: &str) -> Result<(), UserError>;

    /// Removes a user.
    ///
    /// # Errors
    /// See [`UserError`].
    fn remove(&self, name: &str) -> Result<(), UserError>;

    /// Users in the order of their names, from a position on; a thousand at most.
    ///
    /// # Errors
    /// See [`UserError`].
    fn list(&self, from: u32) -> Result<Vec<String>, UserError>;

    /// Forgets what was looked up of one user, or of all.
    ///
    /// # Errors
    /// See [`UserError`].
    fn flush(&self, name: Option<&str>) -> Result<(), UserError>;
}
