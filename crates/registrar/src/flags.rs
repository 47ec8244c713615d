//! The flag strings of `save()` and `lookup()` (registrar 1.4.1, 1.4.4): comma-separated names, or the old letters.

use thiserror::Error;

use crate::policy::MatchingMode;

/// Why a flag string is refused at load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FlagError<'a> {
    /// No such flag.
    #[error("unknown flag \"{0}\"")]
    Unknown(&'a str),
    /// The flag needs a value of another form, or none.
    #[error("flag \"{0}\" has no valid value")]
    Value(&'a str),
    /// Two flags that exclude each other.
    #[error("flag \"{0}\" excludes \"{1}\"")]
    Conflict(&'static str, &'static str),
}

/// What becomes of Path header fields (registrar 1.1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PathMode {
    /// No path flag: they are not looked at.
    #[default]
    Ignore,
    /// `path-off`: stored, never part of the reply.
    Off,
    /// `path-lazy`: stored, part of the reply when the client supports `path`.
    Lazy,
    /// `path-strict`: as lazy, and refused with 420 when the client does not support `path`.
    Strict,
}

/// The flags of `save()`. What a flag does not set keeps its parameter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SaveFlags {
    /// `memory-only` (m): nothing is written to a store.
    pub memory_only: bool,
    /// `no-reply` (r): the caller sends no reply.
    pub no_reply: bool,
    /// `max-contacts=N` (c); 0 sets no limit.
    pub max_contacts: Option<u32>,
    /// `force-registration` (f): older contacts go when there are too many.
    pub force_registration: bool,
    /// `matching-mode=0|1|<param>` (M).
    pub matching: Option<MatchingMode>,
    /// `path-off`, `path-lazy`, `path-strict` (p0, p1, p2).
    pub path: PathMode,
    /// `path-received` (v).
    pub path_received: bool,
    /// `only-request-contacts` (o).
    pub only_request_contacts: bool,
    /// `socket-header` (s).
    pub socket_header: bool,
    /// `min-expires=N` (e), seconds; 0 sets no limit.
    pub min_expires_s: Option<u32>,
    /// `max-expires=N` (E), seconds; 0 sets no limit.
    pub max_expires_s: Option<u32>,
    /// Not for scripts: the server cannot keep up, and what would make a new binding is refused.
    pub known_only: bool,
}

impl SaveFlags {
    /// No flag is set.
    pub const NONE: SaveFlags = SaveFlags {
        memory_only: false,
        no_reply: false,
        max_contacts: None,
        force_registration: false,
        matching: None,
        path: PathMode::Ignore,
        path_received: false,
        only_request_contacts: false,
        socket_header: false,
        min_expires_s: None,
        max_expires_s: None,
        known_only: false,
    };

    /// Reads a flag string.
    ///
    /// # Errors
    /// The first flag that is unknown or lacks its value.
    pub fn parse(text: &str) -> Result<SaveFlags, FlagError<'_>> {
        let mut flags = SaveFlags::default();
        for item in items(text) {
            if !flags.named(item)? {
                flags.letters(item)?;
            }
        }
        Ok(flags)
    }

    fn named<'a>(&mut self, item: &'a str) -> Result<bool, FlagError<'a>> {
        let (name, value) = split_value(item);
        match name {
            "memory-only" => self.memory_only = no_value(item, value)?,
            "no-reply" => self.no_reply = no_value(item, value)?,
            "max-contacts" => self.max_contacts = Some(number(item, value)?),
            "force-registration" => self.force_registration = no_value(item, value)?,
            "matching-mode" => self.matching = Some(matching(item, value.unwrap_or_default())?),
            "path-off" => self.path = no_value(item, value).map(|_| PathMode::Off)?,
            "path-lazy" => self.path = no_value(item, value).map(|_| PathMode::Lazy)?,
            "path-strict" => self.path = no_value(item, value).map(|_| PathMode::Strict)?,
            "path-received" => self.path_received = no_value(item, value)?,
            "only-request-contacts" => self.only_request_contacts = no_value(item, value)?,
            "socket-header" => self.socket_header = no_value(item, value)?,
            "min-expires" => self.min_expires_s = Some(number(item, value)?),
            "max-expires" => self.max_expires_s = Some(number(item, value)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn letters<'a>(&mut self, item: &'a str) -> Result<(), FlagError<'a>> {
        let mut rest = letters_of(item)?;
        while let Some(letter) = rest.chars().next() {
            rest = rest.get(letter.len_utf8()..).unwrap_or_default();
            match letter {
                'm' => self.memory_only = true,
                'r' => self.no_reply = true,
                'f' => self.force_registration = true,
                'v' => self.path_received = true,
                'o' => self.only_request_contacts = true,
                's' => self.socket_header = true,
                'c' => self.max_contacts = Some(digits(item, &mut rest)?),
                'e' => self.min_expires_s = Some(digits(item, &mut rest)?),
                'E' => self.max_expires_s = Some(digits(item, &mut rest)?),
                'p' => self.path = path_digit(item, &mut rest)?,
                'M' => self.matching = Some(matching_letter(item, &mut rest)?),
                ' ' | '\t' => {}
                _ => return Err(FlagError::Unknown(item)),
            }
        }
        Ok(())
    }
}

