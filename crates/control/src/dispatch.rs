//! JSON-RPC 2.0: from the bytes of a request to the bytes of a reply. Knows no transport.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::command::{ChunkSource, Command, Params, Reply};
use crate::commands;
use crate::error::MiError;
use crate::limits;
use crate::server::Server;

/// Finds and runs commands.
pub struct Dispatcher {
    server: Arc<dyn Server>,
    commands: Vec<&'static Command>,
}

impl Dispatcher {
    /// A dispatcher over all commands of this crate.
    pub fn new(server: Arc<dyn Server>) -> Self {
        Dispatcher { server, commands: commands::all().collect() }
    }

    /// Adds commands that are declared elsewhere.
    #[must_use]
    pub fn with(mut self, more: &'static [Command]) -> Self {
        self.commands.extend(more);
        self
    }

    /// The server that the commands work on.
    pub fn server(&self) -> &Arc<dyn Server> {
        &self.server
    }

    /// Handles one request or batch. `None` when nothing is to be answered: it held only notifications.
    pub fn handle(&self, request: &[u8]) -> Option<Response> {
        let mut response = Response::default();
        match serde_json::from_slice::<Value>(request) {
            Err(error) => response.push_error(&Value::Null, &MiError::parse(&error.to_string())),
            Ok(Value::Array(batch)) => self.batch(&batch, &mut response),
            Ok(single) => {
                self.single(&single, &mut response);
            }
        }
        (!response.parts.is_empty()).then_some(response)
    }

    fn batch(&self, batch: &[Value], response: &mut Response) {
        if batch.is_empty() {
            return response.push_error(&Value::Null, &MiError::invalid_request("the batch is empty"));
        }
        if batch.len() > limits::BATCH_REQUESTS {
            let reason = format!("more than {} requests in a batch", limits::BATCH_REQUESTS);
            return response.push_error(&Value::Null, &MiError::invalid_request(&reason));
        }
        let mut answered = false;
        for request in batch {
            let mut one = Response::default();
            self.single(request, &mut one);
            if !one.parts.is_empty() {
                response.push_bytes(if answered { b"," } else { b"[" });
                response.parts.append(&mut one.parts);
                answered = true;
            }
        }
        if answered {
            response.push_bytes(b"]");
        }
    }

    fn single(&self, request: &Value, response: &mut Response) {
        let call = match Call::read(request) {
            Ok(call) => call,
            // An id that could be read is given back even when the rest is wrong (section 5).
            Err((id, error)) => return response.push_error(id.unwrap_or(&Value::Null), &error),
        };
        let outcome = self.run(&call);
        let Some(id) = call.id else { return };
        match outcome {
            Ok(reply) => response.push_reply(id, reply),
            Err(error) => response.push_error(id, &error),
        }
    }

    fn run(&self, call: &Call<'_>) -> Result<Reply, MiError> {
        let Some(command) = self.find(call.method) else {
            return Err(MiError::method_not_found(call.method, self.suggestion(call.method)));
        };
        let params = Params::bind(command, call.params)?;
        // `which` answers from the table itself, which a command's own function cannot see.
        if command.name == commands::WHICH {
            return Ok(Reply::Value(self.names(params.str("command"))));
        }
        (command.run)(&self.server, &params)
    }

    fn find(&self, method: &str) -> Option<&'static Command> {
        let named = |command: &&&'static Command| command.name == method || command.aliases.contains(&method);
        self.commands.iter().find(named).copied()
    }

    /// All names, or those of one family: `which usrloc` shows what begins with `usrloc:`.
    fn names(&self, family: Option<&str>) -> Value {
        let mut names = Vec::new();
        for command in &self.commands {
            for name in std::iter::once(&command.name).chain(command.aliases) {
                let wanted = match family {
                    None => *name == command.name,
                    Some(family) => {
                        *name == family || name.split_once(':').is_some_and(|(group, _)| group == family)
                    }
                };
                if wanted {
                    names.push(Value::from(*name));
                }
            }
        }
        Value::Array(names)
    }

    fn suggestion(&self, method: &str) -> Option<&'static str> {
        nearest(method, self.commands.iter().map(|command| command.name))
    }
}

