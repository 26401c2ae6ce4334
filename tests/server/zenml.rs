//! The answers that ZenML's clients read, judged by ZenML's own models.

use std::process::{Command, Stdio};

use super::answers::run;
use super::client::{Serving, items, names, word};
use crate::support::project;
use crate::support::sandbox::finish_with_input;

/// Reads answers as ZenML's client does, and prints what it has understood.
const CLIENT: &str = r#"
import json, sys
from zenml.models.v2.misc.log_models import LogsEntriesResponse
for line in sys.stdin:
    page = LogsEntriesResponse.model_validate(json.loads(line))
    for entry in page.items:
        level = entry.level.name if entry.level else "-"
        print(level, entry.timestamp.isoformat(), entry.id, entry.chunk_index, entry.message)
"#;

#[test]
fn zenml_reads_every_page() {
    let sandbox = run();
    let serving = Serving::new(&sandbox);
    let (mut pages, mut messages) = (String::new(), Vec::new());
    let mut path = "zenml/logs/run-1/train/entries?limit=1500".to_owned();
    loop {
        let page = serving.get(&path);
        pages.push_str(&page.text());
        pages.push('\n');
        let page = page.json();
        messages.extend(items(&page).iter().map(|it| it["message"].as_str().unwrap().to_owned()));
        let Some(after) = word(&page["after"]) else { break };
        path = format!("zenml/logs/run-1/train/entries?limit=1500&after={after}");
    }
    let records = sandbox.records("run-1/train");
    let expected: Vec<&str> = records.iter().map(|it| it["message"].as_str().unwrap()).collect();
    assert_eq!(messages, expected);
    let mut python = Command::new(project(".zenml/bin/python"));
    python.args(["-c", CLIENT]).env("ZENML_LOGGING_VERBOSITY", "ERROR").stderr(Stdio::inherit());
    python.env("ZENML_CONFIG_PATH", sandbox.path("config/zenml")).env("HOME", sandbox.path("home"));
    let printed = finish_with_input(&mut python, pages.as_bytes()).expect(0).text();
    let understood: Vec<&str> = printed.lines().collect();
    assert_eq!(understood.len(), expected.len());
    for (line, record) in understood.iter().zip(&records) {
        assert!(line.ends_with(record["message"].as_str().unwrap()), "{line}");
        // WARN is what ZenML calls a warning too.
        assert!(line.starts_with(&record["level"].as_str().unwrap()[..4]), "{line}");
    }
    let ids: std::collections::HashSet<&str> =
        understood.iter().map(|line| line.split(' ').nth(2).unwrap()).collect();
    assert_eq!(ids.len(), expected.len());
}

#[test]
fn its_parameters_mean_what_they_mean_there() {
    let sandbox = run();
    let serving = Serving::new(&sandbox);
    let entries = |query: &str| items(&serving.get(&format!("zenml/logs/run-1/{query}")).json());
    let records = sandbox.records("run-1/train");
    let warnings =
        records.iter().filter(|it| ["WARNING", "ERROR"].contains(&it["level"].as_str().unwrap()));
    assert_eq!(entries("train/entries?level=30&limit=10000").len(), warnings.count());
    assert_eq!(entries("train/entries?search=LINE=00000042").len(), 1);
    assert_eq!(entries("train/entries?level=NOTSET&limit=7").len(), 7);
    let newest = entries("train/entries?start=newest&limit=1");
    assert_eq!(newest[0]["message"], records.last().unwrap()["message"]);
    // Until is meant itself.
    let time = records[0]["timestamp"].as_str().unwrap();
    let same = records.iter().filter(|it| it["timestamp"] == time).count();
    assert_eq!(entries(&format!("train/entries?until={time}&limit=10000")).len(), same.min(10_000));
    assert_eq!(names(&sandbox.records("run-1")).len(), entries("entries?limit=10000").len());
    let wrong = |query: &str, detail: &str| {
        serving.get(&format!("zenml/logs/run-1/train/entries?{query}")).problem(400, detail, "");
    };
    wrong("level=loud", "NOTSET, DEBUG");
    wrong("since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z", "earlier than until");
    wrong("before=Ag&after=Ag", "exclude each other");
}
