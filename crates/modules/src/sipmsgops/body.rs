//! Looking at the body of a message.

use seawall_script::{Call, Flow};
use seawall_sip::Name;

use crate::context::Context;

/// `has_body(type)`.
pub fn has_body(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let message = context.message();
    if message.body().is_empty() {
        return Flow::FALSE;
    }
    let Some(wanted) = call.str(0) else { return Flow::TRUE };
    let kind = message.value(Name::ContentType).unwrap_or_default();
    let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default();
    Flow::bool(kind.trim_ascii().eq_ignore_ascii_case(wanted.trim_ascii()))
}

/// `has_body_part(mime)`: parts of a multipart body are looked at too (RFC 2046 section 5.1).
pub fn has_body_part(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let message = context.message();
    if message.body().is_empty() {
        return Flow::FALSE;
    }
    let Some(wanted) = call.str(0).map(<[u8]>::trim_ascii) else { return Flow::TRUE };
    let kind = message.value(Name::ContentType).unwrap_or_default();
    let is_wanted = |kind: &[u8]| {
        let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default();
        kind.trim_ascii().eq_ignore_ascii_case(wanted)
    };
    let multipart = kind.get(..10).is_some_and(|start| start.eq_ignore_ascii_case(b"multipart/"));
    let in_part = |line: &[u8]| {
        let name = line.get(..13).is_some_and(|name| name.eq_ignore_ascii_case(b"Content-Type:"));
        name && line.get(13..).is_some_and(is_wanted)
    };
    Flow::bool(is_wanted(kind) || (multipart && message.body().split(|byte| *byte == b'\n').any(in_part)))
}

/// Whether an SDP body stops the audio: `a=sendonly`, `a=inactive`, or the address 0.0.0.0 (RFC 3264 section 8.4).
pub fn audio_on_hold(body: &[u8]) -> bool {
    let mut audio = false;
    let mut session_on_hold = false;
    for line in body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
        if let Some(media) = line.strip_prefix(b"m=") {
            audio = media.starts_with(b"audio");
            continue;
        }
        let on_hold = matches!(line, b"a=sendonly" | b"a=inactive" | b"c=IN IP4 0.0.0.0");
        if on_hold && audio {
            return true;
        }
        session_on_hold |= on_hold && !body_has_media_before(body, line);
    }
    session_on_hold
}

/// Whether a line of the body stands behind the first `m=`.
fn body_has_media_before(body: &[u8], line: &[u8]) -> bool {
    let offset = (line.as_ptr() as usize).saturating_sub(body.as_ptr() as usize);
    body.get(..offset)
        .is_some_and(|before| before.starts_with(b"m=") || before.windows(3).any(|window| window == b"\nm="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audio_is_on_hold_when_its_media_or_the_session_says_so() {
        let body = |media: &str| format!("v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 9 RTP/AVP 0\r\n{media}");
        assert!(audio_on_hold(body("a=sendonly\r\n").as_bytes()));
        assert!(audio_on_hold(b"v=0\r\nc=IN IP4 0.0.0.0\r\nm=audio 9 RTP/AVP 0\r\n"));
        assert!(!audio_on_hold(body("a=sendrecv\r\n").as_bytes()));
        assert!(!audio_on_hold(body("m=video 9 RTP/AVP 96\r\na=inactive\r\n").as_bytes()));
    }
}
