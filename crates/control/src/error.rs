//! Errors of the management interface: the `error` member of a JSON-RPC reply.

use std::borrow::Cow;

use crate::server::LocationError;
use crate::users::UserError;

/// An error as a JSON-RPC 2.0 reply carries it.
///
/// Codes below zero are JSON-RPC's own (section 5.1 of its specification); positive ones come from a command and
/// have the meaning of SIP and HTTP codes.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{code} {message}")]
pub struct MiError {
    /// The code.
    pub code: i64,
    /// A short sentence, always the same for a code of JSON-RPC.
    pub message: Cow<'static, str>,
    /// What exactly was wrong, where there is more to say.
    pub data: Option<String>,
}

impl MiError {
    /// An error of a command: 404 `AOR not found`.
    pub fn new(code: i64, message: impl Into<Cow<'static, str>>) -> Self {
        MiError { code, message: message.into(), data: None }
    }

    /// -32700: the request is not JSON.
    pub fn parse(reason: &str) -> Self {
        MiError { data: Some(reason.to_owned()), ..MiError::new(-32700, "Parse error") }
    }

    /// -32600: the request is JSON but not a JSON-RPC 2.0 request.
    pub fn invalid_request(reason: &str) -> Self {
        MiError { data: Some(reason.to_owned()), ..MiError::new(-32600, "Invalid Request") }
    }

    /// -32601: no such command.
    pub fn method_not_found(method: &str, suggestion: Option<&str>) -> Self {
        let data = suggestion.map(|name| format!("no command `{}`; did you mean `{name}`?", shorten(method)));
        MiError { data, ..MiError::new(-32601, "Method not found") }
    }

    /// -32602: the parameters do not fit the command.
    pub fn invalid_params(reason: impl Into<String>) -> Self {
        MiError { data: Some(reason.into()), ..MiError::new(-32602, "Invalid params") }
    }

    /// 500: the reply does not fit the transport.
    pub fn reply_too_large(limit: usize) -> Self {
        MiError {
            data: Some(format!("the reply is larger than {limit} bytes; ask over HTTP")),
            ..MiError::new(500, "Reply too large")
        }
    }
}

impl From<LocationError> for MiError {
    fn from(error: LocationError) -> Self {
        match error {
            LocationError::TableNotFound => MiError::new(404, "Table not found"),
            LocationError::AorNotFound => MiError::new(404, "AOR not found"),
            LocationError::ContactNotFound => MiError::new(404, "Contact not found"),
            LocationError::Refused(reason) => MiError::new(400, reason),
            LocationError::Failed(reason) => MiError::new(500, reason),
        }
    }
}

impl From<UserError> for MiError {
    fn from(error: UserError) -> Self {
        let text = error.to_string();
        match error {
            UserError::NoUsers => MiError {
                data: Some("load auth_db and set its db_url".to_owned()),
                ..MiError::new(501, text)
            },
            UserError::Refused(_) => MiError::new(400, text),
            UserError::Exists => MiError::new(409, text),
            UserError::Unknown => MiError::new(404, text),
            UserError::Failed(reason) => MiError { data: Some(reason), ..MiError::new(500, text) },
        }
    }
}

/// The first 64 characters: a reply must not echo a request of any size.
fn shorten(text: &str) -> String {
    text.chars().take(64).collect()
}
