//! Where the artifact store keeps what: object names from writers and chunk numbers, and back.
//!
//! Apart because everyone who touches the store must agree on it. Knows names only: it reads and
//! writes nothing.
//!
//! ```text
//! logs/date=YYYY-MM-DD/pipeline_run_id=R/step_id=S/attempt=N/source=X/writer=<uuid>/
//!     live/<chunk, 12 digits>.ndjson.zst              (.ndjson.gz)
//!     seg/<first chunk>-<last chunk>.ndjson.zst
//!     end.json
//! runs/by-id/R/S/N/X/<uuid>.json
//! runs/by-day/YYYY-MM-DD/R
//! ```
//!
//! The date is the one in the writer's id, so that a name of `runs/by-id` is enough to find the
//! writer's folder. Values are percent-encoded by [`encode`]; whoever calls with an id made of
//! slashes and dots stays in the folder that is meant for it.

use std::fmt::Write as _;

use object_store::path::Path;

use super::Codec;
use super::object::Sha256;
use crate::record::{Nanos, Origin, Writer, WriterId};

/// Everything that holds log lines.
pub const LOGS: &str = "logs";
/// One object a writer, by run.
pub const BY_ID: &str = "runs/by-id";
/// One object a day and run.
pub const BY_DAY: &str = "runs/by-day";

/// An encoded value is never longer, so that names fit every file system.
const MAX_VALUE: usize = 180;
/// Stands for the empty value, which a name cannot carry.
const EMPTY: &str = "~";
/// Hex digits of the checksum that stands for what was cut off.
const HASH_DIGITS: usize = 16;

/// The folder of a writer.
pub fn writer_prefix(writer: &Writer) -> Path {
    prefix_of(&writer.origin, writer.id)
}

/// The folder of the writer with this origin and id.
pub fn prefix_of(origin: &Origin, id: WriterId) -> Path {
    path(&format!(
        "{LOGS}/date={}/pipeline_run_id={}/step_id={}/attempt={}/source={}/writer={id}",
        day(id.started()),
        encode(&origin.pipeline_run_id),
        encode(&origin.step_id),
        origin.attempt,
        encode(&origin.source),
    ))
}

/// Chunk `number` of the writer whose folder is `prefix`.
pub fn live(prefix: &Path, number: u64, codec: Codec) -> Path {
    path(&format!("{prefix}/live/{number:012}.{}", extension(codec)))
}

/// The folder of the chunks that are not yet in a segment.
pub fn live_folder(prefix: &Path) -> Path {
    path(&format!("{prefix}/live"))
}

/// The segment of chunks `first` to `last`.
pub fn seg(prefix: &Path, first: u64, last: u64, codec: Codec) -> Path {
    path(&format!("{prefix}/seg/{first:012}-{last:012}.{}", extension(codec)))
}

/// The mark of completeness.
pub fn end(prefix: &Path) -> Path {
    path(&format!("{prefix}/end.json"))
}

/// The writer's entry in the index by run.
pub fn run_by_id(writer: &Writer) -> Path {
    run_by_id_of(&writer.origin, writer.id)
}

/// The same for an origin and an id.
pub fn run_by_id_of(origin: &Origin, id: WriterId) -> Path {
    path(&format!(
        "{BY_ID}/{}/{}/{}/{}/{id}.json",
        encode(&origin.pipeline_run_id),
        encode(&origin.step_id),
        origin.attempt,
        encode(&origin.source),
    ))
}

/// The run's entry in the index by day, of the day the writer was started.
pub fn run_by_day(writer: &Writer) -> Path {
    run_by_day_of(&writer.origin.pipeline_run_id, writer.id)
}

/// The same for a run and an id.
pub fn run_by_day_of(run: &str, id: WriterId) -> Path {
    path(&format!("{BY_DAY}/{}/{}", day(id.started()), encode(run)))
}

/// All entries of a run, or of one of its steps, in the index by run.
pub fn by_id_folder(run: &str, step: Option<&str>) -> Path {
    match step {
        None => path(&format!("{BY_ID}/{}", encode(run))),
        Some(step) => path(&format!("{BY_ID}/{}/{}", encode(run), encode(step))),
    }
}

/// What an object in a writer's folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member {
    /// One chunk.
    Live {
        /// Its number.
        number: u64,
        /// By its extension.
        codec: Codec,
    },
    /// Chunks joined.
    Segment {
        /// Number of the first.
        first: u64,
        /// Number of the last.
        last: u64,
        /// By its extension.
        codec: Codec,
    },
    /// `end.json`.
    End,
}

