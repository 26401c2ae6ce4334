//! What stands in front of lines of several streams: as little as tells them apart.

use super::super::store::{Status, Stream};
use super::clean::{self, Cleaning};

/// One label a stream, all of the same width; all empty if there is but one stream and `always` is
/// not set.
pub fn labels(streams: &[Stream], always: bool) -> Vec<String> {
    // One that another goes on from is told apart by no more than that one is.
    let counts = |stream: &&Stream| stream.status != Status::Continued;
    if streams.iter().filter(counts).count() < 2 && !always {
        return vec![String::new(); streams.len()];
    }
    let differs = |key: fn(&Stream) -> String| {
        streams.iter().map(key).collect::<std::collections::BTreeSet<_>>().len() > 1
    };
    let steps = differs(|stream| stream.origin.step_id.clone());
    let attempts = differs(|stream| stream.origin.attempt.to_string());
    let sources = differs(|stream| stream.origin.source.clone());
    let mut labels: Vec<String> = streams
        .iter()
        .map(|stream| {
            let mut label = String::new();
            if steps || !(attempts || sources) {
                label.push_str(&stream.origin.step_id);
            }
            if attempts {
                label.push('#');
                label.push_str(&stream.origin.attempt.to_string());
            }
            if sources {
                if !label.is_empty() {
                    label.push(':');
                }
                label.push_str(&stream.origin.source);
            }
            safe(&label)
        })
        .collect();
    // Two captures of the same step and attempt.
    let alike: Vec<bool> = labels
        .iter()
        .map(|label| {
            let others = labels.iter().zip(streams).filter(|(_, stream)| counts(stream));
            others.filter(|(other, _)| *other == label).count() > 1
        })
        .collect();
    for ((label, stream), _) in
        labels.iter_mut().zip(streams).zip(alike).filter(|(_, alike)| *alike)
    {
        let writer = stream.writer.to_string();
        label.push('~');
        label.push_str(writer.get(writer.len().saturating_sub(6)..).unwrap_or_default());
    }
    let width = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
    labels.iter().map(|label| format!("{label:width$}")).collect()
}

/// Ids come from outside too.
fn safe(text: &str) -> String {
    let mut out = Vec::new();
    clean::append(text.as_bytes(), Cleaning { colours: false, terminal: true }, &mut out);
    String::from_utf8_lossy(&out).replace('\n', "^J")
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::stream;
    use super::*;

    #[test]
    fn as_little_as_tells_them_apart() {
        let one = |step: &str, attempt| stream(step, attempt, Status::Running);
        assert_eq!(labels(&[one("train", 1)], false), [""]);
        assert_eq!(labels(&[one("train", 1)], true), ["train"]);
        assert_eq!(labels(&[one("train", 1), one("eval", 1)], false), ["train", "eval "]);
        assert_eq!(labels(&[one("train", 1), one("train", 2)], false), ["#1", "#2"]);
        assert_eq!(labels(&[one("train", 1), one("eval", 2)], false), ["train#1", "eval#2 "]);
        let mut client = one("train", 1);
        client.origin.source = "client".into();
        assert_eq!(labels(&[one("train", 1), client], false), ["step  ", "client"]);
        let twice = labels(&[one("a\n", 1), one("a\n", 1)], false);
        assert!(twice[0] != twice[1], "{twice:?}");
        assert!(twice.iter().all(|label| label.starts_with("a^J    ~")), "{twice:?}");
        // An agent that was restarted.
        let before = || stream("train", 1, Status::Continued);
        assert_eq!(labels(&[before(), one("train", 1)], false), ["", ""]);
        let others = labels(&[before(), one("train", 1), one("eval", 1)], false);
        assert_eq!(others, ["train", "train", "eval "]);
    }
}
