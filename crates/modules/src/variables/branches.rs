//! The destinations of a message: `$branch`, `$msg.branch.uri`, `$tm.branch.uri` and the like.

use seawall_net::SocketId;
use seawall_script::{AssignOp, Index, Prepared, Value, VarRef, Variable, VariableArguments, WriteError};
use seawall_sip::Uri;

use super::clean_bytes;
use crate::branch::{Branch, NO_Q};
use crate::context::Context;

/// The variables of this file.
pub const VARIABLES: &[Variable<Context>] = &[
    Variable::<Context>::new("branch", "The URI of a further destination, [0] being the first added one; without an index, assigning adds one.", |context, reference| {
        further(context, reference).map_or(Value::Null, |branch| field(context, branch, reference.name_or(b"uri")))
    })
    .arguments(VariableArguments::Optional)
    .prepare(check_field)
    .count(|context, _| context.rare.branches.len())
    .write(write_branch),
    Variable::<Context>::new("br", "The URI of the first further destination; assigning adds one.", |context, reference| {
        further(context, reference).map_or(Value::Null, |branch| field(context, branch, b"uri"))
    })
    .count(|context, _| context.rare.branches.len())
    .write(write_branch),
    Variable::<Context>::new("msg.branch.uri", "The URI of a destination, [0] being the Request-URI.", |context, reference| {
        any(context, reference).map_or(Value::Null, |branch| match branch.uri.is_empty() {
            true => Value::str(context.request_uri()),
            false => Value::str(&branch.uri),
        })
    })
    .count(count_all)
    .write(|context, reference, _, value| write_any(context, reference, b"uri", &value)),
    Variable::<Context>::new("msg.branch.duri", "The next hop of a destination.", |context, reference| read_any(context, reference, b"duri"))
        .count(count_all)
        .write(|context, reference, _, value| write_any(context, reference, b"duri", &value)),
    Variable::<Context>::new("msg.branch.q", "The q value of a destination, in thousandths.", |context, reference| read_any(context, reference, b"q"))
        .count(count_all)
        .write(|context, reference, _, value| write_any(context, reference, b"q", &value)),
    Variable::<Context>::new("msg.branch.path", "The Path of a destination.", |context, reference| read_any(context, reference, b"path"))
        .count(count_all)
        .write(|context, reference, _, value| write_any(context, reference, b"path", &value)),
    Variable::<Context>::new("msg.branch.flags", "The names of the branch flags of a destination.", |context, reference| {
        any(context, reference).map_or(Value::Null, |branch| flag_names(context, branch.flags))
    })
    .count(count_all),
    Variable::<Context>::new("msg.branch.socket", "The socket that a destination is sent from.", |context, reference| read_any(context, reference, b"socket"))
        .count(count_all)
        .write(|context, reference, _, value| write_any(context, reference, b"socket", &value)),
    Variable::<Context>::new("msg.branch.flag", "Whether a destination has a branch flag.", |context, reference| {
        any(context, reference).map_or(Value::Null, |branch| has_flag(context, branch, reference.name))
    })
    .arguments(VariableArguments::Name)
    .count(count_all),
    Variable::<Context>::new("msg.branch.attr", "A named value of a destination.", |context, reference| {
        any(context, reference)
            .and_then(|branch| branch.attribute(reference.name))
            .cloned()
            .unwrap_or(Value::Null)
    })
    .arguments(VariableArguments::Name)
    .count(count_all)
    .write(|context, reference, _, value| {
        let name = reference.name.to_vec();
        any_mut(context, reference).ok_or(WriteError::NoTarget)?.set_attribute(&name, value);
        Ok(())
    }),
    Variable::<Context>::new("msg.branch.last_idx", "The index of the last destination.", |context, _| {
        Value::Int(i64::try_from(context.rare.branches.len()).unwrap_or(0))
    }),
    Variable::<Context>::new("tm.branch.uri", "The URI of a branch of the transaction.", |context, reference| sent(context, reference, b"uri"))
        .count(count_sent),
    Variable::<Context>::new("tm.branch.duri", "The next hop of a branch of the transaction.", |context, reference| sent(context, reference, b"duri"))
        .count(count_sent),
    Variable::<Context>::new("tm.branch.q", "The q value of a branch of the transaction.", |context, reference| sent(context, reference, b"q"))
        .count(count_sent),
    Variable::<Context>::new("tm.branch.path", "The Path of a branch of the transaction.", |context, reference| sent(context, reference, b"path"))
        .count(count_sent),
    Variable::<Context>::new("tm.branch.flags", "The names of the branch flags of a branch of the transaction.", |context, reference| {
        sent_branch(context, reference, |branch| flag_names(context, branch.flags))
    })
    .count(count_sent),
    Variable::<Context>::new("tm.branch.socket", "The socket that was chosen for a branch of the transaction.", |context, reference| sent(context, reference, b"socket"))
        .count(count_sent),
    Variable::<Context>::new("tm.branch.attr", "A named value of a branch of the transaction.", |context, reference| {
        sent_branch(context, reference, |branch| branch.attribute(reference.name).cloned().unwrap_or(Value::Null))
    })
    .arguments(VariableArguments::Name)
    .count(count_sent),
    Variable::<Context>::new("tm.branch.flag", "Whether a branch of the transaction has a branch flag.", |context, reference| {
        sent_branch(context, reference, |branch| has_flag(context, branch, reference.name))
    })
    .arguments(VariableArguments::Name)
    .count(count_sent),
    Variable::<Context>::new("tm.branch.last_received", "The code of the last reply of a branch of the transaction.", last_received)
        .count(count_sent),
];

