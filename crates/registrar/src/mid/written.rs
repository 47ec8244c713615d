//! The Contact values of a forwarded REGISTER as they are sent. They are kept until its answer comes, which is held against
//! them: to write them twice would cost as much as to read the answer.

use seawall_sip::Span;
use smallvec::SmallVec;

use super::contact::Place;

/// Contact values for one place.
#[derive(Clone, Debug, Default)]
pub(super) struct Written {
    /// The value of the header field.
    text: Vec<u8>,
    /// Where each value stands, without its `expires`.
    values: SmallVec<[Span; 2]>,
    /// [`Place::mark`].
    place: u64,
}

impl Written {
    /// Nothing yet, with room for a usual value.
    pub(super) fn new() -> Written {
        Written { text: Vec::with_capacity(384), ..Written::default() }
    }

    /// Appends a value: `value` writes it, `interval` what follows it in the header field.
    pub(super) fn push(&mut self, value: impl FnOnce(&mut Vec<u8>), interval: impl FnOnce(&mut Vec<u8>)) {
        self.text.extend_from_slice(if self.values.is_empty() { b"" } else { b", " });
        let start = self.text.len();
        value(&mut self.text);
        self.values.push(Span::between(start, self.text.len()));
        interval(&mut self.text);
    }

    /// Nothing more comes; these are the values for the place with this [`mark`](Place::mark).
    pub(super) fn finish(self, place: u64) -> Written {
        Written { place, ..self }
    }

    /// The value of the header field; empty for no values.
    pub(super) fn line(&self) -> &[u8] {
        &self.text
    }

    /// Whether it was made for this place.
    pub(super) fn is_for(&self, place: Place<'_>) -> bool {
        self.place == place.mark()
    }

    /// Each value, in the order of the request.
    pub(super) fn values(&self) -> impl Iterator<Item = &[u8]> {
        self.values.iter().map(|span| span.of(&self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_given_back_without_what_follows_them_and_for_their_place_only() {
        let udp = Place { host_port: b"192.0.2.1:5060", transport: b"" };
        let mut written = Written::new();
        written
            .push(|text| text.extend_from_slice(b"<sip:a@h>"), |text| text.extend_from_slice(b";expires=7"));
        written.push(|text| text.extend_from_slice(b"<sip:b@h>;x"), |_| {});
        let written = written.finish(udp.mark());
        assert_eq!(written.line(), b"<sip:a@h>;expires=7, <sip:b@h>;x");
        assert_eq!(written.values().collect::<Vec<_>>(), [&b"<sip:a@h>"[..], b"<sip:b@h>;x"]);
        assert!(written.is_for(udp));
        for other in [
            Place { transport: b"tcp", ..udp },
            Place { host_port: b"192.0.2.1:506", transport: b"0" },
            Place { host_port: b"192.0.2.1:5061", ..udp },
        ] {
            assert!(!written.is_for(other), "{other:?}");
        }
        assert_eq!(Written::new().finish(udp.mark()).line(), b"");
    }
}
