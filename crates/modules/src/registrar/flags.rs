//! The flags of `save()` and `lookup()` as the reference and the messages of the check name them. The registrar crate
//! reads them; a test holds both together.

use seawall_registrar::FlagError;
use seawall_script::FlagDecl;

/// The flags of `save()`.
pub const SAVE: &[FlagDecl] = &[
    FlagDecl::new("memory-only", "m", "Keeps the contacts out of the database; there is none yet."),
    FlagDecl::new("no-reply", "r", "Sends no reply; the script does."),
    FlagDecl::int("max-contacts", "c", "Instead of the parameter `max_contacts`."),
    FlagDecl::new(
        "force-registration",
        "f",
        "Beyond that number the longest unrefreshed contacts go, instead of 503.",
    ),
    FlagDecl::str(
        "matching-mode",
        "M",
        "How contacts are matched: 0 by URI, 1 by URI and Call-ID, or a URI parameter alone.",
    ),
    FlagDecl::new("path-off", "p0", "Stores the Path, and shows it to nobody."),
    FlagDecl::new("path-lazy", "p1", "Stores the Path, and shows it to a client that supports `path`."),
    FlagDecl::new("path-strict", "p2", "Refuses a Path with 420 when the client does not support `path`."),
    FlagDecl::new(
        "path-received",
        "v",
        "Takes the address of the client from the `received` parameter of the Path.",
    ),
    FlagDecl::new("only-request-contacts", "o", "Lists only the contacts of this request in the reply."),
    FlagDecl::new(
        "socket-header",
        "s",
        "Takes the socket from the header that the parameter `sock_hdr_name` names.",
    ),
    FlagDecl::int("min-expires", "e", "Instead of the parameter `min_expires`."),
    FlagDecl::int("max-expires", "E", "Instead of the parameter `max_expires`."),
];

/// Said of `global`.
pub const NO_FEDERATION: &str = "the flag \"global\" asks the other places of a federation; clustering is not provided \
                                 yet, so only the own table is looked into";

/// The flags of `mid_registrar_save()`: those before the socket and the intervals.
pub const MID_SAVE: &[FlagDecl] = {
    let (most, _) = SAVE.split_at(SAVE.len() - 3);
    most
};

/// The flags of `lookup()`.
pub const LOOKUP: &[FlagDecl] = &[
    FlagDecl::new("no-branches", "b", "Takes the first contact only."),
    FlagDecl::new("to-branches-only", "B", "Makes every contact a branch and leaves the Request-URI alone."),
    FlagDecl::new("branch", "r", "Looks up the branches that the request has already, too."),
    FlagDecl::new(
        "method-filtering",
        "m",
        "Leaves out contacts that do not support the method of the request.",
    ),
    FlagDecl::str("ua-filtering", "u", "Leaves out contacts whose User-Agent does not match `/expression/`."),
    FlagDecl::new("case-insensitive", "i", "Lets that expression ignore the case."),
    FlagDecl::new(
        "extended-regexp",
        "e",
        "Lets that expression be an extended one; otherwise it is a basic one.",
    ),
    FlagDecl::new(
        "global",
        "g",
        "Asks the other places of a federation, too; without a cluster there are none.",
    ),
    FlagDecl::int(
        "max-ping-latency",
        "y",
        "Leaves out contacts that answered a ping later than this, in microseconds.",
    ),
    FlagDecl::new("sort-by-latency", "Y", "Puts the contact that answers pings fastest first."),
];

/// What is wrong with a flag, and which one may be meant.
pub fn explain(error: FlagError<'_>, known: &[FlagDecl]) -> String {
    let FlagError::Unknown(item) = error else { return error.to_string() };
    let name = item.split('=').next().unwrap_or(item).trim_end();
    let names = known.iter().map(|flag| flag.name);
    match seawall_script::nearest(name, names.clone()) {
        Some(near) => format!("{error}; did you mean \"{near}\"?"),
        None => format!("{error}; the flags are {}", names.collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seawall_registrar::{LookupFlags, SaveFlags};
    use seawall_script::FlagValue;

    /// Each flag, by its name and by its letters, with a value where it needs one.
    fn check(flags: &[FlagDecl], parses: impl Fn(&str) -> bool) {
        for flag in flags {
            let (named, lettered) = match flag.value {
                FlagValue::None => (String::new(), String::new()),
                FlagValue::Int => ("=7".to_owned(), "7".to_owned()),
                FlagValue::Str if flag.name == "ua-filtering" => ("=/x/".to_owned(), "/x/".to_owned()),
                FlagValue::Str => ("=1".to_owned(), "1".to_owned()),
            };
            assert!(parses(&format!("{}{named}", flag.name)), "{}", flag.name);
            assert!(parses(&format!("{}{lettered}", flag.old)), "{}", flag.old);
            assert!(flag.value == FlagValue::None || !parses(flag.name), "{} needs a value", flag.name);
        }
    }

    #[test]
    fn every_flag_that_is_documented_is_read() {
        check(SAVE, |text| SaveFlags::parse(text).is_ok());
        check(LOOKUP, |text| LookupFlags::parse(text).is_ok());
    }

    #[test]
    fn an_unknown_flag_is_explained_by_the_nearest_one() {
        let explained = |text| LookupFlags::parse(text).map_err(|error| explain(error, LOOKUP)).unwrap_err();
        assert!(explained("metod-filtering").ends_with("did you mean \"method-filtering\"?"));
        assert!(explained("nothing-like-it").contains("the flags are no-branches, "));
    }
}
