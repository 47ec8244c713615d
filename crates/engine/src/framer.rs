//! SIP framing for the streams of the net.

use seawall_net::{StreamFrame, StreamFramer};
use seawall_sip::stream::{Frame, Framer};

/// Finds the end of SIP messages on one connection.
#[derive(Debug, Default)]
pub struct SipFramer(Framer);

impl StreamFramer for SipFramer {
    fn frame(&mut self, buffered: &[u8]) -> StreamFrame {
        match self.0.frame(buffered) {
            Frame::Incomplete => StreamFrame::Incomplete,
            // RFC 5626 section 3.5.1: a double CRLF is answered by a single one.
            Frame::KeepAlivePing { len } => StreamFrame::Skip { len, reply: Some(b"\r\n") },
            Frame::KeepAlivePong { len } => StreamFrame::Skip { len, reply: None },
            Frame::Message { len } => StreamFrame::Message { len },
            Frame::Invalid { head_len, .. } => {
                let head = buffered.get(..head_len).unwrap_or_default();
                StreamFrame::Invalid { reply: refusal(head) }
            }
        }
    }
}

/// The 400 that a request gets whose end cannot be found, if its head is there to answer.
fn refusal(head: &[u8]) -> Option<Vec<u8>> {
    let message = seawall_sip::Message::parse(head.to_vec()).ok().filter(seawall_sip::Message::is_request)?;
    message.header(seawall_sip::Name::Via)?;
    if message.method_id() == seawall_sip::Method::Ack {
        return None;
    }
    let mut out = Vec::new();
    seawall_sip::build::Response::new(400, b"Bad Request").write(&message, &mut out);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_without_a_usable_length_is_refused_before_the_connection_closes() {
        let bytes =
            b"OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nContent-Length: -1\r\n\r\n";
        let StreamFrame::Invalid { reply: Some(reply) } = SipFramer::default().frame(bytes) else {
            panic!("the length is not usable");
        };
        assert!(reply.starts_with(b"SIP/2.0 400 Bad Request\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\n"));
    }

    #[test]
    fn a_keep_alive_is_answered() {
        let frame = SipFramer::default().frame(b"\r\n\r\n");
        assert_eq!(frame, StreamFrame::Skip { len: 4, reply: Some(b"\r\n") });
    }
}
