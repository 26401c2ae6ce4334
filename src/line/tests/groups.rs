//! Which lines a traceback takes in.

use super::super::*;
use super::{Event, frames, whole};

/// Each line begins with the mark of the group it must be in (`a`, `b`, …; `.`: in none; `A`, `B`, …: and
/// says what it is about) and a bar.
fn check(marked: &str) {
    let settings = Settings { max_group_lines: 50, ..Settings::default() };
    let (text, marks): (Vec<_>, Vec<_>) = marked
        .lines()
        .map(str::trim_start)
        .filter(|line| !line.is_empty())
        .map(|line| (format!("{}\n", &line[2..]), line.as_bytes()[0] as char))
        .unzip();
    let event = Event::Text(IoStream::Stderr, text.concat().into_bytes());
    let (lines, _) = whole(&settings, &frames(&[event]));
    let mut names: Vec<u64> = Vec::new();
    let found: Vec<char> = lines
        .iter()
        .map(|seen| {
            let Some(group) = seen.line.group else { return '.' };
            let known = names.iter().position(|known| *known == group).unwrap_or_else(|| {
                assert_eq!(group, seen.seq, "a group is named by its first line");
                names.push(group);
                names.len() - 1
            });
            let first = if seen.line.headline { b'A' } else { b'a' };
            char::from(first + known as u8)
        })
        .collect();
    assert_eq!(found, marks, "in\n{marked}");
}

#[test]
fn python() {
    check(
        r#"
        .|Starting
        a|Traceback (most recent call last):
        a|  File "train.py", line 12, in <module>
        a|    main()
        a|    ~~~~^^
        a|  [Previous line repeated 3 more times]
        A|ValueError: bad
        .|Done: x
        b|Traceback (most recent call last):
        b|  File "x.py", line 1, in f
        B|package.errors.Failed
        .|after
    "#,
    );
}

#[test]
fn python_chained() {
    check(
        r#"
        a|Traceback (most recent call last):
        a|  File "x.py", line 1, in f
        A|KeyError: 'x'
        a|
        a|During handling of the above exception, another exception occurred:
        a|
        a|Traceback (most recent call last):
        a|  File "x.py", line 3, in f
        A|ValueError: y
        a|
        a|The above exception was the direct cause of the following exception:
        a|
        a|Traceback (most recent call last):
        a|  File "x.py", line 5, in f
        A|RuntimeError: z
        .|INFO: next
        b|Traceback (most recent call last):
        b|  File "x.py", line 5, in f
        B|RuntimeError: z
        b|
        c|Traceback (most recent call last):
        c|  File "x.py", line 5, in f
    "#,
    );
}

#[test]
fn python_exception_group() {
    check(
        r#"
        a|  + Exception Group Traceback (most recent call last):
        a|  |   File "x.py", line 1, in <module>
        A|  | ExceptionGroup: two (2 sub-exceptions)
        a|  +-+---------------- 1 ----------------
        a|    | ValueError: a
        a|    +---------------- 2 ----------------
        a|    | TypeError: b
        a|    +------------------------------------
        .|next
    "#,
    );
}

#[test]
fn python_rich_and_fatal() {
    check(
        r#"
        a|╭───────────── Traceback (most recent call last) ─────────────╮
        a|│ /x/train.py:12 in main                                      │
        a|│ ❱ 12 │   raise ValueError("x")                              │
        a|╰─────────────────────────────────────────────────────────────╯
        A|ValueError: x
        .|next
        b|Fatal Python error: Segmentation fault
        b|
        b|Current thread 0x00007f0000000000 (most recent call first):
        b|  File "x.py", line 1 in f
        b|
        b|Thread 0x00007f0000000001 (most recent call first):
        b|  File "x.py", line 2 in g
        .|Segmentation fault (core dumped)
    "#,
    );
}

#[test]
fn launcher_prefixes() {
    check(
        r#"
        a|[rank0]: Traceback (most recent call last):
        a|[rank0]:   File "x.py", line 1, in <module>
        .|[rank1]: still fine
        a|[rank0]:     main()
        A|[rank0]: ValueError: x
        .|[rank0]: after
        b|[rank1]: Traceback (most recent call last):
        b|[rank1]:   File "x.py", line 1, in <module>
    "#,
    );
}

