//! While the table of bindings is being loaded: whoever is asked for before his turn is read first, with what the main
//! registrars hold of him.

use std::sync::Arc;

use seawall_location::Domain;
use seawall_registrar::mid::Sought;
use seawall_registrar::{Aor, SaveFlags, aor};
use seawall_script::Flow;
use seawall_sip::name_addr::address;
use seawall_sip::{Name, Uri};

use super::{Asked, Front, MidSettings, look_up as look_up_in_memory, refuse, serve};
use crate::context::Context;
use crate::registrar::LookupPlan;
use crate::store::{self, Known, Refused};
use crate::waiting::{Answer, Errand};

/// The address of record of a REGISTER, if the database has to be asked about it first.
#[inline]
pub(super) fn missing(
    context: &Context,
    front: &Front,
    settings: &MidSettings,
    given: Option<&[u8]>,
) -> Option<Aor> {
    if !store::may_lack(context, &front.domain) {
        return None;
    }
    let uri = match given {
        Some(given) => given,
        None => address(context.message(), Name::To).ok()?.uri,
    };
    let mut name = Aor::new();
    // What cannot be read is refused by who reads it next.
    aor::canonical_text(uri, &settings.policy, &mut name).ok()?;
    store::lacks(context, &front.domain, &name).then_some(name)
}

/// Serves a REGISTER when the database has said what it knows.
pub(super) fn serve_when_known(
    context: &mut Context,
    front: Arc<Front>,
    settings: Arc<MidSettings>,
    asked: &Asked<'_>,
    name: Aor,
) -> Flow {
    let flags: SaveFlags = asked.flags.clone();
    let given = asked.aor.map(<[u8]>::to_vec);
    let (outgoing_expires_s, tag, connection) = (asked.outgoing_expires_s, asked.tag, asked.connection);
    let values = asked.values.clone();
    let domain = Arc::clone(&front.domain);
    store::when_known(context, &domain, name, move |context, known| match known {
        Known::Yes(_) => {
            let aor = given.as_deref();
            let asked = Asked { flags: &flags, aor, outgoing_expires_s, tag, connection, values };
            serve(context, &front, settings, &asked)
        }
        Known::Failed => refuse(context, &settings, flags.no_reply, Refused::Failed),
    })
}

/// `mid_registrar_lookup()` when the database has said what it knows about everybody who is looked up.
pub(super) fn look_up(
    context: &mut Context,
    domain: Arc<Domain>,
    settings: Arc<MidSettings>,
    plan: &LookupPlan,
    given: Option<Vec<u8>>,
) -> Flow {
    match unknown(context, &domain, &settings, plan, given.as_deref(), &[]) {
        None => look_up_in_memory(context, &domain, &settings, plan, given.as_deref()),
        Some(sought) => {
            let wanted = Wanted { domain, settings, plan: plan.clone(), given, asked: Vec::new() };
            ask(context, wanted, sought)
        }
    }
}

/// A look-up that waits.
struct Wanted {
    domain: Arc<Domain>,
    settings: Arc<MidSettings>,
    plan: LookupPlan,
    given: Option<Vec<u8>>,
    /// About whom the database was asked.
    asked: Vec<Sought>,
}

/// The first who is looked up and about whom the database has to be asked before; it was about `asked`.
fn unknown(
    context: &Context,
    domain: &Domain,
    settings: &MidSettings,
    plan: &LookupPlan,
    given: Option<&[u8]>,
    asked: &[Sought],
) -> Option<Sought> {
    if !store::may_lack(context, domain) {
        return None;
    }
    let branches =
        context.rare.branches.iter().filter(|_| plan.flags.branch).map(|branch| (&*branch.uri, None));
    let all = std::iter::once((context.request_uri(), given)).chain(branches);
    all.filter_map(|(uri, given)| sought(settings, uri, given)).find(|sought| {
        let lacks = match sought {
            Sought::Contact(id) => domain.contact(*id, |_, _| ()).is_none(),
            Sought::AddressOfRecord(name) => store::lacks(context, domain, name),
        };
        lacks && !asked.contains(sought)
    })
}

fn sought(settings: &MidSettings, uri: &[u8], given: Option<&[u8]>) -> Option<Sought> {
    let policy = &settings.policy;
    if given.is_none()
        && let Some(gruu) = policy.gruu.as_deref()
        && let Some(wanted) = Uri::parse(uri).ok().and_then(|uri| gruu.read(&uri, policy))
    {
        return wanted.ok().map(|wanted| Sought::AddressOfRecord(wanted.aor));
    }
    settings.mid.sought(policy, uri, given).ok().flatten()
}

fn ask(context: &mut Context, mut wanted: Wanted, sought: Sought) -> Flow {
    let (node, domain, now_s) = (Arc::clone(&context.node), Arc::clone(&wanted.domain), context.now_s);
    wanted.asked.push(sought.clone());
    let task = async move {
        let is_known = match &sought {
            Sought::Contact(id) => node.store.read_contact(&domain, *id, now_s).await,
            Sought::AddressOfRecord(name) => node.store.read(&domain, name, now_s).await,
        };
        Box::new(is_known) as Answer
    };
    context.wait(Errand::Task(Box::pin(task)), move |context, answer| {
        let is_known = answer.and_then(|answer| answer.downcast::<bool>().ok()).is_some_and(|known| *known);
        if !is_known {
            return Flow::Value(-3);
        }
        let Wanted { domain, settings, plan, given, asked } = &wanted;
        match unknown(context, domain, settings, plan, given.as_deref(), asked) {
            None => look_up_in_memory(context, domain, settings, plan, given.as_deref()),
            Some(sought) => ask(context, wanted, sought),
        }
    })
}
