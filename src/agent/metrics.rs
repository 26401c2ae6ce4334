//! The numbers of the agent as families of samples, for everybody who shows them: `/metrics`, and OpenTelemetry.
//!
//! Names and units are by Prometheus' conventions: base units, `_total` for what only grows. Labels are names of
//! the stack file, never those of runs or steps, so their number does not grow with time. Apart from
//! [`status`](super::status), whose numbers these are, and from those who write them down.

use std::time::{SystemTime, UNIX_EPOCH};

use super::status::{InputStatus, Status};

/// One metric.
pub(super) struct Family {
    pub(super) name: &'static str,
    /// It only grows.
    pub(super) is_counter: bool,
    pub(super) help: &'static str,
    pub(super) samples: Vec<Sample>,
}

/// One of its numbers.
pub(super) struct Sample {
    pub(super) labels: Vec<(&'static str, String)>,
    pub(super) value: f64,
}

/// A number of an input.
type Number = fn(&InputStatus) -> f64;

const INPUTS: [(&str, bool, &str, Number); 7] = [
    ("steplog_input_up", false, "Whether the input is open.", |it| flag(it.error.is_none())),
    ("steplog_input_streams", false, "Streams that are open.", |it| it.streams.len() as f64),
    ("steplog_input_streams_ended_total", true, "Streams that have ended.", |it| it.ended as f64),
    ("steplog_input_read_bytes_total", true, "Bytes read.", |it| it.bytes as f64),
    ("steplog_input_unread_bytes", false, "Bytes of followed files that are not read yet.", |it| {
        it.streams.iter().map(|stream| stream.unread_bytes).sum::<u64>() as f64
    }),
    (
        "steplog_input_lag_bytes",
        false,
        "Bytes of open streams that are not in every log store yet.",
        |it| it.streams.iter().map(|stream| stream.lag_bytes).sum::<u64>() as f64,
    ),
    (
        "steplog_input_lag_seconds",
        false,
        "For how long the stream that is furthest behind has not been in every log store.",
        |it| it.streams.iter().map(|stream| stream.lag_seconds).fold(0.0, f64::max),
    ),
];

/// All of them.
pub(super) fn families(status: &Status) -> Vec<Family> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let started = now.as_secs_f64() - status.uptime_seconds;
    let version = vec![("version", status.version.clone()), ("stack", status.stack.clone())];
    let mut all = vec![
        Family {
            name: "steplog_build_info",
            is_counter: false,
            help: "The program and its stack.",
            samples: vec![Sample { labels: version, value: 1.0 }],
        },
        one(
            "process_start_time_seconds",
            false,
            "When the agent was started, since the epoch.",
            started,
        ),
    ];
    all.extend(INPUTS.map(|(name, is_counter, help, number)| {
        let sample = |input: &InputStatus| Sample {
            labels: vec![("input", input.name.clone()), ("kind", input.kind.clone())],
            value: number(input),
        };
        Family { name, is_counter, help, samples: status.inputs.iter().map(sample).collect() }
    }));
    let (spool, deliveries) = (&status.spool, &status.deliveries);
    let (running, waiting) = (deliveries.running, deliveries.waiting);
    let whole = |name, is_counter, help, value: u64| one(name, is_counter, help, value as f64);
    all.extend([
        whole("steplog_spool_bytes", false, "Bytes in the folder of spools.", spool.bytes),
        whole("steplog_spool_limit_bytes", false, "The most it takes.", spool.max_bytes),
        whole(
            "steplog_spool_writers",
            false,
            "Spools that are not delivered to their end.",
            spool.spools,
        ),
        whole("steplog_deliveries_running", false, "Spools that are delivered now.", running),
        whole("steplog_deliveries_waiting", false, "Spools that wait for their turn.", waiting),
        whole(
            "steplog_deliveries_completed_total",
            true,
            "Spools delivered to their end.",
            deliveries.delivered,
        ),
    ]);
    let stores = status.stores.iter().map(|store| Sample {
        labels: vec![("store", store.name.clone())],
        value: flag(store.error.is_none()),
    });
    all.push(Family {
        name: "steplog_store_up",
        is_counter: false,
        help: "Whether the last request to the log store succeeded.",
        samples: stores.collect(),
    });
    all
}

fn one(name: &'static str, is_counter: bool, help: &'static str, value: f64) -> Family {
    Family { name, is_counter, help, samples: vec![Sample { labels: Vec::new(), value }] }
}

fn flag(flag: bool) -> f64 {
    if flag { 1.0 } else { 0.0 }
}
