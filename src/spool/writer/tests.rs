//! The policies, one accident at a time, on a simulated disk.

use super::*;
use crate::record::GapReason;
use crate::spool::dir::{EXIT, segments};
use crate::spool::segment;
use crate::spool::simulated::{Fault as DiskFault, FaultKind, SimulatedDisk, User};
use crate::spool::tests::meta;
use crate::spool::{Frame, Next, SpoolReader};

fn settings(when_full: WhenFull, sync: Sync) -> Settings {
    Settings { dir: "/spool".into(), max_bytes: 64 << 10, when_full, sync }
}

fn create(disk: &SimulatedDisk, settings: &Settings) -> SpoolWriter<SimulatedDisk> {
    SpoolWriter::create_on(disk.clone(), settings, &meta(), Duration::ZERO).unwrap()
}

/// A disk that is large enough, and a writer on it.
fn writer(when_full: WhenFull, sync: Sync) -> (SimulatedDisk, SpoolWriter<SimulatedDisk>) {
    let disk = SimulatedDisk::new(1 << 30);
    let writer = create(&disk, &settings(when_full, sync));
    (disk, writer)
}

fn append(writer: &mut SpoolWriter<SimulatedDisk>, payload: &[u8]) -> Append {
    writer.append(IoStream::Stdout, Nanos(1), payload)
}

fn broken(after: u32) -> DiskFault {
    DiskFault { after, times: 1, kind: FaultKind::Broken, share: 128 }
}

#[derive(Debug, PartialEq)]
enum Read {
    Data(Vec<u8>),
    Gap(GapReason, u64, u64),
}

/// Everything from the start, and how it ends.
fn read(disk: &SimulatedDisk, dir: &Path) -> (Vec<Read>, Next) {
    let mut reader = SpoolReader::open_on(disk.seen_by(User::Reader), dir, 0).unwrap();
    let mut found = Vec::new();
    loop {
        let mut payload = Vec::new();
        match reader.next(&mut payload).unwrap() {
            Next::Frame(Frame { kind: Kind::Gap, .. }) => {
                let gap: Gap = serde_json::from_slice(&payload).unwrap();
                found.push(Read::Gap(gap.reason, gap.bytes, gap.lines));
            }
            Next::Frame(_) => found.push(Read::Data(payload)),
            end => return (found, end),
        }
    }
}

#[test]
fn a_crash_at_any_point_of_making_a_spool_leaves_nothing_that_looks_like_one() {
    for after in 0.. {
        let disk = SimulatedDisk::new(1 << 30);
        disk.arm(DiskFault { after, times: 1, kind: FaultKind::Crash, share: 100 });
        let settings = settings(WhenFull::DropOldest, Sync::Never);
        let made = SpoolWriter::create_on(disk.clone(), &settings, &meta(), Duration::ZERO);
        let names = disk.seen_by(User::Reader).names("/spool".as_ref()).unwrap_or_default();
        match made {
            Ok(_) => {
                assert!(after > 5);
                assert!(names.iter().all(|name| !name.starts_with('.')), "{names:?}");
                return;
            }
            Err(_) => assert!(names.iter().all(|name| name.starts_with('.')), "{names:?}"),
        }
    }
}

#[test]
fn a_failed_write_is_a_gap_and_what_follows_is_kept() {
    let (disk, mut writer) = writer(WhenFull::DropOldest, Sync::Never);
    assert_eq!(append(&mut writer, b"one\n"), Append::Written);
    disk.arm(broken(0));
    assert_eq!(append(&mut writer, b"two\ntwo\n"), Append::Dropped);
    assert!(matches!(writer.fault(), Some(Fault::Write { .. })));
    assert_eq!(append(&mut writer, b"three\n"), Append::Written);
    assert_eq!(writer.offset(), 18);
    let expected = [
        Read::Data(b"one\n".into()),
        Read::Gap(GapReason::WriteFailed, 8, 2),
        Read::Data(b"three\n".into()),
    ];
    assert_eq!(read(&disk, writer.dir()), (expected.into(), Next::Pending));
}

