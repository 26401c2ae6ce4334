//! `packaging/zenml`, in the real ZenML: a pipeline that runs here, whose log store is steplog's flavor.
//!
//! ZenML needs a folder of Python packages of its own, `.zenml`.

use std::fs::File;
use std::process::{Child, Command};

use serde_json::{Value, json};

use crate::servers::free_port;
use crate::support::project;
use crate::support::sandbox::{LOCAL, Sandbox, finish};
use crate::support::wait;

/// A program of ZenML's folder, in the sandbox, with the package on its path.
fn zenml(sandbox: &Sandbox, program: &str) -> Command {
    let path = project(".zenml/bin").join(program);
    assert!(path.exists(), "{} is missing: `tests/run setup` installs it", path.display());
    let mut command = sandbox.command(path);
    command
        .env("PYTHONPATH", project("packaging/zenml"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("ZENML_ANALYTICS_OPT_IN", "false")
        .env("ZENML_CONFIG_PATH", sandbox.path("config/zenml"))
        .env("NO_COLOR", "1");
    command
}

/// An agent. It ends when it is dropped.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// An agent that takes OTLP at this port, and is ready.
fn agent(sandbox: &Sandbox, port: u16) -> Agent {
    sandbox.write_stack(&format!(
        "{LOCAL}[[inputs]]\nname = \"zenml\"\nkind = \"otlp\"\nlisten = \"127.0.0.1:{port}\"\n"
    ));
    let log = File::create(sandbox.path("agent.log")).unwrap();
    let agent = Agent(sandbox.steplog(["agent"]).stderr(log).spawn().unwrap());
    wait::until_true("the agent to be ready", || sandbox.call(["status"]).code == Some(0));
    agent
}

/// `two_steps.py ARGUMENTS`: its result.
fn two_steps(sandbox: &Sandbox, arguments: &[&str]) -> Value {
    let mut python = zenml(sandbox, "python");
    python.arg(project("tests/packaging/zenml/two_steps.py")).args(arguments);
    let ran = finish(&mut python).expect(0);
    let text = ran.text();
    let result = text.split("RESULT ").nth(1).unwrap_or_else(|| panic!("{text}{}", ran.errors()));
    serde_json::from_str(result.trim()).unwrap()
}

/// Runs the pipeline; gives its run's id.
fn run(sandbox: &Sandbox) -> String {
    two_steps(sandbox, &["run"]).as_str().unwrap().to_owned()
}

/// Makes a stack with a log store of these options, as `packaging/README.md` says, and activates it.
fn use_log_store(sandbox: &Sandbox, options: &str, port: u16) {
    for arguments in [
        "log-store flavor register steplog_zenml.SteplogLogStoreFlavor",
        &format!("log-store register kept {options} --endpoint=http://127.0.0.1:{port}/v1/logs"),
        "stack register here -o default -a default -l kept --set",
    ] {
        finish(zenml(sandbox, "zenml").args(arguments.split(' '))).expect(0);
    }
}

#[test]
fn with_zenmls_own_otel_log_store_the_logs_are_there_by_run_and_step_too() {
    let sandbox = Sandbox::new();
    let port = free_port();
    let _agent = agent(&sandbox, port);
    use_log_store(&sandbox, "--flavor=otel", port);
    let run = run(&sandbox);
    wait::until_true("all that was printed to be in the store", || {
        let there = sandbox.call(["logs", &run]).text();
        let finished = there.contains("Pipeline run has finished");
        there.contains("loading") && there.contains("going on") && finished
    });
    let records = sandbox.records(&run);
    let loading = records.iter().find(|record| record["message"] == "loading").unwrap();
    assert_eq!(loading["source"], "step");
    assert_eq!(loading["attributes"]["zenml.step.run.name"], "load", "{loading}");
    let step = loading["step_id"].as_str().unwrap();
    assert!(sandbox.records(&format!("{run}/{step}")).contains(loading));
    let finished = records.iter().find(|record| record["source"] == "client").unwrap();
    assert_eq!(finished["step_id"], "zenml", "{finished}");
}

#[test]
fn a_pipeline_of_zenml_keeps_its_logs_with_steplog_and_reads_them_back() {
    let sandbox = Sandbox::new();
    let port = free_port();
    let _agent = agent(&sandbox, port);
    let command = concat!("--command=", env!("CARGO_BIN_EXE_steplog"));
    use_log_store(&sandbox, &format!("--flavor=steplog {command}"), port);
    let run = run(&sandbox);
    let run = run.as_str();
    wait::until_true("all that was printed to be in the store", || {
        let there = sandbox.call(["logs", run]).text();
        let finished = there.matches("has finished in").count();
        there.contains("loading") && there.contains("going on") && finished == 3
    });
    let result = two_steps(&sandbox, &["read", run]);

    // Through ZenML.
    let logs = |name: &str| result["logs"][name].as_array().unwrap_or_else(|| panic!("{result}"));
    assert!(logs("load:step").contains(&json!(["INFO", "stdout", "loading"])), "{result}");
    let warning = json!(["WARN", "data", "3 are empty\n  and left out"]);
    assert!(logs("load:step").contains(&warning), "{result}");
    let shown = |logs: &[Value]| -> Vec<String> {
        logs.iter().map(|entry| entry[2].as_str().unwrap().to_owned()).collect()
    };
    let train = shown(logs("train:step"));
    let batches: Vec<String> = (0..25).map(|number| format!("batch {number}")).collect();
    let kept: Vec<_> = train.iter().filter(|line| line.starts_with("batch ")).cloned().collect();
    assert_eq!(kept, batches);
    assert!(train.contains(&"almost".to_owned()), "{train:?}");
    let failure = train.iter().find(|line| line.starts_with("going on\nTraceback")).unwrap();
    assert!(failure.ends_with("ValueError: no 3"), "{failure}");
    for step in ["load", "train"] {
        let said = shown(logs(&format!("{step}:prepare_step")));
        assert!(said.iter().any(|line| line.contains("has started")), "{step}: {said:?}");
    }
    assert!(shown(logs("run:client")).iter().any(|line| line.contains("Initiating a new run")));

    // Page by page, from both ends, and of a part.
    let pages = |start: &str| -> Vec<Vec<String>> {
        serde_json::from_value(result["pages"][start].clone()).unwrap()
    };
    assert_eq!(pages("oldest").concat(), train);
    let newest: Vec<String> = pages("newest").into_iter().rev().flatten().collect();
    assert_eq!(newest, train);
    assert!(pages("oldest").len() > 2 && pages("newest").len() > 2);
    assert_eq!(
        pages("search").concat(),
        ["batch 2", "batch 20", "batch 21", "batch 22", "batch 23", "batch 24"]
    );
    assert_eq!(pages("level").concat(), ["almost".to_owned(), failure.clone()]);

    // Through steplog.
    let step = result["steps"]["train"].as_str().unwrap();
    let records = sandbox.records(&format!("{run}/{step}"));
    let of = |name: &str| records.iter().filter(|it| it["source"] == name).count();
    assert_eq!(of("step"), train.len(), "{records:?}");
    let batch = records.iter().find(|record| record["message"] == "batch 7").unwrap();
    assert_eq!(batch["attributes"]["zenml.step.run.name"], "train", "{batch}");
}
