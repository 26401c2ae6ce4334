//! What a person points at: `RUN[/STEP[/ATTEMPT]]`, and which of a run's streams that means.
//!
//! Pure: decides on streams that somebody else has listed.

use std::str::FromStr;

use super::store::{Status, Stream};

/// `RUN[/STEP[/ATTEMPT]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Which run.
    pub run: Name,
    /// Which of its steps; all if none is named.
    pub step: Option<Name>,
    /// Which try at it.
    pub attempt: Option<u32>,
}

/// A run or a step, by name or by what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// Its id.
    Id(String),
    /// `@latest`: the one that was started last.
    Latest,
    /// `@failed`: of runs, the last one with a failed step; of steps, all that failed.
    Failed,
}

/// Not a target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not RUN[/STEP[/ATTEMPT]]: {0}")]
pub struct TargetError(String);

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let fail = || TargetError(text.to_owned());
        let mut parts = text.split('/');
        let run = name(parts.next().unwrap_or_default()).ok_or_else(fail)?;
        let step = match parts.next() {
            None | Some("") => None,
            Some(step) => Some(name(step).ok_or_else(fail)?),
        };
        let attempt = match parts.next() {
            None | Some("") => None,
            Some(attempt) => Some(attempt.parse().map_err(|_| fail())?),
        };
        if parts.next().is_some() {
            return Err(fail());
        }
        Ok(Self { run, step, attempt })
    }
}

fn name(text: &str) -> Option<Name> {
    match text {
        "" => None,
        "@latest" => Some(Name::Latest),
        "@failed" => Some(Name::Failed),
        _ if text.starts_with('@') => None,
        _ => Some(Name::Id(unescape(text))),
    }
}

/// An id with a slash in it is written with `%2F`, one with such an escape in it with `%25`.
pub fn escape(id: &str) -> String {
    let escaped = id.replace('%', "%25").replace('/', "%2F");
    match escaped.strip_prefix('@') {
        Some(rest) => format!("%40{rest}"),
        None => escaped,
    }
}

pub(crate) fn unescape(text: &str) -> String {
    text.replace("%2F", "/").replace("%2f", "/").replace("%40", "@").replace("%25", "%")
}

/// Which of a run's streams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only these steps; all if empty.
    pub steps: Vec<String>,
    /// Only the step that was started last.
    pub latest_step: bool,
    /// Which try at each step.
    pub attempts: Attempts,
    /// Only this one.
    pub source: Option<String>,
    /// Only what failed or was interrupted.
    pub failed: bool,
}

/// Which tries at a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Attempts {
    /// The last one.
    #[default]
    Last,
    /// The one before the last.
    Previous,
    /// Each one.
    All,
    /// This one.
    Number(u32),
}

impl Selection {
    /// Those of `streams` that are meant.
    pub fn of(&self, streams: &[Stream]) -> Vec<Stream> {
        let latest = streams
            .iter()
            .filter(|_| self.latest_step)
            .max_by_key(|stream| stream.started)
            .map(|stream| stream.origin.step_id.as_str());
        streams
            .iter()
            .filter(|stream| self.may_mean(stream))
            .filter(|stream| latest.is_none_or(|step| step == stream.origin.step_id))
            .filter(|stream| self.attempt_of(stream, streams))
            .filter(|stream| !self.failed || is_failed(stream.status))
            .cloned()
            .collect()
    }

    /// Whether a stream that has come up while following is meant: a later try is, whatever it
    /// replaces.
    pub fn may_mean(&self, stream: &Stream) -> bool {
        let origin = &stream.origin;
        let attempt = match self.attempts {
            Attempts::Number(number) => origin.attempt == number,
            Attempts::Last | Attempts::Previous | Attempts::All => true,
        };
        attempt
            && (self.steps.is_empty() || self.steps.contains(&origin.step_id))
            && self.source.as_ref().is_none_or(|source| *source == origin.source)
    }

    fn attempt_of(&self, stream: &Stream, streams: &[Stream]) -> bool {
        let mine = stream.origin.attempt;
        let mut attempts: Vec<u32> = streams
            .iter()
            .filter(|other| other.origin.step_id == stream.origin.step_id)
            .map(|other| other.origin.attempt)
            .collect();
        attempts.sort_unstable();
        attempts.dedup();
        match self.attempts {
            Attempts::All => true,
            Attempts::Number(number) => mine == number,
            Attempts::Last => attempts.last() == Some(&mine),
            Attempts::Previous => attempts.iter().rev().nth(1) == Some(&mine),
        }
    }
}

/// A step in this state did not do what it should.
pub fn is_failed(status: Status) -> bool {
    matches!(status, Status::Failed | Status::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::super::testing::stream;
    use super::*;

    #[test]
    fn targets() {
        let id = |name: &str| Name::Id(name.to_owned());
        for (text, run, step, attempt) in [
            ("r1", id("r1"), None, None),
            ("r1/", id("r1"), None, None),
            ("r1/train", id("r1"), Some(id("train")), None),
            ("r1/train/2", id("r1"), Some(id("train")), Some(2)),
            ("@latest/train", Name::Latest, Some(id("train")), None),
            ("@failed", Name::Failed, None, None),
            ("r1/@failed", id("r1"), Some(Name::Failed), None),
            ("a%2Fb/c%25d/1", id("a/b"), Some(id("c%d")), Some(1)),
            ("%40x", id("@x"), None, None),
            ("50%off", id("50%off"), None, None),
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!(target, Target { run, step, attempt }, "{text}");
        }
        for text in ["", "/train", "r/s/x", "r/s/1/2", "@new"] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
        for id in ["a/b", "@x", "50%", "%2F", "plain"] {
            let run = escape(id).parse::<Target>().unwrap().run;
            assert_eq!(run, Name::Id(id.to_owned()));
        }
    }

    #[track_caller]
    fn check(selection: &Selection, expected: &[&str]) {
        let streams = [
            stream("load", 1, Status::Succeeded),
            stream("train", 1, Status::Failed),
            stream("train", 2, Status::Failed),
            stream("train", 4, Status::Running),
            stream("eval", 1, Status::Interrupted),
        ];
        let meant: Vec<String> = selection
            .of(&streams)
            .iter()
            .map(|it| format!("{}/{}", it.origin.step_id, it.origin.attempt))
            .collect();
        assert_eq!(meant, expected);
    }

    #[test]
    fn selections() {
        let all = Selection::default();
        check(&all, &["load/1", "train/4", "eval/1"]);
        check(&Selection { attempts: Attempts::Previous, ..all.clone() }, &["train/2"]);
        check(
            &Selection { attempts: Attempts::Number(1), ..all.clone() },
            &["load/1", "train/1", "eval/1"],
        );
        check(&Selection { failed: true, ..all.clone() }, &["eval/1"]);
        check(
            &Selection { failed: true, attempts: Attempts::All, ..all.clone() },
            &["train/1", "train/2", "eval/1"],
        );
        check(&Selection { steps: vec!["train".into()], ..all.clone() }, &["train/4"]);
        check(&Selection { latest_step: true, ..all.clone() }, &["eval/1"]);
        check(&Selection { source: Some("hook".into()), ..all }, &[]);
    }
}
