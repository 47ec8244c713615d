//! URIs and addresses: reading, comparing, escaping. A line break separates the two URIs that are compared.

#![no_main]

use libfuzzer_sys::fuzz_target;
use seawall_sip::{NameAddr, Uri, Via, uri::escape};

fuzz_target!(|input: &[u8]| {
    let mut lines = input.splitn(2, |&byte| byte == b'\n');
    let (first, second) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let _ = (NameAddr::parse(input), Via::parse(input));
    if let Ok(uri) = Uri::parse(first) {
        read(first, &uri);
        if let Ok(other) = Uri::parse(second) {
            assert_eq!(uri.equals(&other), other.equals(&uri));
        }
    }
    escape_and_back(input);
});

fn read(bytes: &[u8], uri: &Uri<'_>) {
    assert!(uri.equals(&Uri::parse(bytes).expect("it was read before")));
    let _ = (uri.host_ip(), uri.host_port(), uri.transport(), uri.params.iter().count());
    let mut user = Vec::new();
    escape::unescape_into(uri.user.unwrap_or_default(), &mut user).expect("escapes were checked");
    let value = [b"<", bytes, b">;tag=1"].concat();
    let address = NameAddr::parse(&value).expect("a URI may stand in brackets");
    assert_eq!((address.uri, address.tag()), (bytes, Some(&b"1"[..])));
}

fn escape_and_back(bytes: &[u8]) {
    for write in [escape::escape_user_into, escape::escape_param_into] {
        let (mut escaped, mut back) = (Vec::new(), Vec::new());
        write(bytes, &mut escaped);
        escape::unescape_into(&escaped, &mut back).expect("our own escapes");
        assert_eq!(back, bytes);
    }
}
