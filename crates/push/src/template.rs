//! Payloads with places for what is known of a push: `{caller_name}` and so on.

use crate::limits::{FIELD_CHARACTERS, PRID_BYTES};
use crate::message::Push;

/// The names that stand between braces in a template, and what they become.
pub const FIELDS: &[(&str, &str)] = &[
    ("aor", "The address of record that is called."),
    ("call_id", "The Call-ID of the request that waits."),
    ("caller_name", "The caller's display name, else the number."),
    ("caller_number", "The user part of the caller's URI."),
    ("caller_uri", "The caller's URI."),
    ("contact", "The contact that is to be refreshed."),
    ("param", "pn-param."),
    ("prid", "pn-prid."),
    ("provider", "pn-provider."),
    ("reason", "reg-refresh, or ini- or mid- and the method of the request that waits."),
];

/// How a text is escaped where it is put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Inside a JSON string.
    Json,
    /// In `application/x-www-form-urlencoded`, or a part of a URL.
    Form,
    /// As it is, without control characters.
    Plain,
}

impl Style {
    /// The style for a body of this type.
    #[must_use]
    pub fn of(content_type: &str) -> Self {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        match essence {
            "application/x-www-form-urlencoded" => Style::Form,
            json if json.ends_with("/json") || json.ends_with("+json") => Style::Json,
            _ => Style::Plain,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(&'static str),
}

/// A template that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
    style: Style,
}

impl Template {
    /// Reads a template. Braces with anything but a lower-case name between them are text, as JSON needs them.
    ///
    /// # Errors
    /// A name between braces that is none of [`FIELDS`].
    pub fn read(text: &str, style: Style) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            let (before, from) = rest.split_at(at);
            literal.push_str(before);
            let inside = from.get(1..).unwrap_or_default();
            let name = inside.split_once('}').map(|(name, _)| name).filter(|name| is_name(name));
            let Some(name) = name else {
                literal.push('{');
                rest = inside;
                continue;
            };
            let known = FIELDS.iter().find(|(known, _)| *known == name).map(|(known, _)| *known);
            let known = known.ok_or_else(|| format!("`{{{name}}}` is not known"))?;
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            parts.push(Part::Field(known));
            rest = inside.get(name.len() + 1..).unwrap_or_default();
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Self { parts, style })
    }

    /// The text for a push.
    #[must_use]
    pub fn fill(&self, push: &Push) -> String {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Field(name) => {
                    // A phone's token is no use without its end.
                    let most = if matches!(*name, "prid" | "param") { PRID_BYTES } else { FIELD_CHARACTERS };
                    escape(value(push, name), most, self.style, &mut out);
                }
            }
        }
        out
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

fn value<'a>(push: &'a Push, name: &str) -> &'a str {
    match name {
        "aor" => &push.aor,
        "call_id" => &push.call_id,
        "caller_name" if push.caller_name.is_empty() => &push.caller_number,
        "caller_name" => &push.caller_name,
        "caller_number" => &push.caller_number,
        "caller_uri" => &push.caller_uri,
        "contact" => &push.contact,
        "param" => &push.param,
        "prid" => &push.prid,
        "provider" => &push.provider,
        _ => &push.reason,
    }
}

/// Puts the first characters of a text in.
fn escape(text: &str, most: usize, style: Style, out: &mut String) {
    for character in text.chars().take(most) {
        match (style, character) {
            (Style::Json, '"' | '\\') => {
                out.push('\\');
                out.push(character);
            }
            (Style::Json, character) if character.is_control() => {
                out.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            (Style::Form, character) => percent(character, out),
            (Style::Plain, character) if character.is_control() => {}
            (_, character) => out.push(character),
        }
    }
}

fn percent(character: char, out: &mut String) {
    if character.is_ascii_alphanumeric() || matches!(character, '-' | '.' | '_' | '~') {
        out.push(character);
        return;
    }
    let mut bytes = [0; 4];
    for byte in character.encode_utf8(&mut bytes).bytes() {
        out.push_str(&format!("%{byte:02X}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, style: Style, expected: Result<&str, &str>) {
        let push = Push {
            reason: "ini-INVITE".to_owned(),
            caller_name: "Zoë \"Z\"\r\n".to_owned(),
            caller_number: "+49 30".to_owned(),
            ..Push::default()
        };
        let filled = Template::read(text, style).map(|template| template.fill(&push));
        assert_eq!(filled.as_deref().map_err(String::as_str), expected, "{text}");
    }

    #[test]
    fn each_style_escapes_what_would_break_out() {
        let name = "[{caller_name}]";
        check(name, Style::Json, Ok("[Zoë \\\"Z\\\"\\u000d\\u000a]"));
        check(name, Style::Form, Ok("[Zo%C3%AB%20%22Z%22%0D%0A]"));
        check(name, Style::Plain, Ok("[Zoë \"Z\"]"));
    }

    #[test]
    fn braces_that_hold_no_name_are_text() {
        check(r#"{"a":{"b":"{reason}"}}"#, Style::Json, Ok(r#"{"a":{"b":"ini-INVITE"}}"#));
        check("{}{", Style::Json, Ok("{}{"));
        check("{caller_number}{{reason}}", Style::Form, Ok("%2B49%2030{ini-INVITE}"));
    }

    #[test]
    fn a_name_that_is_not_known_is_refused() {
        check("{caler_name}", Style::Json, Err("`{caler_name}` is not known"));
    }

    #[test]
    fn the_number_stands_for_a_caller_without_a_name() {
        let push = Push { caller_number: "100".to_owned(), ..Push::default() };
        let template = Template::read("{caller_name}", Style::Plain).unwrap();
        assert_eq!(template.fill(&push), "100");
    }

    #[test]
    fn a_long_name_is_cut_and_a_long_token_is_not() {
        let push = Push { caller_name: "ä".repeat(1000), prid: "a".repeat(1000), ..Push::default() };
        let template = Template::read("{caller_name}{prid}", Style::Plain).unwrap();
        assert_eq!(template.fill(&push).chars().count(), FIELD_CHARACTERS + 1000);
    }
}
