//! MI over the domains of module `domain`.

use std::sync::Arc;

use seawall_control::server::{LocalDomain, LocationError};
use seawall_modules::domain::{self, DomainSettings};

use super::Management;

impl Management {
    fn domain_settings(&self) -> Result<Arc<DomainSettings>, LocationError> {
        let settings = self.node.configuration.load().settings.domain.clone();
        let settings = settings.ok_or(LocationError::Failed("The module domain is not loaded"))?;
        if settings.is_cached {
            Ok(settings)
        } else {
            Err(LocationError::Failed("Not in caching mode (db_mode 1)"))
        }
    }

    /// `domain_reload`.
    pub(super) fn read_domains(&self) -> Result<usize, LocationError> {
        let settings = self.domain_settings()?;
        self.runtime.block_on(domain::load(&settings, &self.node)).map_err(|error| {
            tracing::error!("domain: {error}");
            LocationError::Failed("The database fails; the domains stay as they were")
        })
    }

    /// `domain_dump`.
    pub(super) fn show_domains(&self, each: &mut dyn FnMut(&LocalDomain<'_>)) -> Result<(), LocationError> {
        for (name, local) in self.domain_settings()?.list() {
            let attributes = local.attributes.as_deref();
            each(&LocalDomain { name: &name, attributes, accepts_subdomains: local.accepts_subdomains });
        }
        Ok(())
    }
}