/// What `object` is to the writer whose folder is `prefix`; `None` if steplog made no such name.
pub fn member(prefix: &Path, object: &Path) -> Option<Member> {
    let rest = object.as_ref().strip_prefix(prefix.as_ref())?.strip_prefix('/')?;
    if rest == "end.json" {
        return Some(Member::End);
    }
    let (folder, name) = rest.split_once('/')?;
    let (stem, extension) = name.split_once('.')?;
    let codec = match extension {
        "ndjson.zst" => Codec::Zstd,
        "ndjson.gz" => Codec::Gzip,
        _ => return None,
    };
    match folder {
        "live" => Some(Member::Live { number: number(stem)?, codec }),
        "seg" => {
            let (first, last) = stem.split_once('-')?;
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Member::Segment { first, last, codec })
        }
        _ => None,
    }
}

/// A name of the index by run, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByIdEntry {
    /// Decoded. Where [`ByIdEntry::exact`] is false, values may be cut.
    pub origin: Origin,
    /// The writer.
    pub id: WriterId,
    /// False where a value was too long for a name: the object's body has it whole.
    pub exact: bool,
}

/// Takes a name of the index by run apart; `None` if it is not one.
pub fn parse_by_id(object: &Path) -> Option<ByIdEntry> {
    let rest = object.as_ref().strip_prefix(BY_ID)?.strip_prefix('/')?;
    let mut parts = rest.split('/');
    let (run, step, attempt, source, name) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let (run, step, source) = (decode(run)?, decode(step)?, decode(source)?);
    Some(ByIdEntry {
        exact: run.exact && step.exact && source.exact,
        origin: Origin {
            pipeline_run_id: run.value,
            step_id: step.value,
            attempt: attempt.parse().ok()?,
            source: source.value,
        },
        id: name.strip_suffix(".json")?.parse().ok()?,
    })
}

/// Takes a name of the index by day apart: the day and the run.
pub fn parse_by_day(object: &Path) -> Option<(String, Decoded)> {
    let rest = object.as_ref().strip_prefix(BY_DAY)?.strip_prefix('/')?;
    let (day, run) = rest.split_once('/')?;
    Some((day.to_owned(), decode(run)?))
}

/// The UTC day of a time, `YYYY-MM-DD`.
pub fn day(time: Nanos) -> String {
    time.to_rfc3339().chars().take(10).collect()
}

/// A value as a part of a name: all but `A-Z a-z 0-9 . _ -` percent-encoded, no dot in front,
/// never empty, never longer than 180 bytes (cut, then `~` and 16 digits of its SHA-256).
pub fn encode(value: &str) -> String {
    if value.is_empty() {
        return EMPTY.to_owned();
    }
    let mut encoded = String::with_capacity(value.len());
    let mut fits = 0;
    for (position, byte) in value.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric()
            || matches!(byte, b'_' | b'-')
            || (byte == b'.' && position > 0);
        if plain {
            encoded.push(char::from(byte));
        } else if write!(encoded, "%{byte:02X}").is_err() {
            continue;
        }
        if encoded.len() < MAX_VALUE - HASH_DIGITS {
            fits = encoded.len();
        }
    }
    if encoded.len() > MAX_VALUE {
        encoded.truncate(fits);
        let hash = Sha256::of(value.as_bytes()).to_string();
        encoded.push('~');
        encoded.extend(hash.chars().take(HASH_DIGITS));
    }
    encoded
}

/// A value taken out of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The value, or the beginning of it.
    pub value: String,
    /// The name holds all of it.
    pub exact: bool,
}

/// Undoes [`encode`]; `None` for what [`encode`] never makes.
pub fn decode(encoded: &str) -> Option<Decoded> {
    if encoded == EMPTY {
        return Some(Decoded { value: String::new(), exact: true });
    }
    let (text, exact) = match encoded.split_once('~') {
        Some((text, _)) => (text, false),
        None => (encoded, true),
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push((high * 16 + low) as u8);
        } else {
            bytes.push(byte);
        }
    }
    let value = match String::from_utf8(bytes) {
        Ok(value) => value,
        // A cut may have gone through a character.
        Err(error) if !exact => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        Err(_) => return None,
    };
    Some(Decoded { value, exact })
}

fn extension(codec: Codec) -> &'static str {
    match codec {
        Codec::Zstd => "ndjson.zst",
        Codec::Gzip => "ndjson.gz",
    }
}

