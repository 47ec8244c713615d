//! What parked scripts wait for, done on the control side's runtime.

use std::net::IpAddr;
use std::time::Duration;

use seawall_modules::waiting::{Answer, Errand};
use seawall_net::CommandSender;
use tokio::runtime::Handle;

use crate::limits::{ANSWER_AGAIN_MS, ANSWER_TRIES};
use crate::resolver::Resolver;
use crate::worker::Command;

/// Runs errands and sends their answers to the worker whose script waits.
pub struct Errands {
    runtime: Handle,
    resolver: Resolver,
}

impl Errands {
    /// Errands that are run by this runtime.
    #[must_use]
    pub fn new(runtime: Handle) -> Self {
        Self { runtime, resolver: Resolver::default() }
    }

    /// The addresses of a host name for somebody who asks again later: none while they are being sought, which begins
    /// now if `ask` says so.
    #[must_use]
    pub fn addresses(&self, host: &str, ask: bool) -> Option<Vec<IpAddr>> {
        let known = self.resolver.remembered(host);
        if known.is_none() && ask {
            let (resolver, host) = (self.resolver.clone(), host.to_owned());
            self.runtime.spawn(async move { drop(resolver.addresses(host).await) });
        }
        known
    }

    /// Starts an errand for the parked script `ticket` of `worker`. False when its answer is known at once but cannot
    /// be delivered.
    pub fn run(&self, commands: CommandSender<Command>, worker: usize, ticket: u64, errand: Errand) -> bool {
        match errand {
            // The worker looks after these itself.
            Errand::Commit(_) => return false,
            Errand::Host(host) => {
                if let Some(addresses) = self.resolver.remembered(&host) {
                    let answer: Answer = Box::new(addresses);
                    return commands.send(worker, Command::Answered { ticket, answer }).is_ok();
                }
                let resolver = self.resolver.clone();
                self.runtime.spawn(async move {
                    let answer: Answer = Box::new(resolver.addresses(host).await);
                    deliver(&commands, worker, Command::Answered { ticket, answer }).await;
                });
            }
            // Whoever waits for an event hears of it from a worker.
            Errand::Event(_) => return false,
            Errand::Task(task) => {
                self.runtime.spawn(async move {
                    let answer = task.await;
                    deliver(&commands, worker, Command::Answered { ticket, answer }).await;
                });
            }
        }
        true
    }
}

/// Puts an answer into a worker's queue. One that stays full belongs to a worker that is overloaded; the script goes on
/// by the bound on waiting then.
async fn deliver(commands: &CommandSender<Command>, worker: usize, command: Command) {
    let mut command = command;
    for _ in 0..ANSWER_TRIES {
        match commands.send(worker, command) {
            Ok(()) => return,
            Err(refused) => command = refused,
        }
        tokio::time::sleep(Duration::from_millis(ANSWER_AGAIN_MS)).await;
    }
}
