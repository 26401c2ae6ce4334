//! The clock of the machine jumps.

use std::fs;

use super::all_there;
use crate::support::paced::Paced;
use crate::support::sandbox::Sandbox;

/// Where Debian's package `faketime` puts the library, whatever the architecture.
fn library() -> String {
    let found = std::process::Command::new("find")
        .args(["/usr/lib", "-name", "libfaketimeMT.so.1"])
        .output()
        .unwrap();
    let found = String::from_utf8(found.stdout).unwrap();
    let path = found.lines().next().expect("no libfaketime: `tests/run setup` installs it");
    path.to_owned()
}

#[test]
fn back_and_forth_by_an_hour_while_the_step_prints() {
    let sandbox = Sandbox::local("");
    let clock = sandbox.path("clock");
    fs::write(&clock, "+0").unwrap();
    let mut step = Paced::start_with(&sandbox, "run", 6000, 6, |command| {
        command
            .env("LD_PRELOAD", library())
            .env("FAKETIME_TIMESTAMP_FILE", &clock)
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    });
    for jump in ["+0", "-1h", "-2h", "+1h", "-30m"] {
        let new = clock.with_extension("new");
        fs::write(&new, jump).unwrap();
        fs::rename(&new, &clock).unwrap();
        step.more();
        // Not only printed: what counts is the clock when it is read.
        step.captured(&sandbox);
    }
    let (input, _) = step.succeed();
    all_there(&sandbox, "run", &input);
    let times: Vec<String> = sandbox
        .records("run")
        .iter()
        .map(|record| record["timestamp"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(times.len(), 6000);
    assert!(times.is_sorted(), "time never goes back within a stream");
    assert!(times[0] < times[5999]);
}
