//! The step is over when its main process is, whoever else holds its output.

use std::time::{Duration, Instant};

use steplog::record::IoStream;

use super::run_script;

#[test]
fn a_grandchild_that_holds_the_output_is_named_and_left() {
    let started = Instant::now();
    let ran = run_script(&[], "sleep 1000 & echo $!; exit 4");
    assert_eq!(ran.output.code, Some(4));
    assert!(started.elapsed() < Duration::from_secs(60));
    let pid: u32 = ran.output.text().trim().parse().unwrap();
    let exit = ran.exit();
    assert_eq!(exit.held_by, [pid]);
    assert_eq!(exit.drain.as_deref(), Some("idle"));
    assert!(
        ran.output.errors().contains(&format!("held open by {pid} (sleep)")),
        "{}",
        ran.output.errors()
    );
}

#[test]
fn what_a_grandchild_writes_soon_after_is_kept() {
    let ran = run_script(&[], "(for n in 1 2 3 4 5 6; do sleep 0.03; echo $n; done) & exit 0");
    assert_eq!(ran.captured(IoStream::Stdout), "1\n2\n3\n4\n5\n6\n");
    assert_eq!(ran.output.text(), "1\n2\n3\n4\n5\n6\n");
    let exit = ran.exit();
    assert_eq!(exit.drain.as_deref(), Some("eof"));
    assert!(exit.held_by.is_empty());
}

#[test]
fn an_endless_writer_is_cut_off_at_the_cap() {
    let sandbox = super::sandbox();
    sandbox.write_stack(&format!("{}drain_max = \"300ms\"\n", super::STACK));
    let mut command = super::wrapped(
        &sandbox,
        &["--quiet"],
        &["sh", "-c", "while :; do echo x; sleep 0.01; done & exit 0"],
    );
    let output = crate::support::sandbox::finish(&mut command).expect(0);
    assert_eq!(super::exit_record(&sandbox).drain.as_deref(), Some("limit"));
    assert!(output.errors().contains("still being written to by"), "{}", output.errors());
}

#[test]
fn a_daemon_goes_its_own_way() {
    // It closes what it was given: nothing to wait for, nothing to say.
    let ran = run_script(&[], "setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $!");
    assert_eq!(ran.output.errors(), "");
    let pid = ran.output.text().trim().to_owned();
    let state = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
    assert_eq!(state, "sleep\n", "it lives on");
    assert_eq!(ran.exit().drain.as_deref(), Some("eof"));
}

#[test]
fn a_step_that_closes_its_output_is_waited_for() {
    let ran = run_script(&[], "echo before; exec >&- 2>&-; sleep 0.3; exit 6");
    assert_eq!(ran.output.code, Some(6));
    assert_eq!(ran.output.text(), "before\n");
    assert!(ran.exit().wall_ns > 300_000_000);
}

#[test]
fn a_step_that_prints_nothing_leaves_nothing_but_its_end() {
    let ran = run_script(&[], ":");
    assert_eq!(ran.captured(IoStream::Stdout), "");
    assert_eq!(ran.exit().bytes_captured, 0);
}

#[test]
fn the_last_byte_needs_no_line_end() {
    let ran = run_script(&[], "printf x; printf y >&2");
    assert_eq!(ran.captured(IoStream::Stdout), "x");
    assert_eq!(ran.captured(IoStream::Stderr), "y");
}

#[test]
fn what_was_in_the_pipe_when_the_step_was_killed_is_kept() {
    let ran = run_script(&["--quiet"], "seq 1 100000; kill -9 $$");
    assert_eq!(ran.output.code, Some(137));
    assert!(ran.captured(IoStream::Stdout).ends_with("\n99999\n100000\n"));
}
