//! Writer and reader together on the real file system.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::*;
use crate::record::{Exit, Gap, GapReason, Origin, Writer, WriterId};

pub(super) fn meta() -> Meta {
    let origin = Origin {
        pipeline_run_id: "run".into(),
        step_id: "step".into(),
        attempt: 1,
        source: "step".into(),
    };
    let id = WriterId::new();
    Meta {
        version: VERSION,
        writer: Writer { id, origin, started: id.started(), attributes: [].into() },
        lines: crate::line::Settings::default(),
        stack: None,
        stack_file: None,
    }
}

fn settings(dir: &Path) -> Settings {
    Settings { dir: dir.to_owned(), ..Settings::default() }
}

/// All that the reader has: data as it is, the rest by name.
fn drain(reader: &mut SpoolReader) -> (Vec<String>, Next) {
    let mut found = Vec::new();
    loop {
        let mut payload = Vec::new();
        let frame = match reader.next(&mut payload).unwrap() {
            Next::Frame(frame) => frame,
            end => return (found, end),
        };
        assert_eq!(frame.len as usize, payload.len());
        found.push(match frame.kind {
            Kind::Stdout | Kind::Stderr => String::from_utf8(payload).unwrap(),
            Kind::Gap => {
                let gap: Gap = serde_json::from_slice(&payload).unwrap();
                format!("{:?} {} bytes {} lines", gap.reason, gap.bytes, gap.lines)
            }
            Kind::Note => format!("{:?}", Note::from_payload(&payload).unwrap()),
        });
    }
}

#[test]
fn what_is_written_is_read_while_it_is_written_and_after() {
    let root = tempfile::tempdir().unwrap();
    let mut writer = SpoolWriter::create(&settings(root.path()), &meta()).unwrap();
    let dir = writer.dir().to_owned();
    let mut reader = SpoolReader::open(&dir, 0).unwrap();
    assert_eq!(drain(&mut reader), (vec![], Next::Pending));

    assert_eq!(writer.append(IoStream::Stdout, Nanos(1), b"one\n"), Append::Written);
    writer.note(Nanos(2), Note::Idle(IoStream::Stdout));
    assert_eq!(drain(&mut reader), (vec!["one\n".into(), "Idle(Stdout)".into()], Next::Pending));
    assert_eq!(writer.append(IoStream::Stderr, Nanos(3), b"two\n"), Append::Written);
    let exit = Exit { code: Some(3), ..Exit::default() };
    writer.finish(&exit).unwrap();
    assert_eq!(drain(&mut reader), (vec!["two\n".into()], Next::Finished));
    assert_eq!(drain(&mut reader), (vec![], Next::Finished));

    let mut again = SpoolReader::open(&dir, 5).unwrap();
    assert_eq!(drain(&mut again), (vec!["two\n".into()], Next::Finished));
    assert_eq!(read_exit(&dir).unwrap(), Some(Exit { bytes_spooled: 8, ..exit }));
}

#[test]
fn a_writer_that_dies_is_interrupted() {
    let root = tempfile::tempdir().unwrap();
    let mut writer = SpoolWriter::create(&settings(root.path()), &meta()).unwrap();
    writer.append(IoStream::Stdout, Nanos(1), b"one\n");
    let dir = writer.dir().to_owned();
    assert_eq!(list(root.path()).unwrap()[0].state, SpoolState::Live);
    drop(writer);
    assert_eq!(list(root.path()).unwrap()[0].state, SpoolState::Interrupted);
    let mut reader = SpoolReader::open(&dir, 0).unwrap();
    assert_eq!(drain(&mut reader), (vec!["one\n".into()], Next::Interrupted));
}
