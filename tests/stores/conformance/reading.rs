//! What a log store that can be read back must give: what the artifact store gives, byte for byte,
//! whatever is asked; and while a step is under way, what it has printed so far.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;

use super::{BATCH, Bench, Subject};
use crate::support::sandbox::{Output, collect, finish};
use crate::support::{lines, step, wait};

/// Long lines come in parts, and a block has few lines.
const SMALL: &str = "[capture]\nmax_line_bytes = \"4 KiB\"\nblock_bytes = \"8 KiB\"\n";

/// Everything that is asked of run `r`; cursors, times and downloads have their own place.
const QUESTIONS: &[&str] = &[
    "logs r",
    "logs r -o json",
    "logs r -o raw",
    "logs r --prefix=never -t",
    "logs r/train",
    "logs r/train -o json",
    "logs r/train -o raw",
    "logs r/train --color=always",
    "logs r/train/1",
    "logs @latest/eval -n 3",
    "logs @failed",
    "logs r/many -n 17 -t",
    "logs r/many -n 17 -o json",
    "logs r/many -n 0",
    "logs r/many --head 17 -o raw",
    "logs r -n 1500 -o json",
    "logs r -r -n 1500 -o json",
    "logs r/many -r -o raw",
    "logs r/train -r -t=delta",
    "logs r -l warning",
    "logs r -l info -n 700 -o json",
    "logs r --errors -o json",
    "logs r/train --errors -o raw",
    "logs r/train -l error -r",
    "logs r/many -g 1[0-9]5 -C 2",
    "logs r/many -g line=0000123 -o json",
    "logs r/many -F -g loss=0.1 -g nothing -n 4",
    "logs r -g WARNING -i -A 1 -o json",
    "logs r/many -e step=[0-9a-c] -r -n 9",
    "logs r -l warning -g trainer -e line=000 -B 1",
    "logs r/train -g ValueError -o json",
    "logs r/train -g é+.end -o json",
    "logs r --stream stderr -o json",
    "logs r --stream stdout -l error",
    "logs r/train --attempt all -o json",
    "logs r/train --attempt 1",
    "logs r/train -p",
    "logs r --failed --attempt 1",
    "logs r --step eval --step train -n 8",
    "logs r --source step -n 2",
    "logs r/train --progress all -o json",
    "logs r/train --progress none",
    "logs r/train -f",
    "logs r/many --follow -n 5 -o json",
    "logs r/many -S 1h --head 2",
    "logs r/many -U 2020-01-01",
    "logs r -g there.is.no.such.line",
    "logs r/nowhere",
    "logs r/train/3",
    "logs nowhere",
    "ls",
    "ls -o json",
    "ls -n 1 -o json",
    "ls r",
    "ls r -o json",
    "ls r/train",
    "ls nowhere",
];

pub(crate) fn it_is_read_as_the_artifact_store_is<S: Subject>() {
    let subject = S::start_alone();
    let bench = Bench::of(&subject).copied(SMALL);
    print_all(&bench);
    // Some services can be searched only a while after they have taken something.
    wait::until_true("all steps to be shown", || {
        let [it, copy] = ["it", "copy"].map(|store| asked(&bench, "ls r -o json", store).stdout);
        it == copy
    });
    for question in QUESTIONS {
        same(&bench, question);
    }
    let records = asked(&bench, "logs r/many -o json", "copy").expect(0).text();
    let time = |number: usize| {
        let record: serde_json::Value =
            serde_json::from_str(records.lines().nth(number).unwrap()).unwrap();
        record["timestamp"].as_str().unwrap().to_owned()
    };
    let (early, late) = (time(300), time(1000));
    for question in [
        format!("logs r/many -S {early} -o json"),
        format!("logs r/many -U {late} -o json"),
        format!("logs r -S {early} -U {late} -o json"),
        format!("logs r/many -S {early} -U {late} -r -n 9 -o json"),
    ] {
        same(&bench, &question);
    }
    for head in [3, BATCH] {
        let shown = same(&bench, &format!("logs r/many --head {head} --show-cursor"));
        let said = shown.errors();
        let cursor = said.trim_end().strip_prefix("steplog: cursor: ").unwrap();
        same(&bench, &format!("logs r/many --cursor {cursor} --head 3 -o json"));
        same(&bench, &format!("logs r/many --after-cursor {cursor} -o json"));
        same(&bench, &format!("logs r/many --after-cursor {cursor} -r -n 2 -o json"));
    }
    for form in ["raw", "json"] {
        let [it, copy] = ["it", "copy"].map(|store| {
            let folder = format!("{form}-{store}");
            let question = format!("download r {folder} --format {form}");
            asked(&bench, &question, store).expect(0);
            files(&bench.sandbox.path("work").join(folder))
        });
        assert!(copy.len() == 4 && it.keys().eq(copy.keys()), "{:?}", it.keys());
        for (name, expected) in &copy {
            lines::assert_same(&format!("{name}, downloaded"), expected, &it[name]);
        }
    }
}

