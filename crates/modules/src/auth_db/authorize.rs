//! `www_authorize()` and `proxy_authorize()`.

use std::sync::Arc;

use seawall_digest::{Answer, Ha1, Hash};
use seawall_script::{Call, Flow, Value};
use seawall_storage::{Cell, Database, Identifier, Select, StorageError};

use crate::auth::check::{self, Judged, Kind, Known};
use crate::auth_db::AuthDbSettings;
use crate::auth_db::users::{Found, Name, Record};
use crate::context::Context;
use crate::waiting::{self, Errand};

/// How old, in seconds, what is remembered may be when a password does not fit: a password that was just changed is then
/// looked up again, and somebody who guesses passwords asks the database once a second at most.
const RECHECK_S: u64 = 1;

/// Where the user of credentials is looked for.
enum Source {
    /// Among those that were looked up.
    Remembered,
    /// In the database, whatever is remembered.
    Database,
    /// The database has answered.
    Answered(Found),
}

/// What one look at the credentials came to.
struct Look {
    judged: Judged,
    /// Whom to look up: user name and realm.
    wanted: Option<(Vec<u8>, Vec<u8>)>,
    record: Option<Arc<Record>>,
    /// When the record was read.
    read_s: u64,
}

pub(super) fn authorize(context: &mut Context, call: &mut Call<'_, Context>, kind: Kind) -> Flow {
    let named;
    let table = match call.prepared::<Identifier>(1) {
        Some(table) => table,
        None => {
            let Some(table) = super::table(call, 1) else { return Flow::Value(-5) };
            named = table;
            &named
        }
    };
    let realm = call.str(0).unwrap_or_default();
    let mut look = look(context, kind, realm, table, Source::Remembered);
    let is_old = look.read_s.saturating_add(RECHECK_S) <= context.now_s;
    if look.judged == Judged::Wrong(-2) && look.record.is_some() && is_old {
        look = self::look(context, kind, realm, table, Source::Database);
    }
    match look.wanted.take() {
        Some((username, realm_of_answer)) => {
            let given = realm.to_vec();
            let table = table.clone();
            ask(context, kind, given, table, username, realm_of_answer)
        }
        None => settle(context, look),
    }
}

fn hash(context: &Context, name: &Name<'_>) -> u64 {
    context.node.authentication.process_key().fingerprint(&name.parts())
}

/// Judges the credentials with what a source knows.
fn look(context: &Context, kind: Kind, realm: &[u8], table: &Identifier, source: Source) -> Look {
    let mut look = Look { judged: Judged::Later, wanted: None, record: None, read_s: context.now_s };
    let Some(settings) = &context.configuration.settings.auth_db else {
        look.judged = Judged::Unavailable;
        return look;
    };
    // Where the realm is the domain in question, a user of another domain is not meant, even if the passwords are stored
    // in a way that would let the hash come out right: alice@b.example is not alice@a.example.
    let of_domain = settings.use_domain && realm.is_empty();
    let judged = check::judge(context, kind, realm, |answer, realm| {
        if of_domain && answer.user_and_domain().1.is_some_and(|domain| !domain.eq_ignore_ascii_case(realm)) {
            return Known::Nobody;
        }
        let name = Name { table: table.as_str(), realm, username: &answer.username };
        let found = match source {
            Source::Remembered => settings.users.find(hash(context, &name), name, context.now_s),
            Source::Database => None,
            Source::Answered(found) => Some((found, context.now_s)),
        };
        match found {
            Some((Some(record), read_s)) => {
                let ha1 = record.ha1(answer.algorithm.hash);
                (look.record, look.read_s) = (Some(record), read_s);
                ha1.map_or(Known::Unusable, Known::Ha1)
            }
            Some((None, _)) => Known::Nobody,
            None => {
                look.wanted = Some((answer.username.to_vec(), realm.to_vec()));
                Known::Later
            }
        }
    });
    look.judged = judged;
    look
}

/// Keeps the verdict; the columns of `load_credentials` become variables of somebody who is in.
fn settle(context: &mut Context, look: Look) -> Flow {
    if let (Judged::Right(..), Some(record)) = (look.judged, look.record)
        && !record.values.is_empty()
    {
        let configuration = Arc::clone(&context.configuration);
        let load = configuration.settings.auth_db.iter().flat_map(|settings| &settings.load);
        for ((name, _), value) in load.zip(&record.values) {
            if !value.is_null() {
                context.rare.avps.add(name, value.clone());
            }
        }
    }
    check::settle(context, look.judged)
}

