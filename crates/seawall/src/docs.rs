//! `seawall docs`: the reference, made from the tables that the server itself runs by.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::data;

/// Arguments of `seawall docs`.
#[derive(Debug, clap::Args)]
pub struct DocsArguments {
    /// The folder to write the reference into.
    #[arg(value_name = "DIR", required_unless_present = "script")]
    pub folder: Option<PathBuf>,
    /// Print the script that runs when none is given, as a start for your own.
    #[arg(long, conflicts_with = "folder")]
    pub script: bool,
}

/// Writes the reference.
pub fn docs(arguments: &DocsArguments) -> ExitCode {
    let Some(folder) = &arguments.folder else {
        return match data::default_script(&data::default_folder()) {
            Ok(text) => {
                print!("{text}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("seawall: {error}");
                ExitCode::FAILURE
            }
        };
    };
    let mut files = seawall_script::reference::markdown(seawall_modules::MODULES);
    files.push(("mi.md".to_owned(), seawall_control::reference_markdown()));
    if let Some((_, contents)) = files.iter_mut().find(|(name, _)| name == "README.md") {
        contents.push_str("- [MI commands](mi.md)\n");
    }
    let written = std::fs::create_dir_all(folder)
        .and_then(|()| files.iter().try_for_each(|(name, text)| std::fs::write(folder.join(name), text)));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("seawall: {}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}
