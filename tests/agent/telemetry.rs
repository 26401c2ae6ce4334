//! The agent's own metrics and traces, by OTLP, to a server of others.

use serde_json::Value;

use super::{Running, arrives, fifo, open_fifo, sandbox, write_all};
use crate::servers::otlp::{SESSION, test_agent};
use crate::support::wait;

/// All objects in a JSON document that have this key.
fn with<'a>(key: &str, value: &'a Value, found: &mut Vec<&'a Value>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| with(key, value, found)),
        Value::Object(map) => {
            if map.contains_key(key) {
                found.push(value);
            }
            map.values().for_each(|value| with(key, value, found));
        }
        _ => {}
    }
}

/// The value of an attribute, as text.
fn attribute(of: &Value, name: &str) -> Option<String> {
    let attributes = of["attributes"].as_array()?;
    let value = &attributes.iter().find(|it| it["key"] == name)?["value"];
    let text = ["stringValue", "string_value", "intValue", "int_value"];
    let value = text.iter().find_map(|kind| value.get(kind))?;
    Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

#[test]
fn metrics_and_traces_go_where_the_variable_says() {
    let server = test_agent();
    let session = "the-agents-own";
    let sandbox = sandbox(&fifo("lines"));
    let agent = Running::start_with(&sandbox, |command| {
        command
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", server.http))
            .env("OTEL_EXPORTER_OTLP_HEADERS", format!("{SESSION}={session}"))
            .env("OTEL_METRIC_EXPORT_INTERVAL", "100")
            .env("OTEL_BSP_SCHEDULE_DELAY", "100");
    });
    write_all(&mut open_fifo(&sandbox.path("lines")), b"one\ntwo\n");
    arrives(&sandbox, "lines", b"one\ntwo\n");
    wait::until_true("the bytes that were read to be told", || {
        let requests = Value::Array(server.requests_of("metrics", session));
        let mut metrics = Vec::new();
        with("name", &requests, &mut metrics);
        let read = metrics.iter().filter(|it| it["name"] == "steplog_input_read_bytes");
        let mut points = Vec::new();
        read.for_each(|it| with("attributes", it, &mut points));
        points.iter().any(|point| {
            let value = point["asDouble"].as_f64().or_else(|| point["as_double"].as_f64());
            attribute(point, "input").as_deref() == Some("lines") && value == Some(8.0)
        })
    });
    agent.stop().expect(0);
    // What was told last has been sent before the agent ended.
    let requests = Value::Array(server.requests_of("traces", session));
    let mut spans = Vec::new();
    with("name", &requests, &mut spans);
    let spans: Vec<&Value> = spans.into_iter().filter(|it| it["name"] == "deliver").collect();
    let of_run = |it: &&&Value| attribute(it, "cicd.pipeline.run.id").as_deref() == Some("lines");
    assert!(!spans.is_empty() && spans.iter().all(|it| of_run(&it)), "{requests}");
    let told = |name: &str| spans.iter().filter_map(|it| attribute(it, name)).collect::<Vec<_>>();
    let bytes: u64 = told("steplog.bytes").iter().map(|it| it.parse::<u64>().unwrap()).sum();
    assert_eq!(bytes, 8);
    assert!(told("steplog.outcome").iter().any(|it| it == "delivered"), "{requests}");
    assert!(requests.to_string().contains("steplog-agent"), "the service's name: {requests}");
}

#[test]
fn where_nobody_takes_them_the_agent_says_so_once_and_works_on() {
    let sandbox = sandbox(&fifo("lines"));
    let agent = Running::start_with(&sandbox, |command| {
        command
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:hunter2@127.0.0.1:9")
            .env("OTEL_METRIC_EXPORT_INTERVAL", "50");
    });
    wait::until_true("the failure to be said", || agent.said().contains("cannot be sent"));
    write_all(&mut open_fifo(&sandbox.path("lines")), b"one\n");
    arrives(&sandbox, "lines", b"one\n");
    let output = agent.stop().expect(0);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.matches("cannot be sent").count(), 1, "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}
