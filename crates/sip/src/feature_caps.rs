//! Feature-Caps (RFC 6809): what elements on the path can do, such as push for a provider (RFC 8599 §8).

use crate::{ascii, list, message::Message, name::Name, params::Params};

/// The feature capability indicators of each value of all Feature-Caps header fields. Values that do not start with
/// `*` are passed over (RFC 6809 §6.3.1).
pub fn feature_caps(message: &Message) -> impl Iterator<Item = Params<'_>> + Clone {
    list::items(message, Name::FeatureCaps).filter_map(|item| Params::after(item.strip_prefix(b"*")?).ok())
}

/// Whether any value indicates a capability, such as `+sip.pns`, with the given value. Quotes do not count; names
/// and values are compared without regard to case.
#[must_use]
pub fn indicates(message: &Message, name: &[u8], value: &[u8]) -> bool {
    feature_caps(message).any(|caps| {
        caps.value(name).is_some_and(|found| ascii::strip_quotes(found).eq_ignore_ascii_case(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_found_in_every_value() {
        let message = Message::parse(
            b"OPTIONS sip:a SIP/2.0\r\nFeature-Caps: *;+sip.pns=\"apns\";+sip.pnsreg=\"130\", *;+sip.x\r\n\
              Feature-Caps: ;+sip.y, *;+sip.pns=\"fcm\"\r\n\r\n"
                .to_vec(),
        )
        .unwrap();
        assert!(indicates(&message, b"+sip.pns", b"apns"));
        assert!(indicates(&message, b"+SIP.PNS", b"FCM"));
        assert!(!indicates(&message, b"+sip.pns", b"webpush"));
        assert_eq!(feature_caps(&message).count(), 3);
        assert!(feature_caps(&message).all(|caps| !caps.has(b"+sip.y")));
    }
}