/// The known name that is at most two typing errors away.
pub(crate) fn nearest(word: &str, names: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    if word.len() > 64 {
        return None;
    }
    let (distance, name) = names.map(|name| (edit_distance(word, name), name)).min()?;
    (distance <= 2).then_some(name)
}

fn edit_distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (at, a) in left.bytes().enumerate() {
        let mut diagonal = at;
        let mut before = at + 1;
        for (slot, b) in row.iter_mut().skip(1).zip(right.bytes()) {
            let best = (diagonal + usize::from(a != b)).min(before + 1).min(*slot + 1);
            diagonal = std::mem::replace(slot, best);
            before = best;
        }
        if let Some(first) = row.first_mut() {
            *first = at + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

/// A request whose form has been checked.
struct Call<'a> {
    method: &'a str,
    params: Option<&'a Value>,
    /// `None` for a notification.
    id: Option<&'a Value>,
}

impl<'a> Call<'a> {
    fn read(request: &'a Value) -> Result<Self, (Option<&'a Value>, MiError)> {
        let wrong = |id: Option<&'a Value>, reason: &str| (id, MiError::invalid_request(reason));
        let Value::Object(members) = request else {
            return Err(wrong(None, "a request is a JSON object"));
        };
        let id = members.get("id");
        if id.is_some_and(|id| !(id.is_string() || id.is_number() || id.is_null())) {
            return Err(wrong(None, "id must be a string, a number or null"));
        }
        if members.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
            return Err(wrong(id, "jsonrpc must be \"2.0\""));
        }
        let Some(method) = members.get("method").and_then(Value::as_str) else {
            return Err(wrong(id, "method must be a string"));
        };
        let params = members.get("params");
        if params.is_some_and(|params| !(params.is_object() || params.is_array() || params.is_null())) {
            return Err(wrong(id, "params must be an object or an array"));
        }
        Ok(Call { method, params, id })
    }
}

/// A reply, in pieces so that long ones need not be held.
#[derive(Default)]
pub struct Response {
    parts: VecDeque<Part>,
}

enum Part {
    Bytes(Vec<u8>),
    Stream(Box<dyn ChunkSource>),
}

impl Response {
    /// The reply to a request that could not be run at all.
    pub fn error(error: &MiError) -> Self {
        let mut response = Response::default();
        response.push_error(&Value::Null, error);
        response
    }

    /// Appends pieces to `out` until it holds at least `enough` bytes. Gives `false` when the reply is complete.
    pub fn fill(&mut self, out: &mut Vec<u8>, enough: usize) -> bool {
        while let Some(part) = self.parts.front_mut() {
            if out.len() >= enough {
                return true;
            }
            let more = match part {
                Part::Bytes(bytes) => {
                    out.append(bytes);
                    false
                }
                Part::Stream(source) => source.next_chunk(out),
            };
            if !more {
                self.parts.pop_front();
            }
        }
        false
    }

    /// The whole reply, or `None` when it is longer than `limit`.
    pub fn into_bytes(mut self, limit: usize) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let more = self.fill(&mut out, limit.saturating_add(1));
        (!more && out.len() <= limit).then_some(out)
    }

    fn push_bytes(&mut self, bytes: &[u8]) {
        match self.parts.back_mut() {
            Some(Part::Bytes(last)) => last.extend_from_slice(bytes),
            _ => self.parts.push_back(Part::Bytes(bytes.to_vec())),
        }
    }

    fn push_reply(&mut self, id: &Value, reply: Reply) {
        self.push_bytes(b"{\"jsonrpc\":\"2.0\",\"result\":");
        match reply {
            Reply::Value(value) => self.push_bytes(value.to_string().as_bytes()),
            Reply::Json(text) => self.push_bytes(&text),
            Reply::Stream(source) => self.parts.push_back(Part::Stream(source)),
        }
        self.push_bytes(format!(",\"id\":{id}}}").as_bytes());
    }

    fn push_error(&mut self, id: &Value, error: &MiError) {
        let mut body = json!({ "code": error.code, "message": error.message });
        if let (Some(data), Some(members)) = (&error.data, body.as_object_mut()) {
            members.insert("data".to_owned(), Value::from(data.as_str()));
        }
        self.push_bytes(json!({ "jsonrpc": "2.0", "error": body, "id": id }).to_string().as_bytes());
    }
}
