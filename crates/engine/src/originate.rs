//! Requests of the server itself on their way: `local_route`, sending, and the end.

use std::sync::Arc;

use seawall_modules::context::{Context, nowhere};
use seawall_modules::mid_registrar;
use seawall_modules::originate::{self, Ended, OwnRequest, Sent};
use seawall_modules::reg_event;
use seawall_modules::statistics::Stat;
use seawall_modules::tm::state::TransactionState;
use seawall_net::Io;
use seawall_script::RouteKind;

use crate::limits::OWN_REQUESTS;
use crate::worker::Worker;

impl Worker {
    /// Takes the requests that a route or a callback wants sent. They follow what the route has said already.
    pub(crate) fn take_own_requests(&mut self, context: &mut Context) {
        for request in context.own_requests.drain(..) {
            if self.own_requests.len() < OWN_REQUESTS {
                self.own_requests.push_back(request);
            } else {
                // Whoever made it is told, so that nothing waits for ever.
                self.refused_requests.push(request);
            }
        }
    }

    /// Sends one request of our own that waits. False when none does.
    pub(crate) fn send_next_own_request(&mut self, io: &mut Io) -> bool {
        while let Some(request) = self.refused_requests.pop() {
            let mut context = self.take_context(io, &nowhere(), RouteKind::Local);
            if originate::prepare(&mut context, request) {
                originate::fail(&mut context);
            }
            self.finish_quietly(io, context);
        }
        let Some(request) = self.own_requests.pop_front() else { return false };
        self.originate(io, request);
        true
    }

    /// Runs `local_route` over a request of our own and sends it.
    fn originate(&mut self, io: &mut Io, request: OwnRequest) {
        let mut context = self.take_context(io, &nowhere(), RouteKind::Local);
        if !originate::prepare(&mut context, request) {
            return self.finish_quietly(io, context);
        }
        self.node.counters.bump(self.index, Stat::OwnRequests);
        match self.configuration.routes.local {
            Some(route) => {
                let frame = self.take_frame(route);
                self.run(io, context, frame);
            }
            None => self.depart(io, context, false),
        }
    }

    /// Sends the request that `local_route` has ended for, unless the route dropped it.
    pub(crate) fn depart(&mut self, io: &mut Io, mut context: Box<Context>, dropped: bool) {
        if dropped {
            originate::fail(&mut context);
        }
        match originate::send(&mut context) {
            Sent::Done => self.finish_quietly(io, context),
            Sent::Later => self.park_without_frame(io, context),
        }
    }

    /// Makes the NOTIFYs that are due.
    pub(crate) fn notify_watchers(&mut self, io: &mut Io) {
        let mut context = self.take_context(io, &nowhere(), RouteKind::Event);
        reg_event::take_due(&mut context);
        self.finish_quietly(io, context);
    }

    /// Takes away from main registrars what is gone here.
    pub(crate) fn look_after_fronts(&mut self, io: &mut Io) {
        let mut context = self.take_context(io, &nowhere(), RouteKind::Event);
        mid_registrar::tick(&mut context);
        self.finish_quietly(io, context);
    }

    /// A request of our own has ended.
    pub(crate) fn own_request_ended(&mut self, io: &mut Io, state: &Arc<TransactionState>, ended: &Ended) {
        let mut context = self.take_context(io, &nowhere(), RouteKind::Local);
        originate::ended(&mut context, state, ended);
        self.finish_quietly(io, context);
    }
}