/// The filter of `ua-filtering`: a regular expression for the caller to compile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserAgentFilter {
    /// What stands between the slashes.
    pub pattern: String,
    /// `case-insensitive`, or `i` behind the second slash.
    pub case_insensitive: bool,
    /// `extended-regexp`, or `e` behind the second slash.
    pub extended: bool,
}

/// The flags of `lookup()`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LookupFlags {
    /// `no-branches` (b): the best contact only.
    pub no_branches: bool,
    /// `to-branches-only` (B): the Request-URI is left alone; the caller sees to it.
    pub to_branches_only: bool,
    /// `branch` (r): the caller looks up the branches that exist already, too.
    pub branch: bool,
    /// `method-filtering` (m).
    pub method_filtering: bool,
    /// `ua-filtering=/…/` (u) with `case-insensitive` (i) and `extended-regexp` (e).
    pub user_agent: Option<UserAgentFilter>,
    /// `max-ping-latency=N` (y), microseconds.
    pub max_latency_us: Option<u32>,
    /// `sort-by-latency` (Y).
    pub sort_by_latency: bool,
    /// `global` (g): asks the other places of a federation too; alone there are none.
    pub global: bool,
}

impl LookupFlags {
    /// Reads a flag string.
    ///
    /// # Errors
    /// The first flag that is unknown or lacks its value.
    pub fn parse(text: &str) -> Result<LookupFlags, FlagError<'_>> {
        let mut flags = LookupFlags::default();
        let (mut case_insensitive, mut extended) = (false, false);
        for item in items(text) {
            match item {
                "case-insensitive" => case_insensitive = true,
                "extended-regexp" => extended = true,
                _ if flags.named(item)? => {}
                _ => flags.letters(item, &mut case_insensitive, &mut extended)?,
            }
        }
        if let Some(filter) = &mut flags.user_agent {
            filter.case_insensitive |= case_insensitive;
            filter.extended |= extended;
        }
        if flags.branch && flags.no_branches {
            return Err(FlagError::Conflict("branch", "no-branches"));
        }
        Ok(flags)
    }

    fn named<'a>(&mut self, item: &'a str) -> Result<bool, FlagError<'a>> {
        let (name, value) = split_value(item);
        match name {
            "no-branches" => self.no_branches = no_value(item, value)?,
            "to-branches-only" => self.to_branches_only = no_value(item, value)?,
            "branch" => self.branch = no_value(item, value)?,
            "method-filtering" => self.method_filtering = no_value(item, value)?,
            "ua-filtering" => {
                let mut rest = value.unwrap_or_default();
                self.user_agent = Some(user_agent(item, &mut rest)?);
                if !rest.is_empty() {
                    return Err(FlagError::Value(item));
                }
            }
            "global" => self.global = no_value(item, value)?,
            "max-ping-latency" => self.max_latency_us = Some(number(item, value)?),
            "sort-by-latency" => self.sort_by_latency = no_value(item, value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn letters<'a>(
        &mut self,
        item: &'a str,
        insensitive: &mut bool,
        extended: &mut bool,
    ) -> Result<(), FlagError<'a>> {
        let mut rest = letters_of(item)?;
        while let Some(letter) = rest.chars().next() {
            rest = rest.get(letter.len_utf8()..).unwrap_or_default();
            match letter {
                'b' => self.no_branches = true,
                'B' => self.to_branches_only = true,
                'r' => self.branch = true,
                'm' => self.method_filtering = true,
                'u' => self.user_agent = Some(user_agent(item, &mut rest)?),
                'i' => *insensitive = true,
                'e' => *extended = true,
                'g' => self.global = true,
                'y' => self.max_latency_us = Some(digits(item, &mut rest)?),
                'Y' => self.sort_by_latency = true,
                ' ' | '\t' => {}
                _ => return Err(FlagError::Unknown(item)),
            }
        }
        Ok(())
    }
}

