//! What wrapping a step costs: time, processor, memory; with the store there and with it down.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::measure::{self, Cost, Input, Peak};
use crate::support::lines;
use crate::support::sandbox::{self, Sandbox};
use crate::table::{Table, mebibytes, milliseconds, none, ratio};
use crate::{Group, Sizes};

/// The step: prints the input, then leaves a mark if that is asked for, so that its end can be seen
/// from outside.
fn step(input: &Input, mark: Option<&Path>) -> Vec<String> {
    let file = input.path().display().to_string();
    let Some(mark) = mark else { return vec!["cat".into(), file] };
    let script = r#"cat "$1"; : > "$2""#;
    vec!["sh".into(), "-c".into(), script.into(), "step".into(), file, mark.display().to_string()]
}

/// `steplog run`, its output thrown away as tee's is.
pub(crate) fn wrapped(sandbox: &Sandbox, input: &Input, run: &str, mark: Option<&Path>) -> Command {
    let mut command = sandbox.steplog(["run", "--"]);
    command
        .args(step(input, mark))
        .env("STEPLOG_PIPELINE_RUN_ID", run)
        .env("STEPLOG_STEP_ID", "bench");
    command
}

fn shell(script: &str, input: &Input, out: &PathBuf) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(input.path()).arg(out);
    command
}