/// The parts of a destination that `$branch` knows.
const FIELDS: &[&str] = &["", "uri", "duri", "q", "path", "flags", "socket"];

fn check_field(name: &str) -> Result<Prepared, String> {
    if FIELDS.contains(&name) {
        Ok(Prepared::new(()))
    } else {
        Err(format!("a branch has no part \"{name}\"; it has uri, duri, q, path, flags, socket"))
    }
}

/// The part that is meant when none is named.
trait NameOr<'a> {
    fn name_or(&self, default: &'a [u8]) -> &'a [u8];
}

impl<'a> NameOr<'a> for VarRef<'a> {
    fn name_or(&self, default: &'a [u8]) -> &'a [u8] {
        if self.name.is_empty() { default } else { self.name }
    }
}

fn index_of(reference: &VarRef<'_>, len: usize) -> Option<usize> {
    super::headers::position(reference, len)
}

fn further<'a>(context: &'a Context, reference: &VarRef<'_>) -> Option<&'a Branch> {
    context.rare.branches.get(index_of(reference, context.rare.branches.len())?)
}

fn any<'a>(context: &'a Context, reference: &VarRef<'_>) -> Option<&'a Branch> {
    match index_of(reference, context.rare.branches.len() + 1)?.checked_sub(1) {
        None => Some(&context.target),
        Some(index) => context.rare.branches.get(index),
    }
}

fn any_mut<'a>(context: &'a mut Context, reference: &VarRef<'_>) -> Option<&'a mut Branch> {
    match index_of(reference, context.rare.branches.len() + 1)?.checked_sub(1) {
        None => Some(&mut context.target),
        Some(index) => context.rare.branches.get_mut(index),
    }
}

fn count_all(context: &Context, _: &VarRef<'_>) -> usize {
    context.rare.branches.len() + 1
}

fn read_any(context: &Context, reference: &VarRef<'_>, name: &[u8]) -> Value {
    any(context, reference).map_or(Value::Null, |branch| field(context, branch, name))
}

fn field(context: &Context, branch: &Branch, name: &[u8]) -> Value {
    let bytes = match name {
        b"uri" => &branch.uri,
        b"duri" => &branch.destination,
        b"path" => &branch.path,
        b"flags" => return Value::Int(i64::from(branch.flags)),
        b"socket" => {
            let socket = branch.socket.and_then(|socket| context.node.socket(socket));
            return socket.map_or(Value::Null, |socket| Value::from(socket.description.as_str()));
        }
        b"q" if branch.q != NO_Q => return Value::Int(i64::from(branch.q)),
        _ => return Value::Null,
    };
    Value::optional(Some(&**bytes).filter(|bytes| !bytes.is_empty()))
}

fn flag_names(context: &Context, flags: u32) -> Value {
    let names: Vec<&str> = (0..32u8)
        .filter(|bit| flags & (1 << bit) != 0)
        .filter_map(|bit| context.configuration.program.flag_name(seawall_script::FlagSpace::Branch, bit))
        .collect();
    Value::from(names.join(" ").as_str())
}

fn has_flag(context: &Context, branch: &Branch, name: &[u8]) -> Value {
    let bit = std::str::from_utf8(name)
        .ok()
        .and_then(|name| context.configuration.program.flag_bit(seawall_script::FlagSpace::Branch, name));
    Value::Int(i64::from(bit.is_some_and(|bit| branch.flags & (1 << bit) != 0)))
}

