//! `docs/stack.schema.json`: it is what the program prints, and an independent validator finds by it
//! what loading finds: no fault in what is valid, and one in what is misspelt.
//!
//! It need not find all that loading does; what it must never do is to refuse a good file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::project;
use crate::support::sandbox::{Sandbox, finish, tool};

const SCHEMA: &str = "docs/stack.schema.json";

#[test]
fn the_file_is_current() {
    let printed = Sandbox::new().call(["stack", "schema"]).expect(0).text();
    let kept = fs::read_to_string(project(SCHEMA)).unwrap_or_default();
    assert!(kept == printed, "renew it: cargo run -- stack schema > {SCHEMA}");
}

#[test]
fn what_loads_is_valid() {
    let sandbox = Sandbox::new();
    let mut texts = examples();
    assert!(texts.len() > 15, "{} examples", texts.len());
    texts.push(("the default".to_owned(), read(&project("src/stack/default.toml"))));
    sandbox.call(["stack", "init"]).expect(0);
    let written = read(&sandbox.path("config/steplog/stack.toml"));
    texts.push(("what stack init writes".to_owned(), written));
    // What the command line writes.
    for line in [
        "artifact-store register disk --flavor local --path /tmp/x --level 3",
        "log-store register dd --flavor datadog --api_key=${env:DD_API_KEY} --site=datadoghq.eu",
        "log-store register hook -f http --endpoint=http://127.0.0.1:1/ --headers.x=y",
        "log-store register keep -f artifact --local_seal 1s --chunk_bytes 65536",
        "stack register production -a disk -l dd -l hook --set",
    ] {
        sandbox.call(line.split(' ')).expect(0);
    }
    let program = project("examples/flavors/sqlite.py").display().to_string();
    let register = ["log-store", "flavor", "register", "own", "--command", "python3", &program];
    sandbox.call(register).expect(0);
    sandbox.call("log-store register history -f own --path=logs.db".split(' ')).expect(0);
    let edited = read(&sandbox.path("config/steplog/stack.toml"));
    texts.push(("what the command line writes".to_owned(), edited));
    let found = judge(&sandbox, texts.iter().map(|(_, text)| text.as_str()));
    for ((place, text), errors) in texts.iter().zip(found) {
        assert!(errors.is_empty(), "{place}: {errors:#?} in\n{text}");
    }
}

/// However a value is spelt: what loads is valid.
#[test]
fn spellings_that_load_are_valid() {
    let spans = ["1.5h", "1h30m", "2 hours 30 minutes", "1 day", "0", "0s", " 3 secs ", "5 µs"];
    let sizes = ["1.5 MiB", "70000", "64KiB", "100kb", "1M", "10.MB", "1 mIb", "0.001 e", " 1 G "];
    let spans = spans.map(|span| format!("[ship]\ndeadline = '{span}'"));
    let sizes = sizes.map(|size| format!("[spool]\nmax_bytes = '{size}'"));
    let inf = "[capture]\ndrain_idle = 'inf'".to_owned();
    let texts: Vec<String> = spans.into_iter().chain(sizes).chain([inf]).collect();
    let sandbox = Sandbox::new();
    let found = judge(&sandbox, texts.iter().map(String::as_str));
    for (text, errors) in texts.iter().zip(found) {
        sandbox.write_stack(text);
        sandbox.call(["check"]).expect(0);
        assert!(errors.is_empty(), "{errors:#?} in\n{text}");
    }
}

