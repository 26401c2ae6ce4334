//! `packaging/github-action` and `packaging/ci`: the shell in these files, run as each system runs it and
//! with the variables that it sets.
//!
//! Not a CI system: what is between the pieces of shell (checking out, images, cancelling) is not here,
//! and an expression that the files do not use is not understood.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{succeed, yaml};
use crate::support::sandbox::{LOCAL, Output, Sandbox, collect, finish};
use crate::support::{project, wait};

/// A job: a folder with a checkout, and an environment that steps hand on.
struct Job<'a> {
    sandbox: &'a Sandbox,
    variables: Vec<(String, String)>,
    /// In front of PATH; no steplog is on it at first.
    path: String,
}

/// What became of a job.
struct Ran {
    /// Of each piece that was run.
    codes: Vec<i32>,
    /// Of all of them.
    output: String,
}

impl<'a> Job<'a> {
    /// In `work/`, with the step's program and a stack file.
    fn new(sandbox: &'a Sandbox, variables: &[(&str, &str)]) -> Self {
        let work = sandbox.path("work");
        fs::copy(project("examples/train.py"), work.join("train.py")).unwrap();
        let stack = LOCAL.replace("{sandbox}", sandbox.root().to_str().unwrap());
        fs::write(work.join("steplog.toml"), stack).unwrap();
        let replaced = |text: &str| text.replace("{sandbox}", sandbox.root().to_str().unwrap());
        let variables =
            variables.iter().map(|(name, value)| ((*name).to_owned(), replaced(value))).collect();
        Self { sandbox, variables, path: String::new() }
    }

    fn set(&mut self, name: &str, value: impl Into<String>) {
        self.variables.push((name.to_owned(), value.into()));
    }

    /// A shell that is given this text as a file, as all these systems do it.
    fn shell(&self, shell: &[&str], text: &str) -> Command {
        let script = self.sandbox.path("script");
        fs::write(&script, text).unwrap();
        let mut command = self.sandbox.command(shell[0]);
        command.args(&shell[1..]).arg(script).envs(self.variables.iter().cloned());
        let inherited = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}{inherited}", self.path));
        command
    }

    /// The command that a job has printed for reading its logs gives this text.
    #[track_caller]
    fn check_hint(&self, output: &str, expected: &str) {
        let hint = output.split("To read the logs: ").nth(1).unwrap_or_else(|| panic!("{output}"));
        let hint = hint.lines().next().unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_steplog")).parent().unwrap().display();
        let stack = self.sandbox.path("work/steplog.toml");
        let mut shell = self.shell(&["sh", "-e"], hint);
        shell.env("PATH", format!("{program}:/usr/bin:/bin")).env("STEPLOG_STACK", stack);
        let text = finish(&mut shell).expect(0).text();
        assert!(text.contains(expected), "{hint}\n{text}");
    }
}

impl Ran {
    fn of(outputs: &[Output]) -> Self {
        let codes = outputs.iter().map(|output| output.code.unwrap()).collect();
        let output = outputs.iter().map(|output| output.text() + &output.errors()).collect();
        Self { codes, output }
    }

    #[track_caller]
    fn expect(self, codes: &[i32]) -> String {
        assert_eq!(self.codes, codes, "{}", self.output);
        self.output
    }
}

/// The only document of a YAML file.
fn document(path: &str) -> Value {
    let [document] = yaml(path).try_into().unwrap();
    document
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}"))
}

/// The binary, as it can be had from a URL.
fn url() -> String {
    format!("file://{}", env!("CARGO_BIN_EXE_steplog"))
}

fn checksum() -> String {
    let sum = succeed(Command::new("sha256sum").arg(env!("CARGO_BIN_EXE_steplog")));
    sum.split(' ').next().unwrap().to_owned()
}

/// The composite action in the job of the example workflow.
struct Github<'a> {
    job: Job<'a>,
    action: Value,
    inputs: serde_json::Map<String, Value>,
    outputs: Vec<Output>,
}

