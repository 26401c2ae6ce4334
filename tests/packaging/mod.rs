//! steplog where it is put: in the jobs of CI systems, in a container image, in a Debian package,
//! and as units of systemd.
//!
//! The program is the one that `cargo test` builds. It is not static (that takes minutes), so the
//! machine's C library is put beside it where there is none.

mod ci;
mod container;
mod debian;
mod machine;
mod systemd;

use std::process::{Command, Stdio};

use crate::support::sandbox::{Output, finish};

/// Runs a command to its end; it must succeed. Gives what it printed.
#[track_caller]
fn succeed(command: &mut Command) -> String {
    finish(command.stdin(Stdio::null())).expect(0).text().trim_end().to_owned()
}

/// Runs a command to its end, whatever comes of it.
fn attempt(command: &mut Command) -> Output {
    finish(command.stdin(Stdio::null()))
}
