//! The same answers whatever keeps the logs: a service that is searched instead of objects that are read.

use super::client::{Serving, items, names, word};
use crate::servers::search;
use crate::support::lines;
use crate::support::sandbox::{LOCAL, Sandbox, finish};
use crate::support::wait;

/// Two log stores, of which the service is asked.
fn sandbox(index: &str) -> Sandbox {
    let stack = LOCAL.replace(
        "artifact_store = \"here\"",
        "artifact_store = \"here\"\nlog_stores = [\"service\", \"objects\"]",
    );
    let endpoint = format!("http://{}", search::noida());
    let sandbox = Sandbox::with_stack(&format!(
        "{stack}[log_stores.service]\nflavor = \"elasticsearch\"\nendpoint = \"{endpoint}\"\n\
         index = \"{index}\"\n[log_stores.objects]\nflavor = \"artifact\"\n"
    ));
    std::fs::write(sandbox.path("input"), lines::numbered(2500)).unwrap();
    let input = sandbox.path("input").display().to_string();
    for step in ["load", "train"] {
        finish(sandbox.wrap("run-1", ["cat", &input]).env("STEPLOG_STEP_ID", step)).expect(0);
    }
    sandbox
}

#[test]
fn a_service_answers_as_objects_do() {
    let sandbox = sandbox("logs-steplog-serve");
    let serving = Serving::new(&sandbox);
    let stores = serving.get("store").json();
    assert_eq!((&stores["name"], &stores["flavor"]), (&"service".into(), &"elasticsearch".into()));
    assert_eq!(stores["stores"].as_array().unwrap().len(), 2);
    wait::until_true("all lines to be searchable", || {
        let run = serving.get("runs/run-1");
        run.status == 200 && run.json()["complete"] == true && run.json()["lines"] == 5000
    });
    let both = |path: &str| {
        let join = if path.contains('?') { '&' } else { '?' };
        let ask = |store: &str| {
            let answer = serving.get(&format!("{path}{join}log_store={store}"));
            (answer.status, answer)
        };
        let (one, other) = (ask("service"), ask("objects"));
        assert_eq!(one.0, 200, "{path}: {}", one.1.text());
        assert_eq!(other.0, 200, "{path}: {}", other.1.text());
        (one.1, other.1)
    };
    for path in [
        "runs/run-1/lines?start=0&count=300",
        "runs/run-1/lines?start=2400&count=300",
        "runs/run-1/lines?step=train&start=1200&count=100",
        "runs/run-1/logs?level=error",
        "runs/run-1/logs?grep=loss&limit=100&start=newest",
    ] {
        let (one, other) = both(path);
        let (one, other) = (one.json(), other.json());
        assert_eq!(names(&items(&one)), names(&items(&other)), "{path}");
        assert!(items(&one) == items(&other), "{path}");
        assert_eq!((&one["before"], &one["after"]), (&other["before"], &other["after"]), "{path}");
    }
    let (one, other) = both("runs/run-1/search?grep=line=0000.7&limit=10");
    let (one, other) = (one.json(), other.json());
    assert_eq!((&one["matches"], &one["positions"]), (&other["matches"], &other["positions"]));
    let (one, other) = both("runs/run-1/raw?step=train");
    lines::assert_same("raw", &other.body, &one.body);
    assert_eq!(one.header("accept-ranges"), Some("none"));
    let (one, other) = both("runs/run-1/density?buckets=20");
    let sums = |answer: serde_json::Value| -> u64 {
        let buckets = answer["buckets"].as_array().unwrap().clone();
        buckets.iter().map(|it| it["errors"].as_u64().unwrap()).sum()
    };
    assert_eq!(sums(one.json()), sums(other.json()));
    let stream = "runs/run-1/logs/stream?linger=0&tail=5";
    for store in ["service", "objects"] {
        let events = serving.open(&format!("{stream}&log_store={store}"), &[]).events();
        let lines: Vec<_> =
            events.iter().filter(|it| it.name == "lines").flat_map(|it| items(&it.data)).collect();
        assert_eq!(lines.len(), 5, "{store}");
        assert_eq!(names(&lines)[4], ("train".to_owned(), 2499));
        assert_eq!(events.last().unwrap().name, "end", "{store}");
    }
    // A cursor leads to the same place in each.
    let after = word(&serving.get("runs/run-1/lines?start=10&count=1").json()["after"]).unwrap();
    let (one, other) = both(&format!("runs/run-1/lines?count=5&cursor={after}"));
    assert_eq!(items(&one.json()), items(&other.json()));
}

#[test]
fn a_store_that_cannot_be_reached_is_no_empty_list() {
    let stack = LOCAL.replace(
        "artifact_store = \"here\"",
        "artifact_store = \"here\"\nlog_stores = [\"service\"]",
    );
    let nobody = crate::servers::nobody();
    let sandbox = Sandbox::with_stack(&format!(
        "{stack}[log_stores.service]\nflavor = \"elasticsearch\"\nendpoint = \"http://{nobody}\"\n\
         [server]\nrequest_deadline = \"100ms\"\n"
    ));
    let serving = Serving::new(&sandbox);
    for path in ["runs", "runs/run-1", "runs/run-1/logs"] {
        let answer = serving.get(path);
        assert!([502, 504].contains(&answer.status), "{}", answer.text());
        assert!(answer.text().contains("\"next\":"), "{}", answer.text());
    }
}
