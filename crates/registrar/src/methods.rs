//! The methods of a contact as one bit mask, in the numbering that `location` tables of OpenSIPS hold.

use seawall_location::ALL_METHODS;
use seawall_sip::{Message, Method, Name};

/// The bit of a method.
pub fn bit(method: Method) -> u32 {
    1 << match method {
        Method::Invite => 0,
        Method::Cancel => 1,
        Method::Ack => 2,
        Method::Bye => 3,
        Method::Info => 4,
        Method::Options => 5,
        Method::Update => 6,
        Method::Register => 7,
        Method::Message => 8,
        Method::Subscribe => 9,
        Method::Notify => 10,
        Method::Prack => 11,
        Method::Refer => 12,
        Method::Publish => 13,
        Method::Other => 14,
    }
}

/// The methods that the Allow header fields of a message list; all, when there are none (registrar 1.4.4).
pub fn allowed(message: &Message) -> u32 {
    match message.header(Name::Allow) {
        None => ALL_METHODS,
        Some(_) => message.header_all(Name::Allow).fold(0, |mask, header| mask | listed(header.value)),
    }
}

/// The methods of a comma-separated list, as Allow and the `methods` parameter of a Contact hold it. Methods are
/// tokens: unlike in other lists no quotes or brackets can hide a comma.
pub fn listed(text: &[u8]) -> u32 {
    let mut mask = 0;
    let mut rest = text;
    loop {
        while let [byte, after @ ..] = rest
            && is_separator(*byte)
        {
            rest = after;
        }
        if rest.is_empty() {
            return mask;
        }
        let (method, after) = rest.split_at_checked(token_len(rest)).unwrap_or((rest, b""));
        mask |= bit(Method::from_bytes(method));
        rest = after;
    }
}

/// Commas, white space and control characters; every other byte belongs to a method.
fn is_separator(byte: u8) -> bool {
    byte <= b' ' || byte == b','
}

/// How many bytes come before the first separator. Phones list a dozen methods in every request, so eight bytes are
/// looked at together.
fn token_len(text: &[u8]) -> usize {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGHS: u64 = ONES << 7;
    let mut len = 0;
    while let Some(word) = text.get(len..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*word);
        let commas = word ^ (ONES * u64::from(b','));
        // The lowest high bit that is set marks the first separator; borrows spoil the bits above it only.
        let blanks = word.wrapping_sub(ONES * (u64::from(b' ') + 1)) & !word;
        let found = (blanks | commas.wrapping_sub(ONES) & !commas) & HIGHS;
        if found != 0 {
            return len + found.trailing_zeros() as usize / 8;
        }
        len += 8;
    }
    let tail = text.get(len..).unwrap_or_default();
    len + tail.iter().position(|byte| is_separator(*byte)).unwrap_or(tail.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_become_bits_and_unknown_ones_share_one() {
        assert_eq!(listed(b"INVITE, ACK,BYE"), 1 | 4 | 8);
        assert_eq!(listed(b"FOO,invite"), 1 << 14);
        assert_eq!(listed(b""), 0);
        assert_eq!(
            listed(b" ,\r\n\tINVITE\r\n ,SUBSCRIBE\tNOTIFY,A-VERY-LONG-METHOD-NAME,BYE "),
            1 | 512 | 1024 | 1 << 14 | 8
        );
    }

    proptest::proptest! {
        #[test]
        fn a_token_ends_where_a_plain_search_finds_the_separator(text in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40)) {
            let plain = text.iter().position(|byte| is_separator(*byte)).unwrap_or(text.len());
            proptest::prop_assert_eq!(token_len(&text), plain);
        }
    }
}
