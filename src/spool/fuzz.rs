//! A spool of which a step could have written every byte, read.
//!
//! The input says frame by frame what is in the segments: right checksums, so that what follows them is reached, and
//! whatever else.

use std::path::Path;

use super::dir::EXIT;
use super::disk::{Disk as _, DiskFile as _};
use super::segment::{self, Header};
use super::simulated::{SimulatedDisk, User};
use super::{Frame, Kind, Next, ReadError, SpoolReader, frame};
use crate::fuzz::Input;
use crate::record::{Gap, Nanos};

/// No spool of such an input has more.
const MOST_FRAMES: usize = 20_000;

/// Whatever is in it, reading ends, and what is handed out has no hole and no byte twice.
pub(crate) fn frames(data: &[u8]) {
    let mut input = Input(data);
    let disk = SimulatedDisk::new(u64::MAX / 2);
    let dir = Path::new("/spool/w");
    disk.create_dir(dir).expect("a folder");
    let put = |name: &str, bytes: &[u8]| {
        let file = disk.create(&dir.join(name)).expect("a file");
        file.append([bytes, &[]]).expect("room");
    };
    let flags = input.byte();
    let from = if flags & 2 == 0 { 0 } else { u64::from(input.byte()) };
    if flags & 1 != 0 {
        let bytes = if flags & 4 == 0 { u64::from(input.byte()) } else { input.number() };
        put(EXIT, format!("{{\"bytes_spooled\":{bytes}}}").as_bytes());
    }
    let (mut number, mut offset, mut segment) = (0, 0_u64, Vec::new());
    segment.extend(Header { number, base: 0, time: Nanos(1) }.encode());
    while !input.is_empty() {
        let what = input.byte();
        match what % 8 {
            kind @ 0..=4 => {
                let kind = [Kind::Stdout, Kind::Stderr, Kind::Gap, Kind::Note, Kind::Position]
                    .into_iter()
                    .nth(usize::from(kind))
                    .expect("one of five");
                let shift = if what & 128 == 0 { 0 } else { i64::from(input.byte() as i8) };
                let payload = input.bytes();
                let at = offset.wrapping_add_signed(shift);
                segment.extend(frame::encode(kind, Nanos(i64::from(what)), at, payload));
                segment.extend_from_slice(payload);
                offset = at.wrapping_add(match kind {
                    Kind::Stdout | Kind::Stderr => payload.len() as u64,
                    Kind::Gap => frame::decode_gap(payload).map_or(0, |gap| gap.bytes),
                    Kind::Note | Kind::Position => 0,
                });
            }
            5 => offset = input.number(),
            6 => segment.extend_from_slice(input.bytes()),
            _ => {
                put(&segment::file_name(number), &std::mem::take(&mut segment));
                number += 1 + u32::from(what >> 6);
                let mut header = Header { number, base: offset, time: Nanos(2) }.encode();
                let (place, change) = (usize::from(input.byte()), input.byte());
                header.iter_mut().skip(place).take(1).for_each(|byte| *byte ^= change);
                segment.extend(header);
            }
        }
    }
    put(&segment::file_name(number), &segment);
    read(&mut SpoolReader::open_on(disk.seen_by(User::Reader), dir, from).expect("a folder"));
}

fn read(reader: &mut SpoolReader<SimulatedDisk>) {
    let mut payload = Vec::new();
    let mut first = true;
    for _ in 0..MOST_FRAMES {
        payload.clear();
        let before = reader.offset();
        match reader.next(&mut payload) {
            Ok(Next::Frame(frame)) => {
                assert_eq!(payload.len(), frame.len as usize);
                // The first may begin before the offset that was asked for.
                let begins =
                    frame.offset == before || (frame.kind.is_data() && frame.offset < before);
                assert!(begins, "at {before}: {frame:?}, first: {first}");
                assert_eq!(reader.offset(), end(&frame, &payload), "{frame:?}");
                assert!(reader.offset() >= before);
                first = false;
            }
            Ok(Next::Finished | Next::Interrupted) | Err(ReadError::Version { .. }) => return,
            other => panic!("nobody writes, and nothing fails: {other:?}"),
        }
    }
    panic!("no end");
}

fn end(frame: &Frame, payload: &[u8]) -> u64 {
    let gap = |payload| serde_json::from_slice::<Gap>(payload).expect("a gap");
    frame.offset
        + match frame.kind {
            Kind::Stdout | Kind::Stderr => u64::from(frame.len),
            Kind::Gap => gap(payload).bytes,
            Kind::Note | Kind::Position => 0,
        }
}
