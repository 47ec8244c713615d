//! Ownership of the named pipe and the unix socket.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use crate::config::Owner;

/// The numeric id of an owner, from `/etc/passwd` or `/etc/group` when it is a name.
///
/// # Errors
/// The list cannot be read or has no such name.
pub(crate) fn id_of(owner: Option<&Owner>, list: &Path) -> io::Result<Option<u32>> {
    let name = match owner {
        None => return Ok(None),
        Some(Owner::Id(id)) => return Ok(Some(*id)),
        Some(Owner::Name(name)) => name,
    };
    let unknown = || io::Error::new(io::ErrorKind::NotFound, format!("no `{name}` in {}", list.display()));
    let text = std::fs::read_to_string(list)?;
    let line = text.lines().find(|line| line.split(':').next() == Some(name)).ok_or_else(unknown)?;
    line.split(':').nth(2).and_then(|id| id.parse().ok()).map(Some).ok_or_else(unknown)
}

/// User and group ids of the configured owners.
///
/// # Errors
/// A name is not known on this host.
pub(crate) fn owner_ids(
    user: Option<&Owner>,
    group: Option<&Owner>,
) -> io::Result<(Option<u32>, Option<u32>)> {
    Ok((id_of(user, Path::new("/etc/passwd"))?, id_of(group, Path::new("/etc/group"))?))
}

/// Gives an open file its owner and mode. Works on the descriptor: a path could be swapped meanwhile.
///
/// # Errors
/// The system refuses.
pub(crate) fn give(file: &File, mode: u32, ids: (Option<u32>, Option<u32>)) -> io::Result<()> {
    if ids != (None, None) {
        std::os::unix::fs::fchown(file.as_fd(), ids.0, ids.1)?;
    }
    // After the change of owner, which may clear bits.
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode & 0o777))
}
