//! The splitter's rules, applied to one byte at a time.

use super::super::*;
use super::Fed;
use crate::spool::Kind;

pub(super) type ModelLine = (IoStream, Vec<u8>, Eol, Nanos, Option<Part>);

#[derive(Default)]
struct ModelStream {
    content: Vec<(u8, Nanos)>,
    open: Option<(u64, u32)>,
    /// Rows above the lowest, at the beginning of `content`.
    above: u32,
    /// `content` ends in what is the line's end unless the next byte draws on.
    held: bool,
}

/// One byte at a time.
#[derive(Default)]
pub(super) struct Model {
    streams: [ModelStream; 2],
    pub(super) lines: Vec<ModelLine>,
    last_time: Nanos,
}

impl Model {
    pub(super) fn run(max: usize, frames: &[Fed]) -> Self {
        let mut model = Self::default();
        for (frame, payload) in frames {
            match frame.kind {
                Kind::Stdout => model.text(max, IoStream::Stdout, frame.time, payload),
                Kind::Stderr => model.text(max, IoStream::Stderr, frame.time, payload),
                Kind::Gap => {
                    model.close(IoStream::Stdout);
                    model.close(IoStream::Stderr);
                    model.last_time = model.last_time.max(frame.time);
                    let (text, time) = (b"gap".to_vec(), model.last_time);
                    model.lines.push((IoStream::Stdout, text, Eol::None, time, None));
                }
                Kind::Position => {}
                Kind::Note => {
                    let iostream = IoStream::ALL[usize::from(payload[1])];
                    if payload[0] == 1 {
                        model.close(iostream);
                        continue;
                    }
                    let content = model.streams[iostream as usize].content.clone();
                    let bytes: Vec<u8> = content.iter().map(|(byte, _)| *byte).collect();
                    if model.streams[iostream as usize].held {
                        model.end(iostream);
                        continue;
                    }
                    let cut = cut::boundary(&bytes);
                    if cut > 0 {
                        model.emit(iostream, cut, 0, Eol::None, true, Nanos(0));
                    }
                }
            }
        }
        model.close(IoStream::Stdout);
        model.close(IoStream::Stderr);
        model
    }

    fn text(&mut self, max: usize, iostream: IoStream, time: Nanos, payload: &[u8]) {
        for byte in payload {
            if self.streams[iostream as usize].held {
                if b"\r\n\x1b".contains(byte) {
                    self.streams[iostream as usize].held = false;
                    self.cut_if_longer(max, iostream, 0, time);
                } else {
                    self.end(iostream);
                }
            }
            let stream = &mut self.streams[iostream as usize];
            let before: Vec<u8> = stream.content.iter().map(|(byte, _)| *byte).collect();
            let content = &mut stream.content;
            if *byte == b'\n' && rows::above(&before, stream.above) > 0 {
                content.push((*byte, time));
                stream.held = true;
                continue;
            }
            if *byte == b'\n' {
                let carriage = matches!(content.last(), Some((b'\r', _)));
                let length = content.len() - usize::from(carriage);
                let eol = if carriage { Eol::CrLf } else { Eol::Lf };
                self.emit(iostream, length, usize::from(carriage), eol, false, time);
                continue;
            }
            content.push((*byte, time));
            self.cut_if_longer(max, iostream, usize::from(*byte == b'\r'), time);
        }
    }

    fn cut_if_longer(&mut self, max: usize, iostream: IoStream, end: usize, time: Nanos) {
        let content = &self.streams[iostream as usize].content;
        if content.len() - end > max {
            let bytes: Vec<u8> = content[..max].iter().map(|(byte, _)| *byte).collect();
            self.emit(iostream, cut::long_line(&bytes), 0, Eol::None, true, time);
        }
    }

    /// The line ends at the line end that was held.
    fn end(&mut self, iostream: IoStream) {
        let content = &self.streams[iostream as usize].content;
        let length = content.len() - 1;
        let carriage = length > 0 && content[length - 1].0 == b'\r';
        let eol = if carriage { Eol::CrLf } else { Eol::Lf };
        let length = length - usize::from(carriage);
        self.emit(iostream, length, usize::from(carriage) + 1, eol, false, Nanos(0));
    }

    fn close(&mut self, iostream: IoStream) {
        let length = self.streams[iostream as usize].content.len();
        if self.streams[iostream as usize].held {
            self.end(iostream);
        } else if length > 0 {
            self.emit(iostream, length, 0, Eol::None, false, Nanos(0));
        }
        self.streams[iostream as usize].above = 0;
        self.streams[iostream as usize].open = None;
    }

    fn emit(
        &mut self,
        iostream: IoStream,
        length: usize,
        more_taken: usize,
        eol: Eol,
        more: bool,
        now: Nanos,
    ) {
        let stream = &mut self.streams[iostream as usize];
        let time = stream.content.first().map_or(now, |(_, time)| *time).max(self.last_time);
        self.last_time = time;
        let rest = stream.content.split_off(length + more_taken);
        let text: Vec<u8> = stream.content[..length].iter().map(|(byte, _)| *byte).collect();
        stream.content = rest;
        stream.above = if more { rows::above(&text, stream.above) } else { 0 };
        stream.held = false;
        let seq = self.lines.len() as u64;
        let part = match (&mut stream.open, more) {
            (None, false) => None,
            (None, true) => {
                stream.open = Some((seq, 1));
                Some(Part { line: seq, number: 1, last: false })
            }
            (Some((line, number)), _) => {
                *number += 1;
                Some(Part { line: *line, number: *number, last: !more })
            }
        };
        if !more {
            stream.open = None;
        }
        self.lines.push((iostream, text, eol, time, part));
    }
}
