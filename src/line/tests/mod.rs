//! The splitter against a model that looks at one byte at a time, and against itself: cut off
//! anywhere and taken up again, with the payload in any pieces and blocks of any size.

mod cases;
mod groups;
mod model;

use model::Model;
use proptest::prelude::*;

use super::*;
use crate::record::GapReason;
use crate::spool::{Frame, Kind};

#[derive(Clone, Debug)]
enum Event {
    Text(IoStream, Vec<u8>),
    Idle(IoStream),
    Eof(IoStream),
    Gap(u64),
}

/// A frame and its payload, as the spool hands them out.
type Fed = (Frame, Vec<u8>);

fn frames(events: &[Event]) -> Vec<Fed> {
    let mut offset = 0;
    let mut frames = Vec::new();
    for (index, event) in events.iter().enumerate() {
        // Now and then the clock jumps back.
        let time = Nanos(if index % 7 == 6 { 0 } else { index as i64 * 1_000_000_000 });
        let (kind, payload, length) = match event {
            Event::Text(iostream, text) => {
                let kind = if *iostream == IoStream::Stdout { Kind::Stdout } else { Kind::Stderr };
                (kind, text.clone(), text.len() as u64)
            }
            Event::Idle(iostream) => (Kind::Note, vec![0, *iostream as u8], 0),
            Event::Eof(iostream) => (Kind::Note, vec![1, *iostream as u8], 0),
            Event::Gap(bytes) => {
                let gap = Gap { bytes: *bytes, lines: 2, reason: GapReason::DroppedOldest };
                (Kind::Gap, serde_json::to_vec(&gap).unwrap(), *bytes)
            }
        };
        frames.push((Frame { kind, time, offset, len: payload.len() as u32 }, payload));
        offset += length;
    }
    frames
}

/// A line with all that is said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    seq: u64,
    text: Vec<u8>,
    line: Line,
}

fn seen(block: &Block) -> impl Iterator<Item = Seen> {
    block.lines.iter().zip(block.first_seq..).map(|(line, seq)| {
        let text = block.text(line).to_vec();
        // Where it stands in its block does not matter.
        let line = Line { start: 0, gap: line.gap.map(|_| 0), ..line.clone() };
        Seen { seq, text, line }
    })
}

/// Everything in one pass, in one block.
fn whole(settings: &Settings, frames: &[Fed]) -> (Vec<Seen>, Block) {
    let settings = Settings { block_bytes: 1 << 30, block_lines: 1 << 30, ..settings.clone() };
    let mut splitter = Splitter::new(settings, State::default());
    let mut block = Block::default();
    for (frame, payload) in frames {
        assert_eq!(splitter.push(frame, payload, &mut block, None), payload.len());
    }
    splitter.end(&mut block);
    (seen(&block).collect(), block)
}

/// What a pass does that is not whole.
#[derive(Clone, Debug)]
struct Course {
    /// Sizes of the pieces that payload is fed in, round and round.
    pieces: Vec<usize>,
    /// After so many calls, another splitter goes on from the state of this one; round and round.
    restarts: Vec<usize>,
}

/// In pieces, with restarts and small blocks.
fn interrupted(settings: &Settings, frames: &[Fed], course: &Course) -> (Vec<Seen>, u64) {
    let mut splitter = Splitter::new(settings.clone(), State::default());
    let mut block = Block::default();
    let (mut lines, mut raw_bytes) = (Vec::new(), 0);
    let mut pieces = course.pieces.iter().cycle();
    let mut restarts = course.restarts.iter().cycle();
    let mut left = *restarts.next().unwrap();
    let mut queue: Vec<&Fed> = frames.iter().rev().collect();
    let mut rest: &[u8] = &[];
    let mut current: Option<&Frame> = None;
    loop {
        if rest.is_empty() {
            let Some((frame, payload)) = queue.pop() else { break };
            (current, rest) = (Some(frame), payload);
        }
        let frame = current.unwrap();
        let is_text = matches!(frame.kind, Kind::Stdout | Kind::Stderr);
        // A piece is the beginning of a shorter frame, so only whole rests and cut frames are fed.
        let length = if is_text { (*pieces.next().unwrap()).min(rest.len()) } else { rest.len() };
        let start = frame.offset + (u64::from(frame.len) - rest.len() as u64);
        let piece =
            if is_text { Frame { offset: start, len: length as u32, ..*frame } } else { *frame };
        let taken = splitter.push(&piece, &rest[..length], &mut block, None);
        rest = &rest[taken..];
        let full = taken < length;
        if full {
            assert!(!block.lines.is_empty(), "full and empty");
        }
        left -= 1;
        let restart = left == 0;
        if full || restart {
            lines.extend(seen(&block));
            raw_bytes += block.raw_bytes;
            block.clear();
        }
        if restart {
            left = *restarts.next().unwrap();
            let json = serde_json::to_string(&splitter.state()).unwrap();
            let state: State = serde_json::from_str(&json).unwrap();
            assert_eq!(state, splitter.state());
            let from = state.resume_offset();
            let next = frames.iter().filter(|fed| reaches(fed, from));
            queue = next.collect();
            queue.reverse();
            rest = &[];
            splitter = Splitter::new(settings.clone(), state);
            // Where reading goes on must not move back without need.
            assert_eq!(splitter.state().resume_offset(), from);
        }
    }
    splitter.end(&mut block);
    lines.extend(seen(&block));
    (lines, raw_bytes + block.raw_bytes)
}