#[test]
fn after_a_failed_sync_nothing_is_accepted_and_the_end_is_told() {
    for sync in [Sync::Always, Sync::Interval(Duration::from_secs(1))] {
        let (disk, mut writer) = writer(WhenFull::Block, sync);
        disk.fail_syncs(1);
        assert_eq!(append(&mut writer, b"one\n"), Append::Written);
        let now = Instant::now();
        writer.tick(now);
        assert_eq!(writer.tick(now + Duration::from_secs(1)), None);
        assert!(matches!(writer.fault(), Some(Fault::Sync { .. })), "{sync:?}");
        // Not even with a policy to wait: it would be for ever.
        assert_eq!(append(&mut writer, b"two\n"), Append::Dropped);
        writer.note(Nanos(2), Note::Eof(IoStream::Stdout));
        let dir = writer.dir().to_owned();
        writer.finish(&Exit::default()).unwrap();
        let expected = [Read::Data(b"one\n".into()), Read::Gap(GapReason::WriteFailed, 4, 1)];
        assert_eq!(read(&disk, &dir), (expected.into(), Next::Finished));
    }
}

#[test]
fn dropping_the_newest_leaves_one_gap_where_they_would_have_been() {
    let (disk, mut writer) = writer(WhenFull::DropNewest, Sync::Never);
    let line = [&[b'x'; 999], b"\n".as_slice()].concat();
    let mut kept = 0;
    while append(&mut writer, &line) == Append::Written {
        kept += 1;
    }
    assert!((50..64).contains(&kept), "{kept}");
    for _ in 1..10 {
        assert_eq!(append(&mut writer, &line), Append::Dropped);
    }
    let dir = writer.dir().to_owned();
    let mut reader = SpoolReader::open_on(disk.seen_by(User::Reader), &dir, 0).unwrap();
    let mut payloads = Vec::new();
    while reader.next(&mut payloads).unwrap() != Next::Pending {}
    reader.release(reader.offset()).unwrap();
    assert_eq!(append(&mut writer, b"again\n"), Append::Written);
    payloads.clear();
    reader.next(&mut payloads).unwrap();
    let gap: Gap = serde_json::from_slice(&payloads).unwrap();
    assert_eq!(gap, Gap { bytes: 10_000, lines: 10, reason: GapReason::DroppedNewest });
    payloads.clear();
    reader.next(&mut payloads).unwrap();
    assert_eq!(payloads, b"again\n");
}

#[test]
fn blocking_takes_all_or_nothing() {
    let (_, mut writer) = writer(WhenFull::Block, Sync::Never);
    let mut taken = 0;
    while append(&mut writer, &[b'x'; 1000]) == Append::Written {
        taken += 1000;
    }
    assert_eq!(append(&mut writer, &[b'x'; 1000]), Append::Full);
    assert!(!writer.has_room());
    assert_eq!(writer.offset(), taken);
    assert!(matches!(writer.fault(), Some(Fault::Full { when_full: WhenFull::Block, .. })));
}

#[test]
fn a_payload_beyond_the_largest_becomes_several_frames() {
    let disk = SimulatedDisk::new(1 << 30);
    let settings = Settings { max_bytes: 1 << 28, ..settings(WhenFull::Block, Sync::Never) };
    let mut writer = create(&disk, &settings);
    assert_eq!(append(&mut writer, &vec![b'x'; MAX_PAYLOAD + 1]), Append::Written);
    assert_eq!(append(&mut writer, b""), Append::Written);
    let (found, _) = read(&disk, writer.dir());
    let lengths: Vec<_> = found
        .into_iter()
        .map(|found| match found {
            Read::Data(payload) => payload.len(),
            Read::Gap(..) => 0,
        })
        .collect();
    assert_eq!(lengths, [MAX_PAYLOAD, 1]);
}

