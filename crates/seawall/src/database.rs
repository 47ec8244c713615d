//! `seawall ctl db-init`: makes the tables in a database. It needs no running server.

use std::io::Write;
use std::process::ExitCode;

use seawall_storage::{DatabaseUrl, Options, Storage};

use crate::data;

/// Where the URL is looked for when none is given, so that its password is in no list of processes.
const VARIABLE: &str = "SEAWALL_DB_URL";

const USAGE: &str = "usage: seawall ctl db-init [URL]\n\
    URL is sqlite:///path, postgres://user:password@host/database or mysql://user:password@host/database; without it \
    the variable SEAWALL_DB_URL, else the file of a server without a script";

/// Does it, if the words say so; nothing if they are about something else.
pub fn init(words: &[String]) -> Option<ExitCode> {
    let [command, rest @ ..] = words else { return None };
    if command != "db-init" && command != "db_init" {
        return None;
    }
    let done = match rest {
        [] => default_url().and_then(|url| make(&url)),
        [url] => make(url),
        _ => Err(USAGE.to_owned()),
    };
    Some(match done {
        Ok(text) => {
            // Who does not read it may have closed it.
            let _ = writeln!(std::io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Err(text) => {
            eprintln!("seawall ctl: {text}");
            ExitCode::FAILURE
        }
    })
}

fn default_url() -> Result<String, String> {
    if let Some(url) = std::env::var(VARIABLE).ok().filter(|url| !url.is_empty()) {
        return Ok(url);
    }
    let folder = data::default_folder();
    data::make(&folder)?;
    let folder = folder.to_str().ok_or("the data folder has a name that is not UTF-8")?;
    Ok(format!("sqlite://{folder}/seawall.db"))
}

fn make(url: &str) -> Result<String, String> {
    let url = DatabaseUrl::parse(url).map_err(|error| format!("{error}\n{USAGE}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let database = Storage::default().database(&url, &Options::default());
    let made = runtime.block_on(database.create_tables()).map_err(|error| error.to_string())?;
    Ok(format!("{url}: made the tables {}", made.join(", ")))
}