/// The yardstick: the bytes written once to a disk by a program that everyone has.
pub(crate) fn tee(input: &Input, sizes: Sizes) -> Cost {
    let out = input.scratch().join("tee");
    measure::median_cost(sizes.repetitions, || {
        fs::remove_file(&out).ok();
        measure::cost(&mut shell(r#"cat "$1" | tee "$2" >/dev/null"#, input, &out), None)
    })
}

/// The step's own time, and until everything is sealed.
pub(crate) fn overhead(input: &Input, sizes: Sizes) -> Group {
    let mut table = Table::new(
        &format!("{} lines through the wrapper", input.lines),
        &["", "wall", "× tee", "CPU", "× tee", "step released", "× tee"],
    );
    let yardstick = tee(input, sizes);
    let mut row = |name: &str, cost: Cost| {
        table.row([
            name.to_owned(),
            milliseconds(cost.wall),
            ratio(cost.wall, yardstick.wall),
            milliseconds(cost.cpu),
            ratio(cost.cpu, yardstick.cpu),
            cost.released.map_or_else(none, milliseconds),
            cost.released.map_or_else(none, |time| ratio(time, yardstick.wall)),
        ]);
    };
    row("cat | tee (the yardstick)", yardstick);
    let out = input.scratch().join("out");
    for (name, script) in [
        ("cat | s6-log t", r#"rm -rf "$2"; cat "$1" | s6-log t s268435455 "$2""#),
        ("cat | gzip -1", r#"rm -rf "$2"; cat "$1" | gzip -1 > "$2""#),
    ] {
        row(
            name,
            measure::median_cost(sizes.repetitions, || {
                measure::cost(&mut shell(script, input, &out), None)
            }),
        );
    }
    fs::remove_dir_all(&out).or_else(|_| fs::remove_file(&out)).ok();
    let mut stored = 0;
    for codec in ["zstd", "gzip"] {
        let cost = measure::median_cost(sizes.repetitions, || {
            let sandbox = Sandbox::with_stack(
                &sandbox::LOCAL.replace("flavor", &format!("codec = \"{codec}\"\nflavor")),
            );
            let mark = sandbox.path("mark");
            let cost =
                measure::cost(&mut wrapped(&sandbox, input, "run", Some(&mark)), Some(&mark));
            check(&sandbox, "run", &input.bytes);
            if codec == "zstd" {
                stored = bytes_below(&sandbox.store());
            }
            cost
        });
        row(&format!("steplog run, all sealed ({codec})"), cost);
    }
    table.note(format!(
        "stored with zstd: {stored} bytes, {:.1} % of the input",
        stored as f64 * 100.0 / input.bytes.len() as f64
    ));
    table
}

/// Peak memory of both processes, and that it does not grow with the input.
pub(crate) fn memory(input: &Input, sizes: Sizes) -> Group {
    let mut table = Table::new(
        "Peak memory (least, median, most of several runs)",
        &["lines", "capture", "its own", "ship", "its own"],
    );
    let large;
    let mut inputs = vec![input];
    if sizes.scale > 1 {
        large = Input::new(input.lines * sizes.scale);
        inputs.push(&large);
    }
    for input in inputs {
        let runs: Vec<_> = (0..sizes.repetitions)
            .map(|_| {
                let sandbox = Sandbox::local("");
                let mut step = wrapped(&sandbox, input, "run", None);
                let peaks = measure::peaks(&sandbox, &mut step);
                check(&sandbox, "run", &input.bytes);
                peaks
            })
            .collect();
        let of = |name: &str, figure: fn(&Peak) -> u64| {
            let mut all: Vec<u64> = runs.iter().map(|peaks| figure(&peaks[name])).collect();
            all.sort_unstable();
            [all[0], all[all.len() / 2], all[all.len() - 1]].map(mebibytes).join(", ")
        };
        table.row([
            input.lines.to_string(),
            of("run", |peak| peak.resident),
            of("run", |peak| peak.own),
            of("ship", |peak| peak.resident),
            of("ship", |peak| peak.own),
        ]);
    }
    table
}

/// Nobody listens where the store should be: the step must not notice.
pub(crate) fn store_down(input: &Input, sizes: Sizes) -> Group {
    let mut table = Table::new(
        &format!("{} lines with the store down", input.lines),
        &["", "step released", "× tee", "capture", "ship"],
    );
    let yardstick = tee(input, sizes);
    let stack = "active = \"test\"\n[stacks.test]\nartifact_store = \"away\"\n\
                 [artifact_stores.away]\nflavor = \"s3\"\nuri = \"s3://bucket/prefix\"\n\
                 endpoint = \"http://127.0.0.1:9\"\nregion = \"us-east-1\"\n\
                 allow_http = \"true\"\naccess_key_id = \"key\"\nsecret_access_key = \"secret\"\n\
                 [spool]\ndir = \"{sandbox}/spool\"\n[ship]\ndeadline = \"500ms\"\n";
    let cost = measure::median_cost(sizes.repetitions, || {
        let sandbox = Sandbox::with_stack(stack);
        let mark = sandbox.path("mark");
        measure::cost(&mut wrapped(&sandbox, input, "run", Some(&mark)), Some(&mark))
    });
    let sandbox = Sandbox::with_stack(stack);
    let peaks = measure::peaks(&sandbox, &mut wrapped(&sandbox, input, "run", None));
    // The store comes back: all of it arrives.
    sandbox.write_stack(&sandbox::LOCAL.replace("\"here\"", "\"away\"").replace(".here", ".away"));
    sandbox.call(["ship", "--all"]).expect(0);
    check(&sandbox, "run", &input.bytes);
    let released = cost.released.unwrap();
    table.row([
        "steplog run".to_owned(),
        milliseconds(released),
        ratio(released, yardstick.wall),
        mebibytes(peaks["run"].resident),
        mebibytes(peaks["ship"].resident),
    ]);
    table
}

/// Nothing is missing, doubled or altered.
pub(crate) fn check(sandbox: &Sandbox, run: &str, expected: &[u8]) {
    sandbox.verify(run);
    lines::assert_same("what was read back", expected, &sandbox.raw(run));
}

pub(crate) fn bytes_below(folder: &Path) -> u64 {
    fs::read_dir(folder)
        .unwrap()
        .flatten()
        .map(|entry| {
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() { bytes_below(&entry.path()) } else { metadata.len() }
        })
        .sum()
}
