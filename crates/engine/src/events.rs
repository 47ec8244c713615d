//! What follows from a route: event routes for what changed, and routes that `launch` started. Also what time does to
//! the location table.

use seawall_modules::context::{Context, EventParameters, nowhere};
use seawall_modules::events::Gather;
use seawall_modules::registrar::waking;
use seawall_modules::usrloc::event;
use seawall_net::Io;
use seawall_script::RouteKind;

use crate::limits::{EXPIRE_BUDGET, FOLLOWING_ROUTES};
use crate::worker::Worker;

impl Worker {
    /// Runs the routes that wait for what a route did.
    #[inline(always)]
    pub(crate) fn follow_up(&mut self, io: &mut Io, context: &mut Context) {
        if context.rare.is_touched() {
            self.start_launched(io, context);
            if !context.rare.launches.is_empty() {
                self.launch(io, context);
            }
        }
        if !context.events.is_empty() {
            self.raise_own(io, context);
        }
    }

    fn raise_own(&mut self, io: &mut Io, context: &mut Context) {
        let events = std::mem::take(&mut context.events);
        self.raise(io, events);
    }

    /// Runs the routes of `launch` whose functions had their values at once.
    pub(crate) fn start_launched(&mut self, io: &mut Io, context: &mut Context) {
        if !context.rare.launched.is_empty() {
            for launched in std::mem::take(&mut context.rare.launched) {
                let mut started = self.take_context(io, &context.origin, RouteKind::Request);
                if let Some(request) = context.packet.shared() {
                    started.packet.share(std::sync::Arc::clone(request));
                }
                let mut frame = self.take_frame(launched.route);
                frame.set_return_code(launched.code);
                if let Some(parameter) = launched.parameter {
                    frame.parameter(parameter);
                }
                self.run(io, started, frame);
            }
        }
    }

    /// Runs the event routes of a list of events.
    pub(crate) fn raise(&mut self, io: &mut Io, events: Vec<EventParameters>) {
        for event in events.into_iter().take(FOLLOWING_ROUTES) {
            self.deliver(io, &event);
            let Some(route) = self.configuration.event_route(&event.name) else { continue };
            let context = self.take_context(io, &nowhere(), RouteKind::Event);
            let mut frame = self.take_frame(route);
            for (name, value) in event.values {
                frame.named_parameter(name.as_bytes(), value);
            }
            self.run(io, context, frame);
        }
    }

    /// Removes what has expired in this worker's part of the location table. True when there is more.
    pub(crate) fn expire(&mut self, io: &mut Io) -> bool {
        let now_s = io.unix_s();
        let node = std::sync::Arc::clone(&self.node);
        let listens = self.configuration.routes.location_events;
        let mut events = Vec::new();
        let mut more = false;
        let refresh_before_s = self.configuration.refresh_before_s();
        for domain in node.location.domains() {
            domain.set_refresh_before(refresh_before_s);
            let mut sink = Gather::new(&node, listens, &mut events);
            for shard in (self.index..domain.shard_count()).step_by(node.workers.max(1)) {
                more |= domain.expire(shard, now_s, EXPIRE_BUDGET, &mut sink);
            }
        }
        let now_ms = io.now_ms();
        // A phone that is being woken already is not woken again.
        events
            .retain(|event| *event.name != *event::CONTACT_REFRESH || waking::refresh(&node, now_ms, event));
        self.raise(io, events);
        more
    }
}