impl<'a> Github<'a> {
    fn new(sandbox: &'a Sandbox) -> Self {
        let job = Job::new(
            sandbox,
            &[
                ("CI", "true"),
                ("GITHUB_ACTIONS", "true"),
                ("GITHUB_ACTION", "__self"),
                ("GITHUB_ACTOR", "somebody"),
                ("GITHUB_JOB", "train"),
                ("GITHUB_REF_NAME", "main"),
                ("GITHUB_REPOSITORY", "somebody/models"),
                ("GITHUB_RUN_ATTEMPT", "2"),
                ("GITHUB_RUN_ID", "7000000001"),
                ("GITHUB_RUN_NUMBER", "12"),
                ("GITHUB_SHA", "8c5f6a1e2d"),
                ("GITHUB_WORKFLOW", "train"),
                ("GITHUB_WORKSPACE", "{sandbox}/work"),
                ("RUNNER_NAME", "runner-1"),
                ("RUNNER_TEMP", "{sandbox}/temp"),
                ("GITHUB_PATH", "{sandbox}/path"),
                ("GITHUB_STEP_SUMMARY", "{sandbox}/summary"),
            ],
        );
        fs::create_dir(sandbox.path("temp")).unwrap();
        for file in ["path", "summary"] {
            fs::write(sandbox.path(file), "").unwrap();
        }
        let workflow = document("packaging/ci/github.yml");
        let steps = workflow["jobs"]["train"]["steps"].as_array().unwrap();
        let uses = steps.iter().find(|step| step["uses"] == "./packaging/github-action").unwrap();
        let action = document("packaging/github-action/action.yml");
        let mut inputs = serde_json::Map::new();
        for (name, input) in action["inputs"].as_object().unwrap() {
            inputs.insert(name.clone(), input.get("default").cloned().unwrap_or_default());
        }
        for (name, value) in uses["with"].as_object().unwrap() {
            assert!(inputs.insert(name.clone(), value.clone()).is_some(), "no input {name}");
        }
        Self { job, action, inputs, outputs: Vec::new() }
    }

    fn input(mut self, name: &str, value: &str) -> Self {
        assert!(self.inputs.insert(name.to_owned(), value.into()).is_some());
        self
    }

    /// With its expressions replaced.
    fn evaluate(&self, text: &str) -> String {
        let Some((before, rest)) = text.split_once("${{ ") else { return text.to_owned() };
        let (expression, after) = rest.split_once(" }}").unwrap();
        let value = match expression.split_once('.').unwrap() {
            ("inputs", name) => self.evaluate(self.inputs[name].as_str().unwrap()),
            ("github", "job") => "train".to_owned(),
            ("vars", "STEPLOG_URL") => url(),
            ("vars", "STEPLOG_SHA256") => checksum(),
            _ => panic!("{expression}"),
        };
        format!("{before}{value}{}", self.evaluate(after))
    }

    /// The command of a step, unless one before has failed and it is not for that.
    fn command(&mut self, name: &str) -> Option<Command> {
        let steps = self.action["runs"]["steps"].as_array().unwrap();
        let step = steps.iter().find(|step| step["name"] == name).unwrap();
        let failed = self.outputs.iter().any(|output| output.code != Some(0));
        match &step["if"] {
            Value::Null if failed => return None,
            Value::Null => {}
            condition => assert_eq!(condition, "always()"),
        }
        assert_eq!(step["shell"], "bash");
        assert!(!text(&step["run"]).contains("${{"), "no expression in a script");
        let additions = fs::read_to_string(self.job.sandbox.path("path")).unwrap();
        self.job.path = additions.lines().rev().map(|line| format!("{line}:")).collect();
        let shell = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail"];
        let mut command = self.job.shell(&shell, text(&step["run"]));
        for (name, value) in step["env"].as_object().unwrap() {
            command.env(name, self.evaluate(text(value)));
        }
        if let Some(folder) = step.get("working-directory") {
            command.current_dir(self.job.sandbox.path("work").join(self.evaluate(text(folder))));
        }
        Some(command)
    }

    fn step(&mut self, name: &str) -> &mut Self {
        if let Some(mut command) = self.command(name) {
            self.outputs.push(finish(&mut command));
        }
        self
    }

    fn ran(&self) -> Ran {
        Ran::of(&self.outputs)
    }
}

const INSTALL: &str = "Install steplog";
const RUN: &str = "Run";
const DELIVER: &str = "Deliver what is left";

#[test]
fn the_action_has_these_steps_and_no_others() {
    let action = document("packaging/github-action/action.yml");
    assert_eq!(action["runs"]["using"], "composite");
    let steps = action["runs"]["steps"].as_array().unwrap();
    let names: Vec<&str> = steps.iter().map(|step| text(&step["name"])).collect();
    assert_eq!(names, [INSTALL, RUN, DELIVER]);
}

