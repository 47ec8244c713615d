//! Push in the running server: the senders on the control side's runtime, and what follows when a phone is gone.

use std::sync::{Arc, Weak};

use seawall_control::server::{PushService, Statistic, StatisticKind};
use seawall_location::{Binding, Domain, Removal};
use seawall_modules::events::{Gather, push_failed};
use seawall_modules::node::Node;
use seawall_modules::push::{self, PushedContact, Wake};
use seawall_net::{CommandSender, unix_s};
use seawall_push::{Sender, Services};

use crate::worker::Command;

/// Gives the node its senders.
pub fn start(node: &Arc<Node>, runtime: &tokio::runtime::Handle, commands: CommandSender<Command>) {
    let _ = node.push.sender.set(Sender::new(Services::default(), runtime.clone()));
    // The node holds the closure: it must not hold the node.
    let weak: Weak<Node> = Arc::downgrade(node);
    let commands_too = commands.clone();
    let _ = node.push.on_dead.set(Box::new(move |dead| {
        if let Some(node) = weak.upgrade() {
            remove(&node, &commands, &dead);
        }
    }));
    let _ = node.push.on_failure.set(Box::new(move |failed| {
        let event = push_failed(&failed.domain, &failed.aor, &failed.contact);
        // A worker whose queue is full is overloaded; who waits does so until the time for it is over.
        let _ = commands_too.send(0, Command::Raise(vec![event]));
    }));
    apply(node);
}

/// Gives the senders the keys and templates of the present configuration.
pub fn apply(node: &Node) {
    let Some(sender) = node.push.sender.get() else { return };
    let configuration = node.configuration.load();
    sender.replace(
        configuration.settings.push.as_ref().map(|push| Arc::clone(&push.services)).unwrap_or_default(),
    );
}

/// Removes the binding of a phone that is gone; event routes that wait for it are run by a worker.
fn remove(node: &Node, commands: &CommandSender<Command>, dead: &PushedContact) {
    let Some(domain) = node.location.domain(&dead.domain) else { return };
    let mut events = Vec::new();
    let listens = node.configuration.load().routes.location_events;
    let now_s = unix_s();
    let mut sink = Gather::new(node, listens, &mut events);
    // A phone that has registered in between with another token has another contact, which stays.
    let which = |_: usize, binding: &Binding<'_>| {
        (binding.contact == dead.contact).then_some(Removal::Administrative)
    };
    domain.lock(&dead.aor, now_s).remove(&mut sink, which);
    drop(sink);
    if !events.is_empty() {
        // A worker whose queue is full is overloaded; the change itself stands.
        let _ = commands.send(0, Command::Raise(events));
    }
}

/// Pushes to the contacts of an address of record, and gives their number; nothing if it has no bindings.
pub fn wake_all(node: &Arc<Node>, table: &Domain, domain: &str, aor: &[u8], reason: &[u8]) -> Option<usize> {
    let contacts: Vec<Vec<u8>> = {
        let entry = table.lock(aor, unix_s());
        entry.bindings().map(|binding| binding.contact.to_vec()).collect()
    };
    let woken = |contact: &&Vec<u8>| {
        let wake = Wake { domain, aor, contact: contact.as_slice(), reason, ..Wake::default() };
        push::wake(node, &wake).is_some()
    };
    (!contacts.is_empty()).then(|| contacts.iter().filter(woken).count())
}

/// The statistics of the module.
pub fn statistics(node: &Node, each: &mut dyn FnMut(&Statistic<'_>)) {
    let Some(sender) = node.push.sender.get() else { return };
    let lanes: Vec<_> = sender.status().iter().map(|status| status.lane.all()).collect();
    let Some(first) = lanes.first() else { return };
    for (index, (name, doc, _)) in
        first.iter().enumerate().filter(|(_, (name, ..))| *name != "latency_most_us")
    {
        let value = lanes.iter().filter_map(|lane| lane.get(index)).map(|(_, _, value)| value).sum();
        each(&Statistic { group: "push", name, value, kind: StatisticKind::Counter, doc });
    }
    let doc = "Pushes that wait for their turn or for an answer.";
    let value = sender.waiting() as u64;
    each(&Statistic { group: "push", name: "waiting", value, kind: StatisticKind::Gauge, doc });
}

/// What each service does at this moment, for MI.
pub fn services(node: &Node, each: &mut dyn FnMut(&PushService<'_>)) {
    let Some(sender) = node.push.sender.get() else { return };
    for status in sender.status().iter().filter(|status| status.configured) {
        let counters = status.lane.all();
        let counters: Vec<(&str, u64)> = counters.iter().map(|(name, _, value)| (*name, *value)).collect();
        each(&PushService { name: status.provider.name(), held: status.held, counters: &counters });
    }
}
