//! The pump between pipes, step by step: what goes to the sink, what to the tee, and when.

use std::cell::RefCell;
use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::rc::Rc;

use super::*;
use crate::redact::Redactor;

/// What a sink was given, in order, one string a call.
#[derive(Clone, Default)]
struct Record(Rc<RefCell<(Vec<String>, bool)>>);

impl Record {
    fn told(&self) -> Vec<String> {
        self.0.borrow().0.clone()
    }

    fn fill(&self, full: bool) {
        self.0.borrow_mut().1 = full;
    }
}

impl FrameSink for Record {
    fn append(&mut self, iostream: IoStream, _: Nanos, payload: &[u8]) -> bool {
        let (told, full) = &mut *self.0.borrow_mut();
        if !*full {
            told.push(format!("{} {}", iostream.as_str(), String::from_utf8_lossy(payload)));
        }
        !*full
    }

    fn note(&mut self, _: Nanos, note: Note) {
        self.0.borrow_mut().0.push(format!("{note:?}"));
    }

    fn has_room(&mut self) -> bool {
        !self.0.borrow().1
    }

    fn tick(&mut self, _: Instant) -> Option<Instant> {
        None
    }

    fn fault(&self) -> Option<String> {
        None
    }

    fn offset(&self) -> u64 {
        7
    }

    fn finish(self: Box<Self>, exit: &Exit) -> Result<(), FinishError> {
        self.0.borrow_mut().0.push(format!("finish {} {}", exit.bytes_captured, exit.masked));
        Ok(())
    }
}

const IDLE: Duration = Duration::from_secs(1);
const AGE: Duration = Duration::from_secs(2);

struct Bench {
    pump: Pump,
    record: Record,
    /// Ends of the step: stdout, stderr.
    step: Vec<PipeWriter>,
    now: Instant,
}

const STDOUT: Ready = Ready::Source(IoStream::Stdout);

impl Bench {
    fn new(tees: impl IntoIterator<Item = Tee>) -> Self {
        let redactor = Redactor::new([b"correct-horse".to_vec()], &[]).unwrap();
        let (now, record) = (Instant::now(), Record::default());
        let mut step = Vec::new();
        let sources = IoStream::ALL.into_iter().zip(tees).map(|(iostream, tee)| {
            let (read, write) = pipe().unwrap();
            step.push(write);
            Source { iostream, descriptor: read.into(), tee, mask: Mask::new(&redactor) }
        });
        let tempo =
            Tempo { read_bytes: 4 << 10, partial_idle: IDLE, partial_age: AGE, collect: true };
        let pump = Pump::new(sources.collect(), Box::new(record.clone()), tempo, now);
        Self { pump, record, step, now }
    }

    fn write(&mut self, text: &str) {
        self.step[0].write_all(text.as_bytes()).unwrap();
        self.pump.handle(STDOUT, self.now);
    }

    /// Lets time pass.
    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.pump.on_time(self.now);
    }

    fn waits_for(&self) -> Vec<Ready> {
        #[derive(Clone, Copy)]
        struct Token(Ready);
        impl From<Ready> for Token {
            fn from(ready: Ready) -> Self {
                Self(ready)
            }
        }
        let mut set = PollSet::<Token>::with_capacity(4);
        self.pump.watch(&mut set);
        let tokens: Vec<Ready> = set.tokens().map(|token| token.0).collect();
        tokens
    }
}

/// A tee into a pipe that is full to its last byte but the last page.
fn stuck_tee() -> (Tee, PipeReader) {
    let (read, write) = pipe().unwrap();
    let mut tee = Tee::to(write.as_fd());
    while tee.write(&[b'.'; 4096]) == 4096 {}
    (tee, read)
}

#[test]
fn a_block_becomes_a_frame_and_the_end_a_note() {
    let mut bench = Bench::new([Tee::nowhere()]);
    bench.write("one\ntwo\n");
    bench.step.clear();
    assert!(!bench.pump.is_done());
    bench.pump.handle(STDOUT, bench.now);
    assert!(bench.pump.is_done());
    let mut exit = Exit::default();
    bench.pump.finish(&mut exit).unwrap();
    assert_eq!((exit.bytes_captured, exit.bytes_spooled), (8, 7));
    assert_eq!(bench.record.told(), ["stdout one\ntwo\n", "Eof(Stdout)", "finish 8 0"]);
}

#[test]
fn quiet_in_a_line_is_noted_once() {
    let mut bench = Bench::new([Tee::nowhere()]);
    bench.write("whole\n");
    bench.pass(2 * IDLE);
    assert_eq!(bench.pump.due(bench.now), None);
    bench.write("name: ");
    assert_eq!(bench.pump.due(bench.now), Some(bench.now + IDLE));
    bench.pass(IDLE);
    bench.pass(IDLE);
    assert_eq!(bench.pump.due(bench.now), None);
    bench.write("x\n");
    assert_eq!(
        bench.record.told(),
        ["stdout whole\n", "stdout name: ", "Idle(Stdout)", "stdout x\n"]
    );
}