/// The items between commas, trimmed, empty ones left out. A comma between the slashes of a regular expression or
/// inside `<>` does not separate.
fn items(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let (item, after) = match separator(text) {
            Some(comma) => (text.get(..comma)?, text.get(comma + 1..)),
            None => (text, None),
        };
        rest = after;
        Some(item.trim())
    })
    .filter(|item| !item.is_empty())
}

fn separator(text: &str) -> Option<usize> {
    let (mut in_pattern, mut escaped) = (false, false);
    text.bytes().position(|byte| {
        let is_slash = byte == b'/' && !escaped;
        escaped = byte == b'\\' && !escaped;
        in_pattern ^= is_slash;
        byte == b',' && !in_pattern
    })
}

/// An item that can be old letters. A misspelt name begins with letters, too, but no letters have a dash or an
/// equals sign among them.
fn letters_of(item: &str) -> Result<&str, FlagError<'_>> {
    let head = item.split(['<', '/']).next().unwrap_or_default();
    if head.contains(['-', '=']) { Err(FlagError::Unknown(item)) } else { Ok(item) }
}

fn split_value(item: &str) -> (&str, Option<&str>) {
    match item.split_once('=') {
        Some((name, value)) => (name.trim_end(), Some(value.trim_start())),
        None => (item, None),
    }
}

fn no_value<'a>(item: &'a str, value: Option<&str>) -> Result<bool, FlagError<'a>> {
    if value.is_none() { Ok(true) } else { Err(FlagError::Value(item)) }
}

fn number<'a>(item: &'a str, value: Option<&str>) -> Result<u32, FlagError<'a>> {
    // `parse` alone would take a leading plus sign.
    value
        .filter(|value| value.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|value| value.parse().ok())
        .ok_or(FlagError::Value(item))
}

fn digits<'a>(item: &'a str, rest: &mut &str) -> Result<u32, FlagError<'a>> {
    let end = rest.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
    *rest = after;
    number(item, Some(digits))
}

fn path_digit<'a>(item: &'a str, rest: &mut &str) -> Result<PathMode, FlagError<'a>> {
    let mode = match rest.bytes().next() {
        Some(b'0') => PathMode::Off,
        Some(b'1') => PathMode::Lazy,
        Some(b'2') => PathMode::Strict,
        _ => return Err(FlagError::Value(item)),
    };
    *rest = rest.get(1..).unwrap_or_default();
    Ok(mode)
}

fn matching<'a>(item: &'a str, value: &str) -> Result<MatchingMode, FlagError<'a>> {
    let name = value.strip_prefix('<').and_then(|inner| inner.strip_suffix('>')).unwrap_or(value);
    match name {
        "0" => Ok(MatchingMode::Uri),
        "1" => Ok(MatchingMode::UriAndCallId),
        name if seawall_sip::ascii::is_token(name.as_bytes()) => {
            Ok(MatchingMode::Param(name.as_bytes().into()))
        }
        _ => Err(FlagError::Value(item)),
    }
}

fn matching_letter<'a>(item: &'a str, rest: &mut &str) -> Result<MatchingMode, FlagError<'a>> {
    let end = match rest.bytes().next() {
        Some(b'<') => rest.find('>').map(|close| close + 1),
        Some(b'0' | b'1') => Some(1),
        _ => None,
    };
    let (value, after) = end.and_then(|end| rest.split_at_checked(end)).ok_or(FlagError::Value(item))?;
    *rest = after;
    matching(item, value)
}

