//! run → logs → ls → download → verify on a local folder, S3, Azure and GCS: the same test.

use std::fs;

use crate::servers::{Remote, azurite, gcs, rclone, seaweed};
use crate::support::sandbox::{LOCAL, Sandbox, finish, in_small_pieces};
use crate::support::{lines, step};

fn whole_way(stack: &str, run: &str) -> Sandbox {
    let sandbox = Sandbox::with_stack(&in_small_pieces(stack));
    let expected = lines::numbered(3000);
    fs::write(sandbox.path("input"), &expected).unwrap();
    let input = sandbox.path("input").display().to_string();
    let step = step("lines.py").display().to_string();
    let ran = finish(&mut sandbox.wrap(run, ["python3", &step, &input, "1"])).expect(0);
    assert_eq!(ran.errors(), "", "{}", sandbox.ship_said());

    lines::assert_same("logs -o raw", expected.as_bytes(), &sandbox.raw(run));
    sandbox.verify(run);
    let listed = sandbox.call(["ls", run]).expect(0).text();
    assert!(listed.contains("train"), "{listed}");
    let runs = sandbox.call(["ls"]).expect(0).text();
    assert!(runs.contains(run), "{runs}");
    let last = sandbox.call(["logs", run, "-n", "7", "-o", "raw"]).expect(0).stdout;
    let from = expected.len() - 7 * (lines::numbered_line(0).len() + 1);
    lines::assert_same("logs -n 7", &expected.as_bytes()[from..], &last);
    let one = sandbox.call(["logs", run, "--grep", "line=00001234", "-o", "raw"]).expect(0);
    assert_eq!(one.text(), format!("{}\n", lines::numbered_line(1234)));
    assert_eq!(sandbox.call(["logs", "no-such-run"]).code, Some(3));
    assert!(sandbox.spooled().is_empty(), "delivered: the spool is gone");
    sandbox
}

/// Object names as the layout has them, ids replaced; from an independent client's listing.
fn check_names(names: &str, run: &str) {
    let mut kinds: Vec<String> = names
        .lines()
        .map(|name| {
            let mut parts: Vec<&str> = name.split('/').collect();
            for part in &mut parts {
                if part.starts_with("date=") {
                    *part = "date=D";
                } else if part.starts_with("writer=") {
                    *part = "writer=W";
                } else if part.ends_with(".ndjson.zst") {
                    let numbers = part.trim_end_matches(".ndjson.zst");
                    assert!(numbers.split('-').all(|number| number.len() == 12), "{name}");
                    *part = "N.zst";
                } else if part.len() == 36 + ".json".len() {
                    *part = "W.json";
                } else if part.len() == 10 && part.starts_with("20") {
                    *part = "D";
                }
            }
            parts.join("/").replace(run, "RUN")
        })
        .collect();
    kinds.sort();
    kinds.dedup();
    let writer = "logs/date=D/pipeline_run_id=RUN/step_id=train/attempt=1/source=step/writer=W";
    let expected = [
        format!("{writer}/end.json"),
        format!("{writer}/seg/N.zst"),
        "runs/by-day/D/RUN".to_owned(),
        "runs/by-id/RUN/train/1/step/W.json".to_owned(),
    ];
    assert_eq!(kinds, expected, "names:\n{names}");
}

fn on_a_remote_store(remote: &Remote, prefix: &str) {
    whole_way(&remote.stack(prefix, ""), prefix);
    let listed = rclone(&["lsf", "-R", "--files-only", &format!("{}/{prefix}", remote.rclone)]);
    check_names(&String::from_utf8(listed).unwrap(), prefix);
}

#[test]
fn on_a_local_folder() {
    let sandbox = whole_way(LOCAL, "local-run");
    let listed = rclone(&["lsf", "-R", "--files-only", sandbox.store().to_str().unwrap()]);
    check_names(&String::from_utf8(listed).unwrap(), "local-run");
}

#[test]
fn on_s3() {
    on_a_remote_store(&seaweed::remote(), "s3-run");
}

#[test]
fn on_azure() {
    on_a_remote_store(&azurite::remote(), "azure-run");
}

#[test]
fn on_gcs() {
    // The server speaks too little of the protocol for rclone to list it.
    let sandbox = whole_way(&gcs::remote().stack("gcs-run", ""), "gcs-run");
    let said = sandbox.call(["check", "--connect"]).expect(0).errors();
    assert!(said.contains("wrote, read and deleted an object"), "{said}");
    assert!(!said.contains("overwrites"), "it keeps the condition of a put: {said}");
}

#[test]
fn names_that_need_quoting_stay_in_their_folder() {
    let sandbox = Sandbox::local("");
    let (run, step) = ("../../run one/ä", "..");
    let mut command = sandbox.steplog(["run", "--quiet", "--", "echo", "quoted"]);
    command.env("STEPLOG_PIPELINE_RUN_ID", run).env("STEPLOG_STEP_ID", step);
    finish(&mut command).expect(0);
    let names = rclone(&["lsf", "-R", "--files-only", sandbox.store().to_str().unwrap()]);
    let names = String::from_utf8(names).unwrap();
    assert!(
        names.contains("/pipeline_run_id=%2E.%2F..%2Frun%20one%2F%C3%A4/step_id=%2E."),
        "{names}"
    );
    let text = sandbox.call(["logs", "@latest", "-o", "raw"]).expect(0).text();
    assert_eq!(text, "quoted\n");
}