#[test]
fn java() {
    check(
        "
        a|Exception in thread \"main\" java.lang.RuntimeException: x
        a|\tat com.foo.Bar.baz(Bar.java:12)
        a|\tat com.foo.Main.main(Main.java:3)
        a|Caused by: java.io.IOException: y
        a|\tat com.foo.Bar.qux(Bar.java:20)
        a|\t... 12 more
        a|\tSuppressed: java.lang.Error: z
        a|\t\tat com.foo.Bar.close(Bar.java:1)
        .|INFO next
        b|java.lang.IllegalStateException: x
        b|\tat a.B.c(B.java)
        .|com.foo.Bar: not an exception
    ",
    );
}

#[test]
fn go() {
    check(
        "
        a|panic: runtime error: index out of range [5] with length 3
        a|
        a|goroutine 1 [running]:
        a|main.f(...)
        a|\t/x/main.go:8
        a|main.main()
        a|\t/x/main.go:4 +0x1d
        a|created by main.start in goroutine 7
        a|\t/x/main.go:2 +0x2
        a|exit status 2
        .|next line
        b|fatal error: all goroutines are asleep - deadlock!
        b|
        b|goroutine 1 [chan receive]:
        b|main.main()
        b|\t/x/main.go:4 +0x1d
        .|next (not a call)
    ",
    );
}

#[test]
fn rust() {
    check(
        "
        a|thread 'main' panicked at src/main.rs:2:5:
        A|index out of bounds: the len is 3
        a|stack backtrace:
        a|   0: rust_begin_unwind
        a|             at /rustc/x/library/std/src/panicking.rs:1:5
        a|   1: app::main
        a|note: Some details are omitted, run with `RUST_BACKTRACE=full`
        .|next
        b|thread 'worker-1' panicked at 'boom', src/main.rs:2:5
        b|note: run with `RUST_BACKTRACE=1` environment variable
        .|next
    ",
    );
}

#[test]
fn ordinary_lines_are_in_none() {
    check(
        "
        .|Training: epoch 1
        .|  indented
        .|
        .|panicking is not needed
        .|thread 'x' started
        .|goroutine x
        .|error.txt: not found
        .|[rank0]: loss 0.1
        .|Exception: x
        .|Error: y
    ",
    );
}

fn groups(settings: &Settings, events: &[Event]) -> Vec<Option<u64>> {
    let (lines, _) = whole(settings, &frames(events));
    lines.iter().map(|seen| seen.line.group).collect()
}

fn err(text: &str) -> Event {
    Event::Text(IoStream::Stderr, text.as_bytes().to_vec())
}

fn out(text: &str) -> Event {
    Event::Text(IoStream::Stdout, text.as_bytes().to_vec())
}

const HEAD: &str = "Traceback (most recent call last):\n";

#[test]
fn the_other_stream_may_speak_in_between() {
    let events = [err(HEAD), out("one\n"), err("  File\n"), out("two\n"), err("KeyError: 1\n")];
    let expected = [Some(0), None, Some(0), None, Some(0)];
    assert_eq!(groups(&Settings::default(), &events), expected);
}

#[test]
fn groups_end_by_size_and_by_time() {
    let settings = Settings { max_group_lines: 2, ..Settings::default() };
    let long = format!("{HEAD}  one\n  two\n  three\n");
    assert_eq!(groups(&settings, &[err(&long)]), [Some(0), Some(0), None, None]);
    // A frame a second.
    let apart = [err(HEAD), err("  one\n"), out("x\n"), out("y\n"), out("z\n"), err("  two\n")];
    let settings = Settings { group_timeout_ms: 1000, ..Settings::default() };
    assert_eq!(groups(&settings, &apart), [Some(0), Some(0), None, None, None, None]);
}

#[test]
fn parts_of_a_line_share_its_group_and_level() {
    let settings = Settings { max_line_bytes: 40, ..Settings::default() };
    let text = format!("{HEAD}  {}\nValueError: {}\n", "f".repeat(60), "x".repeat(60));
    let (lines, _) = whole(&settings, &frames(&[err(&text)]));
    assert!(lines.iter().all(|seen| seen.line.group == Some(0)));
    let levels: Vec<_> = lines.iter().map(|seen| seen.line.level).collect();
    let error = Some(Level::Error);
    assert_eq!(levels, [error, None, None, error, error]);
}

#[test]
fn joining_can_be_turned_off() {
    let settings = Settings { multiline: false, ..Settings::default() };
    assert_eq!(groups(&settings, &[err(HEAD), err("  File\n")]), [None, None]);
}
