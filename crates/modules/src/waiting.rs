//! Functions that cannot answer at once: what they wait for, and how they go on.
//!
//! A function that calls [`Context::wait`] and returns what it gives parks its script: the worker keeps the frame and
//! the context and goes on with other traffic. The errand is run on the control side; its answer, or the end of
//! patience, calls the function's continuation on the same worker, whose flow is then the value of the function.

use std::any::Any;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use seawall_script::{Call, Flow, Frame, Mode, RouteId, Value};

use crate::context::Context;
use crate::event_routing::{Filter, Wanted};

/// What an errand brought back; the continuation knows its type.
pub type Answer = Box<dyn Any + Send>;

/// How a function goes on. `None`: there was no answer in time, or nobody to ask.
pub type Resume = Box<dyn FnOnce(&mut Context, Option<Answer>) -> Flow + Send>;

/// What a parked script waits for.
pub enum Errand {
    /// That a place in the journal of the store is decided. No answer comes; the continuation looks for itself.
    Commit(u64),
    /// The addresses of a host name: a `Vec<IpAddr>`, empty when it has none.
    Host(String),
    /// Anything that the control side's runtime can do: a query, a request over HTTP. It must not block its thread.
    Task(Pin<Box<dyn Future<Output = Answer> + Send>>),
    /// An event: its [`EventParameters`](crate::context::EventParameters). Nothing is run for it.
    Event(Await),
}

/// What a script does once it is certain that it will hear of an event. True when it need not wait after all.
pub type Begin = Box<dyn FnOnce(&mut Context) -> bool + Send>;

/// The event that a parked script waits for.
pub struct Await {
    /// For what.
    pub wanted: Wanted,
    /// What the event has to be like.
    pub filters: Vec<Filter>,
    /// Until when, in monotonic milliseconds.
    pub until_ms: u64,
    /// What makes the event happen, where something has to.
    pub begin: Option<Begin>,
}

/// A function that waits.
pub struct Wait {
    /// What for.
    pub errand: Errand,
    /// What it does then.
    pub resume: Resume,
    /// How long it waits in milliseconds, if not as long as everybody.
    pub patience_ms: Option<u64>,
}

/// What `launch` started: nobody waits for it, and a route of its own is run when it is done.
pub struct Launch {
    /// The function that waits.
    pub wait: Wait,
    /// The route, if the script named one.
    pub route: Option<RouteId>,
    /// Its `$param(1)`.
    pub parameter: Option<Value>,
}

/// Errands that one run of a script may launch and that have not been started yet.
const MAX_LAUNCHES: usize = 64;

impl Context {
    /// Parks the script until the errand is done. Its answer comes to `resume`, whose flow is the function's.
    ///
    /// Only scripts of a request, a failure, a timer, an event or `launch` can wait; in a reply or branch route
    /// `resume` never runs, and the route ends.
    #[must_use]
    pub fn wait(
        &mut self,
        errand: Errand,
        resume: impl FnOnce(&mut Context, Option<Answer>) -> Flow + Send + 'static,
    ) -> Flow {
        self.rare.waiting = Some(Wait { errand, resume: Box::new(resume), patience_ms: None });
        Flow::Pending
    }

    /// As [`Context::wait`], for a function that may also be launched, and with its own patience: in line and in `async`
    /// the script waits (no longer than the timeout of `async`), after `launch` it goes on. False when too much was launched already.
    #[must_use]
    pub fn wait_or_launch(
        &mut self,
        call: &Call<'_, Context>,
        errand: Errand,
        patience_ms: u64,
        resume: impl FnOnce(&mut Context, Option<Answer>) -> Flow + Send + 'static,
    ) -> Flow {
        let mut wait = Wait { errand, resume: Box::new(resume), patience_ms: Some(patience_ms) };
        match call.mode() {
            Mode::Launch { .. } if self.rare.launches.len() >= MAX_LAUNCHES => return Flow::FALSE,
            Mode::Launch { route } => {
                let parameter = call.launch_parameter().cloned();
                self.rare.launches.push(Launch { wait, route, parameter });
            }
            Mode::Async { timeout_s: Some(timeout_s) } => {
                let timeout_ms = u64::try_from(timeout_s).unwrap_or(0).saturating_mul(1000);
                wait.patience_ms = Some(patience_ms.min(timeout_ms));
                self.rare.waiting = Some(wait);
            }
            Mode::Inline | Mode::Async { timeout_s: None } => self.rare.waiting = Some(wait),
        }
        Flow::Pending
    }

    /// Parks the script until a host name is resolved. Its addresses, or their absence, stand in
    /// [`Context::resolved`] when `resume` runs.
    #[must_use]
    pub fn wait_for_host(
        &mut self,
        host: String,
        resume: impl FnOnce(&mut Context) -> Flow + Send + 'static,
    ) -> Flow {
        self.wait(Errand::Host(host.clone()), move |context, answer| {
            let addresses = answer.and_then(|answer| answer.downcast::<Vec<IpAddr>>().ok());
            context.rare.resolved.push((host, addresses.map(|addresses| *addresses).unwrap_or_default()));
            resume(context)
        })
    }

    /// Writes the variables that a function which waited has named, into the frame of its script.
    pub fn write_outputs(&mut self, frame: &mut Frame) {
        for (output, value) in std::mem::take(&mut self.rare.outputs) {
            let configuration = Arc::clone(&self.configuration);
            if let Err(error) = configuration.program.write_output(frame, self, &output, value) {
                tracing::error!("a variable was not written: {error}");
            }
        }
    }
}
