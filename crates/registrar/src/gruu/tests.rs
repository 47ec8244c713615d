use proptest::prelude::*;
use seawall_location::Numbers;

use super::*;

const INSTANCE: &[u8] = b"<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>";
const AT: &[u8] = b"192.0.2.1:5060";

fn binding<'a>(instance: &'a [u8], callid: &'a [u8], cseq: u32) -> Binding<'a> {
    let numbers = Numbers { cseq, last_modified_s: 1_800_000_000, ..Numbers::default() };
    Binding { numbers, instance, callid, ..Binding::default() }
}

fn temporary(gruu: &Gruu, aor: &[u8], binding: &Binding<'_>) -> String {
    let mut out = Vec::new();
    gruu.write_temporary(aor, AT, binding, &mut out);
    String::from_utf8(out).unwrap()
}

fn opaque(uri: &str) -> &str {
    uri.strip_prefix("sip:tgruu.").and_then(|rest| rest.strip_suffix("@192.0.2.1:5060;gr")).unwrap()
}

fn read(gruu: &Gruu, uri: &str) -> Option<Result<Wanted, NoGruu>> {
    gruu.read(&Uri::parse(uri.as_bytes()).unwrap(), &Policy::default())
}

#[track_caller]
fn check_refused(gruu: &Gruu, user: &str) {
    assert_eq!(read(gruu, &format!("sip:{user}@192.0.2.1:5060;gr")), Some(Err(NoGruu)), "{user}");
}

fn opened(gruu: &Gruu, aor: &[u8], binding: &Binding<'_>) -> Wanted {
    read(gruu, &temporary(gruu, aor, binding)).unwrap().unwrap()
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        aor in proptest::collection::vec(any::<u8>(), 1..=MAX_AOR_LEN),
        instance in proptest::collection::vec(any::<u8>(), 1..=MAX_INSTANCE_LEN),
        callid in proptest::collection::vec(any::<u8>(), 1..=255),
        cseq in any::<u32>(),
    ) {
        let gruu = Gruu::new(b"secret", false);
        let binding = binding(&instance, &callid, cseq);
        let wanted = opened(&gruu, &aor, &binding);
        prop_assert_eq!(&wanted.aor[..], &aor[..]);
        prop_assert!(gruu.is_wanted(&wanted, &binding));
    }

    #[test]
    fn no_bit_can_be_changed(at in 0usize..10_000, bit in 0u8..8) {
        let gruu = Gruu::new(b"secret", false);
        let uri = temporary(&gruu, b"alice@example.com", &binding(INSTANCE, b"1", 1));
        let mut sealed = URL_SAFE_NO_PAD.decode(opaque(&uri)).unwrap();
        let at = at % sealed.len();
        sealed[at] ^= 1 << bit;
        check_refused(&gruu, &format!("tgruu.{}", URL_SAFE_NO_PAD.encode(&sealed)));
    }

    #[test]
    fn no_character_can_be_changed(at in 0usize..10_000, other in "[A-Za-z0-9_-]") {
        let gruu = Gruu::new(b"secret", false);
        let uri = temporary(&gruu, b"alice@example.com", &binding(INSTANCE, b"1", 1));
        let mut text = opaque(&uri).as_bytes().to_vec();
        let at = at % text.len();
        prop_assume!(text[at] != other.as_bytes()[0]);
        text[at] = other.as_bytes()[0];
        check_refused(&gruu, &format!("tgruu.{}", String::from_utf8(text).unwrap()));
    }

    #[test]
    fn any_text_is_refused(text in "[A-Za-z0-9_.=+/-]{0,1200}") {
        check_refused(&Gruu::new(b"secret", false), &format!("tgruu.{text}"));
    }

    #[test]
    fn any_bytes_are_read_without_harm_in_the_old_form(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let text = base64::engine::general_purpose::STANDARD.encode(bytes);
        let _ = read(&Gruu::new(b"secret", true), &format!("sip:tgruu.{text}@192.0.2.1:5060;gr"));
    }
}

#[test]
fn a_longest_one_is_within_the_limit_and_one_byte_more_is_not_read() {
    let gruu = Gruu::new(b"secret", false);
    let aor = [b'a'; MAX_AOR_LEN];
    let longest = temporary(&gruu, &aor, &binding(INSTANCE, b"1", 1));
    assert!(opaque(&longest).len() <= MAX_TEMPORARY_GRUU_LEN);
    check_refused(&gruu, &format!("tgruu.{}", "A".repeat(MAX_TEMPORARY_GRUU_LEN + 1)));
    assert_eq!(temporary(&gruu, &[b'a'; MAX_AOR_LEN + 1], &binding(INSTANCE, b"1", 1)), "");
}

#[test]
fn empty_short_and_foreign_ones_are_refused() {
    let gruu = Gruu::new(b"secret", false);
    let foreign = temporary(&Gruu::new(b"other", false), b"alice@example.com", &binding(INSTANCE, b"1", 1));
    for user in ["tgruu.", "tgruu", "TGRUU.AAAA", "tgruu.A", "tgruu.AAAAAAAAAAAAAAAA", "alice"] {
        check_refused(&gruu, user);
    }
    check_refused(&gruu, &format!("tgruu.{}", opaque(&foreign)));
    assert_eq!(read(&gruu, "sip:192.0.2.1:5060;gr"), Some(Err(NoGruu)));
    assert_eq!(read(&gruu, "sip:tgruu.AAAA@192.0.2.1:5060"), None);
}