/// Whether the spool hands out a frame when it is read from an offset.
fn reaches((frame, payload): &Fed, from: u64) -> bool {
    match frame.kind {
        Kind::Stdout | Kind::Stderr => frame.offset + u64::from(frame.len) > from,
        Kind::Note => frame.offset >= from,
        Kind::Position => false,
        Kind::Gap => {
            let gap: Gap = serde_json::from_slice(payload).unwrap();
            frame.offset + gap.bytes > from
        }
    }
}

/// What a stream said: its lines' texts and ends, one after the other.
fn raw(lines: &[Seen], iostream: IoStream) -> Vec<u8> {
    let mut raw = Vec::new();
    for seen in
        lines.iter().filter(|seen| seen.line.iostream == iostream && seen.line.gap.is_none())
    {
        raw.extend_from_slice(&seen.text);
        raw.extend_from_slice(match seen.line.eol {
            Eol::Lf => b"\n",
            Eol::CrLf => b"\r\n",
            Eol::None => b"",
        });
    }
    raw
}

fn iostream() -> impl Strategy<Value = IoStream> {
    prop::sample::select(IoStream::ALL.to_vec())
}

/// Text of everything that makes lines difficult.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<&'static [u8]> = vec![
        b"\n",
        b"\n",
        b"\n",
        b"\r",
        b"\r\n",
        b"a",
        b"bc",
        b"word ",
        b"0123456789abcdef",
        b"\0",
        "ä".as_bytes(),
        "█▊".as_bytes(),
        "😀".as_bytes(),
        b"\xe2\x96",
        b"\x80",
        b"\xff",
        b"\x1b[31m",
        b"\x1b[0m",
        b"\x1b[",
        b"\x1b[A",
        b"\x1b[3A",
        b"\n\r 10%\x1b[A",
        b"A",
        b"\x1b",
        b"]8;;u\x07",
        b"\\",
        b"ERROR: no\n",
        b"Traceback (most recent call last):\n",
        b"  File \"x.py\", line 1\n",
        b"ValueError: x\n",
        b"During handling of the above exception, another",
        b"panic: x\n",
        b"goroutine 1 [running]:\n",
    ];
    prop::collection::vec(prop::sample::select(pieces), 1..12).prop_map(|pieces| pieces.concat())
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => (iostream(), text()).prop_map(|(iostream, text)| Event::Text(iostream, text)),
        3 => iostream().prop_map(Event::Idle),
        1 => (1u64..500).prop_map(Event::Gap),
        1 => iostream().prop_map(Event::Eof),
    ]
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    (prop::collection::vec(event(), 0..30), any::<bool>(), any::<bool>()).prop_map(
        |(mut events, stdout, stderr)| {
            events.extend(stdout.then_some(Event::Eof(IoStream::Stdout)));
            events.extend(stderr.then_some(Event::Eof(IoStream::Stderr)));
            events
        },
    )
}

fn settings() -> impl Strategy<Value = Settings> {
    (16usize..60, 1usize..200, 1usize..12, any::<bool>(), 1u32..6, 0u64..20_000).prop_map(
        |(
            max_line_bytes,
            block_bytes,
            block_lines,
            multiline,
            max_group_lines,
            group_timeout_ms,
        )| {
            Settings {
                max_line_bytes,
                multiline,
                max_group_lines,
                group_timeout_ms,
                block_bytes,
                block_lines,
            }
        },
    )
}

