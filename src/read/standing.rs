//! How a run, a step or an attempt stands, by the streams that it consists of. Pure.

use super::store::{Status, Stream};
use super::target::Selection;

/// How a run (or a step of it) stands: of several tries at a step, the last counts; what still runs comes
/// before what has failed, and that before what is not known to have ended.
pub fn of_run(streams: &[Stream]) -> Status {
    of(&Selection::default().of(streams))
}

/// How several streams stand together.
pub fn of(streams: &[Stream]) -> Status {
    const ORDER: [Status; 4] =
        [Status::Running, Status::Failed, Status::Interrupted, Status::Unfinished];
    let has = |status: &Status| streams.iter().any(|stream| stream.status == *status);
    let none = if streams.is_empty() { Status::Unfinished } else { Status::Succeeded };
    ORDER.into_iter().find(has).unwrap_or(none)
}

/// How a step ended that did not end well: `exit code 1`, `killed by SIGKILL (OOMKilled)`.
pub fn why(stream: &Stream) -> Option<String> {
    let exit = stream.exit.as_ref()?;
    let how = match (&exit.signal, exit.code) {
        (Some(signal), _) => Some(format!("killed by {signal}")),
        (None, Some(0) | None) => None,
        (None, Some(code)) => Some(format!("exit code {code}")),
    };
    match (how, exit.reason.as_deref()) {
        (Some(how), Some(reason)) => Some(format!("{how} ({reason})")),
        (how, reason) => how.or_else(|| reason.map(str::to_owned)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::stream;
    use super::*;
    use crate::record::Exit;

    #[test]
    fn the_last_try_counts_and_what_runs_comes_first() {
        let mut streams =
            vec![stream("load", 1, Status::Failed), stream("load", 2, Status::Succeeded)];
        assert_eq!(of_run(&streams), Status::Succeeded);
        streams.push(stream("train", 1, Status::Failed));
        assert_eq!(of_run(&streams), Status::Failed);
        streams.push(stream("eval", 1, Status::Running));
        assert_eq!(of_run(&streams), Status::Running);
        assert_eq!(of(&[]), Status::Unfinished);
    }

    #[test]
    fn why_in_words() {
        let with = |code, signal: Option<&str>, reason: Option<&str>| {
            let mut failed = stream("load", 1, Status::Failed);
            let (signal, reason) = (signal.map(str::to_owned), reason.map(str::to_owned));
            failed.exit = Some(Exit { code, signal, reason, ..Exit::default() });
            why(&failed).unwrap_or_default()
        };
        assert_eq!(with(Some(1), None, None), "exit code 1");
        assert_eq!(with(None, Some("SIGKILL"), Some("OOMKilled")), "killed by SIGKILL (OOMKilled)");
        assert_eq!(with(None, None, Some("the machine stopped")), "the machine stopped");
        assert_eq!(with(Some(0), None, None), "");
    }
}