/// Asks the database, and judges again when it has answered.
fn ask(
    context: &mut Context,
    kind: Kind,
    given_realm: Vec<u8>,
    table: Identifier,
    username: Vec<u8>,
    realm: Vec<u8>,
) -> Flow {
    let configuration = Arc::clone(&context.configuration);
    let Some(settings) = &configuration.settings.auth_db else { return unavailable(context) };
    let Some(database) = settings.database(&context.node) else {
        tracing::error!("auth_db: there is no database: set db_url");
        return unavailable(context);
    };
    let Some(query) = query(settings, &table, &username, &realm) else {
        // A name that is not UTF-8 is in no database.
        let source = Source::Answered(None);
        let look = look(context, kind, &given_realm, &table, source);
        return settle(context, look);
    };
    let checked = settings.checks_version.then(|| table.clone());
    let task = async move {
        let answer: waiting::Answer = Box::new(run(&database, checked, query).await);
        answer
    };
    context.wait(Errand::Task(Box::pin(task)), move |context, answer| {
        let answer = answer.and_then(|answer| answer.downcast::<Rows>().ok());
        let row = match answer.map(|answer| *answer) {
            Some(Ok(rows)) => rows.into_iter().next(),
            Some(Err(error)) => {
                tracing::error!("auth_db: {error}");
                return unavailable(context);
            }
            None => {
                tracing::error!("auth_db: the database did not answer in time");
                return unavailable(context);
            }
        };
        let configuration = Arc::clone(&context.configuration);
        let Some(settings) = &configuration.settings.auth_db else { return unavailable(context) };
        let found = row.map(|row| Arc::new(record(settings, row, &username, &realm)));
        let name = Name { table: table.as_str(), realm: &realm, username: &username };
        let (hash, now_s) = (hash(context, &name), context.now_s);
        settings.users.remember(hash, name, found.clone(), now_s, settings.cache_ttl_s);
        let look = look(context, kind, &given_realm, &table, Source::Answered(found));
        settle(context, look)
    })
}

/// The next challenge becomes a 500.
fn unavailable(context: &mut Context) -> Flow {
    check::settle(context, Judged::Unavailable)
}

type Rows = Result<Vec<Vec<Cell>>, StorageError>;

/// A look-up with its values.
struct Query {
    select: Select,
    values: Vec<Cell>,
}

async fn run(database: &Database, checked: Option<Identifier>, query: Query) -> Rows {
    if let Some(table) = checked {
        database.check_version(&table).await?;
    }
    database.select(&query.select, &query.values).await
}

/// The look-up of a user. The domain is the one in the user name, else the realm.
fn query(settings: &AuthDbSettings, table: &Identifier, username: &[u8], realm: &[u8]) -> Option<Query> {
    let columns = &settings.columns;
    let at = username.iter().position(|byte| *byte == b'@');
    let (user, domain) = match at {
        Some(at) => (username.get(..at)?, username.get(at + 1..)?),
        None => (username, realm),
    };
    let mut wanted = vec![&columns.password];
    if !settings.calculate_ha1 {
        wanted.extend([&columns.sha256, &columns.sha512t256]);
    }
    wanted.extend(settings.load.iter().map(|(_, column)| column));
    let mut keys = vec![&columns.user];
    let mut values = vec![Cell::from(std::str::from_utf8(user).ok()?)];
    if settings.use_domain {
        keys.push(&columns.domain);
        values.push(Cell::from(std::str::from_utf8(domain).ok()?));
    }
    Some(Query { select: Select::new(table, &wanted, &keys, 1), values })
}

/// Makes a record of a row that [`query`] asked for.
fn record(settings: &AuthDbSettings, row: Vec<Cell>, username: &[u8], realm: &[u8]) -> Record {
    let mut cells = row.into_iter();
    let mut next = || cells.next().and_then(Cell::into_text).unwrap_or_default();
    let ha1: Vec<Ha1> = if settings.calculate_ha1 {
        let password = next();
        let make = |hash| Ha1::new(hash, username, realm, password.as_bytes());
        // An empty password is none: nobody gets in with it.
        if password.is_empty() { Vec::new() } else { Hash::ALL.map(make).to_vec() }
    } else {
        let hashes = Hash::ALL.map(|hash| Ha1::parse(hash, next().trim().as_bytes()));
        hashes.into_iter().flatten().collect()
    };
    let values = cells.map(|cell| match cell {
        Cell::Integer(number) => Value::Int(number),
        other => other.into_text().map_or(Value::Null, Value::str),
    });
    Record { ha1: ha1.into(), values: values.collect() }
}

/// The credentials that were found right, for the functions that look at them again.
pub(super) fn authenticated(context: &Context) -> Option<(String, String)> {
    let header = context.rare.authentication.header(context.message())?;
    let answer = Answer::parse(header.value).ok()??;
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
    let (user, domain) = answer.user_and_domain();
    Some((text(user)?, text(domain.unwrap_or(&answer.realm))?))
}
