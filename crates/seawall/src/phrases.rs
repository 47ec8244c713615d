//! `seawall ctl mid …`: what is asked of the mid-registrar in words that one remembers.

/// What `seawall ctl mid` takes.
const USAGE: &str = "usage: seawall ctl mid show AOR | mid resync [AOR]";

/// Turns the words behind `seawall ctl` into those of an MI command.
///
/// # Errors
/// They are about the mid-registrar and no command; a text for the user.
pub fn words(words: Vec<String>) -> Result<Vec<String>, String> {
    let given: Vec<&str> = words.iter().map(String::as_str).collect();
    let made: &[&str] = match given.as_slice() {
        ["mid", "show", aor] => &["mid_reg_show", aor],
        ["mid", "resync"] => &["mid_reg_resync"],
        ["mid", "resync", aor] => &["mid_reg_resync", aor],
        ["mid", ..] => return Err(USAGE.to_owned()),
        _ => return Ok(words),
    };
    Ok(made.iter().map(|word| (*word).to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_about_the_mid_registrar_become_commands_and_others_stay() {
        let check = |given: &str, expected: Option<&str>| {
            let made = words(given.split(' ').map(str::to_owned).collect());
            assert_eq!(made.ok().map(|made| made.join(" ")).as_deref(), expected, "{given}");
        };
        check("mid show alice@example.com", Some("mid_reg_show alice@example.com"));
        check("mid resync", Some("mid_reg_resync"));
        check("mid resync alice@example.com", Some("mid_reg_resync alice@example.com"));
        check("mid_reg_show alice", Some("mid_reg_show alice"));
        check("ul_dump", Some("ul_dump"));
        for wrong in ["mid", "mid show", "mid hide alice", "mid show a b"] {
            check(wrong, None);
        }
    }
}
