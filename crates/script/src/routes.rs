//! The kinds of routes, and sets of them.

/// The kinds of routes from which a function may be called: a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Routes(u16);

impl Routes {
    /// `route{}` and the sub-routes.
    pub const REQUEST: Routes = Routes(1);
    /// `failure_route`.
    pub const FAILURE: Routes = Routes(1 << 1);
    /// `branch_route`.
    pub const BRANCH: Routes = Routes(1 << 2);
    /// `onreply_route`.
    pub const ONREPLY: Routes = Routes(1 << 3);
    /// `local_route`.
    pub const LOCAL: Routes = Routes(1 << 4);
    /// `startup_route`.
    pub const STARTUP: Routes = Routes(1 << 5);
    /// `timer_route`.
    pub const TIMER: Routes = Routes(1 << 6);
    /// `event_route`.
    pub const EVENT: Routes = Routes(1 << 7);
    /// `error_route`.
    pub const ERROR: Routes = Routes(1 << 8);
    /// Every route.
    pub const ALL: Routes = Routes((1 << 9) - 1);

    /// The union with another set.
    pub const fn or(self, other: Routes) -> Routes {
        Routes(self.0 | other.0)
    }

    /// Whether the sets share a route.
    pub const fn allows(self, other: Routes) -> bool {
        self.0 & other.0 != 0
    }
}

/// The kinds of routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RouteKind {
    /// `route{}` (name empty) and `route[name]`.
    Request,
    /// `branch_route[name]`.
    Branch,
    /// `failure_route[name]`.
    Failure,
    /// `onreply_route{}` (name empty) and `onreply_route[name]`.
    Reply,
    /// `error_route{}`.
    Error,
    /// `local_route{}`.
    Local,
    /// `startup_route{}`.
    Startup,
    /// `timer_route[name, seconds]`.
    Timer,
    /// `event_route[E_NAME]`.
    Event,
}

impl RouteKind {
    /// The word that opens such a route.
    pub const fn keyword(self) -> &'static str {
        match self {
            RouteKind::Request => "route",
            RouteKind::Branch => "branch_route",
            RouteKind::Failure => "failure_route",
            RouteKind::Reply => "onreply_route",
            RouteKind::Error => "error_route",
            RouteKind::Local => "local_route",
            RouteKind::Startup => "startup_route",
            RouteKind::Timer => "timer_route",
            RouteKind::Event => "event_route",
        }
    }

    /// The set with only this kind.
    pub const fn routes(self) -> Routes {
        match self {
            RouteKind::Request => Routes::REQUEST,
            RouteKind::Branch => Routes::BRANCH,
            RouteKind::Failure => Routes::FAILURE,
            RouteKind::Reply => Routes::ONREPLY,
            RouteKind::Error => Routes::ERROR,
            RouteKind::Local => Routes::LOCAL,
            RouteKind::Startup => Routes::STARTUP,
            RouteKind::Timer => Routes::TIMER,
            RouteKind::Event => Routes::EVENT,
        }
    }
}
