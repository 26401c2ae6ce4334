//! Own stdout and stderr carry the step's bytes, whatever is at their other end.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use nix::libc;
use steplog::record::IoStream;
use steplog::spool::Kind;

use super::{captured, exit_record, numbers, run, run_script, sandbox, start, wrapped};
use crate::support::sandbox::{collect, finish};
use crate::support::wait;

#[test]
fn bytes_go_through_unchanged() {
    let noise = "import os; os.write(1, bytes(range(256)) * 4); os.write(2, b'\\xff\\x00\\r\\n')";
    let ran = run(&[], &["python3", "-c", noise]);
    let expected: Vec<u8> = (0..4).flat_map(|_| 0..=255).collect();
    assert_eq!(ran.output.stdout, expected);
    assert_eq!(ran.output.stderr, b"\xff\x00\r\n");
}

#[test]
fn each_stream_has_its_own_frames() {
    let ran = run_script(&["--quiet"], "echo out; echo err >&2");
    assert_eq!(ran.output.text(), "");
    assert_eq!(ran.output.errors(), "");
    assert_eq!(ran.captured(IoStream::Stdout), "out\n");
    assert_eq!(ran.captured(IoStream::Stderr), "err\n");
}

#[test]
fn merged_streams_keep_the_order_of_writing() {
    let script = "import os\nfor n in range(2000): os.write(1 + n % 2, b'%d\\n' % n)";
    let ran = run(&["--merge-streams"], &["python3", "-c", script]);
    let expected = numbers(0..2000);
    assert_eq!(ran.output.text(), expected);
    assert_eq!(ran.captured(IoStream::Stdout), expected);
}

#[test]
fn output_is_shown_at_once() {
    let sandbox = sandbox();
    let mut command =
        wrapped(&sandbox, &[], &["sh", "-c", "printf 'password: '; read word; echo $word"]);
    let mut child = start(command.stdin(Stdio::piped()));
    let mut prompt = [0; 10];
    child.stdout.as_mut().unwrap().read_exact(&mut prompt).unwrap();
    assert_eq!(&prompt, b"password: ");
    child.stdin.as_mut().unwrap().write_all(b"open\n").unwrap();
    assert_eq!(collect(child).expect(0).text(), "open\n");
}

#[test]
fn a_reader_that_goes_away_does_not_end_the_capture() {
    let sandbox = sandbox();
    let mut child =
        start(wrapped(&sandbox, &[], &["sh", "-c", "read go; seq 1 50000"]).stdin(Stdio::piped()));
    drop(child.stdout.take());
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let output = collect(child).expect(0);
    assert_eq!(output.errors(), "");
    assert_eq!(captured(&sandbox, IoStream::Stdout).lines().count(), 50_000);
}

#[test]
fn a_slow_reader_gets_everything_and_hides_nothing() {
    let sandbox = sandbox();
    // More than fits any pipe, so that the tee is stuck.
    let script = "seq 1 1000000; sleep 0.2; exit 5";
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    for kind in ["pipe", "socket"] {
        let mut command = wrapped(&sandbox, &[], &["sh", "-c", script]);
        let mut child = if kind == "pipe" {
            start(&mut command)
        } else {
            command.stdout(std::os::fd::OwnedFd::from(theirs.try_clone().unwrap()));
            command.stderr(Stdio::piped()).spawn().unwrap()
        };
        drop(command);
        // TERM is heard though nobody reads what steplog has to say.
        let mut seen = String::new();
        if kind == "pipe" {
            child.stdout.take().unwrap().read_to_string(&mut seen).unwrap();
        } else {
            ours.shutdown(std::net::Shutdown::Write).unwrap();
            let mut block = vec![0; 1 << 20];
            while !seen.ends_with("\n1000000\n") {
                let count = ours.read(&mut block).unwrap();
                seen.push_str(std::str::from_utf8(&block[..count]).unwrap());
            }
        }
        assert_eq!(seen.lines().count(), 1_000_000, "{kind}");
        assert_eq!(collect(child).code, Some(5));
    }
}

#[test]
fn signals_are_heard_while_the_reader_sleeps() {
    let sandbox = sandbox();
    let mut child = start(&mut wrapped(&sandbox, &[], &["sh", "-c", "echo $$ >pid; exec yes"]));
    let pid = wait::until("the step to start", || {
        std::fs::read_to_string(sandbox.path("work/pid")).ok()?.trim().parse::<i32>().ok()
    });
    wait::until_true("the step to wait for the reader", || {
        std::fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap().contains("pipe")
    });
    // SAFETY: kill(2) touches no memory; the child is ours and not waited for yet.
    unsafe { libc::kill(child.id() as i32, libc::SIGTERM) };
    wait::until_true("the step to end", || !std::path::Path::new(&format!("/proc/{pid}")).exists());
    // A second request: no more waiting for whoever reads.
    // SAFETY: as above.
    unsafe { libc::kill(child.id() as i32, libc::SIGTERM) };
    assert_eq!(child.wait().unwrap().code(), Some(128 + libc::SIGTERM));
    assert!(exit_record(&sandbox).bytes_captured > 1 << 20);
}

#[test]
fn a_full_disk_behind_own_stdout_is_said_and_the_capture_goes_on() {
    let sandbox = sandbox();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = wrapped(&sandbox, &[], &["echo", "kept"]);
    let child = command.stdout(full).stderr(Stdio::piped()).spawn().unwrap();
    let output = collect(child).expect(0);
    assert!(output.errors().contains("No space left"), "{}", output.errors());
    assert_eq!(captured(&sandbox, IoStream::Stdout), "kept\n");
}

#[test]
fn closed_outputs_are_no_obstacle() {
    let sandbox = sandbox();
    let mut command = sandbox.command("sh");
    command.args(["-c", "exec \"$@\" >&- 2>&-", "sh", env!("CARGO_BIN_EXE_steplog")]);
    command.args([
        "run",
        "--run=r",
        "--on-undelivered=ignore",
        "--",
        "sh",
        "-c",
        "echo kept; exit 2",
    ]);
    finish(&mut command).expect(2);
    assert_eq!(captured(&sandbox, IoStream::Stdout), "kept\n");
}

#[test]
fn a_partial_line_is_flushed_when_quiet() {
    let sandbox = sandbox();
    sandbox.write_stack(&format!("{}partial_idle = \"50ms\"\n", super::STACK));
    let script = "printf 'one '; sleep 0.3; printf two; sleep 0.3; echo";
    finish(&mut wrapped(&sandbox, &[], &["sh", "-c", script])).expect(0);
    let frames = super::frames(&sandbox.spooled()[0]);
    let told: Vec<String> = frames
        .into_iter()
        .map(|(kind, payload)| match kind {
            Kind::Note => format!("{payload:?}"),
            _ => String::from_utf8(payload).unwrap(),
        })
        .filter(|told| told != "[1, 1]")
        .collect();
    assert_eq!(told, ["one ", "[0, 0]", "two", "[0, 0]", "\n", "[1, 0]"]);
}

#[test]
fn lines_written_one_by_one_are_collected_and_complete() {
    let script = "import os\nfor n in range(20000): os.write(1, b'%d\\n' % n)";
    let ran = run(&["--quiet"], &["python3", "-c", script]);
    let expected = numbers(0..20_000);
    assert_eq!(ran.captured(IoStream::Stdout), expected);
    let frames = super::frames(&ran.sandbox.spooled()[0]).len();
    assert!(frames < 5000, "{frames} frames for 20000 writes");
}
