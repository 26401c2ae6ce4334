//! Every option of `steplog logs` and what it does, on one run of three captures.

use crate::support::sandbox::{Output, Sandbox, finish};

const BEGIN: &str = "level=info begin";
const BAR: &str = "epoch: 100%";
const SLOW: &str = "level=warning slow";
const BROKEN: &str = "level=error Broken (x+y)";
const END: &str = "level=info end";
const EVAL: &str = "évaluation";

/// Run `r`: two tries at `train`, of which the first fails, then `eval`, which writes to stderr.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::local("");
    let capture = |step: &str, attempt: &str, code: i32, script: &str| {
        let mut command = sandbox.steplog(["run", "--quiet", "--run=r", "--step", step]);
        command.args(["--attempt", attempt, "--", "sh", "-c", script]);
        finish(&mut command).expect(code);
    };
    capture("train", "1", 1, "echo first try; exit 1");
    let bar = "printf '\\repoch: 10%%\\repoch: 100%%\\n'";
    let script = format!(
        "echo '{BEGIN}'; {bar}; echo '{SLOW}'; echo '{BROKEN}'; printf '\\033[31m{END}\\033[0m\\n'"
    );
    capture("train", "2", 0, &script);
    capture("eval", "1", 0, &format!("echo {EVAL} >&2"));
    sandbox
}

fn logs(sandbox: &Sandbox, target: &str, options: &str) -> Output {
    sandbox.call(["logs", target].into_iter().chain(options.split_whitespace()))
}

/// Target, options, and the lines that are shown.
#[rustfmt::skip]
const TABLE: &[(&str, &str, &[&str])] = &[
    ("r/train", "", &[BEGIN, BAR, SLOW, BROKEN, END]),
    ("r/train/1", "", &["first try"]),
    ("@latest/train", "", &[BEGIN, BAR, SLOW, BROKEN, END]),
    ("r/@latest", "", &[EVAL]),
    ("@failed/train/1", "", &["first try"]),
    ("r/train", "-f", &[BEGIN, BAR, SLOW, BROKEN, END]),
    ("r/train", "-n 2", &[BROKEN, END]),
    ("r/train", "--tail 1", &[END]),
    ("r/train", "-n 0", &[]),
    ("r/train", "--head 2", &[BEGIN, BAR]),
    ("r/train", "-S 1h", &[BEGIN, BAR, SLOW, BROKEN, END]),
    ("r/train", "--since 2020-01-01 --until 2200-01-01T00:00:00Z", &[BEGIN, BAR, SLOW, BROKEN, END]),
    ("r/train", "-l warning", &[SLOW, BROKEN]),
    ("r/train", "--level=error", &[BROKEN]),
    ("r/train", "--errors", &[BROKEN]),
    ("r/train", "-g ^level=.*n$", &[BEGIN]),
    ("r/train", "-g begin -g end", &[BEGIN, END]),
    ("r/train", "--grep broken -i", &[BROKEN]),
    ("r/train", "-F -g (x+y)", &[BROKEN]),
    ("r/train", "-e level=info", &[BAR, SLOW, BROKEN]),
    ("r/train", "--exclude info -e epoch -e SLOW -i", &[BROKEN]),
    ("r/train", "-g slow -A 1", &[SLOW, BROKEN]),
    ("r/train", "-g slow -B 1", &[BAR, SLOW]),
    ("r/train", "-g slow -C 1", &[BAR, SLOW, BROKEN]),
    ("r/train", "-g begin -g end -C 0", &[BEGIN, END]),
    ("r/train", "-g begin -g end -C 1", &[BEGIN, BAR, "--", BROKEN, END]),
    ("r/train", "-p", &["first try"]),
    ("r/train", "--previous", &["first try"]),
    ("r/train", "--attempt 1", &["first try"]),
    ("r/train", "--attempt last -n 1", &[END]),
    ("r/train", "--attempt all --head 2 --prefix=never", &["first try", BEGIN]),
    ("r/train", "--attempt all --head 2", &["#1 | first try", "#2 | level=info begin"]),
    ("r", "--step eval", &[EVAL]),
    ("r", "--step eval --step train -n 2", &["train#2 | level=info end", "eval#1  | évaluation"]),
    ("r", "--source step -n 1", &["eval#1  | évaluation"]),
    ("r", "--stream stderr", &["eval#1  | évaluation"]),
    ("r", "--stream stderr --prefix=never", &[EVAL]),
    ("r/eval", "--prefix", &["eval | évaluation"]),
    ("r", "--failed --attempt 1", &["first try"]),
    ("r/train", "-r -n 2", &[END, BROKEN]),
    ("r/train", "--reverse --head 2", &[BAR, BEGIN]),
    ("r/train", "--progress all --head 2", &[BEGIN, "epoch: 10%", BAR]),
    ("r/train", "--progress none --head 2", &[BEGIN, SLOW]),
    ("r/train", "--progress=collapse --head 2", &[BEGIN, BAR]),
    ("r/train", "--color=always -l error", &["\x1b[31mlevel=error Broken (x+y)\x1b[0m"]),
    ("r/train", "--color=always -n 1", &["\x1b[31mlevel=info end\x1b[0m"]),
    ("r/train", "--color=never -n 1", &[END]),
    ("r/train", "-o text -n 1", &[END]),
    ("r/train", "-o raw -n 1", &["\x1b[31mlevel=info end\x1b[0m"]),
    ("r/train", "--no-pager -n 1", &[END]),
];