#[test]
fn on_github_the_example_workflow_keeps_the_logs_by_run_step_and_attempt() {
    let sandbox = Sandbox::local("");
    let mut github = Github::new(&sandbox);
    let output = github.step(INSTALL).step(RUN).step(DELIVER).ran().expect(&[0, 0, 0]);
    assert!(output.contains("training on Linux\n"), "the log is shown as well: {output}");
    github.job.check_hint(&output, "INFO train: done");
    let summary = fs::read_to_string(sandbox.path("summary")).unwrap();
    let hint = "Logs of train: `steplog logs 7000000001 --step train --attempt 2`\n";
    assert_eq!(summary, hint);
    let records = sandbox.records("7000000001/train/2");
    assert_eq!(records[0]["message"], "training on Linux");
    sandbox.verify("7000000001");
    assert!(sandbox.spooled().is_empty());
}

#[test]
fn on_github_a_command_that_fails_fails_the_step_and_what_is_left_is_delivered() {
    let sandbox = Sandbox::local("[ship]\ndeadline = \"0s\"\n");
    // A store that is away while the command runs: its folder would be below a file.
    let stack = fs::read_to_string(sandbox.path("config/steplog/stack.toml")).unwrap();
    let away = stack.replace("/store\"", "/away/store\"");
    fs::write(sandbox.path("away"), "").unwrap();
    let command = "echo \"it's $(echo 'quoted')\"\nfalse | cat\necho not reached";
    let github = Github::new(&sandbox).input("run", command).input("step", "a step's");
    let mut github = github.input("binary", env!("CARGO_BIN_EXE_steplog")).input("sha256", "");
    fs::write(sandbox.path("work/steplog.toml"), &away).unwrap();
    let output = github.step(INSTALL).step(RUN).ran().expect(&[0, 1]);
    assert!(output.contains("it's quoted\n") && !output.contains("not reached"), "{output}");
    assert_eq!(sandbox.spooled().len(), 1);
    fs::remove_file(sandbox.path("away")).unwrap();
    let output = github.step(DELIVER).ran().expect(&[0, 1, 0]);
    assert!(output.contains("1 spool delivered"), "{output}");
    github.job.check_hint(&output, "it's quoted");
    assert!(sandbox.spooled().is_empty());
}

#[test]
fn on_github_logs_that_cannot_be_delivered_are_a_warning() {
    let sandbox = Sandbox::local("[ship]\ndeadline = \"0s\"\n");
    let mut github = Github::new(&sandbox).input("deliver-for", "1s");
    let stack = fs::read_to_string(sandbox.path("config/steplog/stack.toml")).unwrap();
    fs::write(sandbox.path("away"), "").unwrap();
    let away = stack.replace("/store\"", "/away/store\"");
    fs::write(sandbox.path("work/steplog.toml"), away).unwrap();
    let output = github.step(INSTALL).step(RUN).step(DELIVER).ran().expect(&[0, 0, 0]);
    assert!(output.contains("\n::warning::steplog could not deliver all logs"), "{output}");
    assert_eq!(sandbox.spooled().len(), 1);
}

#[test]
fn on_github_a_job_that_is_cancelled_keeps_what_its_command_says_last() {
    let sandbox = Sandbox::local("");
    let script =
        "trap 'echo cancelled; exit 9' INT; echo up; touch up; while :; do sleep 0.1; done";
    let mut github = Github::new(&sandbox).input("run", script);
    github.step(INSTALL);
    let mut run = github.command(RUN).unwrap();
    let run = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait::until_true("the command to run", || sandbox.path("work/up").exists());
    succeed(Command::new("kill").args(["-INT", &run.id().to_string()]));
    github.outputs.push(collect(run).expect(9));
    let output = github.step(DELIVER).ran().expect(&[0, 9, 0]);
    github.job.check_hint(&output, "cancelled");
}

#[test]
fn on_github_a_stack_file_that_cannot_be_found_fails_the_step() {
    let sandbox = Sandbox::local("");
    let mut github = Github::new(&sandbox).input("stack", "missing/steplog.toml");
    let output = github.step(INSTALL).step(RUN).ran().expect(&[0, 1]);
    assert!(output.contains("missing/steplog.toml") && !output.contains("training on"), "{output}");
}

