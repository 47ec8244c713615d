//! `pn-param` and `pn-prid` of APNs (RFC 8599 section 10): team, topic and token.

/// Where a push to an Apple device goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// The team.
    pub team: String,
    /// The `apns-topic`: the application, with `.voip` behind it for PushKit.
    pub topic: String,
    /// The device token.
    pub token: String,
    /// Whether it is a PushKit push.
    pub voip: bool,
}

/// Reads `TEAM.com.example.app`, `TEAM.com.example.app.voip`, and the form of phones that have one token for calls and
/// one for everything else: `TEAM.com.example.app.voip&remote` with `TOKEN:voip&TOKEN:remote`. `call` chooses between
/// the two: PushKit is for calls only.
pub fn read(param: &str, prid: &str, call: bool) -> Result<Topic, &'static str> {
    let (team, rest) = param.split_once('.').ok_or("pn-param is not team.topic")?;
    if team.is_empty() || rest.is_empty() {
        return Err("pn-param is not team.topic");
    }
    let (application, services) = match rest.rsplit_once('.') {
        Some((application, services)) if services.split('&').all(is_service) => (application, services),
        _ => (rest, "remote"),
    };
    if application.is_empty()
        || !application.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
    {
        return Err("the topic in pn-param is no name of an application");
    }
    let wanted = if call { "voip" } else { "remote" };
    let services: Vec<&str> = services.split('&').collect();
    let service =
        if services.contains(&wanted) { wanted } else { services.first().copied().unwrap_or("remote") };
    let token = token(prid, service).ok_or("pn-prid has no token for this service")?;
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err("pn-prid is no device token");
    }
    let voip = service == "voip";
    let topic = if voip { format!("{application}.voip") } else { application.to_owned() };
    Ok(Topic { team: team.to_owned(), topic, token: token.to_owned(), voip })
}

fn is_service(text: &str) -> bool {
    matches!(text, "voip" | "remote")
}

/// The token for a service; a single one without a service is for any.
fn token<'a>(prid: &'a str, service: &str) -> Option<&'a str> {
    if !prid.contains(':') {
        return Some(prid);
    }
    prid.split('&')
        .filter_map(|entry| entry.rsplit_once(':'))
        .find(|(_, of)| *of == service)
        .map(|(token, _)| token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(param: &str, prid: &str, call: bool, expected: Result<(&str, &str, &str), &str>) {
        let found = read(param, prid, call);
        let found =
            found.as_ref().map(|topic| (&*topic.team, &*topic.topic, &*topic.token)).map_err(|error| *error);
        assert_eq!(found, expected, "{param} {prid}");
    }

    #[test]
    fn the_examples_of_rfc_8599() {
        check(
            "DEF123GHIJ.com.example.yourexampleapp",
            "00fc13adff78512",
            true,
            Ok(("DEF123GHIJ", "com.example.yourexampleapp", "00fc13adff78512")),
        );
        check(
            "DEF123GHIJ.com.example.yourexampleapp.voip",
            "00fc13adff78512",
            true,
            Ok(("DEF123GHIJ", "com.example.yourexampleapp.voip", "00fc13adff78512")),
        );
    }

    #[test]
    fn two_tokens_are_told_apart_by_what_the_push_is_for() {
        let (param, prid) = ("TEAM.org.example.phone.voip&remote", "aa01:remote&bb02:voip");
        check(param, prid, true, Ok(("TEAM", "org.example.phone.voip", "bb02")));
        check(param, prid, false, Ok(("TEAM", "org.example.phone", "aa01")));
        check("TEAM.org.example.phone.remote", "aa01", true, Ok(("TEAM", "org.example.phone", "aa01")));
        check(
            "TEAM.org.example.phone.voip",
            "aa01:voip",
            false,
            Ok(("TEAM", "org.example.phone.voip", "aa01")),
        );
    }

    #[test]
    fn what_is_no_topic_or_token_is_refused() {
        check("TEAM", "aa", true, Err("pn-param is not team.topic"));
        check(".app", "aa", true, Err("pn-param is not team.topic"));
        check("TEAM.", "aa", true, Err("pn-param is not team.topic"));
        check("TEAM.a/b", "aa", true, Err("the topic in pn-param is no name of an application"));
        check("TEAM.app", "../x", true, Err("pn-prid is no device token"));
        check("TEAM.app", "", true, Err("pn-prid is no device token"));
        check("TEAM.app.voip", "aa:remote", true, Err("pn-prid has no token for this service"));
    }
}
