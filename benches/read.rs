//! Reading a finished run back: how long, and how much of it is read to answer.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::measure::{self, Input};
use crate::support::lines;
use crate::support::sandbox::Sandbox;
use crate::table::{Table, milliseconds};
use crate::{Group, Sizes};

/// One run of the whole input, then questions to it.
pub(crate) fn all(input: &Input, sizes: Sizes) -> Group {
    let mut table = Table::new(
        &format!("Reading {} lines back", input.lines),
        &["", "wall", "bytes read", "bytes given", "raw MB/s"],
    );
    let sandbox = Sandbox::local("");
    measure::cost(&mut sandbox.wrap("run", ["cat", input.path().to_str().unwrap()]), None);

    let mut ask = |name: &str, command: &dyn Fn() -> Command| {
        let runs: Vec<(Duration, Vec<u8>, u64)> =
            (0..sizes.repetitions.min(5)).map(|_| measure::reading(&mut command())).collect();
        let wall = measure::median(runs.iter().map(|(wall, _, _)| *wall));
        let (_, output, read) = &runs[0];
        table.row([
            name.to_owned(),
            milliseconds(wall),
            read.to_string(),
            output.len().to_string(),
            format!("{:.0}", input.bytes.len() as f64 / 1e6 / wall.as_secs_f64()),
        ]);
        output.clone()
    };
    let logs = |arguments: &[&str]| {
        let arguments: Vec<String> = arguments.iter().map(|it| (*it).to_owned()).collect();
        let sandbox = &sandbox;
        move || {
            let mut command = sandbox.steplog(["logs", "run"]);
            command.args(&arguments);
            command
        }
    };

    let whole = ask("logs -o raw", &logs(&["-o", "raw"]));
    lines::assert_same("logs -o raw", &input.bytes, &whole);
    let objects = objects(&sandbox.store());
    ask("zstdcat of the same objects", &|| {
        let mut command = Command::new("zstdcat");
        command.args(&objects);
        command
    });
    let records = ask("logs -o json", &logs(&["-o", "json"]));
    let records: Vec<&[u8]> = records.split(|byte| *byte == b'\n').collect();

    let last = ask("logs -n 100", &logs(&["-n", "100", "-o", "raw"]));
    let from = input.bytes.len() - last.len();
    lines::assert_same("logs -n 100", &input.bytes[from..], &last);
    assert_eq!(lines::count(&last), 100);

    let errors = ask("logs --level error", &logs(&["--level", "error", "-o", "raw"]));
    let expected: String = (0..input.lines)
        .map(lines::numbered_line)
        .filter(|line| line.contains(" ERROR "))
        .map(|line| line + "\n")
        .collect();
    lines::assert_same("logs --level error", expected.as_bytes(), &errors);

    // All lines were printed within a second or so: a stretch of the run stands for a minute.
    let time = |number: usize| {
        let record: serde_json::Value = serde_json::from_slice(records[number]).unwrap();
        record["timestamp"].as_str().unwrap().to_owned()
    };
    let since = time(input.lines / 2);
    // Lines of one read have one time, and `--until` is not part of the stretch.
    let until = (input.lines / 2 + input.lines / 50..input.lines).map(time).find(|it| *it > since);
    let mut options = vec!["--since", &since, "-o", "json"];
    if let Some(until) = &until {
        options.extend(["--until", until]);
    }
    let stretch = ask("logs --since --until, about 2 % of it", &logs(&options));
    assert!(!stretch.is_empty());

    let wanted = lines::numbered_line(input.lines / 2);
    let word = wanted.split_whitespace().find(|it| it.starts_with("line=")).unwrap();
    let found = ask("logs --grep of one line", &logs(&["--grep", word, "-o", "raw"]));
    lines::assert_same("logs --grep", format!("{wanted}\n").as_bytes(), &found);
    ask("logs --grep of a pattern", &logs(&["--grep", "step=[0-9]{8}a.*mem=1", "-o", "raw"]));
    table
}

/// The segments of a store.
fn objects(store: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![store.join("logs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "zst") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
