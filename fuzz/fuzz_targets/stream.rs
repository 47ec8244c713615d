//! A TCP stream: cutting it must not depend on how it arrives, and what is cut out must scan to its end. The first
//! byte of the input is the size of the pieces.

#![no_main]

use libfuzzer_sys::fuzz_target;
use seawall_sip::{
    Framing, Message,
    stream::{Frame, Framer},
};

fuzz_target!(|input: &[u8]| {
    let Some((size, stream)) = input.split_first() else { return };
    let whole = cut(stream, stream.len().max(1));
    let pieces = cut(stream, usize::from(*size).max(1));
    assert_eq!(whole, pieces);
    for bytes in whole.0 {
        let len = bytes.len();
        let mut message = Message::empty();
        *message.buffer_mut() = bytes;
        if message.scan_in_place(Framing::Stream).is_ok() && message.flaw().is_none() {
            assert_eq!(message.wire().len(), len);
        }
    }
});

/// The messages of a stream, and where it turned out to be none.
fn cut(stream: &[u8], size: usize) -> (Vec<Vec<u8>>, Option<Frame>) {
    let mut framer = Framer::new();
    let (mut buffer, mut messages) = (Vec::new(), Vec::new());
    for piece in stream.chunks(size) {
        buffer.extend_from_slice(piece);
        loop {
            match framer.frame(&buffer) {
                Frame::Incomplete => break,
                Frame::KeepAlivePing { len } | Frame::KeepAlivePong { len } => drop(buffer.drain(..len)),
                Frame::Message { len } => messages.push(buffer.drain(..len).collect()),
                invalid @ Frame::Invalid { .. } => return (messages, Some(invalid)),
            }
        }
    }
    (messages, None)
}
