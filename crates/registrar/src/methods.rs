//! The methods of a contact as one bit mask, in the numbering that `location` tables of OpenSIPS hold.

use std::cell::RefCell;

use seawall_location::ALL_METHODS;
use seawall_sip::{Message, Method, Name};

use crate::limits::{LISTS_REMEMBERED, LONGEST_LIST_REMEMBERED};

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
pub(crate) fn allowed(message: &Message, memo: Option<&Memo>) -> u32 {
    match (message.value(Name::Allow), memo) {
        (None, _) => ALL_METHODS,
        (Some(value), Some(memo)) if !message.is_repeated(Name::Allow) => memo.listed(value),
        (Some(value), None) if !message.is_repeated(Name::Allow) => listed(value),
        _ => message.header_all(Name::Allow).fold(0, |mask, header| mask | listed(header.value)),
    }
}

/// What the lists of methods say that were read lately. All phones of one model send the same list, and comparing it costs
/// a tenth of reading it.
#[derive(Debug, Default)]
pub struct Memo(RefCell<[Remembered; LISTS_REMEMBERED]>);

#[derive(Debug, Default)]
struct Remembered {
    text: Vec<u8>,
    mask: u32,
}

impl Memo {
    /// As [`listed`].
    fn listed(&self, text: &[u8]) -> u32 {
        let Ok(mut lists) = self.0.try_borrow_mut() else { return listed(text) };
        // Lists of different models differ in length, as a rule.
        let Some(known) = lists.get_mut(text.len() % LISTS_REMEMBERED) else { return listed(text) };
        if known.text != text {
            if text.len() > LONGEST_LIST_REMEMBERED {
                return listed(text);
            }
            known.text.clear();
            known.text.extend_from_slice(text);
            known.mask = listed(text);
        }
        known.mask
    }
}

/// The methods of a comma-separated list, as Allow and the `methods` parameter of a Contact hold it. Methods are
/// tokens: unlike in other lists no quotes or brackets can hide a comma.
pub fn listed(text: &[u8]) -> u32 {
    let mut mask = 0;
    let mut rest = text;
    // Phones list a dozen methods in every request, so a method of up to seven bytes is found, and told from the
    // others, as one number.
    while !rest.is_empty() {
        let word = match rest.first_chunk::<8>() {
            Some(bytes) => u64::from_le_bytes(*bytes),
            None => last_word(text, rest),
        };
        let separators = separators(word);
        if separators == 0 {
            let (method, after) = rest.split_at_checked(token_len(rest)).unwrap_or((rest, b""));
            mask |= bit(Method::from_bytes(method));
            rest = after;
            continue;
        }
        let len = separators.trailing_zeros() / 8;
        mask |= bit_of_word(word & !(u64::MAX << (8 * len)));
        let after = rest.get(len as usize + 1..).unwrap_or_default();
        rest = after.strip_prefix(b" ").unwrap_or(after);
    }
    mask
}

