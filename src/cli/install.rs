//! `steplog install FOLDER`: puts a copy of this program there. For init containers, whose image has nothing else
//! that could copy; hidden from the help.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::wrap::say;

/// Put a copy of this program into a folder, as an init container does for the step's
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub(super) struct Args {
    /// Where; made if it is not there
    folder: PathBuf,
}

pub(super) fn run(args: &Args) -> ExitCode {
    match install(&args.folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!(
                "failed to copy this program into {}: {error}",
                args.folder.display()
            ));
            ExitCode::FAILURE
        }
    }
}

/// Whole or not at all: an init container may be run again while the one before is in use.
fn install(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let unfinished = folder.join(format!(".steplog.{}", std::process::id()));
    let mut from = File::open("/proc/self/exe")?;
    let mut to = File::create(&unfinished)?;
    let copied = io::copy(&mut from, &mut to)
        .and_then(|_| to.set_permissions(Permissions::from_mode(0o755)))
        .and_then(|()| fs::rename(&unfinished, folder.join("steplog")));
    if copied.is_err() {
        fs::remove_file(&unfinished).ok();
    }
    copied
}
