//! Cutting messages out of a stream, however it is chopped up.

// A test fails by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use seawall_sip::{
    limits::{MAX_HEAD_BYTES, MAX_MESSAGE_BYTES},
    stream::{Frame, FrameError, Framer},
};

const OPTIONS: &[u8] = b"OPTIONS sip:a SIP/2.0\r\nVia: x\r\nl: 4\r\n\r\nbody";

/// Cuts a stream that arrives in pieces of a size; gives every frame and what it covers.
fn cut(stream: &[u8], piece: usize) -> Vec<(Frame, Vec<u8>)> {
    let mut framer = Framer::new();
    let mut buffer = Vec::new();
    let mut frames = Vec::new();
    for bytes in stream.chunks(piece) {
        buffer.extend_from_slice(bytes);
        loop {
            let frame = framer.frame(&buffer);
            let len = match frame {
                Frame::Incomplete => break,
                Frame::KeepAlivePing { len } | Frame::KeepAlivePong { len } | Frame::Message { len } => len,
                Frame::Invalid { .. } => {
                    frames.push((frame, Vec::new()));
                    return frames;
                }
            };
            frames.push((frame, buffer.drain(..len).collect()));
        }
    }
    frames
}

/// The messages of a stream are the same for every size of the pieces.
fn messages(stream: &[u8], expected: &[&[u8]]) {
    for piece in [1, 2, 3, 7, 16, stream.len().max(1)] {
        let frames = cut(stream, piece);
        let found: Vec<_> = frames
            .iter()
            .filter(|(frame, _)| matches!(frame, Frame::Message { .. }))
            .map(|(_, bytes)| bytes.as_slice())
            .collect();
        assert_eq!(found, expected, "pieces of {piece}");
    }
}

#[test]
fn messages_are_cut_by_content_length() {
    messages(OPTIONS, &[OPTIONS]);
    messages(&[OPTIONS, OPTIONS].concat(), &[OPTIONS, OPTIONS]);
    messages(&OPTIONS[..OPTIONS.len() - 1], &[]);
    messages(b"", &[]);
    let bare = b"OPTIONS sip:a SIP/2.0\r\nVia: x\r\n\r\n";
    messages(&[&bare[..], OPTIONS].concat(), &[bare, OPTIONS]);
}

#[test]
fn content_length_is_found_in_every_form() {
    for header in [
        "Content-Length: 2",
        "CONTENT-LENGTH:2",
        "l  :  002 ",
        "L:2",
        "l:\r\n 2",
        "l: 2\r\n ",
        "l: 2\r\nl: 2",
    ] {
        let message = format!("OPTIONS sip:a SIP/2.0\r\n{header}\r\n\r\nab");
        messages(message.as_bytes(), &[message.as_bytes()]);
    }
    let hidden = b"OPTIONS sip:a SIP/2.0\r\nSubject: x\r\n l: 2\r\nX-Content-Length: 3\r\n\r\n";
    messages(hidden, &[hidden]);
}

#[test]
fn keep_alives_between_messages_are_told() {
    let stream = [b"\r\n\r\n", OPTIONS, b"\r\n", OPTIONS, b"\r\n\r\n\r\n"].concat();
    messages(&stream, &[OPTIONS, OPTIONS]);
    for piece in [1, 2, 5, stream.len()] {
        let frames = cut(&stream, piece);
        let pings = frames.iter().filter(|(frame, _)| matches!(frame, Frame::KeepAlivePing { .. })).count();
        assert_eq!(pings, 2, "pieces of {piece}");
    }
    assert_eq!(Framer::new().frame(b"\r\n\r\n"), Frame::KeepAlivePing { len: 4 });
    assert_eq!(Framer::new().frame(b"\r\n"), Frame::KeepAlivePong { len: 2 });
    assert_eq!(Framer::new().frame(b"\r"), Frame::Incomplete);
}

fn invalid(stream: &[u8], reason: FrameError, head_len: usize) {
    for piece in [1, 16, stream.len()] {
        let frames = cut(stream, piece);
        assert_eq!(frames.last().map(|(frame, _)| *frame), Some(Frame::Invalid { reason, head_len }));
    }
}

#[test]
fn a_stream_that_cannot_be_cut_is_told_with_the_head_that_can_be_answered() {
    let head = |length: &str| format!("OPTIONS sip:a SIP/2.0\r\nVia: x\r\n{length}\r\n\r\n");
    for length in
        ["l: -1", "l: x", "l: 1 2", "l:", "l: 1\r\nContent-Length: 2", "l: 99999999999", "l: 1\r\n 2"]
    {
        let head = head(length);
        invalid(head.as_bytes(), FrameError::ContentLength, head.len());
    }
    let long = head(&format!("l: {MAX_MESSAGE_BYTES}"));
    invalid(long.as_bytes(), FrameError::MessageTooLarge, long.len());
    invalid(b"\x16\x03\x01", FrameError::NotSip, 0);
    invalid(b"\r\n (x", FrameError::NotSip, 0);
    let endless = [&b"OPTIONS sip:a SIP/2.0\r\n"[..], &b"X: y\r\n".repeat(MAX_HEAD_BYTES)].concat();
    assert_eq!(
        Framer::new().frame(&endless[..MAX_HEAD_BYTES + 1]),
        Frame::Invalid { reason: FrameError::HeadTooLarge, head_len: 0 }
    );
}

#[test]
fn a_message_byte_by_byte_is_looked_at_once() {
    // Looking at everything again for each byte would be 2 GB here and take minutes.
    let head = format!("OPTIONS sip:a SIP/2.0\r\nX: {}\r\nl: 30000\r\n\r\n", "x".repeat(30_000));
    let stream = [head.as_bytes(), &[b'b'; 30_000]].concat();
    let mut framer = Framer::new();
    for len in 1..stream.len() {
        assert_eq!(framer.frame(&stream[..len]), Frame::Incomplete);
    }
    assert_eq!(framer.frame(&stream), Frame::Message { len: stream.len() });
}
