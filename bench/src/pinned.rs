//! Where server and generator run: options that most comparisons have.

use std::fs;
use std::path::PathBuf;

use crate::error::Error;
use crate::load::Options;
use crate::server::{Programs, Server};

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

/// What a comparison of several servers takes besides.
#[derive(Clone, Debug, clap::Args)]
pub struct Beside {
    /// Where.
    #[command(flatten)]
    pub pinned: Pinned,
    /// The Kamailio to measure.
    #[arg(long, default_value = "/usr/sbin/kamailio")]
    pub kamailio: PathBuf,
    /// Requests in flight at saturation.
    #[arg(long, default_value_t = 64)]
    pub window: usize,
    /// Source sockets of the generator.
    #[arg(long, default_value_t = 1)]
    pub sockets: usize,
    /// Also write the tables to this file.
    #[arg(long)]
    pub markdown: Option<PathBuf>,
}

impl Beside {
    /// All contenders; the echo is this program.
    ///
    /// # Errors
    /// [`Error::System`] when this program cannot be found.
    pub(crate) fn programs(&self) -> Result<Programs, Error> {
        let echo = std::env::current_exe().map_err(Error::system("cannot find this program"))?;
        Ok(Programs { echo, kamailio: self.kamailio.clone(), ..self.pinned.programs() })
    }

    /// A generator for a server that is measured: pinned, and it never sleeps.
    pub(crate) fn generator(&self, server: &Server) -> Options {
        Options {
            sockets: self.sockets,
            cpu: Some(self.pinned.generator_cpu),
            busy_poll: true,
            ..Options::new(server.address())
        }
    }

    /// Prints tables, and writes them to the file that was asked for.
    ///
    /// # Errors
    /// [`Error::System`] when the file cannot be written.
    pub(crate) fn publish(&self, text: &str) -> Result<(), Error> {
        print!("{text}");
        let Some(path) = &self.markdown else { return Ok(()) };
        fs::write(path, text).map_err(Error::system(format!("cannot write {}", path.display())))
    }
}

impl Pinned {
    /// Seawall alone.
    pub(crate) fn programs(&self) -> Programs {
        Programs { echo: PathBuf::new(), kamailio: PathBuf::new(), seawall: self.seawall.clone() }
    }
}
