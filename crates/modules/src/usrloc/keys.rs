//! `ul_add_key()`, `ul_get_key()`, `ul_del_key()`: values that a script keeps with an address of record (usrloc, Exported
//! Functions). They live as long as it has a binding, and are stored with each of its rows.

use std::sync::Arc;

use seawall_location::Domain;
use seawall_registrar::{Aor, aor};
use seawall_script::{Call, Flow, Value};

use crate::context::Context;
use crate::events::Gather;
use crate::registrar::Table;
use crate::store::{self, Held, Known, Saved, kv, limits};

/// `ul_add_key(domain, aor, key, value)`.
pub(super) fn add(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let value = call.str(3).filter(|value| !value.is_empty()).map(<[u8]>::to_vec);
    set(context, call, value)
}

/// `ul_del_key(domain, aor, key)`.
pub(super) fn delete(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    set(context, call, None)
}

/// `ul_get_key(domain, aor, key, destination)`.
pub(super) fn get(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let Some(asked) = Asked::new(context, call) else { return Flow::FALSE };
    let output = call.output(context, 3);
    if !store::lacks(context, &asked.domain, &asked.aor) {
        let Some(value) = asked.find(context) else { return Flow::FALSE };
        return Flow::bool(call.write(context, 3, Value::str(&value)).is_ok());
    }
    let (domain, name) = (Arc::clone(&asked.domain), asked.aor.clone());
    store::when_known(context, &domain, name, move |context, known| {
        let Known::Yes(_held) = known else { return Flow::FALSE };
        let Some(value) = asked.find(context) else { return Flow::FALSE };
        context.rare.outputs.extend(output.map(|output| (output, Value::str(&value))));
        Flow::TRUE
    })
}

/// The key that a script is after.
struct Asked {
    domain: Arc<Domain>,
    aor: Aor,
    key: Vec<u8>,
}

impl Asked {
    fn new(context: &Context, call: &Call<'_, Context>) -> Option<Asked> {
        let domain = call.prepared::<Table>(0).and_then(|table| table.domain(context))?;
        let key = call.str(2).filter(|key| !key.is_empty())?.to_vec();
        Some(Asked { domain: Arc::clone(domain), aor: canonical(context, call.str(1)?)?, key })
    }

    fn find(&self, context: &Context) -> Option<Vec<u8>> {
        let entry = self.domain.lock(&self.aor, context.now_s);
        // A store of somebody whose bindings have all ended is gone, whether or not they were removed yet.
        entry.valid().next()?;
        kv::get(entry.keys(), &self.key)
    }
}

/// The address of record of `user@host` or of a URI; without `use_domain` of a user alone, too.
fn canonical(context: &Context, text: &[u8]) -> Option<Aor> {
    let policy = &context.configuration.settings.registrar.policy;
    let uri = if text.starts_with(b"sip:") || text.starts_with(b"sips:") {
        text.to_vec()
    } else if policy.use_domain || text.contains(&b'@') {
        [b"sip:", text].concat()
    } else {
        // Its host is not looked at.
        [b"sip:", text, b"@localhost"].concat()
    };
    let mut name = Aor::new();
    aor::canonical_text(&uri, policy, &mut name).ok()?;
    Some(name)
}

fn set(context: &mut Context, call: &mut Call<'_, Context>, value: Option<Vec<u8>>) -> Flow {
    let Some(asked) = Asked::new(context, call) else { return Flow::FALSE };
    let line = call.line();
    if !store::lacks(context, &asked.domain, &asked.aor) {
        return change(context, &asked, value.as_deref(), None, line);
    }
    let (domain, name) = (Arc::clone(&asked.domain), asked.aor.clone());
    store::when_known(context, &domain, name, move |context, known| match known {
        Known::Yes(held) => change(context, &asked, value.as_deref(), held, line),
        Known::Failed => Flow::FALSE,
    })
}

/// Changes the store; the script goes on when the database has it.
fn change(context: &mut Context, asked: &Asked, value: Option<&[u8]>, held: Option<Held>, line: u32) -> Flow {
    let node = Arc::clone(&context.node);
    // No event belongs to it, so no route listens.
    let mut sink = Gather::new(&node, false, &mut context.events);
    if node.store.is_through() {
        sink.wait_for();
    }
    let mut entry = asked.domain.lock(&asked.aor, context.now_s);
    if entry.valid().next().is_none() {
        return Flow::FALSE;
    }
    let keys = kv::set(entry.keys(), &asked.key, value);
    if keys.len() > limits::KEYS_OF_AOR {
        tracing::error!("line {line}: ul_add_key: the values of one address of record take too much room");
        return Flow::FALSE;
    }
    if keys == entry.keys() {
        return Flow::TRUE;
    }
    let is_set = entry.set_keys(&keys, &mut sink).is_ok();
    drop(entry);
    let drafted = sink.finish();
    drop(sink);
    let Some(drafted) = drafted.filter(|_| is_set) else { return Flow::bool(is_set) };
    let saved = Saved::new(context, Some(drafted));
    if !saved.has_to_wait(context) {
        return Flow::TRUE;
    }
    store::when_kept(context, saved, move |_, kept| {
        drop(held);
        Flow::bool(kept)
    })
}
