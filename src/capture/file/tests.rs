//! One story a test, with real files: what happens to them, and what comes out.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

const LINGER: Duration = Duration::from_secs(5);

/// A folder with a followed path in it.
struct Story {
    dir: tempfile::TempDir,
    settings: Settings,
    follower: Follower,
    buffer: Buffer,
    now: Instant,
    position: Option<Position>,
}

impl Story {
    fn new(settings: Settings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings { root: Some(dir.path().to_owned()), linger: LINGER, ..settings };
        let follower = Follower::new(dir.path().join("x.log"), settings.clone()).unwrap();
        Self {
            dir,
            settings,
            follower,
            buffer: Buffer::new(4096),
            now: Instant::now(),
            position: None,
        }
    }

    /// It was written to last so long after the beginning of time.
    fn age(&self, name: &str, seconds: u64) {
        let file = OpenOptions::new().write(true).open(self.path(name)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn append(&self, name: &str, text: impl AsRef<[u8]>) {
        let mut file = OpenOptions::new().append(true).create(true).open(self.path(name)).unwrap();
        file.write_all(text.as_ref()).unwrap();
    }

    /// Makes a file at a moment that its file system can tell from that of another.
    fn make_later(&self, name: &str, than: &str) {
        let born = |name| fs::metadata(self.path(name)).unwrap().created().unwrap();
        loop {
            File::create(self.path(name)).unwrap();
            if born(name) > born(than) {
                return;
            }
            fs::remove_file(self.path(name)).unwrap();
        }
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    fn gzip(&self, from: &str, to: &str) {
        gzip(&self.path(from), &self.path(to));
        fs::remove_file(self.path(from)).unwrap();
    }

    /// Reads until nothing is there: all bytes, gaps as `<gap 5>`, and the last answer.
    fn read(&mut self, take: Take) -> (String, Read) {
        let mut text = String::new();
        loop {
            match self.follower.read(&mut self.buffer, take, self.now).unwrap() {
                Read::Block(block) => {
                    text += std::str::from_utf8(self.buffer.bytes(&block)).unwrap();
                    self.position = Some(block.position());
                }
                Read::Gap(gap) => text += &format!("<gap {} {:?}>", gap.bytes, gap.reason),
                last => return (text, last),
            }
        }
    }

    #[track_caller]
    fn check(&mut self, expected: &str) {
        assert_eq!(self.read(Take::Lines).0, expected);
    }

    /// What is there, and what comes once renamed files have been left.
    #[track_caller]
    fn check_later(&mut self, expected: &str) {
        let mut text = String::new();
        for _ in 0..5 {
            text += &self.read(Take::Lines).0;
            self.now += LINGER;
        }
        assert_eq!(text, expected);
    }

    #[track_caller]
    fn check_presence(&mut self, partial: u64, presence: Presence) {
        assert_eq!(self.read(Take::Lines), (String::new(), Read::Idle(Idle { partial, presence })));
    }

    /// A new process goes on at the last position, of whose bytes so many have arrived.
    fn restart(&mut self, arrived: u64) {
        let position = serde_json::to_string(&self.position.unwrap()).unwrap();
        let position = serde_json::from_str(&position).unwrap();
        self.follower =
            Follower::resume(self.path("x.log"), self.settings.clone(), &position, arrived)
                .unwrap();
    }
}

fn gzip(from: &Path, to: &Path) {
    let mut encoder = GzEncoder::new(File::create(to).unwrap(), Compression::fast());
    encoder.write_all(&fs::read(from).unwrap()).unwrap();
    encoder.finish().unwrap();
}

/// What copytruncate does.
fn copy_and_truncate(story: &Story, from: &str, to: &str) {
    fs::copy(story.path(from), story.path(to)).unwrap();
    truncate(&story.path(from), 0);
}

fn truncate(path: &Path, size: u64) {
    OpenOptions::new().write(true).open(path).unwrap().set_len(size).unwrap();
}

fn story() -> Story {
    Story::new(Settings::default())
}

#[test]
fn whole_lines_come_at_once_and_the_rest_when_asked_for() {
    let mut story = story();
    story.check_presence(0, Presence::Missing);
    story.append("x.log", "one\ntwo\n123");
    story.check("one\ntwo\n");
    story.check_presence(3, Presence::Live);
    assert_eq!(story.follower.lag(), 3);
    story.append("x.log", "4");
    story.check_presence(4, Presence::Live);
    assert_eq!(story.read(Take::Everything).0, "1234");
    story.append("x.log", "5\n");
    story.check("5\n");
    story.check_presence(0, Presence::Live);
    assert_eq!(story.follower.counts(), Counts::default());
}

#[test]
fn a_line_longer_than_the_buffer_comes_in_pieces() {
    let mut story = story();
    let long = "x".repeat(10_000) + "\nshort\n";
    story.append("x.log", &long);
    story.check(&long);
}

#[test]
fn an_idle_file_is_only_looked_at() {
    let mut story = story();
    story.append("x.log", "one\n");
    story.check("one\n");
    let file = OpenOptions::new().write(true).open(story.path("x.log")).unwrap();
    let long_ago = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    file.set_modified(long_ago).unwrap();
    story.check_presence(0, Presence::Live);
    // The same size and time: nothing says that there is something to read.
    file.write_at(b"two\n", 0).unwrap();
    file.set_modified(long_ago).unwrap();
    story.check_presence(0, Presence::Live);
    file.set_modified(long_ago + Duration::from_secs(1)).unwrap();
    story.check("two\n");
}

#[test]
fn begin_at_the_end_or_with_the_oldest() {
    let mut oldest = Story::new(Settings { start: Start::Oldest, ..Settings::default() });
    oldest.append("x.log.2", "one\n");
    oldest.gzip("x.log.2", "x.log.2.gz");
    oldest.append("x.log.1", "two\n");
    oldest.append("x.log", "three\n");
    oldest.append("x-2.log", "another step's\n");
    oldest.check_later("one\ntwo\nthree\n");

    let mut story = story();
    story.append("x.log", "one\n");
    let settings = Settings { start: Start::End, ..story.settings.clone() };
    story.follower = Follower::new(story.path("x.log"), settings).unwrap();
    story.append("x.log", "two\n");
    story.check("two\n");
}

#[test]
fn a_renamed_file_is_read_to_its_end_and_a_while_longer() {
    let mut story = story();
    story.append("x.log", "one\n");
    story.check("one\n");
    story.append("x.log", "two\n");
    story.rename("x.log", "x.log.1");
    story.append("x.log", "new\n");
    story.check("two\n");
    story.check_presence(0, Presence::Rotated);
    // Its writer has it open still, and writes half a line.
    story.append("x.log.1", "late\npar");
    story.now += LINGER / 2;
    story.check("late\n");
    story.append("x.log.1", "t");
    story.now += LINGER / 2;
    story.check("");
    story.now += LINGER;
    story.check("partnew\n");
    assert_eq!(story.follower.counts().rotations, 1);
}

#[test]
fn files_rotated_between_two_looks_are_all_read() {
    let mut story = story();
    story.append("x.log", "one\n");
    story.check("one\n");
    story.append("x.log", "two\n");
    for text in ["three\n", "four\n", "five\n"] {
        story.rename("x.log", "x.log.0");
        for number in (0..4).rev() {
            if story.path(&format!("x.log.{number}")).exists() {
                story.rename(&format!("x.log.{number}"), &format!("x.log.{}", number + 1));
            }
        }
        story.append("x.log", text);
    }
    // No one waits for the writers of files that have newer ones.
    story.check("two\nthree\nfour\n");
    story.check_later("five\n");
}

/// Some loggers number upwards: the highest is the newest.
#[test]
fn numbers_that_grow_are_read_in_their_order_and_once() {
    let mut story = story();
    let start = SystemTime::now() - Duration::from_millis(90);
    story.append("x.log", "one\n");
    story.check("one\n");
    for (number, text) in ["two\n", "three\n", "four\n"].into_iter().enumerate() {
        let rotated = format!("x.log.{number}");
        story.rename("x.log", &rotated);
        story.make_later("x.log", &rotated);
        let file = File::open(story.path(&rotated)).unwrap();
        file.set_modified(start + Duration::from_millis(number as u64)).unwrap();
        story.append("x.log", text);
    }
    story.check_later("two\nthree\nfour\n");
    story.rename("x.log", "x.log.3");
    story.make_later("x.log", "x.log.3");
    story.append("x.log.3", "late\n");
    story.append("x.log", "five\n");
    story.check_later("late\nfive\n");
}

/// Who keeps one rotated file deletes it with the next rotation, so there is no time to wait for late writers.
#[test]
fn no_rotated_file_is_waited_for_once_another_one_is_there() {
    let mut story = story();
    story.append("x.log", "one\n");
    story.check("one\n");
    for texts in [["one\n", "two\n"], ["two\n", "three\n"], ["three\n", "four\n"]] {
        let [before, text] = texts;
        story.rename("x.log", "x.log.1");
        story.append("x.log", text);
        story.check(if before == "one\n" { "" } else { before });
        story.check_presence(0, Presence::Rotated);
    }
    story.check_later("four\n");
}

/// An agent that knows a file only by its name has looked before, and nothing was there.
#[test]
fn what_was_rotated_since_the_last_look_is_read_first() {
    let mut story = story();
    for (number, text) in ["one\n", "two\n", "three\n"].into_iter().enumerate() {
        let name = format!("x.log.{}", 3 - number);
        story.append(&name, text);
        story.age(&name, number as u64);
    }
    story.gzip("x.log.2", "x.log.2.gz");
    story.age("x.log.2.gz", 1);
    story.append("x.log", "four\n");
    let since = Start::Since(Nanos(1_000_000_000));
    let settings = Settings { start: since, ..story.settings.clone() };
    story.follower = Follower::new(story.path("x.log"), settings.clone()).unwrap();
    story.check_later("two\nthree\nfour\n");
    // The same for who is killed at the first line.
    story.follower = Follower::new(story.path("x.log"), settings).unwrap();
    let read = story.follower.read(&mut story.buffer, Take::Lines, story.now).unwrap();
    let Read::Block(block) = read else { panic!("{read:?}") };
    assert_eq!(story.buffer.bytes(&block), b"two\n");
    story.position = Some(block.position());
    story.restart(u64::MAX);
    story.check_later("three\nfour\n");
}

#[test]
fn dates_that_do_not_sort_are_read_as_the_times_say() {
    let mut story = story();
    story.append("x.log", "one\n");
    story.check("one\n");
    let start = SystemTime::now() - Duration::from_millis(90);
    for (number, (date, text)) in
        [("30112026", "two\n"), ("01122026", "three\n"), ("02122026", "four\n")]
            .into_iter()
            .enumerate()
    {
        let rotated = format!("x.log-{date}");
        story.rename("x.log", &rotated);
        story.make_later("x.log", &rotated);
        let file = File::open(story.path(&rotated)).unwrap();
        file.set_modified(start + Duration::from_millis(number as u64)).unwrap();
        story.append("x.log", text);
    }
    story.check_later("two\nthree\nfour\n");
}

/// Renames in the middle of a look: what is listed has to be what was there.
#[test]
fn files_are_renamed_all_the_time_while_they_are_looked_at() {
    const ROTATIONS: usize = 60;
    let mut story = story();
    story.append("x.log", "0\n");
    story.check("0\n");
    let expected: String = (1..=ROTATIONS).map(|number| format!("{number}\n")).collect();
    let path = story.path("x.log");
    let mut text = String::new();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for number in 1..=ROTATIONS {
                for older in (1..number).rev() {
                    let [from, to] = [older, older + 1]
                        .map(|number| path.with_extension(format!("log.{number}")));
                    fs::rename(from, to).unwrap();
                }
                fs::rename(&path, path.with_extension("log.1")).unwrap();
                fs::write(&path, format!("{number}\n")).unwrap();
            }
        });
        while !writer.is_finished() {
            // It says so when it cannot be sure what is there.
            match story.follower.read(&mut story.buffer, Take::Lines, story.now) {
                Ok(Read::Block(block)) => {
                    text += std::str::from_utf8(story.buffer.bytes(&block)).unwrap();
                }
                Ok(Read::Gap(gap)) => panic!("{gap:?}"),
                Ok(_) | Err(_) => {}
            }
        }
    });
    for _ in 0..3 {
        text += &story.read(Take::Lines).0;
        story.now += LINGER;
    }
    assert_eq!(text, expected);
}