/// A stack file with one fault, and words of what the validator says.
#[rustfmt::skip]
const FAULTS: &[(&str, &str)] = &[
    ("activ = 'x'", "'activ' was unexpected"),
    ("active = 1", "$.active: 1 is not of type 'string'"),
    ("[spool]\nmax_byte = 1", "$.spool: "),
    ("[spool]\nmax_bytes = true", "$.spool.max_bytes: "),
    ("[spool]\nmax_bytes = 'many'", "$.spool.max_bytes: "),
    ("[spool]\nmax_bytes = 1", "$.spool.max_bytes: "),
    ("[spool]\nwhen_full = 'explode'", "$.spool.when_full: "),
    ("[ship]\nconcurrency = 0", "0 is less than the minimum of 1"),
    ("[ship]\nconcurrency = 'four'", "$.ship.concurrency: 'four' is not of type 'integer'"),
    ("[ship]\ndeadline = 30", "$.ship.deadline: "),
    ("[ship]\ndeadline = 'soon'", "$.ship.deadline: "),
    ("[capture]\nmultiline = 'yes'", "$.capture.multiline: 'yes' is not of type 'boolean'"),
    ("[redact]\nenv = 'TOKEN'", "$.redact.env: 'TOKEN' is not of type 'array'"),
    ("[metadata.attributes]\nteam = 'TEAM'", "$.metadata.attributes.team: "),
    ("[metadata.attributes]\nteam = { env = 'A', value = 'b' }", "$.metadata.attributes.team: "),
    ("[stacks.a]\nartifact_stor = 'b'", "$.stacks.a: "),
    ("[stacks.'a b']\nartifact_store = 'b'", "$.stacks: 'a b'"),
    ("[artifact_stores.a]\npath = '/x'", "$.artifact_stores.a: "),
    ("[artifact_stores.a]\nflavor = 'floppy'", "$.artifact_stores.a: "),
    ("[artifact_stores.a]\nflavor = 's3'", "$.artifact_stores.a: "),
    ("[artifact_stores.a]\nflavor = 's3'\nuri = 's3://b'\nregoin = 'eu'", "$.artifact_stores.a: "),
    ("[artifact_stores.local]\npaht = '/x'", "$.artifact_stores.local: "),
    ("[artifact_stores.a]\nflavor = 'local'\ncodec = 'lz4'", "$.artifact_stores.a: "),
    ("[log_stores.a]\nendpoint = 'http://x'", "$.log_stores.a: "),
    ("[log_stores.a]\nflavor = 'http'", "$.log_stores.a: "),
    ("[log_stores.a]\nflavor = 'http'\nendpoint = 'http://x'\nfromat = 'json'", "$.log_stores.a: "),
    ("[log_stores.a]\nflavor = 'http'\nendpoint = 'http://x'\nformat = 'xml'", "$.log_stores.a: "),
    ("[log_stores.a]\nflavor = 'http'\nendpoint = 'http://x'\nheaders = 'x'", "$.log_stores.a: "),
    ("[log_stores.a]\nflavor = 'loki'\nendpoint = 'http://x'\nmax_export_batch_size = 0", "$.log_stores.a: "),
    ("[flavors.a]\ncan_fetch = true", "$.flavors.a: 'command' is a required property"),
    ("[flavors.a]\ncommand = 'x'", "$.flavors.a.command: 'x' is not of type 'array'"),
    ("[flavors.a]\ncommand = ['x']\nkeys.k = { type = 'list' }", "$.flavors.a.keys.k.type: "),
];

#[test]
fn a_fault_is_found() {
    let sandbox = Sandbox::new();
    let found = judge(&sandbox, FAULTS.iter().map(|(text, _)| *text));
    for ((text, words), errors) in FAULTS.iter().zip(found) {
        let said = errors.iter().any(|error| error.contains(words));
        assert!(said, "no {words:?} for\n{text}\nin {errors:#?}");
        // Loading refuses it too, so that each is a fault indeed.
        sandbox.write_stack(text);
        sandbox.call(["check"]).expect(2);
    }
}

/// Every stack file, or part of one, in the documents and examples.
fn examples() -> Vec<(String, String)> {
    let mut files = Vec::new();
    for folder in ["docs", "docs/log-stores", "examples/stacks", "packaging", "systemd", ""] {
        let entries = fs::read_dir(project(folder)).unwrap();
        files.extend(entries.map(|entry| entry.unwrap().path()));
    }
    let mut found = Vec::new();
    for file in files {
        let name = file.display().to_string();
        let extension = file.extension().and_then(|it| it.to_str());
        if extension == Some("toml") && file.parent() == Some(&project("examples/stacks")) {
            found.push((name, read(&file)));
        } else if extension == Some("md") {
            let text = read(&file);
            let blocks = text.split("```toml\n").skip(1);
            let blocks = blocks.map(|block| block.split_once("```").unwrap().0.to_owned());
            found.extend(blocks.map(|block| (name.clone(), block)));
        }
    }
    found
}

/// What the validator finds in each of these texts.
fn judge<'a>(sandbox: &Sandbox, texts: impl Iterator<Item = &'a str>) -> Vec<Vec<String>> {
    let files: Vec<PathBuf> = texts
        .enumerate()
        .map(|(number, text)| {
            let file = sandbox.path(&format!("work/{number}.toml"));
            fs::write(&file, text).unwrap();
            file
        })
        .collect();
    let mut command = Command::new(tool("python"));
    command.arg("-B").arg(project("tests/servers/python/validate.py")).arg(project(SCHEMA));
    let output = finish(command.args(&files)).expect(0);
    let found = output.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let found: Vec<Vec<String>> = found;
    assert_eq!(found.len(), files.len());
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}
