//! Host names, resolved away from the workers.

use std::collections::HashMap;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;

use parking_lot::Mutex;
use seawall_net::{CommandSender, unix_s};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::limits::{RESOLVED_FOR_S, RESOLVED_NAMES, RESOLVING};
use crate::worker::Command;

/// Resolves names through the system's resolver (A and AAAA) and remembers them for a moment.
pub struct Resolver {
    runtime: Handle,
    places: Arc<Semaphore>,
    known: Arc<Mutex<HashMap<String, Known>>>,
}

struct Known {
    addresses: Vec<IpAddr>,
    until_s: u64,
}

impl Resolver {
    /// A resolver that works on this runtime.
    #[must_use]
    pub fn new(runtime: Handle) -> Self {
        Self { runtime, places: Arc::new(Semaphore::new(RESOLVING)), known: Arc::default() }
    }

    /// Resolves `host` and sends the answer to `worker` for its parked script `ticket`. The answer is empty when the
    /// name has no address, or when too many names are being resolved already.
    pub fn resolve(&self, commands: CommandSender<Command>, worker: usize, ticket: u64, host: String) {
        let answer = move |commands: &CommandSender<Command>, host: String, addresses: Vec<IpAddr>| {
            // A worker whose queue is full is overloaded; its parked script ends by the bound on waiting.
            let _ = commands.send(worker, Command::Resolved { ticket, host, addresses });
        };
        let now_s = unix_s();
        if let Some(known) = self.known.lock().get(&host).filter(|known| known.until_s > now_s) {
            let addresses = known.addresses.clone();
            answer(&commands, host, addresses);
            return;
        }
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            answer(&commands, host, Vec::new());
            return;
        };
        let known = Arc::clone(&self.known);
        self.runtime.spawn_blocking(move || {
            let addresses: Vec<IpAddr> = (host.as_str(), 0)
                .to_socket_addrs()
                .map(|found| found.map(|address| address.ip()).collect())
                .unwrap_or_default();
            let mut names = known.lock();
            if names.len() >= RESOLVED_NAMES {
                names.clear();
            }
            names.insert(
                host.clone(),
                Known { addresses: addresses.clone(), until_s: unix_s() + RESOLVED_FOR_S },
            );
            drop(names);
            drop(place);
            answer(&commands, host, addresses);
        });
    }
}