#[test]
fn on_github_a_binary_that_is_not_the_one_named_is_not_run() {
    for (binary, sha256, said) in [
        (url(), "0".repeat(64), "computed checksum did NOT match"),
        (url(), String::new(), "::error::a 'binary' from a URL needs its 'sha256'"),
        (String::new(), String::new(), "::error::there is no steplog on PATH"),
    ] {
        let sandbox = Sandbox::local("");
        let mut github = Github::new(&sandbox).input("binary", &binary).input("sha256", &sha256);
        let output = github.step(INSTALL).step(RUN).step(DELIVER).ran().expect(&[1, 0]);
        assert!(output.contains(said), "{output}");
        assert!(!output.contains("training on"), "{output}");
    }
}

/// Both parts of GitLab's job `train`, in one of the shells that its runner uses.
fn gitlab(sandbox: &Sandbox, shell: &[&str], command: Option<&str>) -> (String, i32) {
    let file = document("packaging/ci/gitlab.yml");
    let included = document(text(&file["include"][0]["local"]));
    assert_eq!(included.as_object().unwrap().len(), 1, "including it adds no job");
    let (template, train) = (&included[".steplog"], &file["train"]);
    assert_eq!(train["extends"], ".steplog");
    let lines = |lines: &Value| {
        lines.as_array().unwrap().iter().map(|line| format!("{}\n", text(line))).collect::<String>()
    };
    let script = command.map_or_else(|| lines(&train["script"]), str::to_owned);
    let mut job = Job::new(
        sandbox,
        &[
            ("CI", "true"),
            ("CI_BUILDS_DIR", "{sandbox}/builds"),
            ("CI_COMMIT_SHA", "8c5f6a1e2d"),
            ("CI_JOB_ID", "501"),
            ("CI_JOB_NAME", "train"),
            ("CI_PIPELINE_ID", "78"),
            ("CI_PROJECT_DIR", "{sandbox}/work"),
            ("CI_PROJECT_PATH", "somebody/models"),
            ("CI_RUNNER_ID", "3"),
            ("GITLAB_CI", "true"),
            ("STEPLOG_STACK", "{sandbox}/work/steplog.toml"),
        ],
    );
    fs::create_dir_all(sandbox.path("builds")).unwrap();
    job.set("STEPLOG_URL", url());
    job.set("STEPLOG_SHA256", checksum());
    let ran = finish(&mut job.shell(shell, &(lines(&template["before_script"]) + &script)));
    let after = finish(&mut job.shell(shell, &lines(&template["after_script"]))).expect(0);
    let output = ran.text() + &ran.errors() + &after.text() + &after.errors();
    job.check_hint(&output, "");
    assert_eq!(fs::read_dir(sandbox.path("builds")).unwrap().count(), 0, "nothing is left");
    (output, ran.code.unwrap())
}

/// With and without bash in the job's image.
const GITLAB_SHELLS: [&[&str]; 2] = [&["bash", "-e", "-o", "pipefail"], &["busybox", "sh", "-e"]];

#[test]
fn on_gitlab_the_job_keeps_its_logs_by_pipeline_and_job() {
    for shell in GITLAB_SHELLS {
        let sandbox = Sandbox::local("");
        let (output, code) = gitlab(&sandbox, shell, None);
        assert_eq!(code, 0, "{output}");
        assert!(String::from_utf8(sandbox.raw("78/train")).unwrap().contains("train: done"));
        sandbox.verify("78");
    }
}

#[test]
fn on_gitlab_what_is_left_of_a_command_that_fails_is_delivered() {
    for shell in GITLAB_SHELLS {
        let sandbox = Sandbox::local("");
        let command = "steplog run --deadline=0s -- sh -c 'echo last words; exit 4'";
        let (output, code) = gitlab(&sandbox, shell, Some(command));
        assert_eq!(code, 4, "{output}");
        assert_eq!(sandbox.raw("78/train"), b"last words\n");
        assert!(sandbox.spooled().is_empty());
    }
}

