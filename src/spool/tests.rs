//! Writer and reader together on the real file system: what a simulated one cannot show.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::*;
use crate::record::{Exit, Gap, Origin, Writer, WriterId};

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
        stranger: None,
    }
}

fn settings(dir: &Path) -> Settings {
    Settings { dir: dir.to_owned(), ..Settings::default() }
}

fn tiny(dir: &Path, when_full: WhenFull) -> Settings {
    Settings { max_bytes: 64 << 10, when_full, sync: Sync::Never, ..settings(dir) }
}

/// What takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(20);

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
                format!("{:?}: {} bytes, {} lines", gap.reason, gap.bytes, gap.lines)
            }
            Kind::Note => format!("{:?}", Note::from_payload(&payload).unwrap()),
            Kind::Position => panic!("a position was handed out"),
        });
    }
}

/// A frame's worth of lines, different each time.
fn block(number: usize) -> String {
    format!("{number:09}\n").repeat(50)
}

fn append(writer: &mut SpoolWriter, text: &str) -> Append {
    writer.append(IoStream::Stdout, Nanos(1), text.as_bytes())
}

#[test]
fn what_is_written_is_read_while_it_is_written_and_after() {
    let root = tempfile::tempdir().unwrap();
    let mut writer = SpoolWriter::create(&settings(root.path()), &meta()).unwrap();
    let dir = writer.dir().to_owned();
    let mut reader = SpoolReader::open(&dir, 0).unwrap();
    assert_eq!(drain(&mut reader), (vec![], Next::Pending));

    assert_eq!(append(&mut writer, "one\n"), Append::Written);
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
fn a_list_tells_live_finished_and_interrupted_apart() {
    let root = tempfile::tempdir().unwrap();
    assert!(list(&root.path().join("nothing")).unwrap().is_empty());
    let metas = [meta(), meta(), meta()];
    let [mut live, finished, interrupted] =
        metas.clone().map(|meta| SpoolWriter::create(&settings(root.path()), &meta).unwrap());
    append(&mut live, "a line\n");
    finished.finish(&Exit::default()).unwrap();
    drop(interrupted);

    let mut entries = list(root.path()).unwrap();
    entries
        .sort_by_key(|entry| metas.iter().position(|meta| *meta == *entry.meta.as_ref().unwrap()));
    let states: Vec<_> = entries.iter().map(|entry| entry.state).collect();
    assert_eq!(states, [SpoolState::Live, SpoolState::Finished, SpoolState::Interrupted]);
    assert_eq!(entries[0].bytes, entries[1].bytes + 28 + 7);
    assert_eq!(entries[0].path, live.dir());
}

#[test]
fn meta_that_is_damaged_or_of_a_later_version_is_told_apart() {
    let root = tempfile::tempdir().unwrap();
    let writer = SpoolWriter::create(&settings(root.path()), &meta()).unwrap();
    let path = writer.dir().join("meta.json");
    fs::write(&path, r#"{"version":9,"author":1}"#).unwrap();
    assert!(matches!(read_meta(writer.dir()), Err(MetaError::Version { found: 9, .. })));
    fs::write(&path, r#"{"version":1,"#).unwrap();
    assert!(matches!(read_meta(writer.dir()), Err(MetaError::Damaged { .. })));
    fs::remove_file(&path).unwrap();
    assert!(matches!(read_meta(writer.dir()), Err(MetaError::Io { .. })));
    assert!(list(root.path()).unwrap()[0].meta.is_err());
}

#[test]
fn one_process_ships_at_a_time() {
    let root = tempfile::tempdir().unwrap();
    let lock = ShipLock::try_acquire(root.path()).unwrap().unwrap();
    assert!(ShipLock::try_acquire(root.path()).unwrap().is_none());
    drop(lock);
    assert!(ShipLock::try_acquire(root.path()).unwrap().is_some());
}

#[test]
fn removing_leaves_nothing_and_cleaning_finishes_what_a_crash_has_left() {
    let root = tempfile::tempdir().unwrap();
    let writer = SpoolWriter::create(&settings(root.path()), &meta()).unwrap();
    let dir = writer.dir().to_owned();
    writer.finish(&Exit::default()).unwrap();
    remove(&dir).unwrap();
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);

    for left in [".one.old", ".two.new", ".drop.lock.d", "three"] {
        fs::create_dir_all(root.path().join(left).join("inside")).unwrap();
    }
    clean(root.path()).unwrap();
    let mut left: Vec<_> =
        fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    // The new one may be in the making.
    assert_eq!(left, [".drop.lock.d", ".two.new", "three"]);
    clean(&root.path().join("nothing")).unwrap();
}

#[test]
fn a_spool_folder_that_cannot_be_made_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    let error = SpoolWriter::create(&settings(&file), &meta()).err().unwrap();
    assert!(error.dir.starts_with(&file));
    assert!(SpoolReader::open(&file.join("none"), 0).is_err());
}

#[test]
fn released_segments_are_deleted_and_the_rest_is_read() {
    let root = tempfile::tempdir().unwrap();
    let mut writer = SpoolWriter::create(&tiny(root.path(), WhenFull::Block), &meta()).unwrap();
    let mut reader = SpoolReader::open(writer.dir(), 0).unwrap();
    let mut read = Vec::new();
    for number in 0..400 {
        let text = block(number);
        while append(&mut writer, &text) == Append::Full {
            read.append(&mut drain(&mut reader).0);
            reader.release(reader.offset()).unwrap();
            let start = Instant::now();
            while !writer.has_room() {
                assert!(start.elapsed() < PATIENCE, "no room after all was released");
                std::thread::yield_now();
            }
        }
    }
    assert!(matches!(writer.fault(), Some(Fault::Full { .. })));
    read.append(&mut drain(&mut reader).0);
    assert_eq!(read, (0..400).map(block).collect::<Vec<_>>());
    reader.release(u64::MAX).unwrap();
    assert!(list(root.path()).unwrap()[0].bytes <= 8 << 10);
    append(&mut writer, "more\n");
    assert_eq!(drain(&mut reader).0, ["more\n"]);
}

#[test]
fn what_is_dropped_is_counted_without_what_was_read_before() {
    let root = tempfile::tempdir().unwrap();
    let mut writer =
        SpoolWriter::create(&tiny(root.path(), WhenFull::DropOldest), &meta()).unwrap();
    let dir = writer.dir().to_owned();
    let mut slow = SpoolReader::open(&dir, 0).unwrap();
    append(&mut writer, &block(0));
    // It has the first segment open from now on.
    assert_eq!(drain(&mut slow).0, [block(0)]);
    for number in 1..200 {
        assert_eq!(append(&mut writer, &block(number)), Append::Written);
    }
    writer.finish(&Exit::default()).unwrap();
    for from in [0, 500] {
        let mut reader = SpoolReader::open(&dir, from).unwrap();
        let (found, _) = drain(&mut reader);
        let kept = found.len() - 1;
        let lost = 200 - kept;
        assert!((60..120).contains(&kept), "{kept}");
        assert_eq!(found[1..], (lost..200).map(block).collect::<Vec<_>>());
        let bytes = lost * 500 - from as usize;
        assert!(found[0].starts_with(&format!("DroppedOldest: {bytes} bytes")), "{}", found[0]);
        if from == 0 {
            assert_eq!(found[0], format!("DroppedOldest: {bytes} bytes, {} lines", lost * 50));
            // The slow one goes on in the segment that was dropped under it, to its end.
            let (found, _) = drain(&mut slow);
            assert_eq!(found[..14], (1..15).map(block).collect::<Vec<_>>());
            let lost = lost - 15;
            let gap = format!("DroppedOldest: {} bytes, {} lines", lost * 500, lost * 50);
            assert_eq!(found[14], gap);
            assert_eq!(found.len(), 14 + 1 + kept);
        }
    }
}

#[test]
fn writers_that_are_gone_give_way_first_and_those_that_live_do_not() {
    let root = tempfile::tempdir().unwrap();
    let settings = tiny(root.path(), WhenFull::DropOldest);
    let fill = || {
        let mut writer = SpoolWriter::create(&settings, &meta()).unwrap();
        for number in 0..40 {
            append(&mut writer, &block(number));
        }
        writer
    };
    let gone = fill();
    let (gone, gone_dir) = (gone.finish(&Exit::default()), gone_dir(&root));
    gone.unwrap();
    let live = fill();
    let mut writer = SpoolWriter::create(&settings, &meta()).unwrap();
    for number in 0..120 {
        append(&mut writer, &block(number));
    }
    let mut reader = SpoolReader::open(&gone_dir, 0).unwrap();
    let gap = "DroppedOldest: 20000 bytes, 2000 lines".to_owned();
    assert_eq!(drain(&mut reader), (vec![gap], Next::Finished));
    let mut reader = SpoolReader::open(live.dir(), 0).unwrap();
    assert_eq!(drain(&mut reader).0, (0..40).map(block).collect::<Vec<_>>());
}

fn gone_dir(root: &tempfile::TempDir) -> PathBuf {
    list(root.path()).unwrap().remove(0).path
}

#[test]
fn a_thread_syncs_and_the_caller_is_told_when_to_come_back() {
    let root = tempfile::tempdir().unwrap();
    let interval = Duration::from_secs(1);
    let settings = Settings { sync: Sync::Interval(interval), ..settings(root.path()) };
    let mut writer = SpoolWriter::create(&settings, &meta()).unwrap();
    append(&mut writer, "a line\n");
    let start = Instant::now();
    let due = writer.tick(start).unwrap();
    assert_eq!(due, start + interval);
    assert_eq!(writer.tick(start), Some(due));
    // The thread is at work now; some time later it has ended and nothing is left to do.
    let mut now = due;
    while let Some(next) = writer.tick(now) {
        assert!(next > now);
        now = next;
        std::thread::yield_now();
    }
    assert!(writer.fault().is_none());
    writer.finish(&Exit::default()).unwrap();
}

#[test]
fn a_directory_that_vanishes_is_made_again_and_its_reader_loses_nothing() {
    let root = tempfile::tempdir().unwrap();
    let settings = Settings { sync: Sync::Never, ..settings(root.path()) };
    let mut writer = SpoolWriter::create(&settings, &meta()).unwrap();
    let dir = writer.dir().to_owned();
    let mut reader = SpoolReader::open(&dir, 0).unwrap();
    append(&mut writer, "before\n");
    assert_eq!(drain(&mut reader).0, ["before\n"]);

    fs::remove_dir_all(root.path()).unwrap();
    append(&mut writer, "meanwhile\n");
    let mut payload = Vec::new();
    assert!(matches!(reader.next(&mut payload).unwrap(), Next::Frame(_)));
    assert!(matches!(reader.next(&mut payload), Err(ReadError::Gone { .. })));

    let now = Instant::now();
    writer.tick(now);
    writer.tick(now + Duration::from_secs(2));
    assert!(matches!(writer.fault(), Some(Fault::Vanished { .. })));
    append(&mut writer, "after\n");
    assert_eq!(drain(&mut reader), (vec!["after\n".into()], Next::Pending));
    assert!(matches!(list(root.path()).unwrap()[0].state, SpoolState::Live));
    let mut another = SpoolReader::open(&dir, 0).unwrap();
    assert_eq!(drain(&mut another).0, ["before\n", "meanwhile\n", "after\n"]);
    writer.finish(&Exit::default()).unwrap();
    assert_eq!(drain(&mut another).1, Next::Finished);
}

#[test]
fn a_directory_that_is_being_removed_is_not_taken_for_the_end_of_its_writer() {
    let root = tempfile::tempdir().unwrap();
    let mut writer = SpoolWriter::create(&settings(root.path()), &meta()).unwrap();
    let mut reader = SpoolReader::open(writer.dir(), 0).unwrap();
    append(&mut writer, "before\n");
    // Whoever removes it begins with the lock.
    fs::remove_file(writer.dir().join("writer.lock")).unwrap();
    assert_eq!(drain(&mut reader), (vec!["before\n".into()], Next::Pending));
    drop(writer);
    assert_eq!(drain(&mut reader).1, Next::Interrupted);
}

/// A file system of one MiB, if this user may mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
            .arg(dir.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(dir)),
            other => {
                eprintln!("SKIPPED: this needs the right to mount a tmpfs: {other:?}");
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}

#[test]
fn a_disk_that_fills_up_is_a_full_spool() {
    for when_full in [WhenFull::Block, WhenFull::DropOldest, WhenFull::DropNewest] {
        let Some(disk) = SmallDisk::mount() else { return };
        let root = disk.0.path();
        let settings = Settings { when_full, ..settings(&root.join("spool")) };
        let mut writer = SpoolWriter::create(&settings, &meta()).unwrap();
        let dir = writer.dir().to_owned();
        let mut reader = SpoolReader::open(&dir, 0).unwrap();
        // Somebody else takes most of the disk: 80 % of the rest is no limit any more.
        let filler = root.join("filler");
        fs::write(&filler, vec![0; 600 << 10]).unwrap();
        let mut read = Vec::new();
        let mut dropped = 0;
        for number in 0..2000 {
            let text = block(number);
            match append(&mut writer, &text) {
                Append::Written => {}
                Append::Dropped => dropped += text.len(),
                Append::Full => {
                    read.append(&mut drain(&mut reader).0);
                    reader.release(reader.offset()).unwrap();
                    let start = Instant::now();
                    while !writer.has_room() || append(&mut writer, &text) == Append::Full {
                        assert!(start.elapsed() < PATIENCE, "no room after all was released");
                        std::thread::yield_now();
                    }
                }
            }
        }
        assert!(matches!(writer.fault(), Some(Fault::Full { .. })), "{when_full:?}");
        // With not a byte left the end must still be told.
        let mut rest = fs::File::create(root.join("rest")).unwrap();
        while std::io::Write::write(&mut rest, &[0; 4096]).is_ok_and(|count| count > 0) {}
        writer.finish(&Exit::default()).unwrap();
        let (mut found, end) = drain(&mut reader);
        assert_eq!(end, Next::Finished);
        read.append(&mut found);
        assert_eq!(reader.offset(), 2000 * 500);
        let (gaps, data): (Vec<_>, Vec<_>) =
            read.into_iter().partition(|text| text.contains("bytes"));
        match when_full {
            WhenFull::Block => assert!(gaps.is_empty()),
            WhenFull::DropOldest => {
                assert_eq!(data.last(), Some(&block(1999)));
                assert_eq!(gaps.len(), 1);
                let bytes = (2000 - data.len()) * 500;
                assert_eq!(gaps[0], format!("DroppedOldest: {bytes} bytes, {} lines", bytes / 10));
            }
            WhenFull::DropNewest => {
                assert_eq!(data[0], block(0));
                assert_eq!(dropped, (2000 - data.len()) * 500);
            }
        }
    }
}

/// A file's bytes, as an agent would hand them over.
fn from_file(writer: &mut SpoolWriter, text: &str) {
    let position = format!("{{\"from\":{}}}", writer.offset());
    let appended =
        writer.append_at(IoStream::Stdout, Nanos::now(), position.as_bytes(), text.as_bytes());
    assert_eq!(appended, Append::Written);
}

#[test]
fn a_position_is_found_after_a_crash_and_kept_when_the_spool_is_removed() {
    let root = tempfile::tempdir().unwrap();
    let mut writer = SpoolWriter::create(&settings(root.path()), &meta()).unwrap();
    let dir = writer.dir().to_owned();
    assert_eq!(last_position(&dir).unwrap(), None);
    from_file(&mut writer, "one\n");
    from_file(&mut writer, "two\n");
    writer.append(IoStream::Stdout, Nanos::now(), b"three\n");
    writer.note(Nanos::now(), Note::Idle(IoStream::Stdout));
    drop(writer);
    let found = last_position(&dir).unwrap().unwrap();
    assert_eq!((found.payload.as_slice(), found.following), (&b"{\"from\":4}"[..], 10));
    let mut reader = SpoolReader::open(&dir, 0).unwrap();
    let (lines, _) = drain(&mut reader);
    assert_eq!(lines, ["one\n", "two\n", "three\n", "Idle(Stdout)"]);

    assert_eq!(kept_positions(root.path()).unwrap(), []);
    let writer: WriterId = dir.file_name().unwrap().to_str().unwrap().parse().unwrap();
    remove(&dir).unwrap();
    assert!(list(root.path()).unwrap().is_empty());
    assert_eq!(kept_positions(root.path()).unwrap(), [Kept { writer, position: found }]);
    forget_position(root.path(), writer).unwrap();
    assert_eq!(kept_positions(root.path()).unwrap(), []);
}

#[test]
fn a_position_is_kept_before_the_exit_record() {
    let root = tempfile::tempdir().unwrap();
    let mut writer = SpoolWriter::create(&settings(root.path()), &meta()).unwrap();
    let dir = writer.dir().to_owned();
    from_file(&mut writer, "one\n");
    from_file(&mut writer, "two\n");
    // A folder that cannot be made: a file has its name.
    fs::write(root.path().join(".positions"), "").unwrap();
    assert!(matches!(writer.finish(&Exit::default()), Err(FinishError::Exit { .. })));
    assert_eq!(list(root.path()).unwrap()[0].state, SpoolState::Interrupted);
    assert_eq!(last_position(&dir).unwrap().unwrap().following, 4);
    fs::remove_file(root.path().join(".positions")).unwrap();

    let mut writer = SpoolWriter::create(&settings(root.path()), &meta()).unwrap();
    from_file(&mut writer, "one\n");
    from_file(&mut writer, "two\n");
    writer.finish(&Exit::default()).unwrap();
    let [kept] = &kept_positions(root.path()).unwrap()[..] else { panic!("one is kept") };
    assert_eq!(
        (kept.position.payload.as_slice(), kept.position.following),
        (&b"{\"from\":4}"[..], 4)
    );
}

#[test]
fn whose_word_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let writer = SpoolWriter::create(&settings(folder.path()), &meta()).unwrap();
    assert_eq!(read_meta(writer.dir()).unwrap().stranger, None, "one's own");
    if nix::unistd::Uid::effective().is_root() {
        std::os::unix::fs::chown(writer.dir().join("meta.json"), Some(65534), None).unwrap();
        assert_eq!(read_meta(writer.dir()).unwrap().stranger, Some(65534));
    }
}