/// Two tries at `train`, of which the first fails; `many` lines; `eval`.
fn print_all(bench: &Bench) {
    let input = bench.sandbox.path("input");
    fs::write(&input, lines::numbered(3 * BATCH + 7)).unwrap();
    let (input, kinds) = (input.display().to_string(), step("kinds.py").display().to_string());
    let print = |step: &str, attempt: &str, code: i32, command: &[&str]| {
        let mut run = bench.sandbox.steplog(["run", "--quiet", "--run=r", "--step", step]);
        let output = finish(run.args(["--attempt", attempt, "--"]).args(command)).expect(code);
        assert_eq!(output.errors().replace("on stderr\n<3>with a priority\n", ""), "");
    };
    print("train", "1", 1, &["sh", "-c", "echo first try; exit 1"]);
    print("train", "2", 0, &["python3", &kinds]);
    print("many", "1", 0, &["cat", &input]);
    print("eval", "1", 0, &["sh", "-c", "seq 100; echo 'level=error Broken' >&2"]);
    bench.all_delivered();
}

fn asked(bench: &Bench, question: &str, store: &str) -> Output {
    bench.sandbox.call(question.split_whitespace().chain(["--log-store", store]))
}

/// The flavor's answer is the artifact store's, in every byte of what is printed and said.
#[track_caller]
fn same(bench: &Bench, question: &str) -> Output {
    let [it, copy] = ["it", "copy"].map(|store| asked(bench, question, store));
    lines::assert_same(question, &copy.stdout, &it.stdout);
    let said = copy.errors().replace("log store copy", "log store it");
    assert_eq!(it.errors(), said, "{question}");
    assert_eq!(it.code, copy.code, "{question}: {}", it.errors());
    it
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    entries.map(|path| (name(&path), fs::read(&path).unwrap())).collect()
}

pub(crate) fn it_is_followed_while_it_is_written<S: Subject>() {
    let subject = S::start_alone();
    let bench = Bench::of(&subject);
    let run = "followed";
    let shown = bench.sandbox.path("shown");
    let mut follow = bench.sandbox.steplog(["logs", "followed/train/1", "-f", "-o", "raw"]);
    follow.args(["--wait", "100s"]).stdout(File::create(&shown).unwrap());
    let following = follow.stderr(Stdio::piped()).spawn().unwrap();
    let mut step = bench.paced(run, 2 * BATCH, 2);
    step.more();
    step.printed();
    wait::until_true("the first share to be shown while the step goes on", || {
        lines::count(&fs::read(&shown).unwrap()) == BATCH
    });
    let (input, output) = step.finish();
    output.expect(0);
    let followed = collect(following).expect(0);
    assert_eq!(followed.errors(), "");
    lines::assert_same("what was followed", input.as_bytes(), &fs::read(&shown).unwrap());
}