fn number(digits: &str) -> Option<u64> {
    let all_digits = digits.len() >= 12 && digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| digits.parse().ok()).flatten()
}

/// A name that needs no more encoding. Built from parts that [`encode`] made, it always parses.
fn path(name: &str) -> Path {
    Path::parse(name).unwrap_or_else(|_| Path::from(name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn writer(run: &str, step: &str) -> Writer {
        let id: WriterId = "019a8b5c-0000-7000-8000-000000000001".parse().unwrap();
        Writer {
            id,
            origin: Origin {
                pipeline_run_id: run.into(),
                step_id: step.into(),
                attempt: 2,
                source: "hook:x".into(),
            },
            started: id.started(),
            attributes: std::collections::BTreeMap::default(),
        }
    }

    #[test]
    fn names_are_as_documented() {
        let writer = writer("run 1", "train/eu");
        let prefix = writer_prefix(&writer);
        assert_eq!(
            prefix.as_ref(),
            "logs/date=2025-11-16/pipeline_run_id=run%201/step_id=train%2Feu/attempt=2/\
             source=hook%3Ax/writer=019a8b5c-0000-7000-8000-000000000001"
        );
        let name = |path: Path| path.as_ref().strip_prefix(prefix.as_ref()).unwrap().to_owned();
        assert_eq!(name(live(&prefix, 7, Codec::Zstd)), "/live/000000000007.ndjson.zst");
        assert_eq!(
            name(seg(&prefix, 0, 9, Codec::Gzip)),
            "/seg/000000000000-000000000009.ndjson.gz"
        );
        assert_eq!(name(end(&prefix)), "/end.json");
        assert_eq!(
            run_by_id(&writer).as_ref(),
            "runs/by-id/run%201/train%2Feu/2/hook%3Ax/019a8b5c-0000-7000-8000-000000000001.json"
        );
        assert_eq!(run_by_day(&writer).as_ref(), "runs/by-day/2025-11-16/run%201");
    }

    #[test]
    fn members_are_told_apart() {
        let prefix = writer_prefix(&writer("r", "s"));
        for (path, expected) in [
            (live(&prefix, 3, Codec::Gzip), Some(Member::Live { number: 3, codec: Codec::Gzip })),
            (
                seg(&prefix, 3, 8, Codec::Zstd),
                Some(Member::Segment { first: 3, last: 8, codec: Codec::Zstd }),
            ),
            (end(&prefix), Some(Member::End)),
            (prefix.clone().join("live").join("3.ndjson.zst"), None),
            (prefix.clone().join("seg").join("000000000008-000000000003.ndjson.zst"), None),
            (prefix.clone().join("other"), None),
            (Path::from("elsewhere"), None),
        ] {
            assert_eq!(member(&prefix, &path), expected, "{path}");
        }
    }

    #[test]
    fn no_value_leaves_its_folder() {
        for (value, expected) in [
            ("", "~"),
            (".", "%2E"),
            ("..", "%2E."),
            ("../../etc", "%2E.%2F..%2Fetc"),
            ("a/b\\c", "a%2Fb%5Cc"),
            ("~", "%7E"),
            ("x#1", "x%231"),
            ("\0", "%00"),
            ("é", "%C3%A9"),
        ] {
            assert_eq!(encode(value), expected);
        }
    }

    #[test]
    fn a_long_value_is_cut_and_told_apart_by_its_checksum() {
        let (one, other) = ("é".repeat(200), format!("{}x", "é".repeat(200)));
        assert_ne!(encode(&one), encode(&other));
        assert!(encode(&one).len() <= MAX_VALUE);
        let decoded = decode(&encode(&one)).unwrap();
        assert!(!decoded.exact);
        assert!(one.starts_with(decoded.value.trim_end_matches(char::REPLACEMENT_CHARACTER)));
    }

    proptest! {
        #[test]
        fn what_fits_comes_back(run in ".{0,24}", step in "\\PC{0,24}") {
            let writer = writer(&run, &step);
            let entry = parse_by_id(&run_by_id(&writer)).unwrap();
            if entry.exact {
                prop_assert_eq!(&entry.origin, &writer.origin);
            }
            prop_assert_eq!(entry.id, writer.id);
            let (_, day_run) = parse_by_day(&run_by_day(&writer)).unwrap();
            prop_assert!(!day_run.exact || day_run.value == run);
            prop_assert_eq!(writer_prefix(&writer).parts_count(), 7);
        }
    }
}
