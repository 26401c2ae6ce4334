//! steplog where it is put: in the jobs of CI systems, in container images, beside steps in pods, in
//! a Debian package, as units of systemd, and in ZenML.
//!
//! The program is the one that `cargo test` builds. It is not static (that takes minutes), so the
//! machine's C library is put beside it where there is none.

mod agent;
mod ci;
mod container;
mod debian;
mod kubernetes;
mod machine;
mod podman;
mod systemd;
mod zenml;

use std::fs::File;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::project;
use crate::support::sandbox::{Output, finish, tool};

/// Runs a command to its end; it must succeed. Gives what it printed.
#[track_caller]
fn succeed(command: &mut Command) -> String {
    finish(command.stdin(Stdio::null())).expect(0).text().trim_end().to_owned()
}

/// Runs a command to its end, whatever comes of it.
fn attempt(command: &mut Command) -> Output {
    finish(command.stdin(Stdio::null()))
}

/// The documents of a YAML file of the project, as a parser for people who use these systems reads it.
fn yaml(path: &str) -> Vec<Value> {
    let script =
        "import json, sys, yaml; json.dump(list(yaml.safe_load_all(sys.stdin)), sys.stdout)";
    let mut python = Command::new(tool("python"));
    python.args(["-c", script]).stdin(File::open(project(path)).unwrap());
    serde_json::from_slice(&finish(&mut python).expect(0).stdout).unwrap()
}