#[test]
fn small_spools_never_look_at_the_others() {
    let disk = SimulatedDisk::new(1 << 30);
    let settings = Settings { max_bytes: 1 << 28, ..settings(WhenFull::Block, Sync::Never) };
    let mut writer = create(&disk, &settings);
    // Looking would fail now.
    disk.fail_reads(User::Writer, u32::MAX);
    for _ in 0..200 {
        assert_eq!(append(&mut writer, &[b'x'; 1000]), Append::Written);
    }
    assert!(writer.fault().is_none());
}

#[test]
fn many_writers_keep_within_the_limit_though_none_gives_away_its_last_segment() {
    let disk = SimulatedDisk::new(1 << 30);
    let limit = 16 << 20;
    let settings = Settings { max_bytes: limit, ..settings(WhenFull::DropNewest, Sync::Never) };
    let mut writers: Vec<_> = (0..32).map(|_| create(&disk, &settings)).collect();
    for _ in 0..96 {
        for writer in &mut writers {
            append(writer, &[b'x'; 16 << 10]);
        }
    }
    let bytes = writers.iter().map(|writer| crate::spool::dir::bytes(&disk, writer.dir()).unwrap());
    let bytes: u64 = bytes.sum();
    assert!((limit / 2..limit * 5 / 4).contains(&bytes), "{bytes} of {limit}");
}

#[test]
fn so_many_writers_that_their_room_is_known_drop_no_more_than_they_must() {
    let folder = tempfile::tempdir().unwrap();
    let limit = 32 << 20;
    let dir = folder.path().to_owned();
    let settings =
        Settings { dir, max_bytes: limit, ..settings(WhenFull::DropOldest, Sync::Never) };
    let mut writers: Vec<_> =
        (0..80).map(|_| SpoolWriter::create(&settings, &meta()).unwrap()).collect();
    for _ in 0..16 {
        for writer in &mut writers {
            writer.append(IoStream::Stdout, Nanos(1), &vec![b'x'; 64 << 10]);
        }
    }
    let (count, bytes) = crate::spool::usage(folder.path()).unwrap();
    assert_eq!(count, 80);
    // Two segments each are more than the limit.
    assert!((limit * 3 / 4..limit * 3 / 2).contains(&bytes), "{bytes} of {limit}");
}

#[test]
fn finishing_fails_where_the_exit_record_cannot_be_written() {
    let (disk, mut writer) = writer(WhenFull::DropOldest, Sync::Never);
    append(&mut writer, b"one\n");
    let dir = writer.dir().to_owned();
    disk.arm(DiskFault { times: 9, ..broken(0) });
    let error = writer.finish(&Exit::default()).unwrap_err();
    assert!(matches!(error, FinishError::Exit { .. }), "{error}");
    let (found, end) = read(&disk, &dir);
    assert_eq!((found.len(), end), (1, Next::Interrupted));
}

#[test]
fn finishing_fails_where_the_disk_does_not_confirm() {
    let (disk, mut writer) = writer(WhenFull::DropOldest, Sync::Interval(Duration::from_secs(1)));
    append(&mut writer, b"one\n");
    let dir = writer.dir().to_owned();
    // The record's own sync goes well: reserve, temporary file, contents, sync, name.
    disk.arm(DiskFault { times: 9, ..broken(6) });
    let error = writer.finish(&Exit::default()).unwrap_err();
    assert!(matches!(error, FinishError::Sync { .. }), "{error}");
    assert!(disk.names(&dir).unwrap().iter().any(|name| name == EXIT));
}

