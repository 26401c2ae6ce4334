//! Runs, steps, attempts and streams in JSON. Apart from lines, of which there are many more.

use serde::Serialize;
use utoipa::ToSchema;

use super::Time;
use crate::read::standing;
use crate::read::store::{self, Status};
use crate::read::target::{self, Selection};
use crate::record::{Exit, LevelCounts, Nanos, WriterId};

/// A run, as a list shows it.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::server) struct RunSummary {
    /// Its id.
    pub(in crate::server) pipeline_run_id: String,
    /// When its newest writer started, as far as the list tells.
    #[schema(value_type = String, format = DateTime)]
    pub(in crate::server) started: Time,
}

/// The newest runs.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::server) struct Runs {
    /// Newest first.
    pub(in crate::server) items: Vec<RunSummary>,
    /// Older ones: the value of `before` for the next request; none if there are no more.
    pub(in crate::server) before: Option<String>,
}

/// A run and all that is in it.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::server) struct Run {
    /// Its id.
    pub(in crate::server) pipeline_run_id: String,
    /// How it stands: of several tries at a step, the last counts.
    #[schema(value_type = String, example = "failed")]
    pub(in crate::server) status: Status,
    /// When its first step started.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(in crate::server) started: Option<Time>,
    /// When its last step ended, if all have.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(in crate::server) ended: Option<Time>,
    /// Records, as far as known.
    pub(in crate::server) lines: Option<u64>,
    /// Bytes that they stand for, as far as known.
    pub(in crate::server) bytes: Option<u64>,
    /// Records of levels TRACE, DEBUG, INFO, WARNING, ERROR, CRITICAL, as far as known.
    #[schema(value_type = Option<Vec<u64>>)]
    pub(in crate::server) levels: Option<LevelCounts>,
    /// Times that lines could not be kept.
    pub(in crate::server) gaps: u64,
    /// Nothing more will come of any of its streams, and nothing is missing.
    pub(in crate::server) complete: bool,
    /// In the order in which they started.
    pub(in crate::server) steps: Vec<Step>,
}

/// A step of a run.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the name that records have")]
pub(in crate::server) struct Step {
    /// Its id.
    pub(in crate::server) step_id: String,
    /// How its last try stands.
    #[schema(value_type = String, example = "failed")]
    pub(in crate::server) status: Status,
    /// When its first try started.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(in crate::server) started: Option<Time>,
    /// When its last try ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(in crate::server) ended: Option<Time>,
    /// Records, as far as known.
    pub(in crate::server) lines: Option<u64>,
    /// Records per level, as far as known.
    #[schema(value_type = Option<Vec<u64>>)]
    pub(in crate::server) levels: Option<LevelCounts>,
    /// Oldest first.
    pub(in crate::server) attempts: Vec<Attempt>,
}

/// A try at a step.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the name that records have")]
pub(in crate::server) struct Attempt {
    /// From 1.
    pub(in crate::server) attempt: u32,
    /// How it stands.
    #[schema(value_type = String, example = "failed")]
    pub(in crate::server) status: Status,
    /// When it started.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(in crate::server) started: Option<Time>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(in crate::server) ended: Option<Time>,
    /// Records, as far as known.
    pub(in crate::server) lines: Option<u64>,
    /// Records per level, as far as known.
    #[schema(value_type = Option<Vec<u64>>)]
    pub(in crate::server) levels: Option<LevelCounts>,
    /// How the step ended, as `steplog run --exit-record` writes it.
    #[schema(value_type = Option<Object>)]
    pub(in crate::server) exit: Option<Exit>,
    /// What a shell would show: 0, its code, or 128 + the signal.
    pub(in crate::server) exit_status: Option<u8>,
    /// Why it failed, in words: `exit code 1`, `killed by SIGKILL (OOMKilled)`.
    pub(in crate::server) reason: Option<String>,
    /// Text of its first line of level ERROR or above.
    pub(in crate::server) first_error: Option<String>,
    /// What its writers captured.
    pub(in crate::server) streams: Vec<Stream>,
}

/// What one writer captured of one source.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in crate::server) struct Stream {
    /// The run.
    pub(in crate::server) pipeline_run_id: String,
    /// The step.
    pub(in crate::server) step_id: String,
    /// The try at it.
    pub(in crate::server) attempt: u32,
    /// `step`, `orchestrator`, `client`, …
    pub(in crate::server) source: String,
    /// Who captured it; unique for ever.
    #[schema(value_type = String)]
    pub(in crate::server) writer: WriterId,
    /// The writer that it goes on from.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(in crate::server) continues: Option<WriterId>,
    /// How it stands: running, unfinished, succeeded, failed, interrupted, continued.
    #[schema(value_type = String, example = "succeeded")]
    pub(in crate::server) status: Status,
    /// When capture started.
    #[schema(value_type = String, format = DateTime)]
    pub(in crate::server) started: Time,
    /// When the step ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(in crate::server) ended: Option<Time>,
    /// When the store last got something of it, where it has not ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(in crate::server) last_seen: Option<Time>,
    /// Records, as far as known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::server) lines: Option<u64>,
    /// Bytes that they stand for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::server) bytes: Option<u64>,
    /// Records per level.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<u64>>)]
    pub(in crate::server) levels: Option<LevelCounts>,
    /// Times that lines could not be kept.
    pub(in crate::server) gaps: u64,
    /// How the step ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub(in crate::server) exit: Option<Exit>,
    /// Text of the first line of level ERROR or above.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::server) first_error: Option<String>,
}

