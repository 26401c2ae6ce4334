//! `steplog status`: how the agent is doing.
//!
//! | code | |
//! |---|---|
//! | 0 | there is an agent |
//! | 1 | there is none, or it does not answer |
//! | 2 | usage, or the stack file is wrong |

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bytesize::ByteSize;
use clap::ValueEnum;

use super::agent::{FAILED, ask};
use super::reading::{self, Failure};
use crate::agent::{Answer, InputStatus, Request, Status};

/// Show how the running agent is doing: inputs, lag, spools, log stores, errors
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The stack file of the agent
    #[arg(long, value_name = "FILE")]
    stack: Option<PathBuf>,
    /// How to show it
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

pub(super) fn run(args: &Args) -> ExitCode {
    reading::end(show(args))
}

fn show(args: &Args) -> Result<u8, Failure> {
    let failed = |message: String| Failure { code: FAILED, message };
    let status = match ask(args.stack.as_deref(), &Request::Status)? {
        Answer::Status { status } => status,
        Answer::Refused { why } => return Err(failed(why)),
        Answer::Done { .. } => return Err(failed("the agent answers something else".to_owned())),
    };
    match args.output {
        Format::Text => print!("{}", text(&status)),
        Format::Json => {
            let json = serde_json::to_string_pretty(&status);
            println!("{}", json.map_err(|error| failed(error.to_string()))?);
        }
    }
    Ok(0)
}

fn text(status: &Status) -> String {
    let mut text = String::new();
    // Writing to a text never fails.
    let mut line = |words: String| writeln!(text, "{words}").unwrap_or_default();
    let Status { spool, deliveries, .. } = status;
    line(format!(
        "steplog agent {}, process {}, for {}, stack {}",
        status.version,
        status.pid,
        span(status.uptime_seconds),
        status.stack
    ));
    line(format!(
        "spools   {} in {}: {} of {}",
        spool.spools,
        spool.dir,
        ByteSize(spool.bytes),
        ByteSize(spool.max_bytes)
    ));
    line(format!(
        "delivery {} under way, {} waiting, {} delivered",
        deliveries.running, deliveries.waiting, deliveries.delivered
    ));
    for store in &status.stores {
        let state = store.error.as_deref().unwrap_or("ok");
        line(format!("store    {}: {state}", store.name));
    }
    for input in &status.inputs {
        line(input_line(input));
        for stream in &input.streams {
            let whose = match (&stream.pipeline_run_id, &stream.step_id) {
                (Some(run), Some(step)) => format!("{run}/{step}"),
                _ => "nothing yet".to_owned(),
            };
            let mut words = format!("         {}: {whose}", stream.label);
            if stream.writer.is_some() {
                words.push_str(&format!(
                    ", {}, idle {}, lag {} / {}",
                    ByteSize(stream.bytes),
                    span(stream.idle_seconds),
                    ByteSize(stream.lag_bytes),
                    span(stream.lag_seconds)
                ));
            }
            line(words);
        }
    }
    for error in &status.errors {
        line(format!("error    {} {}", error.time, error.message));
    }
    text
}

fn input_line(input: &InputStatus) -> String {
    let mut attached = if input.attached { ", attached".to_owned() } else { String::new() };
    if let Some(pid) = input.pid {
        attached += &format!(" to process {pid}");
    }
    let mut words = format!(
        "input    {} ({} {}{attached}): {} open, {} ended",
        input.name,
        input.kind,
        input.path,
        input.streams.len(),
        input.ended
    );
    if let Some(error) = &input.error {
        words.push_str(": ");
        words.push_str(error);
    }
    words
}

/// To the second; below one, to the millisecond.
fn span(seconds: f64) -> String {
    let duration = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    let rounded = match duration.as_secs() {
        0 => Duration::from_millis(duration.as_millis() as u64),
        seconds => Duration::from_secs(seconds),
    };
    humantime::format_duration(rounded).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::{StoreStatus, StreamStatus};

    #[test]
    fn for_people() {
        let stream = StreamStatus {
            label: "/run/train".into(),
            pipeline_run_id: Some("r1".into()),
            step_id: Some("train".into()),
            writer: Some("w".into()),
            bytes: 2048,
            idle_seconds: 0.25,
            lag_bytes: 10,
            lag_seconds: 61.9,
            unread_bytes: 0,
        };
        let input = InputStatus {
            name: "train".into(),
            kind: "fifo".into(),
            path: "/run/train".into(),
            streams: vec![stream, StreamStatus { label: "x".into(), ..StreamStatus::default() }],
            ..InputStatus::default()
        };
        let store = StoreStatus { name: "local".into(), error: None };
        let status = Status {
            version: "1".into(),
            pid: 7,
            uptime_seconds: 3600.4,
            stack: "default".into(),
            inputs: vec![input],
            stores: vec![store],
            ..Status::default()
        };
        let expected = "\
steplog agent 1, process 7, for 1h, stack default
spools   0 in : 0 B of 0 B
delivery 0 under way, 0 waiting, 0 delivered
store    local: ok
input    train (fifo /run/train): 2 open, 0 ended
         /run/train: r1/train, 2.0 KiB, idle 250ms, lag 10 B / 1m 1s
         x: nothing yet
";
        assert_eq!(text(&status), expected);
    }
}
