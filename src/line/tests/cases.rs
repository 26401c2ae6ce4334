//! The splitter's rules, one by one.

use super::super::*;
use super::{Event, frames, whole};
use crate::spool::{Frame, Kind};

/// A text, its end, and which part of a line it is.
type Expected<'a> = (&'a str, Eol, Option<(u32, bool)>);

fn check(settings: &Settings, events: &[Event], expected: &[Expected<'_>]) {
    let (lines, _) = whole(settings, &frames(events));
    let found: Vec<_> = lines
        .iter()
        .map(|seen| {
            let part = seen.line.part.map(|part| (part.number, part.last));
            (String::from_utf8_lossy(&seen.text).into_owned(), seen.line.eol, part)
        })
        .collect();
    let expected: Vec<_> =
        expected.iter().map(|(text, eol, part)| ((*text).to_owned(), *eol, *part)).collect();
    assert_eq!(found, expected);
}

fn out(text: &str) -> Event {
    Event::Text(IoStream::Stdout, text.as_bytes().to_vec())
}

fn err(text: &str) -> Event {
    Event::Text(IoStream::Stderr, text.as_bytes().to_vec())
}

#[test]
fn line_ends() {
    check(
        &Settings::default(),
        &[out("a\nb\r\n\n\r\nc\rd\ne")],
        &[
            ("a", Eol::Lf, None),
            ("b", Eol::CrLf, None),
            ("", Eol::Lf, None),
            ("", Eol::CrLf, None),
            ("c\rd", Eol::Lf, None),
            ("e", Eol::None, None),
        ],
    );
}

#[test]
fn streams_are_cut_apart() {
    check(
        &Settings::default(),
        &[out("one "), err("two\nthr"), out("more\n"), err("ee\n")],
        &[("two", Eol::Lf, None), ("one more", Eol::Lf, None), ("three", Eol::Lf, None)],
    );
}

#[test]
fn an_idle_prompt_is_a_part() {
    let idle = Event::Idle(IoStream::Stdout);
    check(
        &Settings::default(),
        &[out("Name: "), idle.clone(), idle.clone(), out("Ada\nx"), idle, out("\n")],
        &[
            ("Name: ", Eol::None, Some((1, false))),
            ("Ada", Eol::Lf, Some((2, true))),
            ("x", Eol::None, Some((1, false))),
            ("", Eol::Lf, Some((2, true))),
        ],
    );
}

#[test]
fn idle_waits_for_the_rest_of_a_character() {
    let text = |bytes: &[u8]| Event::Text(IoStream::Stdout, bytes.to_vec());
    check(
        &Settings::default(),
        &[text(b"10% \xe2\x96"), Event::Idle(IoStream::Stdout), text(b"\x88\n")],
        &[("10% ", Eol::None, Some((1, false))), ("█", Eol::Lf, Some((2, true)))],
    );
}

#[test]
fn long_lines_are_parts() {
    let settings = Settings { max_line_bytes: 16, ..Settings::default() };
    check(
        &settings,
        &[
            out("0123456789abcdef\r\n0123456789abcdefg\n"),
            out("0123456789abcd"),
            out("éé\r"),
            out("\n"),
        ],
        &[
            ("0123456789abcdef", Eol::CrLf, None),
            ("0123456789abcdef", Eol::None, Some((1, false))),
            ("g", Eol::Lf, Some((2, true))),
            ("0123456789abcdé", Eol::None, Some((1, false))),
            ("é", Eol::CrLf, Some((2, true))),
        ],
    );
    check(
        &settings,
        &[out("0123456789abc\x1b[31mred\n")],
        &[
            ("0123456789abc", Eol::None, Some((1, false))),
            ("\x1b[31mred", Eol::Lf, Some((2, true))),
        ],
    );
}

#[test]
fn bars_below_each_other_are_one_line() {
    // As tqdm writes them, each move and each bar by itself.
    let mut events = vec![out("\r outer 0")];
    for step in 1..=100 {
        events.push(out("\n"));
        events.push(out(&format!("\r inner {step}")));
        events.push(out("\x1b[A"));
        events.push(out(&format!("\r outer {step}")));
    }
    events.extend([out("\n"), out("done\n")]);
    let (lines, _) = whole(&Settings::default(), &frames(&events));
    let texts: Vec<_> = lines.iter().map(|seen| String::from_utf8_lossy(&seen.text)).collect();
    // Nothing tells of the first line end that it will be drawn over.
    assert_eq!((texts.len(), &*texts[0], &*texts[2]), (3, "\r outer 0", "done"));
    assert!(texts[1].starts_with("\r inner 1\x1b[A") && texts[1].ends_with("\r outer 100"));
    assert_eq!((lines[1].line.eol, lines[1].line.part), (Eol::Lf, None));
}

#[test]
fn text_below_bars_is_a_line_and_so_is_what_stands_still() {
    let idle = Event::Idle(IoStream::Stdout);
    check(
        &Settings::default(),
        &[
            out("\rinner\x1b[A\router\nTraceback (most recent call last):\n"),
            out("\rinner\x1b[A\router\r\n"),
            idle.clone(),
            out("\rnext\x1b[2A"),
            idle.clone(),
            out("\n\n\rnext\n\nlast\x1b[A\n"),
        ],
        &[
            ("\rinner\x1b[A\router", Eol::Lf, None),
            ("Traceback (most recent call last):", Eol::Lf, None),
            ("\rinner\x1b[A\router", Eol::CrLf, None),
            ("\rnext\x1b[2A", Eol::None, Some((1, false))),
            ("\n\n\rnext", Eol::Lf, Some((2, true))),
            ("", Eol::Lf, None),
            ("last\x1b[A", Eol::Lf, None),
        ],
    );
}

#[test]
fn a_gap_is_a_line_and_ends_the_lines_before_it() {
    check(
        &Settings::default(),
        &[out("abc"), err("def"), Event::Gap(1234), out("ghi\n")],
        &[
            ("abc", Eol::None, None),
            ("def", Eol::None, None),
            (
                "[steplog] 1,234 bytes (2 lines) lost: the spool was full (drop_oldest)",
                Eol::None,
                None,
            ),
            ("ghi", Eol::Lf, None),
        ],
    );
}

#[test]
fn what_a_gap_swallowed_meanwhile_is_not_counted_twice() {
    // Half a line of stdout, then lines of stderr; the splitter is replaced, and finds that the
    // spool dropped all of it and 100 bytes more.
    let fed = frames(&[out("pending"), err("one\ntwo\n")]);
    let mut splitter = Splitter::new(Settings::default(), State::default());
    let mut block = Block::default();
    for (frame, payload) in &fed {
        splitter.push(frame, payload, &mut block, None);
    }
    let state = splitter.state();
    assert_eq!((state.resume_offset(), state.position, state.stdout.pending), (0, 15, 7));
    let mut splitter = Splitter::new(Settings::default(), state);
    let gap = frames(&[Event::Gap(115)]);
    block.clear();
    for (frame, payload) in &gap {
        assert_eq!(splitter.push(frame, payload, &mut block, None), payload.len());
    }
    assert_eq!(block.gaps[0].bytes, 107);
    assert_eq!(splitter.state().resume_offset(), 115);
    assert_eq!(splitter.state().stdout.pending, 0);
}

#[test]
fn a_quiet_stream_does_not_hold_the_spool() {
    let mut splitter = Splitter::new(Settings::default(), State::default());
    let mut block = Block::default();
    for (frame, payload) in &frames(&[out("a\nb\n"), out("c\n")]) {
        splitter.push(frame, payload, &mut block, None);
    }
    assert_eq!(splitter.state().resume_offset(), 6);
}

#[test]
fn errors_are_counted_until_asked() {
    let mut splitter = Splitter::new(Settings::default(), State::default());
    let mut block = Block::default();
    for (frame, payload) in &frames(&[out("ERROR: a\nfine\nCRITICAL: b\n"), err("plain\n")]) {
        splitter.push(frame, payload, &mut block, None);
    }
    assert_eq!((splitter.urgent(), splitter.urgent()), (2, 0));
}

#[test]
fn an_extremely_long_line_is_kept_whole_in_bounded_memory() {
    let settings = Settings { max_line_bytes: 1000, block_bytes: 5000, ..Settings::default() };
    let mut splitter = Splitter::new(settings, State::default());
    let payload = vec![b'x'; 100_000];
    let frame = Frame { kind: Kind::Stdout, time: Nanos(1), offset: 0, len: 100_000 };
    let mut block = Block::default();
    let (mut rest, mut parts, mut bytes) = (payload.as_slice(), 0, 0);
    while !rest.is_empty() {
        let taken = splitter.push(&frame, rest, &mut block, None);
        rest = &rest[taken..];
        assert!(block.bytes.len() <= 6000);
        parts += block.lines.len();
        bytes += block.raw_bytes;
        block.clear();
    }
    splitter.end(&mut block);
    assert_eq!((parts + block.lines.len(), bytes + block.raw_bytes), (100, 100_000));
}