impl From<&store::Stream> for Stream {
    fn from(stream: &store::Stream) -> Self {
        let origin = stream.origin.clone();
        Self {
            pipeline_run_id: origin.pipeline_run_id,
            step_id: origin.step_id,
            attempt: origin.attempt,
            source: origin.source,
            writer: stream.writer,
            continues: stream.continues,
            status: stream.status,
            started: Time(stream.started),
            ended: stream.ended.map(Time),
            last_seen: stream.last_seen.map(Time),
            lines: stream.lines,
            bytes: stream.bytes,
            levels: stream.levels,
            gaps: stream.gaps,
            exit: stream.exit.clone(),
            first_error: stream.first_error.clone(),
        }
    }
}

/// All of them.
pub(in crate::server) fn streams(streams: &[store::Stream]) -> Vec<Stream> {
    streams.iter().map(Stream::from).collect()
}

impl Run {
    /// Of the streams of one run, oldest first.
    pub(in crate::server) fn new(pipeline_run_id: String, streams: &[store::Stream]) -> Self {
        let last = Selection::default().of(streams);
        let complete = streams.iter().all(|it| it.status.is_final() && it.gaps == 0);
        Self {
            pipeline_run_id,
            status: standing::of(&last),
            started: started(streams),
            ended: ended(&last),
            lines: streams.iter().map(|it| it.lines).sum(),
            bytes: streams.iter().map(|it| it.bytes).sum(),
            levels: levels(streams),
            gaps: streams.iter().map(|it| it.gaps).sum(),
            complete: complete && !streams.is_empty(),
            steps: grouped(streams, |it| it.origin.step_id.clone())
                .into_iter()
                .map(|(step_id, streams)| Step::new(step_id, &streams))
                .collect(),
        }
    }
}

impl Step {
    fn new(step_id: String, streams: &[store::Stream]) -> Self {
        let mut attempts: Vec<Attempt> = grouped(streams, |it| it.origin.attempt)
            .into_iter()
            .map(|(attempt, streams)| Attempt::new(attempt, &streams))
            .collect();
        attempts.sort_by_key(|it| it.attempt);
        Self {
            step_id,
            status: standing::of_run(streams),
            started: started(streams),
            ended: ended(&Selection::default().of(streams)),
            lines: streams.iter().map(|it| it.lines).sum(),
            levels: levels(streams),
            attempts,
        }
    }
}

impl Attempt {
    fn new(attempt: u32, all: &[store::Stream]) -> Self {
        // Of several sources, that which failed tells why.
        let ended_badly = all.iter().find(|it| target::is_failed(it.status));
        let tells = ended_badly.or_else(|| all.iter().find(|it| it.exit.is_some()));
        Self {
            attempt,
            status: standing::of(all),
            started: started(all),
            ended: ended(all),
            lines: all.iter().map(|it| it.lines).sum(),
            levels: levels(all),
            exit: tells.and_then(|it| it.exit.clone()),
            exit_status: tells.and_then(store::Stream::exit_status),
            reason: ended_badly.and_then(standing::why),
            first_error: all.iter().find_map(|it| it.first_error.clone()),
            streams: streams(all),
        }
    }
}

/// In the order in which each key came up first.
fn grouped<K: PartialEq>(
    streams: &[store::Stream],
    key: impl Fn(&store::Stream) -> K,
) -> Vec<(K, Vec<store::Stream>)> {
    let mut groups: Vec<(K, Vec<store::Stream>)> = Vec::new();
    for stream in streams {
        let key = key(stream);
        match groups.iter_mut().find(|(other, _)| *other == key) {
            Some((_, group)) => group.push(stream.clone()),
            None => groups.push((key, vec![stream.clone()])),
        }
    }
    groups
}

fn started(streams: &[store::Stream]) -> Option<Time> {
    streams.iter().map(|it| it.started).min().map(Time)
}

fn ended(streams: &[store::Stream]) -> Option<Time> {
    let all: Option<Vec<Nanos>> = streams.iter().map(|it| it.ended).collect();
    all?.into_iter().max().map(Time)
}

fn levels(streams: &[store::Stream]) -> Option<LevelCounts> {
    streams.iter().try_fold(LevelCounts::default(), |mut sum, stream| {
        for (sum, count) in sum.iter_mut().zip(stream.levels?) {
            *sum += count;
        }
        Some(sum)
    })
}
