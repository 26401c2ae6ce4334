//! What a short step costs: start-up, and many steps one after the other.

use std::fs;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::measure;
use crate::support::lines;
use crate::support::sandbox::Sandbox;
use crate::table::{Table, milliseconds, none};
use crate::{Group, Sizes};

/// One step that does nothing.
pub(crate) fn single(sizes: Sizes) -> Group {
    let mut table = Table::new("Start-up", &["", "bare", "wrapped", "difference"]);
    let sandbox = Sandbox::local("");
    let mark = sandbox.path("mark");
    let touch = [
        "sh".to_owned(),
        "-c".to_owned(),
        // Not the file's own time: the kernel's coarse clock ticks every few milliseconds.
        "date +%s%N > \"$1\"".to_owned(),
        "sh".to_owned(),
        mark.display().to_string(),
    ];
    let mut pair = |name: &str, step: &[String], marked: bool| {
        let figure = |wrap: bool| {
            measure::median((0..sizes.starts).map(|_| {
                fs::remove_file(&mark).ok();
                let mut command = if wrap {
                    sandbox.wrap("start", step)
                } else {
                    let mut command = sandbox.command(&step[0]);
                    command.args(&step[1..]);
                    command
                };
                let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
                let cost = measure::cost(&mut command, None);
                if !marked {
                    return cost.wall;
                }
                let said: u64 = fs::read_to_string(&mark).unwrap().trim().parse().unwrap();
                Duration::from_nanos(said).saturating_sub(before)
            }))
        };
        let (bare, wrapped) = (figure(false), figure(true));
        table.row([
            name.to_owned(),
            milliseconds(bare),
            milliseconds(wrapped),
            milliseconds(wrapped.saturating_sub(bare)),
        ]);
    };
    pair("until the step has done something", &touch, true);
    pair("true, delivered and synced", &["true".to_owned()], false);
    let version = measure::median(
        (0..sizes.starts).map(|_| measure::cost(&mut sandbox.steplog(["--version"]), None).wall),
    );
    table.row(["steplog --version".to_owned(), none(), milliseconds(version), none()]);
    table
}

/// How long [`many`] goes on at the most.
const LONGEST: Duration = Duration::from_secs(100);

/// Steps of ten lines, one after the other, then all of them listed.
pub(crate) fn many(sizes: Sizes) -> Group {
    let mut table =
        Table::new("Steps of ten lines", &["steps", "wall a step", "CPU a step", "ls of the run"]);
    let sandbox = Sandbox::local("");
    let mut cpu = Duration::ZERO;
    let started = Instant::now();
    let mut steps = 0;
    while steps < sizes.steps && started.elapsed() < LONGEST {
        let number = steps;
        steps += 1;
        let mut command = sandbox.wrap("many", ["seq", "10"]);
        command.env("STEPLOG_STEP_ID", format!("step-{number:05}"));
        cpu += measure::cost(&mut command, None).cpu;
    }
    let wall = started.elapsed();
    sandbox.verify("many");
    assert_eq!(lines::count(&sandbox.raw("many")), steps * 10);
    let (ls, _, _) = measure::reading(&mut sandbox.steplog(["ls", "many"]));
    table.row([
        steps.to_string(),
        milliseconds(wall / steps as u32),
        milliseconds(cpu / steps as u32),
        milliseconds(ls),
    ]);
    table
}
