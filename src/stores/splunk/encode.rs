//! A record as an event of the HTTP Event Collector. Does no I/O.

use serde_json::{Map, Value, json};

use super::config::Config;
use crate::record::{Level, Nanos, Writer};
use crate::stores::json::{self, RecordJson};
use crate::stores::records::Format;
use crate::stores::view::{Field, View};

const LEVELS: usize = Level::ALL.len() + 1;

pub(super) struct Encode {
    json: RecordJson,
    time: Option<Nanos>,
    /// `{"time":1764073561.123`, for `time`.
    head: Vec<u8>,
    /// By level: from there up to before the last brace of the indexed fields.
    middles: [Vec<u8>; LEVELS],
}

impl Encode {
    pub(super) fn new(writer: &Writer, config: &Config) -> Self {
        let middle = |level: Option<Level>| {
            let mut constant = Map::new();
            if let Some(host) = writer.attributes.get("host.name") {
                constant.insert("host".to_owned(), json!(host));
            }
            constant.insert("source".to_owned(), json!(config.source));
            constant.insert("sourcetype".to_owned(), json!(config.sourcetype));
            if let Some(index) = &config.index {
                constant.insert("index".to_owned(), json!(index));
            }
            let fields = Value::Object(fields(writer, level)).to_string();
            let constant = Value::Object(constant).to_string();
            // Both without their braces, but for the first of the fields.
            let inside = |text: &str| text.get(1..text.len() - 1).unwrap_or_default().to_owned();
            format!(",{},\"fields\":{{{}", inside(&constant), inside(&fields)).into_bytes()
        };
        Self {
            json: RecordJson::new("timestamp", &Map::new()),
            time: None,
            head: Vec::new(),
            middles: std::array::from_fn(|level| middle(Level::ALL.get(level).copied())),
        }
    }

    fn set_time(&mut self, time: Nanos) {
        self.time = Some(time);
        let millis = time.0.div_euclid(1_000_000);
        self.head.clear();
        self.head.extend_from_slice(b"{\"time\":");
        let mut digits = itoa::Buffer::new();
        self.head.extend_from_slice(digits.format(millis.div_euclid(1000)).as_bytes());
        self.head.push(b'.');
        let fraction = digits.format(1000 + millis.rem_euclid(1000)).as_bytes();
        self.head.extend_from_slice(fraction.get(1..).unwrap_or_default());
    }
}

impl Format for Encode {
    fn record(&mut self, view: &View<'_>, out: &mut Vec<u8>) {
        if self.time != Some(view.time) {
            self.set_time(view.time);
        }
        out.extend_from_slice(&self.head);
        let level = view.level.map_or(LEVELS - 1, |level| level as usize);
        out.extend_from_slice(self.middles.get(level).map_or(&[], Vec::as_slice));
        if let Some(rare) = view.rare {
            // Lines of which other lines decide whether they are wanted; see `fetch`.
            if rare.group.is_some() || rare.line.is_some() {
                json::rare_field("steplog_joined", Field::Text("true"), out);
            }
            if let Some(event) = rare.event {
                json::rare_field("steplog_event", Field::Text(event.kind), out);
            }
        }
        out.extend_from_slice(b"},\"event\":");
        self.json.record(view, out);
        out.push(b'}');
    }

    fn separator(&self) -> &'static [u8] {
        b"\n"
    }
}

/// Indexed fields: what is the same in every record, and what questions ask for. None has the name of one that
/// Splunk would find in the event itself: it would have two values then.
fn fields(writer: &Writer, level: Option<Level>) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("writer".to_owned(), json!(writer.id));
    fields.insert("pipeline_run_id".to_owned(), json!(writer.origin.pipeline_run_id));
    fields.insert("step_id".to_owned(), json!(writer.origin.step_id));
    fields.insert("attempt".to_owned(), json!(writer.origin.attempt.to_string()));
    // `source` is a field of Splunk's own.
    fields.insert("step_source".to_owned(), json!(writer.origin.source));
    for (name, value) in &writer.attributes {
        fields.insert(format!("resource.{name}"), json!(value));
    }
    if let Some(level) = level {
        fields.insert("steplog_level".to_owned(), json!(level.as_str()));
    }
    fields
}
