//! Users, for MI.

use seawall_control::users::{UserError, Users};
use seawall_modules::auth_db::AuthDbSettings;
use seawall_modules::auth_db::manage::{self, ManageError};

use super::Management;

impl Management {
    /// Does something with the users of the present script, on a thread that may wait.
    fn with_users<T>(
        &self,
        act: impl AsyncFnOnce(&AuthDbSettings) -> Result<T, ManageError>,
    ) -> Result<T, UserError> {
        let configuration = self.node.configuration.load_full();
        let settings = configuration.settings.auth_db.as_ref().ok_or(UserError::NoUsers)?;
        self.runtime.block_on(act(settings)).map_err(|error| match error {
            ManageError::NoUsers => UserError::NoUsers,
            ManageError::Refused(reason) => UserError::Refused(reason),
            ManageError::Exists => UserError::Exists,
            ManageError::Unknown => UserError::Unknown,
            ManageError::Storage(error) => {
                tracing::error!("users: {error}");
                UserError::Failed(error.to_string())
            }
        })
    }
}

impl Users for Management {
    fn add(&self, name: &str, password: &str) -> Result<(), UserError> {
        self.with_users(async |settings| manage::add(settings, &self.node, name, password).await)
    }

    fn change(&self, name: &str, password: &str) -> Result<(), UserError> {
        self.with_users(async |settings| manage::change(settings, &self.node, name, password).await)
    }

    fn remove(&self, name: &str) -> Result<(), UserError> {
        self.with_users(async |settings| manage::remove(settings, &self.node, name).await)
    }

    fn list(&self, from: u32) -> Result<Vec<String>, UserError> {
        self.with_users(async |settings| manage::list(settings, &self.node, from).await)
    }

    fn flush(&self, name: Option<&str>) -> Result<(), UserError> {
        self.with_users(async |settings| {
            manage::forget(settings, name);
            Ok(())
        })
    }
}
