//! Events on their way to those who wait for them.

use std::sync::Arc;

use seawall_modules::context::{Context, EventParameters, nowhere};
use seawall_modules::event_routing::{self, Delivery, Notify, Subscription, Then};
use seawall_modules::registrar::waking::{self, Wait};
use seawall_modules::waiting::{Answer, Await};
use seawall_net::Io;
use seawall_script::{Flow, RouteKind};

use crate::worker::{Command, Worker};

impl Worker {
    /// Tells everybody who waits for an event, its event route apart.
    pub(crate) fn deliver(&mut self, io: &mut Io, event: &EventParameters) {
        for delivery in self.node.subscriptions.deliver(event, io.now_ms()) {
            match delivery {
                Delivery::Route(notify) => self.notify(io, &notify, event),
                Delivery::Resume { worker, ticket } => {
                    let answer: Answer = Box::new(event.clone());
                    // By the queue to this worker too: the script may be just about to be parked. One whose worker is
                    // overloaded goes on when its patience ends.
                    self.links.send(worker, Command::Answered { ticket, answer });
                }
                Delivery::Inject(wait) => self.arrived(io, &wait, event),
                Delivery::GiveUp(wait) => self.lost(io, &wait),
                Delivery::Datagram(to) => self.node.datagrams.send(&to, event),
                Delivery::Settle(id) => self.node.outstanding.finish(id),
            }
        }
    }

    /// Runs a route that `notify_on_event()` has named.
    fn notify(&mut self, io: &mut Io, notify: &Arc<Notify>, event: &EventParameters) {
        let mut context = self.take_context(io, &nowhere(), RouteKind::Event);
        context.configuration = Arc::clone(&notify.configuration);
        context.rare.notice.clone_from(&notify.transaction);
        context.rare.notice_is_pushed = event.subject.as_ref().is_some_and(|subject| subject.is_pushed);
        event_routing::expose(&mut context, event);
        let frame = self.take_frame(notify.route);
        self.run(io, context, frame);
    }

    /// A phone that a request waits for has registered.
    fn arrived(&mut self, io: &mut Io, wait: &Arc<Wait>, event: &EventParameters) {
        let mut context = self.take_context(io, &nowhere(), RouteKind::Event);
        if waking::arrived(&mut context, wait, event) == Flow::Pending {
            return self.park_without_frame(io, context);
        }
        self.follow_up(io, &mut context);
        self.finish_quietly(io, context);
    }

    /// A phone that a request waits for will not wake.
    fn lost(&mut self, io: &mut Io, wait: &Arc<Wait>) {
        let mut context = self.take_context(io, &nowhere(), RouteKind::Event);
        waking::lost(&mut context, wait);
        self.follow_up(io, &mut context);
        self.finish_quietly(io, context);
    }

    /// Subscribes a script that is about to be parked under `ticket`, and lets it do what makes the event happen. False
    /// when it need not wait, or cannot.
    pub(crate) fn wait_for(
        &mut self,
        io: &mut Io,
        context: &mut Context,
        ticket: u64,
        awaited: Await,
    ) -> bool {
        let Await { wanted, filters, until_ms, begin } = awaited;
        let then = Then::Resume { worker: self.index, ticket };
        let added = self.node.subscriptions.add(Subscription { wanted, filters, until_ms, then });
        let Some(number) = added else { return false };
        if begin.is_some_and(|begin| begin(context)) {
            self.node.subscriptions.remove(number);
            return false;
        }
        let events = std::mem::take(&mut context.events);
        self.raise(io, events);
        true
    }
}
