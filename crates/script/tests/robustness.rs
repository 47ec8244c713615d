//! Anything at all can be fed to the loader: it reports and never panics, and it ends.
#![allow(clippy::unwrap_used)]

mod support;

use proptest::prelude::*;

const PIECES: &[&str] = &[
    "route",
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    ";",
    ",",
    "\"",
    "'",
    "$",
    "$(",
    "$var(x)",
    "$(ru{s.len})",
    "if",
    "else",
    "while",
    "for",
    "in",
    "switch",
    "case",
    "default",
    ":",
    "return",
    "exit",
    "async",
    "launch",
    "echo",
    "save",
    "xlog",
    "=",
    "==",
    "=~",
    "!",
    "&&",
    "||",
    "+",
    "-",
    "~",
    "1",
    "0x",
    "99999999999999999999",
    "NULL",
    "modparam",
    "loadmodule",
    "socket",
    "#",
    "/*",
    "*/",
    "\n",
    " ",
    "\\",
    "{s.substr,",
    "{re.subst,/",
    "\u{e9}",
    "event_route",
    "timer_route[a,1]",
    "1.2.3.4",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn pieces_in_any_order_are_survived(picks in proptest::collection::vec(0..PIECES.len(), 0..60)) {
        let text: Vec<&str> = picks.iter().map(|pick| PIECES[*pick]).collect();
        let text = text.concat();
        let _ = support::load_text(&text).diagnostics.render(false);
        let _ = support::load_text(&format!("route {{ {text} }}")).diagnostics.render(false);
    }

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = seawall_script::parse(&bytes).render(true);
    }
}

#[test]
fn deep_nesting_is_refused_and_not_followed() {
    for (open, close) in
        [("(", ")"), ("{", "}"), ("!", ""), ("-", ""), ("[", "]"), ("if (1) ", ""), ("$(var(", "))")]
    {
        let text = format!(
            "route {{ if ({}1{}) exit; {} }}",
            open.repeat(5_000),
            close.repeat(5_000),
            open.repeat(5_000)
        );
        assert!(seawall_script::parse(text.as_bytes()).has_errors(), "{open}");
        let body = format!("route {{ {} exit; {} }}", open.repeat(5_000), close.repeat(5_000));
        let _ = support::load_text(&body).diagnostics.render(false);
    }
    let format = format!("route {{ echo(\"{}x{}\"); }}", "$(hdr($(hdr(".repeat(500), "))))".repeat(500));
    assert!(support::load_text(&format).diagnostics.has_errors());
}

#[test]
fn thousands_of_errors_are_counted_and_cut() {
    let text = format!("route {{ {} }}", "nope();".repeat(2_000));
    let loaded = support::load_text(&text);
    let report = loaded.diagnostics.render(false);
    assert!(report.ends_with("2000 errors and no warnings\n"), "{}", &report[report.len() - 60..]);
}