/// A hook, as the agent runs it: sourced, and what it exports is taken over.
fn buildkite_hook(job: &mut Job<'_>, name: &str) -> Output {
    let hook = project("packaging/ci/buildkite/hooks").join(name);
    assert_ne!(fs::metadata(&hook).unwrap().permissions().mode() & 0o111, 0, "{}", hook.display());
    let left = job.sandbox.path("exported");
    let script = format!("set -e\n. {}\nenv -0 >{}\n", hook.display(), left.display());
    let output = finish(&mut job.shell(&["bash"], &script));
    let left = fs::read_to_string(left).unwrap();
    for (name, value) in left.split('\0').filter_map(|pair| pair.split_once('=')) {
        if name == "PATH" {
            let inherited = std::env::var("PATH").unwrap();
            value.strip_suffix(&inherited).unwrap().clone_into(&mut job.path);
        } else {
            job.set(name, value);
        }
    }
    output
}

/// A step of a pipeline: the example, unless its command, or its label and its key are others.
fn buildkite(sandbox: &Sandbox, command: Option<&str>, names: Option<[&str; 2]>) -> Ran {
    let pipeline = document("packaging/ci/buildkite/pipeline.yml");
    let step = &pipeline["steps"][0];
    let command = command.unwrap_or(text(&step["command"]));
    let mut job = Job::new(
        sandbox,
        &[
            ("BUILDKITE", "true"),
            ("BUILDKITE_AGENT_NAME", "agent-1"),
            ("BUILDKITE_BRANCH", "main"),
            ("BUILDKITE_BUILD_ID", "0190b5f5-6a2c-4d0e-9c1a-3a7d1f6f2b11"),
            ("BUILDKITE_BUILD_NUMBER", "31"),
            ("BUILDKITE_JOB_ID", "0190b5f5-7777-4d0e-9c1a-3a7d1f6f2b11"),
            ("BUILDKITE_PIPELINE_SLUG", "models"),
            ("BUILDKITE_RETRY_COUNT", "1"),
            ("CI", "true"),
            ("STEPLOG_STACK", "{sandbox}/work/steplog.toml"),
        ],
    );
    let [label, key] = names.unwrap_or([text(&step["label"]), text(&step["key"])]);
    job.set("BUILDKITE_LABEL", label);
    job.set("BUILDKITE_STEP_KEY", key);
    job.set("STEPLOG_URL", url());
    job.set("STEPLOG_SHA256", checksum());
    let before = buildkite_hook(&mut job, "pre-command");
    let ran = finish(&mut job.shell(&["bash", "-e"], command));
    let folder = PathBuf::from(job.path.trim_end_matches(':'));
    let after = buildkite_hook(&mut job, "pre-exit");
    assert!(!folder.exists(), "nothing is left");
    let ran = Ran::of(&[before, ran, after]);
    job.check_hint(&ran.output, "");
    ran
}

#[test]
fn on_buildkite_the_step_keeps_its_logs_by_build_step_and_attempt() {
    let sandbox = Sandbox::local("");
    buildkite(&sandbox, None, None).expect(&[0, 0, 0]);
    let run = "0190b5f5-6a2c-4d0e-9c1a-3a7d1f6f2b11/train/2";
    assert!(String::from_utf8(sandbox.raw(run)).unwrap().contains("train: done"));
    sandbox.verify(run);
}

#[test]
fn on_buildkite_a_step_without_a_key_is_called_by_its_label_or_else_by_its_job() {
    let job = "0190b5f5-7777-4d0e-9c1a-3a7d1f6f2b11";
    for (label, called) in [("Ada's model: train", "Ada's model: train"), ("", job)] {
        let sandbox = Sandbox::local("");
        let command = "steplog run -- echo trained";
        buildkite(&sandbox, Some(command), Some([label, ""])).expect(&[0, 0, 0]);
        let run = format!("0190b5f5-6a2c-4d0e-9c1a-3a7d1f6f2b11/{called}");
        assert_eq!(sandbox.raw(&run), b"trained\n");
    }
}

#[test]
fn on_buildkite_what_is_left_of_a_command_that_fails_is_delivered() {
    let sandbox = Sandbox::local("");
    let command = "steplog run --deadline=0s -- sh -c 'echo last words; exit 4'";
    buildkite(&sandbox, Some(command), None).expect(&[0, 4, 0]);
    let run = "0190b5f5-6a2c-4d0e-9c1a-3a7d1f6f2b11/train";
    assert_eq!(sandbox.raw(run), b"last words\n");
    assert!(sandbox.spooled().is_empty());
}
