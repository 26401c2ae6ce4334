//! Frames of any content, cut into lines: at once, and in small blocks by one splitter after the other.

use super::{Block, Line, Settings, Splitter, State};
use crate::fuzz::Input;
use crate::record::{Gap, GapReason, Nanos};
use crate::spool::{Frame, Kind};

/// The same lines come out however the work is divided, and every byte is in one of them.
pub(crate) fn lines(data: &[u8]) {
    let mut input = Input(data);
    let settings = Settings {
        max_line_bytes: 16 + usize::from(input.byte()),
        multiline: input.byte() & 1 == 0,
        max_group_lines: 2 + u32::from(input.byte() & 15),
        group_timeout_ms: 2000,
        block_bytes: 1 << 30,
        block_lines: 1 << 30,
    };
    let small = Settings {
        block_bytes: settings.max_line_bytes + usize::from(input.byte()),
        block_lines: 1 + usize::from(input.byte() & 7),
        ..settings.clone()
    };
    let fed = feed(&mut input);

    let mut splitter = Splitter::new(settings, State::default());
    let mut whole = Block::default();
    for (frame, payload) in &fed {
        assert_eq!(splitter.push(frame, payload, &mut whole, None), payload.len());
    }
    splitter.end(&mut whole);
    let text = |(frame, payload): &(Frame, Vec<u8>)| {
        if frame.kind.is_data() { payload.len() as u64 } else { 0 }
    };
    assert_eq!(whole.raw_bytes, fed.iter().map(text).sum::<u64>());
    let mut expected = Vec::new();
    take(&mut whole, &mut expected);
    assert_eq!(divided(&small, &fed), expected);
}

fn feed(input: &mut Input<'_>) -> Vec<(Frame, Vec<u8>)> {
    let (mut fed, mut offset) = (Vec::new(), 0);
    while !input.is_empty() {
        let what = input.byte();
        let time = Nanos(i64::from(what >> 3) * 1_000_000_000);
        let (kind, payload, length) = match what & 7 {
            0..=3 => (Kind::Stdout, input.bytes().to_vec(), None),
            4 | 5 => (Kind::Stderr, input.bytes().to_vec(), None),
            6 => (Kind::Note, vec![input.byte(), input.byte()], Some(0)),
            _ => {
                let bytes = 1 + u64::from(input.byte());
                let gap = Gap { bytes, lines: 1, reason: GapReason::Corrupt };
                (Kind::Gap, serde_json::to_vec(&gap).expect("JSON"), Some(bytes))
            }
        };
        let length = length.unwrap_or(payload.len() as u64);
        fed.push((Frame { kind, time, offset, len: payload.len() as u32 }, payload));
        offset += length;
    }
    fed
}

/// Whenever a block is full another splitter goes on where the state says.
fn divided(settings: &Settings, fed: &[(Frame, Vec<u8>)]) -> Vec<(u64, Vec<u8>, Line)> {
    let mut splitter = Splitter::new(settings.clone(), State::default());
    let (mut block, mut lines) = (Block::default(), Vec::new());
    let (mut at, mut taken) = (0, 0);
    while let Some((frame, payload)) = fed.get(at) {
        let rest = payload.get(taken..).unwrap_or_default();
        taken += splitter.push(frame, rest, &mut block, None);
        if taken == payload.len() {
            (at, taken) = (at + 1, 0);
            continue;
        }
        assert!(!block.lines.is_empty(), "full and empty");
        take(&mut block, &mut lines);
        let state = serde_json::to_vec(&splitter.state()).expect("JSON");
        let state: State = serde_json::from_slice(&state).expect("a state");
        let from = state.resume_offset();
        let reached = |(frame, payload): &(Frame, Vec<u8>)| match frame.kind {
            Kind::Stdout | Kind::Stderr => frame.offset + payload.len() as u64 > from,
            Kind::Gap => fed_bytes(payload) + frame.offset > from,
            Kind::Note | Kind::Position => frame.offset >= from,
        };
        (at, taken) = (fed.iter().position(reached).unwrap_or(fed.len()), 0);
        splitter = Splitter::new(settings.clone(), state);
    }
    splitter.end(&mut block);
    take(&mut block, &mut lines);
    lines
}

fn fed_bytes(payload: &[u8]) -> u64 {
    serde_json::from_slice::<Gap>(payload).expect("a gap").bytes
}

/// Where a line stands in its block does not matter.
fn take(block: &mut Block, lines: &mut Vec<(u64, Vec<u8>, Line)>) {
    for (line, seq) in block.lines.iter().zip(block.first_seq..) {
        let same = Line { start: 0, gap: line.gap.map(|_| 0), ..line.clone() };
        lines.push((seq, block.text(line).to_vec(), same));
    }
    block.clear();
}
