//! Answers to challenges, as a phone computes them (RFC 7616), sharing no code with the server.

use md5::{Digest, Md5};

use super::{Message, Phone, Request, unique};

fn md5(text: &str) -> String {
    Md5::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A parameter of a challenge, without quotes.
fn parameter(challenge: &str, name: &str) -> String {
    let parts = challenge.trim_start_matches("Digest ").split(", ");
    let mut pairs = parts.filter_map(|part| part.split_once('='));
    let found = pairs.find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("no {name} in {challenge}")).1.trim_matches('"').to_owned()
}

/// The header line that answers the challenge in a 401 or 407 for a request.
pub fn credentials(challenged: &Message, request: &Request, user: &str, password: &str) -> String {
    let (header, answer) = match challenged.status() {
        401 => ("WWW-Authenticate", "Authorization"),
        407 => ("Proxy-Authenticate", "Proxy-Authorization"),
        _ => panic!("no challenge: {}", challenged.start),
    };
    // The last is the weakest, which every phone can answer.
    let challenges = challenged.all(header);
    let challenge = challenges.last().unwrap_or_else(|| panic!("no {header}"));
    let (realm, nonce) = (parameter(challenge, "realm"), parameter(challenge, "nonce"));
    let cnonce = unique();
    let a1 = md5(&format!("{user}:{realm}:{password}"));
    let a2 = md5(&format!("{}:{}", request.method, request.uri));
    let response = md5(&format!("{a1}:{nonce}:00000001:{cnonce}:auth:{a2}"));
    format!(
        "{answer}: Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{}\", qop=auth, \
         nc=00000001, cnonce=\"{cnonce}\", response=\"{response}\", algorithm=MD5",
        request.uri
    )
}

/// The same request with the answer to the challenge that it has got.
pub fn answered(challenged: &Message, request: &Request, user: &str, password: &str) -> Request {
    request.next().with(credentials(challenged, request, user, password))
}

/// Sends a request, answers the challenge under the phone's own name, and gives the answer to that.
pub fn ask(phone: &mut Phone, request: &Request, password: &str) -> Message {
    let user = phone.user.clone();
    ask_as(phone, request, &user, password)
}

/// The same under another name.
pub fn ask_as(phone: &mut Phone, request: &Request, user: &str, password: &str) -> Message {
    let challenged = phone.ask(request);
    phone.ask(&answered(&challenged, request, user, password))
}