#[test]
fn another_call_id_or_instance_is_not_meant() {
    let gruu = Gruu::new(b"secret", false);
    let wanted = opened(&gruu, b"alice@example.com", &binding(INSTANCE, b"1", 1));
    assert!(gruu.is_wanted(&wanted, &binding(INSTANCE, b"1", 9)));
    assert!(gruu.is_wanted(&wanted, &binding(&INSTANCE.to_ascii_uppercase(), b"1", 9)));
    assert!(!gruu.is_wanted(&wanted, &binding(INSTANCE, b"2", 1)));
    assert!(!gruu.is_wanted(&wanted, &binding(b"<urn:uuid:0>", b"1", 1)));
    assert!(!gruu.is_wanted(&wanted, &binding(b"", b"1", 1)));
}

/// The longest run of characters that two texts have in common, wherever it stands.
fn longest_common(left: &[u8], right: &[u8]) -> usize {
    let common = |left: &[u8], right: &[u8]| left.iter().zip(right).take_while(|(a, b)| a == b).count();
    let starts = (0..left.len()).flat_map(|at| (0..right.len()).map(move |other| (at, other)));
    starts.map(|(at, other)| common(&left[at..], &right[other..])).max().unwrap_or(0)
}

#[test]
fn two_of_one_binding_have_nothing_in_common_and_a_repeated_request_gets_the_same() {
    let gruu = Gruu::new(b"secret", false);
    let all: Vec<String> =
        (1..30).map(|cseq| temporary(&gruu, b"alice@example.com", &binding(INSTANCE, b"1", cseq))).collect();
    for (index, left) in all.iter().enumerate() {
        for right in &all[index + 1..] {
            let (left, right) = (opaque(left).as_bytes(), opaque(right).as_bytes());
            assert_eq!(left.len(), right.len());
            // Six characters that agree by chance come once in 10^10 places; there are 4 × 10^6 here.
            assert!(longest_common(left, right) < 6);
        }
    }
    let again = temporary(&gruu, b"alice@example.com", &binding(INSTANCE, b"1", 1));
    assert_eq!(again, all[0]);
    // Nor does the length tell whose it is.
    let of_bob = temporary(&gruu, b"bob@example.com", &binding(b"<urn:x>", b"another call", 1));
    assert_eq!(of_bob.len(), all[0].len());
}

#[test]
fn a_public_one_names_the_instance_and_is_read_back() {
    let public = |aor: &[u8], instance: &[u8]| {
        let mut out = Vec::new();
        write_public(aor, AT, instance, &mut out);
        String::from_utf8(out).unwrap()
    };
    let uri = public(b"alice@example.com", INSTANCE);
    assert_eq!(uri, "sip:alice@example.com;gr=urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6");
    assert_eq!(public(b"alice", b"<urn:x>"), "sip:alice@192.0.2.1:5060;gr=urn:x");
    let gruu = Gruu::new(b"secret", false);
    let odd: &[u8] = b"<urn:x;a=\"b\"?@%>";
    for (aor, instance) in [(&b"alice@example.com"[..], INSTANCE), (b"a b@c@example.com", odd)] {
        let wanted = read(&gruu, &public(aor, instance)).unwrap().unwrap();
        assert_eq!(&wanted.aor[..], aor);
        assert!(gruu.is_wanted(&wanted, &binding(instance, b"any", 7)));
        assert!(!gruu.is_wanted(&wanted, &binding(b"<urn:y>", b"any", 7)));
    }
    assert_eq!(read(&gruu, "sip:example.com;gr=urn:x"), Some(Err(NoGruu)));
    let long = format!("sip:alice@example.com;gr={}", "x".repeat(MAX_INSTANCE_LEN + 1));
    assert_eq!(read(&gruu, &long), Some(Err(NoGruu)));
}

#[test]
fn the_old_form_is_read_only_where_it_is_allowed() {
    let old = |plain: &str, secret: &[u8]| {
        let mixed: Vec<u8> = plain.bytes().zip(secret.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        format!("sip:tgruu.{}@192.0.2.1:5060;gr", base64::engine::general_purpose::STANDARD.encode(mixed))
    };
    let bare = "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6";
    let uri = old(&format!("1800000000 alice@example.com {bare} call-1"), b"OpenSIPS");
    assert_eq!(read(&Gruu::new(b"OpenSIPS", false), &uri), Some(Err(NoGruu)));
    let gruu = Gruu::new(b"OpenSIPS", true);
    let wanted = read(&gruu, &uri).unwrap().unwrap();
    assert_eq!(&wanted.aor[..], b"alice@example.com");
    assert!(gruu.is_wanted(&wanted, &binding(INSTANCE, b"call-1", 1)));
    assert!(!gruu.is_wanted(&wanted, &binding(INSTANCE, b"call-2", 1)));
    assert!(!gruu.is_wanted(&wanted, &binding(b"<urn:y>", b"call-1", 1)));
    for plain in ["", "1 a@b urn:x", "x a@b urn:x c", "1  urn:x c", "1 a@b  c"] {
        assert_eq!(read(&gruu, &old(plain, b"OpenSIPS")), Some(Err(NoGruu)), "{plain}");
    }
    // Its own are read all the same.
    assert!(read(&gruu, &temporary(&gruu, b"bob@example.com", &binding(INSTANCE, b"1", 1))).unwrap().is_ok());
}
