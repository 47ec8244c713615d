//! From which kinds of routes a function can be reached, through all calls of routes.

use std::collections::HashSet;

use super::Compiler;
use crate::declare::{Module, RouteKind};
use crate::host::Host;
use crate::program::RouteId;

impl<C: Host> Compiler<'_, C> {
    /// Checks that every function is only reached from routes that may call it. A `route[name]` counts as whatever calls it; one
    /// that nothing calls counts as part of the request route.
    pub(super) fn check_reach(&mut self) {
        let called: HashSet<RouteId> = self.edges.iter().map(|(_, callee)| *callee).collect();
        let mut starts = Vec::new();
        for (index, route) in self.routes.iter().enumerate() {
            let Ok(id) = u16::try_from(index).map(RouteId) else { return };
            let is_sub_route = route.kind == RouteKind::Request && !route.name.is_empty();
            if !is_sub_route || !called.contains(&id) {
                starts.push((id, route.kind, route_title(route.kind, &route.name)));
            }
        }
        for (start, kind, title) in starts {
            let reached = self.reached_from(start);
            for (route, function, span) in &self.uses {
                if function.routes.allows(kind.routes()) || !reached.contains(route) {
                    continue;
                }
                let message = format!("`{}` cannot be called in {}", function.name, article(kind));
                let error = self.diagnostics.error(*span, message);
                if *route != start {
                    error.label(format!("reached from `{title}`"));
                }
            }
        }
    }

    /// A function that can do nothing without a parameter of its module is refused where that is not set.
    pub(super) fn check_needs(&mut self) {
        for (_, function, span) in &self.uses {
            let (function, needed) = (*function, function.needs_parameter);
            let is_its_own = |module: &&&Module<C>| {
                module.functions.iter().any(|declared| std::ptr::eq(declared, function))
            };
            let Some(module) = self.modules.iter().find(is_its_own).filter(|_| !needed.is_empty()) else {
                continue;
            };
            if !self.parameters.is_set(module.name, needed) {
                let message = format!("`{}` needs the parameter `{needed}`", function.name);
                let help = format!("add `modparam(\"{}\", \"{needed}\", …)`", module.name);
                self.diagnostics.error(*span, message).help(help);
            }
        }
    }

    fn reached_from(&self, start: RouteId) -> HashSet<RouteId> {
        let mut reached = HashSet::from([start]);
        let mut open = vec![start];
        while let Some(route) = open.pop() {
            for (caller, callee) in &self.edges {
                if *caller == route && reached.insert(*callee) {
                    open.push(*callee);
                }
            }
        }
        reached
    }
}

fn route_title(kind: RouteKind, name: &str) -> String {
    if name.is_empty() { kind.keyword().to_string() } else { format!("{}[{name}]", kind.keyword()) }
}

fn article(kind: RouteKind) -> String {
    let word = kind.keyword();
    let article = if word.starts_with(['a', 'e', 'o']) { "an" } else { "a" };
    match kind {
        RouteKind::Request => "the request route".to_string(),
        _ => format!("{article} `{word}`"),
    }
}