#[test]
fn power_lost_at_any_point_of_finishing_is_accounted_for() {
    for after in 0.. {
        let (disk, mut writer) =
            writer(WhenFull::DropOldest, Sync::Interval(Duration::from_secs(1)));
        append(&mut writer, b"one\n");
        writer.tick(Instant::now());
        writer.tick(Instant::now() + Duration::from_secs(5));
        append(&mut writer, b"two\n");
        let dir = writer.dir().to_owned();
        disk.arm(DiskFault { after, times: 1, kind: FaultKind::Crash, share: 100 });
        let finished = writer.finish(&Exit::default());
        disk.mend();
        disk.lose_power(0, false);
        let (one, two) = (Read::Data(b"one\n".into()), Read::Data(b"two\n".into()));
        let (found, end) = read(&disk, &dir);
        match (end, found.len()) {
            (Next::Finished, _) if finished.is_ok() => {
                assert_eq!(found, [one, two]);
                assert!(after > 6);
                return;
            }
            (Next::Finished, 2) if found[1] != two => {
                assert_eq!(found, [one, Read::Gap(GapReason::Missing, 4, 0)]);
            }
            (Next::Finished, _) => assert_eq!(found, [one, two]),
            (_, length) => assert_eq!((end, length), (Next::Interrupted, 1)),
        }
    }
}

#[test]
fn a_crash_at_any_point_of_dropping_loses_no_count() {
    for after in 0.. {
        let (disk, mut writer) = writer(WhenFull::DropOldest, Sync::Never);
        let dir = writer.dir().to_owned();
        // Until something has been dropped twice, so that tombstones merge.
        while segments(&disk, &dir).unwrap().first() == Some(&0) {
            assert_eq!(append(&mut writer, &[b'x'; 500]), Append::Written);
        }
        disk.arm(DiskFault { after, times: 1, kind: FaultKind::Crash, share: 100 });
        let mut offset = writer.offset();
        for _ in 0..30 {
            append(&mut writer, &[b'x'; 500]);
            if !disk.is_crashed() {
                offset = writer.offset();
            }
        }
        let crashed = disk.is_crashed();
        drop(writer);
        disk.mend();
        let (found, end) = read(&disk, &dir);
        assert_eq!(end, Next::Interrupted);
        let bytes: u64 = found
            .iter()
            .map(|found| match found {
                Read::Data(payload) => payload.len() as u64,
                Read::Gap(reason, bytes, _) => {
                    assert_eq!(*reason, GapReason::DroppedOldest);
                    *bytes
                }
            })
            .sum();
        assert!(bytes == offset || bytes == offset + 500, "{bytes}, {offset}");
        if !crashed {
            assert!(after > 20);
            return;
        }
    }
}

#[test]
fn a_missing_segment_is_a_gap_of_its_bytes() {
    let (disk, mut writer) = writer(WhenFull::Block, Sync::Never);
    for _ in 0..50 {
        append(&mut writer, &[b'x'; 500]);
    }
    let dir = writer.dir().to_owned();
    disk.seen_by(User::Reader).remove(&dir.join(segment::file_name(1))).unwrap();
    let (found, _) = read(&disk, &dir);
    let gaps: Vec<_> = found.into_iter().filter(|found| matches!(found, Read::Gap(..))).collect();
    assert_eq!(gaps, [Read::Gap(GapReason::Missing, 15 * 500, 0)]);
}

#[test]
fn a_read_error_is_not_damage() {
    let (disk, mut writer) = writer(WhenFull::Block, Sync::Never);
    append(&mut writer, b"one\n");
    for times in 1..6 {
        let mut reader = SpoolReader::open_on(disk.seen_by(User::Reader), writer.dir(), 0).unwrap();
        disk.fail_reads(User::Reader, times);
        let mut payload = Vec::new();
        for _ in 0..times {
            let error = reader.next(&mut payload).unwrap_err();
            assert!(matches!(error, crate::spool::ReadError::Io { .. }), "{error}");
        }
        assert!(matches!(reader.next(&mut payload).unwrap(), Next::Frame(_)));
        assert_eq!(payload, b"one\n");
    }
}
