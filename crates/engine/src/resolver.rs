//! Host names, resolved away from the workers.

use std::collections::HashMap;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;

use parking_lot::Mutex;
use seawall_net::unix_s;
use tokio::sync::Semaphore;

use crate::limits::{RESOLVED_FOR_S, RESOLVED_NAMES, RESOLVING};

/// Resolves names through the system's resolver (A and AAAA) and remembers them for a moment.
#[derive(Clone)]
pub struct Resolver {
    places: Arc<Semaphore>,
    known: Arc<Mutex<HashMap<String, Known>>>,
}

struct Known {
    addresses: Vec<IpAddr>,
    until_s: u64,
}

impl Default for Resolver {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(RESOLVING)), known: Arc::default() }
    }
}

impl Resolver {
    /// The addresses of `host` as they were found a moment ago.
    #[must_use]
    pub fn remembered(&self, host: &str) -> Option<Vec<IpAddr>> {
        let known = self.known.lock();
        known.get(host).filter(|known| known.until_s > unix_s()).map(|known| known.addresses.clone())
    }

    /// The addresses of `host`: none when it has none, or when too many names are being resolved already.
    pub async fn addresses(&self, host: String) -> Vec<IpAddr> {
        if let Some(addresses) = self.remembered(&host) {
            return addresses;
        }
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { return Vec::new() };
        let name = host.clone();
        let found = tokio::task::spawn_blocking(move || {
            let addresses: Vec<IpAddr> = (name.as_str(), 0)
                .to_socket_addrs()
                .map(|found| found.map(|address| address.ip()).collect())
                .unwrap_or_default();
            drop(place);
            addresses
        });
        let addresses = found.await.unwrap_or_default();
        let mut names = self.known.lock();
        if names.len() >= RESOLVED_NAMES {
            names.clear();
        }
        names.insert(host, Known { addresses: addresses.clone(), until_s: unix_s() + RESOLVED_FOR_S });
        addresses
    }
}
