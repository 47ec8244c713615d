use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::rand::SystemRandom;
use seawall_push::{Options, Outcome, Push, WebPushOptions};

use crate::fake::{Fake, PATIENCE, Reply, claims, now_s, push, sender};

const AUTH: [u8; 16] = *b"sixteen bytes ok";

fn options(fake: &Fake, hosts: &[String]) -> (Options, Vec<u8>) {
    let (key_file, point) = fake.key("vapid.pem");
    let webpush = WebPushOptions {
        key_file,
        contact: "mailto:ops@example.net".to_owned(),
        hosts: hosts.to_vec(),
        template: r#"{"from":"{caller_name}","number":"{caller_number}"}"#.to_owned(),
    };
    (Options { webpush: Some(webpush), roots: fake.roots(), ..Options::default() }, point)
}

fn host(fake: &Fake) -> String {
    format!("localhost:{}", fake.port)
}

fn call(resource: String, param: String) -> Push {
    Push {
        provider: "webpush".to_owned(),
        param,
        prid: resource,
        reason: "ini-INVITE".to_owned(),
        caller_name: "Carol".to_owned(),
        caller_number: "300".to_owned(),
        ..Push::default()
    }
}

/// How many bytes HKDF is to give.
struct Bytes(usize);

impl KeyType for Bytes {
    fn len(&self) -> usize {
        self.0
    }
}

fn expand(salt: &[u8], secret: &[u8], info: &[&[u8]], length: usize) -> Vec<u8> {
    let mut out = vec![0; length];
    Salt::new(HKDF_SHA256, salt).extract(secret).expand(info, Bytes(length)).unwrap().fill(&mut out).unwrap();
    out
}

/// What a browser does with a message (RFC 8291, RFC 8188).
fn decrypt(private: EphemeralPrivateKey, point: &[u8], message: &[u8]) -> Vec<u8> {
    let (salt, rest) = message.split_at(16);
    assert_eq!(rest[..5], [0, 0, 16, 0, 65], "one record of 4096 bytes, and a key of 65");
    let (sender, record) = rest[5..].split_at(65);
    let peer = UnparsedPublicKey::new(&ECDH_P256, sender);
    let info: [&[u8]; 3] = [b"WebPush: info\0", point, sender];
    let secret = agree_ephemeral(private, &peer, |shared| expand(&AUTH, shared, &info, 32)).unwrap();
    let key = expand(salt, &secret, &[b"Content-Encoding: aes128gcm\0"], 16);
    let nonce = expand(salt, &secret, &[b"Content-Encoding: nonce\0"], 12);
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).unwrap());
    let mut record = record.to_vec();
    let nonce = Nonce::try_assume_unique_for_key(&nonce).unwrap();
    let plain = key.open_in_place(nonce, Aad::empty(), &mut record).expect("a message for us");
    let (end, plain) = plain.split_last().unwrap();
    assert_eq!(*end, 2, "the last record");
    plain.to_vec()
}

#[tokio::test]
async fn only_the_phone_can_read_it_and_the_service_sees_who_sends() {
    let fake = Fake::start().await;
    fake.always(Reply::status(201, ""));
    let (options, key) = options(&fake, &[host(&fake)]);
    let private = EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new()).unwrap();
    let point = private.compute_public_key().unwrap().as_ref().to_vec();
    let param = format!("{}.{}", URL_SAFE_NO_PAD.encode(&point), URL_SAFE_NO_PAD.encode(AUTH));
    let resource = format!("{}/push/one?x=1", fake.url());
    assert_eq!(push(&sender(&options), call(resource, param), PATIENCE).await, Outcome::Accepted);

    let seen = fake.only();
    assert_eq!(seen.path, "/push/one?x=1");
    assert_eq!(seen.header("content-encoding"), "aes128gcm");
    assert_eq!(seen.header("urgency"), "high");
    assert!((1..=20).contains(&seen.header("ttl").parse::<u64>().unwrap()));
    let plain = decrypt(private, &point, &seen.body);
    assert_eq!(plain, br#"{"from":"Carol","number":"300"}"#);
    let login = seen.header("authorization").strip_prefix("vapid t=").unwrap();
    let (token, shown) = login.split_once(", k=").unwrap();
    assert_eq!(URL_SAFE_NO_PAD.decode(shown).unwrap(), key);
    let (_, claims) = claims(token, &key);
    assert_eq!(claims["aud"], fake.url());
    assert_eq!(claims["sub"], "mailto:ops@example.net");
    let lasts_s = claims["exp"].as_u64().unwrap() - now_s();
    assert!((3600..=24 * 3600).contains(&lasts_s), "{lasts_s}");
}

#[tokio::test]
async fn without_keys_of_a_subscription_the_push_is_empty() {
    let fake = Fake::start().await;
    let (options, _) = options(&fake, &[host(&fake)]);
    let resource = format!("{}/p", fake.url());
    assert_eq!(push(&sender(&options), call(resource, String::new()), PATIENCE).await, Outcome::Accepted);
    let seen = fake.only();
    assert_eq!((seen.body.len(), seen.header("content-encoding")), (0, ""));
}

#[tokio::test]
async fn a_subscription_that_ended_is_dead() {
    let fake = Fake::start().await;
    let (options, _) = options(&fake, &[host(&fake)]);
    let sender = sender(&options);
    for status in [404, 410] {
        fake.script([Reply::status(status, "")]);
        let resource = format!("{}/p", fake.url());
        assert_eq!(push(&sender, call(resource, String::new()), PATIENCE).await, Outcome::Dead, "{status}");
    }
}

#[tokio::test]
async fn a_phone_cannot_make_us_ask_servers_that_are_not_listed() {
    let fake = Fake::start().await;
    let listed = ["push.example.net".to_owned(), "*.push.example.org".to_owned()];
    let (options, _) = options(&fake, &listed);
    let sender = sender(&options);
    let here = format!("{}/p", fake.url());
    let resources = [
        here.as_str(),
        "http://push.example.net/p",
        "https://push.example.net@localhost/p",
        "https://push.example.net:22/p",
        "https://evilpush.example.org/p",
        "https://push.example.net",
        "file:///etc/passwd",
        "https://push.example.net /p",
    ];
    for resource in resources {
        let outcome = push(&sender, call(resource.to_owned(), String::new()), PATIENCE).await;
        assert!(matches!(outcome, Outcome::Refused(_)), "{resource}: {outcome:?}");
    }
    assert_eq!(fake.connections(), 0);
}