/// The socket that a value names, when it is assigned to a part `socket`; NULL lets the server choose again.
fn named_socket(context: &Context, name: &[u8], value: &Value) -> Result<Option<SocketId>, WriteError> {
    if name != b"socket" || value.is_null() {
        return Ok(None);
    }
    let socket = super::transport::parse_socket(context, &clean_bytes(value)?);
    socket.map(Some).ok_or(WriteError::BadValue)
}

fn set_field(
    branch: &mut Branch,
    name: &[u8],
    value: &Value,
    socket: Option<SocketId>,
) -> Result<(), WriteError> {
    if name == b"socket" {
        branch.socket = socket;
        return Ok(());
    }
    if name == b"q" {
        branch.q = match value.as_int() {
            None => NO_Q,
            Some(q) => u16::try_from(q).ok().filter(|q| *q <= 1000).ok_or(WriteError::BadValue)?,
        };
        return Ok(());
    }
    let bytes = if value.is_null() { Vec::new() } else { clean_bytes(value)? };
    match name {
        b"uri" if Uri::parse(&bytes).is_ok() => branch.uri = bytes,
        b"duri" if bytes.is_empty() || Uri::parse(&bytes).is_ok_and(|uri| uri.is_sip()) => {
            branch.destination = bytes
        }
        b"path" => branch.path = bytes,
        _ => return Err(WriteError::BadValue),
    }
    Ok(())
}

fn write_any(
    context: &mut Context,
    reference: &VarRef<'_>,
    name: &[u8],
    value: &Value,
) -> Result<(), WriteError> {
    let socket = named_socket(context, name, value)?;
    set_field(any_mut(context, reference).ok_or(WriteError::NoTarget)?, name, value, socket)
}

/// `$branch = uri` adds a destination; `$(branch(part)[n]) = value` changes one; NULL removes it.
fn write_branch(
    context: &mut Context,
    reference: &VarRef<'_>,
    _: AssignOp,
    value: Value,
) -> Result<(), WriteError> {
    let name = reference.name_or(b"uri");
    let socket = named_socket(context, name, &value)?;
    let index = match reference.index {
        Index::None => {
            if context.rare.branches.len() >= crate::core::MAX_BRANCHES {
                return Err(WriteError::Full);
            }
            let mut branch = Branch::default();
            set_field(&mut branch, name, &value, socket)?;
            context.rare.branches.push(branch);
            return Ok(());
        }
        Index::All => {
            context.rare.branches.clear();
            return Ok(());
        }
        Index::Int(_) => index_of(reference, context.rare.branches.len()).ok_or(WriteError::NoTarget)?,
    };
    if value.is_null() && name == b"uri" {
        if index < context.rare.branches.len() {
            context.rare.branches.remove(index);
        }
        return Ok(());
    }
    set_field(context.rare.branches.get_mut(index).ok_or(WriteError::NoTarget)?, name, &value, socket)
}

fn sent_branch(context: &Context, reference: &VarRef<'_>, read: impl Fn(&Branch) -> Value) -> Value {
    // Inside a branch route the branch is still in the context.
    if context.route == seawall_script::RouteKind::Branch && reference.index == Index::None {
        return read(&context.target);
    }
    let Some((_, state)) = &context.transaction else { return Value::Null };
    let inner = state.lock();
    let index = match reference.index {
        Index::None => Some(usize::from(context.rare.branch_index)),
        _ => index_of(reference, inner.branches.len()),
    };
    index.and_then(|index| inner.branches.get(index)).map_or(Value::Null, |sent| read(&sent.branch))
}

fn sent(context: &Context, reference: &VarRef<'_>, name: &[u8]) -> Value {
    sent_branch(context, reference, |branch| field(context, branch, name))
}

fn count_sent(context: &Context, _: &VarRef<'_>) -> usize {
    context.transaction.as_ref().map_or(0, |(_, state)| state.lock().branches.len())
}

fn last_received(context: &Context, reference: &VarRef<'_>) -> Value {
    let Some((id, _)) = &context.transaction else { return Value::Null };
    let index = match reference.index {
        Index::None => Some(usize::from(context.rare.branch_index)),
        _ => index_of(reference, count_sent(context, reference)),
    };
    let Some(index) = index.and_then(|index| u16::try_from(index).ok()) else { return Value::Null };
    let status = context.node.shard(id.shard).and_then(|shard| shard.lock().branch(*id, index));
    status.map_or(Value::Null, |status| Value::Int(i64::from(status.code)))
}
