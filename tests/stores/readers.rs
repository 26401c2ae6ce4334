//! Programs that know nothing of steplog read what it stored.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::sandbox::{LOCAL, Sandbox, finish, tool};
use crate::support::{lines, project};

/// A store with two steps of a run: known lines, and the training example.
fn store(codec: &str) -> Sandbox {
    let sandbox =
        Sandbox::with_stack(&LOCAL.replace(
            "flavor =",
            &format!("codec = \"{codec}\"\nchunk_bytes = \"64 KiB\"\nflavor ="),
        ));
    std::fs::write(sandbox.path("input"), lines::numbered(4000)).unwrap();
    let input = sandbox.path("input").display().to_string();
    let train = project("examples/train.py").display().to_string();
    for (step, command) in
        [("lines", vec!["cat", &input]), ("train", vec!["python3", &train, "--pause", "0"])]
    {
        let mut command = sandbox.wrap("run-1", command);
        finish(command.env("STEPLOG_STEP_ID", step)).expect(0);
    }
    sandbox
}

fn objects(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let found =
        Command::new("find").arg(folder).args(["-name", &format!("*.{extension}")]).output();
    let mut found: Vec<PathBuf> =
        String::from_utf8(found.unwrap().stdout).unwrap().lines().map(PathBuf::from).collect();
    found.sort();
    found
}

#[track_caller]
fn shell(script: &str, arguments: &[PathBuf]) -> String {
    let output = Command::new("sh").args(["-ec", script, "sh"]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn zstdcat_and_jq_read_the_objects() {
    let sandbox = store("zstd");
    let objects = objects(&sandbox.store().join("logs"), "zst");
    let messages =
        shell(r#"zstdcat "$@" | jq -r 'select(.step_id == "lines") | .message'"#, &objects);
    lines::assert_same("messages", lines::numbered(4000).as_bytes(), messages.as_bytes());
    shell(r#"for file; do zstd -tq "$file"; done"#, &objects);
}

#[test]
fn zcat_and_jq_read_the_objects() {
    let sandbox = store("gzip");
    let objects = objects(&sandbox.store().join("logs"), "gz");
    let messages = shell(r#"zcat "$@" | jq -r 'select(.step_id == "lines") | .message'"#, &objects);
    lines::assert_same("messages", lines::numbered(4000).as_bytes(), messages.as_bytes());
    // steplog's own reader, too.
    lines::assert_same(
        "logs -o raw",
        lines::numbered(4000).as_bytes(),
        &sandbox.raw("run-1/lines"),
    );
    sandbox.verify("run-1");
}

#[test]
fn duckdb_reads_the_layout_as_a_partitioned_table() {
    let sandbox = store("zstd");
    let script = r#"
import duckdb, sys
query = """
    select step_id, source, attempt, count(*), min(seq), max(seq),
           count(*) filter (level = 'ERROR'), count(distinct pipeline_run_id)
    from read_json(?, hive_partitioning = true, format = 'newline_delimited', union_by_name = true)
    where pipeline_run_id = 'run-1' group by all order by step_id
"""
for row in duckdb.sql(query, params=[sys.argv[1] + "/logs/**/*.ndjson.zst"]).fetchall():
    print(*row)
"#;
    let output =
        Command::new(tool("python3")).args(["-c", script]).arg(sandbox.store()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).unwrap();
    let errors = (0..4000).filter(|n| lines::numbered_line(*n).contains(" ERROR ")).count();
    let train = sandbox.records("run-1/train");
    let train_errors = train.iter().filter(|record| record["level"] == "ERROR").count();
    let expected = format!(
        "lines step 1 4000 0 3999 {errors} 1\ntrain step 1 {} 0 {} {train_errors} 1\n",
        train.len(),
        train.len() - 1
    );
    assert_eq!(printed, expected);
}
