//! `seawall ctl user …`: the commands of users in words that one remembers, and passwords that are asked for.

use std::io::{BufRead, IsTerminal};

/// What `seawall ctl user` takes.
const USAGE: &str = "usage: seawall ctl user add NAME | user password NAME | user remove NAME | user list\n\
                     A password is asked for; with --password-stdin it is the first line of the standard input.";

/// Where a password comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Password {
    /// From the terminal, twice, without being shown.
    Asked,
    /// The first line of the standard input.
    Stdin,
}

/// Turns the words behind `seawall ctl` into those of an MI command, asking for a password where one is needed.
///
/// # Errors
/// The words are no command of users, or there is no password; a text for the user.
pub fn words(words: Vec<String>, password: Password) -> Result<Vec<String>, String> {
    let Some(command) = command(&words)? else { return Ok(words) };
    let mut made = vec![command.method.to_owned()];
    made.extend(command.name.map(|name| format!("user={name}")));
    if command.needs_password {
        made.push(format!("password={}", read(command.name.unwrap_or_default(), password)?));
    }
    Ok(made)
}

struct Command<'a> {
    method: &'static str,
    name: Option<&'a str>,
    needs_password: bool,
}

/// The command that the words name; nothing when they are not about users.
fn command(words: &[String]) -> Result<Option<Command<'_>>, String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (method, name, needs_password) = match words.as_slice() {
        ["user", "add", name] | ["user_add", name] => ("user_add", Some(*name), true),
        ["user", "password", name] | ["user_password", name] => ("user_password", Some(*name), true),
        ["user", "remove", name] => ("user_remove", Some(*name), false),
        ["user", "list"] => ("user_list", None, false),
        ["user", ..] => return Err(USAGE.to_owned()),
        _ => return Ok(None),
    };
    let name = name.map(|name| name.strip_prefix("user=").unwrap_or(name));
    Ok(Some(Command { method, name, needs_password }))
}

fn read(name: &str, password: Password) -> Result<String, String> {
    if password == Password::Stdin {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map_err(|error| format!("no password: {error}"))?;
        return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
    }
    if !std::io::stdin().is_terminal() {
        return Err(
            "there is no terminal to ask for the password on; give it with --password-stdin".to_owned()
        );
    }
    let ask =
        |text: String| rpassword::prompt_password(text).map_err(|error| format!("no password: {error}"));
    let first = ask(format!("Password for {name}: "))?;
    let second = ask("The same again: ".to_owned())?;
    if first == second { Ok(first) } else { Err("these were two different passwords".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The command that words become, as text; nothing when they stay as they are.
    fn check(given: &str, expected: Result<Option<&str>, ()>) {
        let words: Vec<String> = given.split(' ').map(str::to_owned).collect();
        let shown = command(&words).map_err(drop).map(|found| {
            found.map(|Command { method, name, needs_password }| {
                format!("{method} {} {needs_password}", name.unwrap_or("-"))
            })
        });
        assert_eq!(shown, expected.map(|text| text.map(str::to_owned)), "{given}");
    }

    #[test]
    fn words_become_commands() {
        check("user add alice", Ok(Some("user_add alice true")));
        check("user password alice@example.com", Ok(Some("user_password alice@example.com true")));
        check("user remove alice", Ok(Some("user_remove alice false")));
        check("user list", Ok(Some("user_list - false")));
        check("user_add user=alice", Ok(Some("user_add alice true")));
        check("ul_dump", Ok(None));
        check("user", Err(()));
        check("user add", Err(()));
        check("user add alice secret", Err(()));
        check("user rename alice", Err(()));
    }
}
