//! A sender of the crate, and the options that lead it to the service of a test.

use std::time::Duration;

use seawall_http::Roots;
use seawall_push::{Cancel, Options, Outcome, Push, Sender, Services};
use seawall_testkit::push_service::{PushService, tokens};
use serde_json::Value;

pub use seawall_testkit::push_service::tokens::now_s;
pub use seawall_testkit::push_service::{PATIENCE, PushService as Fake, Reply};

/// The authority that has signed the certificate of a service.
pub fn roots(service: &PushService) -> Roots {
    Roots::Path(service.authority())
}

/// A sender with these services.
pub fn sender(options: &Options) -> Sender {
    let services = Services::load(options).expect("services that can be loaded");
    Sender::new(services, tokio::runtime::Handle::current())
}

/// Pushes, and waits for what becomes of it.
pub async fn push(sender: &Sender, push: Push, patience: Duration) -> Outcome {
    sender.deliver(push, patience, Cancel::default()).await
}

/// The header and the claims of a token whose signature has to be good.
pub fn claims(token: &str, point: &[u8]) -> (Value, Value) {
    tokens::es256(token, point).expect("a good signature")
}