/// The up to seven last bytes of a text, padded with zero bytes, which are separators.
fn last_word(text: &[u8], rest: &[u8]) -> u64 {
    match text.last_chunk::<8>() {
        Some(last) => u64::from_le_bytes(*last) >> (8 * (8 - rest.len().clamp(1, 8))),
        None => rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

/// The bit of a method of up to seven bytes that is padded with zero bytes; none for no bytes.
#[inline]
fn bit_of_word(word: u64) -> u32 {
    const INVITE: u64 = u64::from_le_bytes(*b"INVITE\0\0");
    const CANCEL: u64 = u64::from_le_bytes(*b"CANCEL\0\0");
    const ACK: u64 = u64::from_le_bytes(*b"ACK\0\0\0\0\0");
    const BYE: u64 = u64::from_le_bytes(*b"BYE\0\0\0\0\0");
    const INFO: u64 = u64::from_le_bytes(*b"INFO\0\0\0\0");
    const OPTIONS: u64 = u64::from_le_bytes(*b"OPTIONS\0");
    const UPDATE: u64 = u64::from_le_bytes(*b"UPDATE\0\0");
    const MESSAGE: u64 = u64::from_le_bytes(*b"MESSAGE\0");
    const NOTIFY: u64 = u64::from_le_bytes(*b"NOTIFY\0\0");
    const PRACK: u64 = u64::from_le_bytes(*b"PRACK\0\0\0");
    const REFER: u64 = u64::from_le_bytes(*b"REFER\0\0\0");
    const PUBLISH: u64 = u64::from_le_bytes(*b"PUBLISH\0");
    match word {
        0 => 0,
        INVITE => bit(Method::Invite),
        CANCEL => bit(Method::Cancel),
        ACK => bit(Method::Ack),
        BYE => bit(Method::Bye),
        INFO => bit(Method::Info),
        OPTIONS => bit(Method::Options),
        UPDATE => bit(Method::Update),
        MESSAGE => bit(Method::Message),
        NOTIFY => bit(Method::Notify),
        PRACK => bit(Method::Prack),
        REFER => bit(Method::Refer),
        PUBLISH => bit(Method::Publish),
        _ => bit(Method::Other),
    }
}

/// Commas, white space and control characters; every other byte belongs to a method.
fn is_separator(byte: u8) -> bool {
    byte <= b' ' || byte == b','
}

/// The high bit of every separator among eight bytes. Borrows spoil the bits above the lowest that is set.
#[inline]
fn separators(word: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGHS: u64 = ONES << 7;
    let commas = word ^ (ONES * u64::from(b','));
    let blanks = word.wrapping_sub(ONES * (u64::from(b' ') + 1)) & !word;
    (blanks | commas.wrapping_sub(ONES) & !commas) & HIGHS
}

/// How many bytes come before the first separator.
fn token_len(text: &[u8]) -> usize {
    let mut len = 0;
    while let Some(word) = text.get(len..).and_then(<[u8]>::first_chunk::<8>) {
        let found = separators(u64::from_le_bytes(*word));
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

    #[test]
    fn a_list_that_is_remembered_says_the_same() {
        let memo = Memo::default();
        let long = b"INVITE, ".repeat(100);
        let check = |text: &[u8]| assert_eq!(memo.listed(text), listed(text), "{}", text.escape_ascii());
        for text in [&b""[..], b"INVITE", b"CANCEL", b"INVITE", b"INVITE", b"INVITE,BYE", &long, &long] {
            check(text);
        }
        assert!(memo.0.borrow().iter().all(|list| list.text.len() <= LONGEST_LIST_REMEMBERED));
    }

    proptest::proptest! {
        #[test]
        fn a_list_gives_the_bits_of_its_methods(names in proptest::collection::vec((0usize..16, 0usize..4), 0..9)) {
            const NAMES: [&str; 16] = [
                "INVITE", "CANCEL", "ACK", "BYE", "INFO", "OPTIONS", "UPDATE", "REGISTER", "MESSAGE", "SUBSCRIBE",
                "NOTIFY", "PRACK", "REFER", "PUBLISH", "FOO", "",
            ];
            let text: String =
                names.iter().map(|&(name, blank)| NAMES[name].to_owned() + [",", ", ", " ,", ",\r\n "][blank]).collect();
            let bits = names.iter().filter(|(name, _)| *name < 15).fold(0, |mask, (name, _)| mask | 1 << *name);
            proptest::prop_assert_eq!(listed(text.as_bytes()), bits);
            proptest::prop_assert_eq!(listed(text.trim_end_matches([',', ' ']).as_bytes()), bits);
        }

        #[test]
        fn a_token_ends_where_a_plain_search_finds_the_separator(text in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40)) {
            let plain = text.iter().position(|byte| is_separator(*byte)).unwrap_or(text.len());
            proptest::prop_assert_eq!(token_len(&text), plain);
        }
    }
}
