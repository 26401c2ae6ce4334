//! Makes a change to the stack file and says what came of it: the same for every command that
//! edits.

use std::path::PathBuf;
use std::process::ExitCode;

use super::wrap::say;
use crate::stack::Env;
use crate::stack::edit::{self, Change, FileError};

/// The file is wrong, or the change cannot be made.
pub(super) const INVALID: u8 = 2;

/// Which file.
#[derive(Debug, clap::Args)]
pub(super) struct File {
    /// The stack file [default: the one that `steplog run` would use, or else the user's]
    #[arg(long = "stack", value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
}

/// One of the file's things.
#[derive(Debug, clap::Args)]
pub(super) struct Named {
    /// Its name
    pub(super) name: String,
    #[command(flatten)]
    pub(super) file: File,
}

/// One of the file's things, and a name that there is not yet.
#[derive(Debug, clap::Args)]
pub(super) struct Renamed {
    /// Its name
    pub(super) name: String,
    /// The new name
    pub(super) new_name: String,
    #[command(flatten)]
    pub(super) file: File,
}

/// Makes the change; `done` says what it was.
pub(super) fn make(file: &File, change: &Change, done: &str) -> ExitCode {
    let error = match edit::edit(&Env::process(), file.file.as_deref(), change) {
        Ok(edited) => {
            let path = edited.path.display();
            let created = if edited.created { ", which is new" } else { "" };
            super::stack::print(&format!("{done} in {path}{created}\n"));
            for key in edited.literals {
                say(format_args!(
                    "warning: {key}: the secret itself stands in {path}; {} would not",
                    reference(&key)
                ));
            }
            if let Some(mode) = edited.was_open {
                say(format_args!(
                    "warning: {path} holds a secret: now only its owner may read it (it was {mode:o})"
                ));
            }
            return ExitCode::SUCCESS;
        }
        Err(error) => error,
    };
    match error {
        FileError::Edit(error) => {
            let help = error.help().map(|help| format!("\n    help: {help}"));
            say(format_args!("{error}{}", help.unwrap_or_default()));
            ExitCode::from(INVALID)
        }
        FileError::Invalid(errors) => {
            say("nothing was changed, for the stack file would not be valid:");
            eprintln!("{errors}");
            ExitCode::from(INVALID)
        }
        FileError::Broken(errors) => {
            say("nothing was changed, for the stack file has errors:");
            eprintln!("{errors}");
            ExitCode::from(INVALID)
        }
        error @ (FileError::Io { .. } | FileError::Write { .. }) => {
            say(format_args!(
                "failed to {error}\n    help: --stack FILE or $STEPLOG_STACK names another file"
            ));
            ExitCode::FAILURE
        }
    }
}

/// How the secret could be named instead: `api_key=${env:API_KEY}`.
fn reference(key: &str) -> String {
    let last = key.rsplit('.').next().unwrap_or(key).trim_matches('"');
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    format!("${{env:{}}}", last.chars().map(plain).collect::<String>())
}