#[test]
fn a_line_that_never_pauses_is_noted_each_time_it_has_grown_old() {
    let mut bench = Bench::new([Tee::nowhere()]);
    let notes =
        |bench: &Bench| bench.record.told().iter().filter(|told| *told == "Idle(Stdout)").count();
    for _ in 0..100 {
        bench.write("\r 1%");
        bench.pass(IDLE / 10);
    }
    assert_eq!(notes(&bench), 5, "ten seconds");
    // Lines that end are not old, however they fall into reads.
    for _ in 0..100 {
        bench.write("end\nbegin ");
        bench.pass(IDLE / 10);
    }
    assert_eq!(notes(&bench), 5);
    assert_eq!(bench.pump.due(bench.now), Some(bench.now + IDLE / 10 * 9));
}

#[test]
fn bars_below_each_other_are_noted_though_they_hold_line_ends() {
    let mut bench = Bench::new([Tee::nowhere()]);
    for _ in 0..50 {
        bench.write("\n\r 1%\x1b[A");
        bench.pass(IDLE / 10);
    }
    bench.write("\n");
    bench.pass(IDLE);
    bench.pass(9 * IDLE);
    let told = bench.record.told();
    let notes: Vec<_> = (0..told.len()).filter(|at| told[*at] == "Idle(Stdout)").collect();
    assert_eq!(notes, [20, 41, 53], "twice while it goes on, and when it stands still");
    assert_eq!(bench.pump.due(bench.now), None);
}

#[test]
fn the_beginning_of_a_secret_waits_longer_than_a_prompt() {
    let mut bench = Bench::new([Tee::nowhere()]);
    bench.write("what? corr");
    bench.pass(IDLE);
    bench.write("correct-ho");
    bench.pass(IDLE);
    bench.pass(9 * IDLE);
    assert_eq!(
        bench.record.told(),
        ["stdout what? ", "stdout corr", "Idle(Stdout)", "stdout correct-ho", "Idle(Stdout)"]
    );
}

#[test]
fn a_secret_in_two_reads_is_masked_and_the_rest_comes_at_the_end() {
    let mut bench = Bench::new([Tee::nowhere()]);
    bench.write("a correct-");
    bench.write("horse b cor");
    bench.step.clear();
    bench.pump.handle(STDOUT, bench.now);
    let mut exit = Exit::default();
    bench.pump.finish(&mut exit).unwrap();
    assert_eq!(
        bench.record.told(),
        ["stdout a ", "stdout *** b ", "stdout cor", "Eof(Stdout)", "finish 21 1"]
    );
}

#[test]
fn a_full_sink_holds_the_stream_back_and_loses_nothing() {
    let mut bench = Bench::new([Tee::nowhere()]);
    bench.record.fill(true);
    bench.write("one\n");
    assert_eq!(bench.waits_for(), []);
    assert!(bench.pump.due(bench.now).is_some());
    bench.step[0].write_all(b"two\n").unwrap();
    bench.pump.handle(STDOUT, bench.now);
    bench.pass(ROOM_RETRY);
    assert_eq!(bench.record.told(), [""; 0]);
    bench.record.fill(false);
    bench.pass(ROOM_RETRY);
    assert_eq!(bench.waits_for(), [STDOUT]);
    bench.pump.handle(STDOUT, bench.now);
    assert_eq!(bench.record.told(), ["stdout one\n", "stdout two\n"]);
}

#[test]
fn a_stuck_tee_holds_back_its_stream_only_and_the_frame_is_kept_before() {
    let (tee, mut reader) = stuck_tee();
    let mut bench = Bench::new([tee, Tee::nowhere()]);
    let text = "x".repeat(4000);
    bench.write(&text);
    bench.write(&text);
    let written = bench.record.told().len();
    assert!((1..=2).contains(&written), "what waits for the reader is kept already");
    assert_eq!(bench.waits_for(), [Ready::Tee(IoStream::Stdout), Ready::Source(IoStream::Stderr)]);
    reader.read_exact(&mut [0; 16 << 10]).unwrap();
    bench.pump.handle(Ready::Tee(IoStream::Stdout), bench.now);
    assert_eq!(bench.waits_for(), [STDOUT, Ready::Source(IoStream::Stderr)]);
}

#[test]
fn a_stuck_tee_that_both_share_holds_back_both() {
    let (tee, _reader) = stuck_tee();
    let other = Tee::to(tee.descriptor().unwrap());
    let mut bench = Bench::new([tee, other]);
    bench.write(&"x".repeat(4000));
    bench.write(&"x".repeat(4000));
    assert_eq!(bench.waits_for(), [Ready::Tee(IoStream::Stdout)]);
    bench.pump.read_rest(bench.now);
    bench.pump.close();
    bench.pump.silence();
    assert!(bench.pump.is_done(), "whoever was told not to wait does not");
}

#[test]
fn bursts_of_small_reads_are_collected_but_a_mix_is_not() {
    let mut bench = Bench::new([Tee::nowhere(), Tee::nowhere()]);
    bench.pass(Duration::from_secs(1));
    for _ in 0..=BURST {
        bench.pass(Duration::from_micros(100));
        bench.write("line\n");
    }
    assert_eq!(bench.pump.due(bench.now), Some(bench.now + PACE));
    bench.pass(PACE);
    assert_eq!(bench.pump.due(bench.now), None);
    bench.step[1].write_all(b"error\n").unwrap();
    bench.pump.handle(Ready::Source(IoStream::Stderr), bench.now);
    bench.write("line\n");
    assert_eq!(bench.pump.due(bench.now), None, "the order of the two matters more");
}