#[test]
fn does_what_it_says() {
    let sandbox = sandbox();
    for (target, options, expected) in TABLE {
        let output = logs(&sandbox, target, options).expect(0);
        let text = output.text();
        assert_eq!(text.lines().collect::<Vec<_>>(), *expected, "{target} {options}");
        assert_eq!(output.errors(), "", "{target} {options}");
    }
}

#[test]
fn times_stand_in_front() {
    let sandbox = sandbox();
    let first = |options: &str| {
        let text = logs(&sandbox, "r/train", &format!("{options} -g begin")).expect(0).text();
        text.strip_suffix(" level=info begin\n").unwrap_or_else(|| panic!("{text:?}")).to_owned()
    };
    for options in ["-t", "--timestamps", "-t=utc"] {
        let time = first(options);
        assert!(time.len() == 24 && time.ends_with('Z'), "{options}: {time}");
    }
    assert!(first("-t=local").ends_with("+00:00"), "the sandbox is in UTC");
    for options in ["-t=relative", "--timestamps=delta"] {
        let time = first(options);
        assert!(time.trim_start().starts_with('+') && time.ends_with('s'), "{options}: {time}");
    }
}

#[test]
fn json_gives_the_records() {
    let sandbox = sandbox();
    let text = logs(&sandbox, "r/train", "-o json -l warning").expect(0).text();
    let records: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seqs: Vec<_> = records.iter().map(|record| record["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, [2, 3]);
}

#[test]
fn a_cursor_is_a_place_to_go_on_from() {
    let sandbox = sandbox();
    let output = logs(&sandbox, "r/train", "--head 2 --show-cursor").expect(0);
    let said = output.errors();
    let cursor = said.trim_end().strip_prefix("steplog: cursor: ").unwrap();
    let shown = |option: &str| {
        logs(&sandbox, "r/train", &format!("{option} {cursor} --head 1")).expect(0).text()
    };
    assert_eq!(shown("--cursor"), "epoch: 100%\n");
    assert_eq!(shown("--after-cursor"), "level=warning slow\n");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let sandbox = Sandbox::local("");
    for (options, words) in [
        ("-n 1 --head 1", "cannot be used with"),
        ("-r -f", "cannot be used with"),
        ("-p --attempt 1", "cannot be used with"),
        ("--errors -l info", "cannot be used with"),
        ("--cursor x --after-cursor x", "cursor"),
        ("-l loud", "expected trace, debug, info"),
        ("-S tomorrowish", "tomorrowish"),
        ("-g (", "unclosed group"),
        ("-C 1", "--grep"),
        ("--attempt none", "expected a number, last or all"),
        ("--stream stdin", "expected stdout or stderr"),
        ("--linger 1s", "--follow"),
        ("-n many", "many"),
        ("--progress some", "collapse, all, none"),
        ("-o xml", "text, raw, json"),
    ] {
        let errors = logs(&sandbox, "r", options).expect(2).errors();
        assert!(errors.contains(words), "{options}: {errors}");
    }
    for target in ["r/a/x", "r/a/1/2", "/a", ""] {
        logs(&sandbox, target, "").expect(2);
    }
}
