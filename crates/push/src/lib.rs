//! Push notifications (RFC 8599): waking a phone through APNs, FCM, Web Push or a gateway of one's own.
//!
//! [`Services::load`] reads keys and templates, [`Sender`] delivers on the control side's runtime: it waits for its turn
//! under the rate limit, asks, tries again with back-off, and gives up at the deadline. Whoever pushes is told the
//! [`Outcome`] by a callback; on [`Outcome::Dead`] the binding is to be removed.
//!
//! What is sent and how an answer is read (`apns`, `fcm`, `webpush`, `gateway`), tokens, encryption, templates and pace
//! are functions of their input and of the time that they are given; only `sender` touches the network and the clock.
//!
//! No secret is logged, shown by `Debug`, or part of an error.

mod apns;
mod encryption;
mod fcm;
mod gateway;
mod json;
mod jwt;
pub mod limits;
mod message;
mod metrics;
mod pace;
mod sender;
mod services;
mod template;
mod topic;
mod verdict;
mod webpush;

pub use message::{Outcome, Provider, Push};
pub use metrics::{Lane, Status};
pub use sender::{Cancel, Done, Sender};
pub use services::{
    ApnsLogin, ApnsOptions, FcmOptions, GatewayOptions, LoadError, Options, Services, WebPushOptions,
};
pub use template::{FIELDS, Style, Template};