fn course() -> impl Strategy<Value = Course> {
    (prop::collection::vec(1usize..40, 1..8), prop::collection::vec(1usize..60, 1..8))
        .prop_map(|(pieces, restarts)| Course { pieces, restarts })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn lines_are_those_of_the_model(events in events(), settings in settings()) {
        let frames = frames(&events);
        let (lines, _) = whole(&settings, &frames);
        let model = Model::run(settings.max_line_bytes, &frames);
        let found: Vec<_> = lines.iter().map(|seen| {
            let text = if seen.line.gap.is_some() { b"gap".to_vec() } else { seen.text.clone() };
            (seen.line.iostream, text, seen.line.eol, seen.line.time, seen.line.part)
        }).collect();
        prop_assert_eq!(found, model.lines);
        for (index, seen) in lines.iter().enumerate() {
            prop_assert_eq!(seen.seq, index as u64);
        }
    }

    #[test]
    fn nothing_is_lost(events in events(), settings in settings()) {
        let frames = frames(&events);
        let (lines, block) = whole(&settings, &frames);
        let mut total = 0;
        for iostream in IoStream::ALL {
            let input: Vec<u8> = events.iter().filter_map(|event| match event {
                Event::Text(of, text) if *of == iostream => Some(text.as_slice()),
                _ => None,
            }).collect::<Vec<_>>().concat();
            total += input.len() as u64;
            prop_assert_eq!(raw(&lines, iostream), input);
        }
        prop_assert_eq!(block.raw_bytes, total);
        let lost: u64 = block.gaps.iter().map(|gap| gap.bytes).sum();
        let expected: u64 = events.iter().map(|event| if let Event::Gap(bytes) = event { *bytes } else { 0 }).sum();
        prop_assert_eq!(lost, expected);
    }

    #[test]
    fn restarts_and_pieces_do_not_show(events in events(), settings in settings(), course in course()) {
        let frames = frames(&events);
        let (expected, block) = whole(&settings, &frames);
        // A restart after every call makes no progress; the model's restarts leave room for some.
        let steps: usize = frames.iter().map(|(_, payload)| payload.len()).sum::<usize>() + 10;
        let mut course = course;
        course.restarts.push(steps * 3);
        let (found, raw_bytes) = interrupted(&settings, &frames, &course);
        prop_assert_eq!(found, expected);
        prop_assert_eq!(raw_bytes, block.raw_bytes);
    }

    #[test]
    fn a_cut_at_any_line_can_be_resumed(events in events(), settings in settings()) {
        let frames = frames(&events);
        let (expected, _) = whole(&settings, &frames);
        let settings = Settings { block_bytes: 1 << 20, block_lines: 1 << 20, ..settings };
        for limit in 0..=expected.len() as u64 {
            let mut splitter = Splitter::new(settings.clone(), State::default());
            let mut block = Block::default();
            'first: for (frame, payload) in &frames {
                let mut rest = payload.as_slice();
                while !rest.is_empty() {
                    let taken = splitter.push(frame, rest, &mut block, Some(limit));
                    if taken == 0 && splitter.state().seq >= limit {
                        break 'first;
                    }
                    rest = &rest[taken..];
                }
            }
            prop_assert!(block.next_seq() <= limit);
            let mut found: Vec<Seen> = seen(&block).collect();
            let state = splitter.state();
            let mut splitter = Splitter::new(settings.clone(), state.clone());
            let mut block = Block::default();
            for (frame, payload) in frames.iter().filter(|fed| reaches(fed, state.resume_offset())) {
                prop_assert_eq!(splitter.push(frame, payload, &mut block, None), payload.len());
            }
            splitter.end(&mut block);
            found.extend(seen(&block));
            prop_assert_eq!(&found, &expected, "cut at {}", limit);
        }
    }

    #[test]
    fn parts_break_no_character(text in "[a-zäß█😀\u{1b}]{1,200}", max in 16usize..40) {
        let settings = Settings { max_line_bytes: max, ..Settings::default() };
        let event = Event::Text(IoStream::Stdout, text.clone().into_bytes());
        let (lines, _) = whole(&settings, &frames(&[event]));
        for seen in &lines {
            prop_assert!(std::str::from_utf8(&seen.text).is_ok());
            prop_assert!(seen.text.len() <= max);
        }
        prop_assert_eq!(lines.last().unwrap().line.part.is_none_or(|part| part.last), true);
    }
}
