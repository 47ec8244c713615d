//! What all workers share to make nonces and to know which were used.

use std::sync::atomic::{AtomicU32, Ordering};

use seawall_digest::{NonceKey, Replays};

use crate::auth::AuthSettings;

/// Tells the key of nonces apart from the other keys that are made of the process's secret.
const LABEL: u8 = 0xA7;

/// The nonces of a server.
pub struct Nonces {
    process: NonceKey,
    serial: AtomicU32,
    replays: Replays,
}

impl Nonces {
    /// Nonces that only this process knows as its own, for its secret.
    #[must_use]
    pub fn new(secret: [u8; 16]) -> Self {
        let secret = secret.map(|byte| byte ^ LABEL);
        let process = NonceKey::new(secret);
        // Another server with the same `secret` parameter counts from elsewhere.
        let start = process.fingerprint(&[b"serial"]);
        Self {
            process,
            serial: AtomicU32::new(u32::try_from(start & u64::from(u32::MAX)).unwrap_or(0)),
            replays: Replays::default(),
        }
    }

    /// The key in force: that of the parameter `secret`, else that of the process.
    pub(crate) fn key<'a>(&'a self, settings: &'a AuthSettings) -> &'a NonceKey {
        settings.key.as_ref().unwrap_or(&self.process)
    }

    /// The key of the process.
    pub(crate) fn process_key(&self) -> &NonceKey {
        &self.process
    }

    /// A number for the next nonce.
    pub(crate) fn next_serial(&self) -> u32 {
        self.serial.fetch_add(1, Ordering::Relaxed)
    }

    /// The nonces that were used.
    pub(crate) fn replays(&self) -> &Replays {
        &self.replays
    }
}
