//! Users as the management plane changes them.

use seawall_digest::{Ha1, Hash};
use seawall_storage::{Columns, Secrets, StorageError, Subscribers};

use crate::auth_db::AuthDbSettings;
use crate::node::Node;

/// The longest user name, domain and password: what the columns of the table have room for in any database, and more than
/// anybody types.
pub const TEXT_LEN: usize = 64;

/// Why users were not changed.
#[derive(Debug)]
pub enum ManageError {
    /// The script loads no `auth_db`, or names no database.
    NoUsers,
    /// The name, domain or password cannot be used; a sentence that says why.
    Refused(&'static str),
    /// There is a user of that name.
    Exists,
    /// There is none.
    Unknown,
    /// The database fails.
    Storage(StorageError),
}

impl From<StorageError> for ManageError {
    fn from(error: StorageError) -> Self {
        ManageError::Storage(error)
    }
}

/// A user name with or without `@domain`, taken apart and checked.
fn user_and_domain(name: &str, settings: &AuthDbSettings) -> Result<(String, String), ManageError> {
    let (user, domain) = name.split_once('@').unwrap_or((name, ""));
    let legal = |text: &str| {
        text.len() <= TEXT_LEN
            && !text.chars().any(|character| {
                character.is_control() || character.is_whitespace() || "\"\\:@<>%".contains(character)
            })
    };
    if user.is_empty() || !legal(user) || !legal(domain) {
        return Err(ManageError::Refused(
            "a user name has 1 to 64 characters, and no blanks, quotes, colons, percent signs or angle brackets",
        ));
    }
    if settings.use_domain && domain.is_empty() {
        return Err(ManageError::Refused("name the user as user@domain: use_domain is set in the script"));
    }
    Ok((user.to_owned(), domain.to_ascii_lowercase()))
}

/// What is stored of a password.
fn secrets(
    settings: &AuthDbSettings,
    user: &str,
    domain: &str,
    password: &str,
) -> Result<Secrets, ManageError> {
    if password.is_empty() || password.len() > TEXT_LEN || password.chars().any(char::is_control) {
        return Err(ManageError::Refused("a password has 1 to 64 characters, and no control characters"));
    }
    let columns = &settings.columns;
    if settings.calculate_ha1 {
        return Ok(Secrets::new(vec![(columns.password.clone(), password.to_owned())]));
    }
    let realm = if settings.user_realm.is_empty() { domain } else { &settings.user_realm };
    if realm.is_empty() {
        return Err(ManageError::Refused(
            "the hash of a password needs a realm: name the user as user@domain, or set user_realm of auth_db",
        ));
    }
    let hash = |hash: Hash| {
        let made = Ha1::new(hash, user.as_bytes(), realm.as_bytes(), password.as_bytes());
        String::from_utf8_lossy(made.digits()).into_owned()
    };
    Ok(Secrets::new(vec![
        (columns.password.clone(), hash(Hash::Md5)),
        (columns.sha256.clone(), hash(Hash::Sha256)),
        (columns.sha512t256.clone(), hash(Hash::Sha512t256)),
    ]))
}

/// The table of users of the present script.
fn table(settings: &AuthDbSettings, node: &Node) -> Result<Subscribers, ManageError> {
    let database = settings.database(node).ok_or(ManageError::NoUsers)?;
    let table = settings.user_table.clone().ok_or(ManageError::NoUsers)?;
    let columns = Columns { user: settings.columns.user.clone(), domain: settings.columns.domain.clone() };
    Ok(Subscribers::new(database, table, columns))
}

/// Adds a user, named as `user` or `user@domain`.
///
/// # Errors
/// See [`ManageError`].
pub async fn add(
    settings: &AuthDbSettings,
    node: &Node,
    name: &str,
    password: &str,
) -> Result<(), ManageError> {
    let (user, domain) = user_and_domain(name, settings)?;
    let secrets = secrets(settings, &user, &domain, password)?;
    let added = table(settings, node)?.add(&user, &domain, &secrets).await?;
    settings.users.forget(user.as_bytes());
    if added { Ok(()) } else { Err(ManageError::Exists) }
}

/// Gives a user another password.
///
/// # Errors
/// See [`ManageError`].
pub async fn change(
    settings: &AuthDbSettings,
    node: &Node,
    name: &str,
    password: &str,
) -> Result<(), ManageError> {
    let (user, domain) = user_and_domain(name, settings)?;
    let secrets = secrets(settings, &user, &domain, password)?;
    let changed = table(settings, node)?.change(&user, &domain, &secrets).await?;
    settings.users.forget(user.as_bytes());
    if changed { Ok(()) } else { Err(ManageError::Unknown) }
}

/// Removes a user. Bindings that the user has stay until they expire or are removed.
///
/// # Errors
/// See [`ManageError`].
pub async fn remove(settings: &AuthDbSettings, node: &Node, name: &str) -> Result<(), ManageError> {
    let (user, domain) = user_and_domain(name, settings)?;
    let removed = table(settings, node)?.remove(&user, &domain).await?;
    settings.users.forget(user.as_bytes());
    if removed { Ok(()) } else { Err(ManageError::Unknown) }
}

/// Users from the one at a position on, in the order of their names: at most a thousand.
///
/// # Errors
/// See [`ManageError`].
pub async fn list(settings: &AuthDbSettings, node: &Node, from: u32) -> Result<Vec<String>, ManageError> {
    let listed = table(settings, node)?.list(from).await?;
    let show = |(user, domain): (String, String)| {
        if domain.is_empty() { user } else { format!("{user}@{domain}") }
    };
    Ok(listed.into_iter().map(show).collect())
}

/// Forgets what was looked up, so that the next credentials are checked against the database: of one user, or of all.
pub fn forget(settings: &AuthDbSettings, name: Option<&str>) {
    match name {
        Some(name) => settings.users.forget(name.split('@').next().unwrap_or_default().as_bytes()),
        None => settings.users.forget_all(),
    }
}
