//! Cutting messages out of a byte stream (RFC 3261 §18.3, RFC 5626 §3.5.1).

use memchr::memchr;
use thiserror::Error;

use crate::{
    ascii,
    limits::{MAX_HEAD_BYTES, MAX_MESSAGE_BYTES},
    name::Name,
};

/// What stands at the front of the received bytes. Lengths are in bytes; the caller takes that many away and asks
/// again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Nothing complete yet: call again with more bytes after the same ones.
    Incomplete,
    /// A double CRLF between messages: a ping, to be answered with a single CRLF (RFC 5626 §3.5.1).
    KeepAlivePing {
        /// 4, or 2 if the first half came alone and was given as a [`KeepAlivePong`](Frame::KeepAlivePong).
        len: usize,
    },
    /// A single CRLF between messages: the answer to a ping, the first half of one, or noise before a start line
    /// (RFC 3261 §7.5). There is nothing to do but to take it away.
    KeepAlivePong {
        /// Always 2.
        len: usize,
    },
    /// One message.
    Message {
        /// Start line to end of body.
        len: usize,
    },
    /// The stream cannot be cut from here on; the connection is to be closed. `head_len` bytes hold the head of a
    /// message that may be answered before, 0 if there is none.
    Invalid {
        /// What is wrong.
        reason: FrameError,
        /// Start line to empty line.
        head_len: usize,
    },
}

/// Why a stream cannot be cut into messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The head does not end within [`MAX_HEAD_BYTES`].
    #[error("head too large")]
    HeadTooLarge,
    /// Head and body are longer than [`MAX_MESSAGE_BYTES`].
    #[error("message too large")]
    MessageTooLarge,
    /// Content-Length is no number, or given twice with different values.
    #[error("bad Content-Length")]
    ContentLength,
    /// The first byte is none that a start line begins with.
    #[error("not a SIP message")]
    NotSip,
}

/// Finds message boundaries. It remembers how far it has looked, so that a message which arrives byte by byte
/// costs no more than one that arrives at once. One framer belongs to one stream.
///
/// A message without Content-Length has no body: what follows is the next message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Framer {
    /// Bytes in which no empty line was found.
    searched: usize,
    /// Length of the message whose head is complete.
    message_len: Option<usize>,
    /// The last frame was a single CRLF, so that another one makes it a ping.
    half_ping: bool,
}

impl Framer {
    /// A framer at the start of a stream.
    #[must_use]
    pub fn new() -> Framer {
        Framer::default()
    }

    /// Looks at the bytes received so far that no earlier frame has taken.
    pub fn frame(&mut self, bytes: &[u8]) -> Frame {
        let frame = self.look(bytes);
        if frame != Frame::Incomplete {
            *self = Framer { half_ping: matches!(frame, Frame::KeepAlivePong { .. }), ..Framer::default() };
        }
        frame
    }

    fn look(&mut self, bytes: &[u8]) -> Frame {
        if let Some(len) = self.message_len {
            return if bytes.len() >= len { Frame::Message { len } } else { Frame::Incomplete };
        }
        match bytes {
            [] | [b'\r'] => return Frame::Incomplete,
            [b'\r', b'\n', ..] if self.half_ping => return Frame::KeepAlivePing { len: 2 },
            [b'\r', b'\n', b'\r', b'\n', ..] => return Frame::KeepAlivePing { len: 4 },
            [b'\r', b'\n', ..] => return Frame::KeepAlivePong { len: 2 },
            [first, ..] if !ascii::is_token_byte(*first) => {
                return Frame::Invalid { reason: FrameError::NotSip, head_len: 0 };
            }
            _ => {}
        }
        let Some(head_len) = self.find_head_end(bytes) else {
            if bytes.len() > MAX_HEAD_BYTES {
                return Frame::Invalid { reason: FrameError::HeadTooLarge, head_len: 0 };
            }
            return Frame::Incomplete;
        };
        if head_len > MAX_HEAD_BYTES {
            return Frame::Invalid { reason: FrameError::HeadTooLarge, head_len: 0 };
        }
        let Ok(body_len) = content_length(bytes.get(..head_len).unwrap_or_default()) else {
            return Frame::Invalid { reason: FrameError::ContentLength, head_len };
        };
        let len = head_len.saturating_add(body_len as usize);
        if len > MAX_MESSAGE_BYTES {
            return Frame::Invalid { reason: FrameError::MessageTooLarge, head_len };
        }
        self.message_len = Some(len);
        if bytes.len() >= len { Frame::Message { len } } else { Frame::Incomplete }
    }

    /// Length of the head with its empty line. Lines end as the scanner takes them to end: at LF.
    fn find_head_end(&mut self, bytes: &[u8]) -> Option<usize> {
        while let Some(found) = memchr(b'\n', bytes.get(self.searched..)?) {
            let line_end = self.searched + found + 1;
            match bytes.get(line_end..)? {
                [b'\r', b'\n', ..] => return Some(line_end + 2),
                [b'\n', ..] => return Some(line_end + 1),
                // What follows the line break decides, so look at it again when there is more.
                [] | [b'\r'] => {
                    self.searched = line_end - 1;
                    return None;
                }
                _ => self.searched = line_end,
            }
        }
        self.searched = bytes.len();
        None
    }
}

/// The Content-Length of a head, 0 if it has none.
fn content_length(head: &[u8]) -> Result<u32, FrameError> {
    let mut length = None;
    let mut lines = head.split(|&byte| byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        let Some(colon) = memchr(b':', line) else { continue };
        let name = ascii::trim_end(line.get(..colon).unwrap_or_default());
        if line.first().is_none_or(|&byte| ascii::is_lws(byte))
            || Name::from_bytes(name) != Name::ContentLength
        {
            continue;
        }
        let mut value = ascii::trim(line.get(colon + 1..).unwrap_or_default());
        // The value may be folded onto the next lines (RFC 4475 §3.1.1.1 folds others); it is one number, so only
        // one of the lines holds anything.
        while let Some(folded) = lines.next_if(|next| matches!(next.first(), Some(b' ' | b'\t'))) {
            let folded = ascii::trim(folded);
            if !value.is_empty() && !folded.is_empty() {
                return Err(FrameError::ContentLength);
            }
            value = if value.is_empty() { folded } else { value };
        }
        let number = ascii::parse_u32(value).map_err(|_| FrameError::ContentLength)?;
        if length.is_some_and(|earlier| earlier != number) {
            return Err(FrameError::ContentLength);
        }
        length = Some(number);
    }
    Ok(length.unwrap_or(0))
}
