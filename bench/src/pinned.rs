//! Where server and generator run: options that most comparisons have.

use std::path::PathBuf;

use crate::server::Programs;

/// Two CPUs, and the Seawall to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct Pinned {
    /// CPU of the servers.
    #[arg(long, default_value_t = 0)]
    pub server_cpu: usize,
    /// CPU of the generator, which takes all of it.
    #[arg(long, default_value_t = 1)]
    pub generator_cpu: usize,
    /// The Seawall to measure: a release build.
    #[arg(long, default_value = "target/release/seawall")]
    pub seawall: PathBuf,
}

impl Pinned {
    /// Seawall alone.
    pub(crate) fn programs(&self) -> Programs {
        Programs { echo: PathBuf::new(), kamailio: PathBuf::new(), seawall: self.seawall.clone() }
    }
}