/// Reads `/pattern/` and the letters `i` and `e` right behind it. A slash inside is written `\/`.
fn user_agent<'a>(item: &'a str, rest: &mut &str) -> Result<UserAgentFilter, FlagError<'a>> {
    let inner = rest.strip_prefix('/').ok_or(FlagError::Value(item))?;
    let mut escaped = false;
    let end = inner.bytes().position(|byte| {
        let closes = byte == b'/' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    });
    let (pattern, after) = end.and_then(|end| inner.split_at_checked(end)).ok_or(FlagError::Value(item))?;
    if pattern.is_empty() {
        return Err(FlagError::Value(item));
    }
    let mut filter = UserAgentFilter { pattern: pattern.replace("\\/", "/"), ..UserAgentFilter::default() };
    let mut after = after.get(1..).unwrap_or_default();
    loop {
        match after.bytes().next() {
            Some(b'i') => filter.case_insensitive = true,
            Some(b'e') => filter.extended = true,
            _ => break,
        }
        after = after.get(1..).unwrap_or_default();
    }
    *rest = after;
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_save(text: &str, expected: Result<SaveFlags, FlagError<'_>>) {
        assert_eq!(SaveFlags::parse(text), expected, "{text:?}");
    }

    fn check_lookup(text: &str, expected: Result<LookupFlags, FlagError<'_>>) {
        assert_eq!(LookupFlags::parse(text), expected, "{text:?}");
    }

    #[test]
    fn save_takes_names_and_the_old_letters() {
        let documented = SaveFlags { memory_only: true, max_contacts: Some(5), ..SaveFlags::default() };
        check_save("memory-only, max-contacts=5", Ok(documented.clone()));
        check_save("mc5", Ok(documented));
        let path = SaveFlags {
            max_contacts: Some(10),
            force_registration: true,
            path: PathMode::Lazy,
            path_received: true,
            ..SaveFlags::default()
        };
        check_save("c10fp1v", Ok(path.clone()));
        check_save("max-contacts=10,force-registration,path-lazy,path-received", Ok(path));
        let rest = SaveFlags {
            no_reply: true,
            only_request_contacts: true,
            socket_header: true,
            min_expires_s: Some(30),
            max_expires_s: Some(900),
            matching: Some(MatchingMode::Param((*b"rinstance").into())),
            ..SaveFlags::default()
        };
        check_save("rose30E900M<rinstance>", Ok(rest.clone()));
        let names = "no-reply, only-request-contacts, socket-header, min-expires=30, max-expires=900";
        check_save(&format!("{names}, matching-mode=<rinstance>"), Ok(rest.clone()));
        check_save(&format!("{names}, matching-mode=rinstance"), Ok(rest));
        check_save("", Ok(SaveFlags::default()));
        for (text, path) in
            [("p0", PathMode::Off), ("path-strict", PathMode::Strict), ("p2", PathMode::Strict)]
        {
            check_save(text, Ok(SaveFlags { path, ..SaveFlags::default() }));
        }
        for (text, mode) in [("M1", MatchingMode::UriAndCallId), ("matching-mode=0", MatchingMode::Uri)] {
            check_save(text, Ok(SaveFlags { matching: Some(mode), ..SaveFlags::default() }));
        }
    }

    #[test]
    fn wrong_save_flags_are_named() {
        check_save("memory-onli", Err(FlagError::Unknown("memory-onli")));
        check_save("no-reply, x", Err(FlagError::Unknown("x")));
        check_save("max-contacts", Err(FlagError::Value("max-contacts")));
        check_save("max-contacts=+5", Err(FlagError::Value("max-contacts=+5")));
        check_save("no-reply=1", Err(FlagError::Value("no-reply=1")));
        check_save("min-expires=99999999999", Err(FlagError::Value("min-expires=99999999999")));
        check_save("c", Err(FlagError::Value("c")));
        check_save("p3", Err(FlagError::Value("p3")));
        check_save("Mx", Err(FlagError::Value("Mx")));
        check_save("matching-mode=", Err(FlagError::Value("matching-mode=")));
    }

    #[test]
    fn lookup_takes_names_and_the_old_letters() {
        let filter = UserAgentFilter { pattern: "phone".into(), case_insensitive: true, extended: false };
        let with_filter = LookupFlags { user_agent: Some(filter.clone()), ..LookupFlags::default() };
        check_lookup("ua-filtering=/phone/i", Ok(with_filter.clone()));
        check_lookup("u/phone/i", Ok(with_filter.clone()));
        check_lookup("case-insensitive,ua-filtering=/phone/", Ok(with_filter));
        let extended = UserAgentFilter { pattern: "a,b/c".into(), case_insensitive: false, extended: true };
        let flags = LookupFlags { user_agent: Some(extended), no_branches: true, ..LookupFlags::default() };
        check_lookup("ua-filtering=/a,b\\/c/, extended-regexp, no-branches", Ok(flags));
        let letters = LookupFlags {
            to_branches_only: true,
            branch: true,
            method_filtering: true,
            max_latency_us: Some(500),
            sort_by_latency: true,
            ..LookupFlags::default()
        };
        check_lookup("Brmy500Y", Ok(letters.clone()));
        let names = "to-branches-only,branch,method-filtering,max-ping-latency=500,sort-by-latency";
        check_lookup(names, Ok(letters));
    }

    #[test]
    fn wrong_lookup_flags_are_named() {
        check_lookup("global", Ok(LookupFlags { global: true, ..LookupFlags::default() }));
        check_lookup("g", Ok(LookupFlags { global: true, ..LookupFlags::default() }));
        check_lookup("global=1", Err(FlagError::Value("global=1")));
        check_lookup("branch,no-branches", Err(FlagError::Conflict("branch", "no-branches")));
        check_lookup("ua-filtering=phone", Err(FlagError::Value("ua-filtering=phone")));
        check_lookup("ua-filtering=/phone", Err(FlagError::Value("ua-filtering=/phone")));
        check_lookup("z", Err(FlagError::Unknown("z")));
    }
}