/// A step may take away the right to read what it wrote; then it is told, and what comes after is read.
#[test]
fn a_rotated_file_that_may_not_be_read_is_a_gap() {
    let mut story = story();
    let allow = |name: &str, mode| {
        fs::set_permissions(story.path(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    allow("", 0o755);
    story.append("x.log", "one\n");
    allow("x.log", 0o644);
    story.check("one\n");
    story.rename("x.log", "x.log.2");
    story.append("x.log.1", "two\n");
    story.append("x.log", "three\n");
    let allow = |name: &str, mode| {
        fs::set_permissions(story.path(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    allow("x.log.1", 0);
    allow("x.log", 0o644);
    // Of this thread alone: root may read everything.
    nix::unistd::setfsuid(nix::unistd::Uid::from_raw(65534));
    story.check_later("<gap 4 Denied>three\n");
    assert_eq!(story.follower.counts().lost, 4);
}

#[test]
fn a_deleted_file_is_read_to_its_end() {
    let mut story = story();
    story.append("x.log.1", "older\n");
    story.append("x.log", "one\n");
    story.check("one\n");
    story.append("x.log", "two\nthree");
    fs::remove_file(story.path("x.log")).unwrap();
    story.check("two\n");
    story.now += LINGER;
    story.check("three");
    story.check_presence(0, Presence::Missing);
    story.append("x.log", "four\n");
    story.check("four\n");
}

#[test]
fn a_file_that_comes_back_is_read_on() {
    let mut story = story();
    story.append("x.log", "one\n");
    story.check("one\n");
    story.rename("x.log", "away");
    story.check_later("");
    story.check_presence(0, Presence::Missing);
    story.rename("away", "x.log");
    story.append("x.log", "two\n");
    story.check("two\n");
}

#[test]
fn what_was_not_read_before_copy_and_truncate_is_read_from_the_copy() {
    let mut story = story();
    story.append("x.log", "one\n");
    story.check("one\n");
    story.append("x.log", "two\n");
    copy_and_truncate(&story, "x.log", "x.log.1");
    story.append("x.log", "three\n");
    story.check("two\nthree\n");
    // It may have grown beyond the old size.
    story.rename("x.log.1", "x.log.2");
    copy_and_truncate(&story, "x.log", "x.log.1");
    story.append("x.log", "something much longer than before\n");
    story.check("something much longer than before\n");
    assert_eq!((story.follower.counts().truncations, story.follower.counts().lost), (2, 0));
}

#[test]
fn what_was_truncated_and_never_read_is_a_gap() {
    let mut story = story();
    story.append("x.log", "one\npart");
    story.check("one\n");
    truncate(&story.path("x.log"), 0);
    story.append("x.log", "two\n");
    story.check("<gap 4 Truncated>two\n");
    // A copy that was made too early.
    story.append("x.log", "par");
    story.check("");
    fs::copy(story.path("x.log"), story.path("x.log.1")).unwrap();
    story.append("x.log", "tial");
    story.check("");
    truncate(&story.path("x.log"), 0);
    story.append("x.log", "x\n");
    story.check("par<gap 4 Truncated>x\n");
    assert_eq!(story.follower.counts().lost, 8);
}

#[test]
fn a_file_rewritten_in_place_is_read_from_its_beginning() {
    let mut story = story();
    for text in ["one\n", "two\n", "1\n", "3\n", "four and five\n"] {
        // Of the same size, shorter, longer.
        fs::write(story.path("x.log"), text).unwrap();
        story.check(text);
    }
    assert_eq!(story.follower.counts().truncations, 4);
}

#[test]
fn nuls_that_a_writer_leaves_at_its_old_offset_are_skipped() {
    let mut story = story();
    let mut writer = File::create(story.path("x.log")).unwrap();
    let first = "line\n".repeat(100_000);
    writer.write_all(first.as_bytes()).unwrap();
    story.check(&first);
    writer.set_len(0).unwrap();
    writer.write_all(b"on\n").unwrap();
    story.check("on\n");
    assert_eq!(story.follower.counts().nuls, first.len() as u64);
    // Also if it is seen empty first, and by who never saw anything else.
    writer.set_len(0).unwrap();
    story.check("");
    writer.write_all(b"and on\n").unwrap();
    story.check("and on\n");
    story.follower = Follower::new(story.path("x.log"), story.settings.clone()).unwrap();
    story.check("and on\n");
    // A hole of an absurd size costs nothing.
    writer.set_len(0).unwrap();
    writer.seek(SeekFrom::Start(1 << 40)).unwrap();
    writer.write_all(b"far\n").unwrap();
    story.check("far\n");
    // Truncated again while there are only NULs.
    writer.set_len(0).unwrap();
    writer.set_len(10_000).unwrap();
    story.check("");
    writer.set_len(0).unwrap();
    story.append("x.log", "end\n");
    story.check("end\n");
}

#[test]
fn a_gzip_file_is_read_whole() {
    let mut story = story();
    let text = "line\n".repeat(5000) + "end";
    story.append("x", &text);
    story.gzip("x", "x.log.gz");
    story.follower = Follower::new(story.path("x.log.gz"), story.settings.clone()).unwrap();
    assert_eq!(story.read(Take::Lines), (text, Read::Ended));
}

#[test]
fn a_damaged_gzip_file_is_a_gap() {
    let mut story = story();
    story.append("x.log", "one\n");
    story.check("one\n");
    story.append("x.log", "line\n".repeat(100_000));
    story.gzip("x.log", "x.log.1.gz");
    let size = fs::metadata(story.path("x.log.1.gz")).unwrap().len();
    truncate(&story.path("x.log.1.gz"), size - 20);
    let file = OpenOptions::new().write(true).open(story.path("x.log.1.gz")).unwrap();
    story.append("x.log", "new\n");
    story.restart(u64::MAX);
    // It may be that it is being written just now.
    let (first, _) = story.read(Take::Lines);
    assert!(first.starts_with("line\n") && !first.contains("gap"), "{first}");
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    story.restart(u64::MAX);
    let (rest, _) = story.read(Take::Lines);
    assert!(rest.ends_with("<gap 0 Damaged>new\n"), "{rest}");
}

#[test]
fn a_restart_goes_on_after_what_has_arrived() {
    let mut story = story();
    story.append("x.log", "one\n");
    story.check("one\n");
    story.append("x.log", "two\n");
    story.restart(4);
    story.check("two\n");
    story.append("x.log", "three\n");
    // Of "two\n" half has arrived: it is read again, and the caller drops what it has.
    story.restart(2);
    let mut ledger = Ledger::resume(&story.position.unwrap(), 2);
    assert_eq!((ledger.doubled(IoStream::Stdout, 1), ledger.doubled(IoStream::Stdout, 9)), (1, 1));
    story.check("two\nthree\n");
}

#[test]
fn a_restart_finds_the_file_under_another_name() {
    for (name, gzip) in [
        ("x.log.1", false),
        ("x-20261125.log", false),
        ("x.log.20261125-101112", false),
        ("x.log.1", true),
        ("x-20261125.log", true),
    ] {
        let mut story = story();
        story.append("x.log", "one\n");
        story.check("one\n");
        story.append("x.log", "two\n");
        story.rename("x.log", name);
        if gzip {
            story.gzip(name, &format!("{name}.gz"));
        }
        story.append("x.log", "three\n");
        story.restart(u64::MAX);
        story.check_later("two\nthree\n");
    }
}

#[test]
fn a_restart_after_copy_and_truncate_reads_the_copy() {
    let mut story = story();
    story.append("x.log", "one\n");
    story.check("one\n");
    story.append("x.log", "two\n");
    copy_and_truncate(&story, "x.log", "x.log.1");
    story.append("x.log", "three\n");
    story.restart(u64::MAX);
    story.check_later("two\nthree\n");
}

#[test]
fn a_reused_inode_is_another_file() {
    let mut story = story();
    story.append("x.log", "one\n");
    story.check("one\n");
    let inode = fs::metadata(story.path("x.log")).unwrap().ino();
    // What a file system does with the inode of a deleted file.
    fs::write(story.path("x.log"), "two\n").unwrap();
    assert_eq!(fs::metadata(story.path("x.log")).unwrap().ino(), inode);
    story.restart(u64::MAX);
    story.check_later("<gap 0 Vanished>two\n");
}

#[test]
fn a_restart_after_the_file_is_gone_reads_what_was_written_later() {
    let mut story = story();
    story.append("x.log.2", "older\n");
    story.append("x.log", "one\n");
    story.age("x.log.2", 1);
    story.age("x.log", 2);
    story.check("one\n");
    fs::remove_file(story.path("x.log")).unwrap();
    story.append("x.log.1", "two\n");
    story.append("x.log", "three\n");
    story.restart(u64::MAX);
    story.check_later("<gap 0 Vanished>two\nthree\n");
}

#[test]
fn many_followers_share_one_buffer() {
    let mut story = Story::new(Settings { format: Format::CRI, ..Settings::default() });
    let line = |stream: &str, text: &str| format!("2026-11-25T10:11:12Z {stream} F {text}\n");
    story
        .append("x.log", line("stdout", "one") + &line("stderr", "two") + &line("stdout", "three"));
    story.append("y.log", line("stdout", "four") + &line("stderr", "five"));
    let mut other = Follower::new(story.path("y.log"), story.settings.clone()).unwrap();
    let mut texts = [String::new(), String::new()];
    for _ in 0..5 {
        for (follower, text) in [&mut story.follower, &mut other].into_iter().zip(&mut texts) {
            if let Read::Block(block) =
                follower.read(&mut story.buffer, Take::Lines, story.now).unwrap()
            {
                *text += std::str::from_utf8(story.buffer.bytes(&block)).unwrap();
            }
        }
    }
    assert_eq!(texts, ["one\ntwo\nthree\n", "four\nfive\n"]);
}

#[test]
fn logs_of_a_node_are_read_over_rotation_and_compression() {
    let settings = Settings { format: Format::CRI, start: Start::Oldest, ..Settings::default() };
    let mut story = Story::new(settings);
    let line = |tag: &str, text: &str| format!("2026-11-25T10:11:12.5Z stdout {tag} {text}\n");
    story.append("x.log.20261125-101111", line("F", "one") + &line("P", "t"));
    story.gzip("x.log.20261125-101111", "x.log.20261125-101111.gz");
    story.append("x.log.20261125-101112", line("P", "w"));
    story.append("x.log", line("F", "o") + "junk\n" + &line("F", "three") + "2026-11-25T10:11:12");
    story.check_later("one\ntwo\njunk\nthree\n");
    assert_eq!(story.follower.counts().malformed, 1);
    story.append("x.log", ".5Z stderr P four\n");
    let Read::Block(block) =
        story.follower.read(&mut story.buffer, Take::Lines, story.now).unwrap()
    else {
        panic!("no block")
    };
    assert_eq!(story.buffer.bytes(&block), b"four");
    assert_eq!(block.iostream, IoStream::Stderr);
    assert_eq!(block.time, Nanos::from_rfc3339("2026-11-25T10:11:12.5Z"));
}

#[test]
fn a_position_is_one_short_line_of_json() {
    let mut story = story();
    story.append("x.log", "one\n");
    story.check("one\n");
    let mut position = story.position.unwrap();
    position.file.device = 1;
    position.file.inode = 2;
    position.modified = Nanos(3);
    let json = serde_json::to_string(&position).unwrap();
    insta::assert_snapshot!(json, @r#"{"file":{"device":1,"inode":2,"head":{"bytes":4,"hash":2257596166406292009},"tail":{"bytes":4,"hash":2257596166406292009}},"modified":3,"iostream":"stdout","from":{"offset":0},"to":{"offset":4},"bytes":4}"#);
    assert_eq!(serde_json::from_str::<Position>(&json).unwrap(), position);
}

#[test]
fn a_name_makes_no_lines_of_its_own_in_a_message() {
    assert_eq!(shown(Path::new("/a/b\n\u{1b}[0m ä.log")), "/a/b\\n\\u{1b}[0m ä.log");
}

#[test]
fn only_regular_files_below_the_root_are_read() {
    let mut story = story();
    let outside = tempfile::NamedTempFile::new().unwrap();
    std::os::unix::fs::symlink(outside.path(), story.path("x.log")).unwrap();
    let error = story.follower.read(&mut story.buffer, Take::Lines, story.now).unwrap_err();
    assert!(matches!(error, FollowError::Open { .. }), "{error}");
    let mut text = String::new();
    outside.as_file().read_to_string(&mut text).unwrap();
    fs::remove_file(story.path("x.log")).unwrap();
    story.append("x.log", "one\n");
    story.check("one\n");
}
