//! Signals reach the step and what it left behind, and TERM has consequences.

use std::io::{BufRead, BufReader, Read};
use std::process::Child;
use std::time::{Duration, Instant};

use nix::libc;

use super::{Ran, exit_record, run, sandbox, start, wrapped};
use crate::support::sandbox::{Sandbox, collect};
use crate::support::wait;

fn send(child: &Child, signal: i32) {
    // SAFETY: kill(2) touches no memory; the child is ours and not waited for yet.
    assert_eq!(unsafe { libc::kill(child.id() as i32, signal) }, 0);
}

/// Starts a step and waits for the first line it prints.
fn start_until_line(
    sandbox: &Sandbox,
    options: &[&str],
    step: &[&str],
) -> (Child, BufReader<impl Read + use<>>, String) {
    let mut child = start(&mut wrapped(sandbox, options, step));
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    (child, output, line)
}

#[test]
fn every_signal_that_can_be_caught_is_passed_on() {
    let script = "\
import os, signal, sys
skip = {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGILL, signal.SIGFPE,
        signal.SIGSEGV, signal.SIGBUS, signal.SIGPIPE}
wanted = [number for number in signal.valid_signals() if number not in skip]
def heard(number, frame):
    os.write(1, b'%d\\n' % number)
    if number == signal.SIGUSR2: sys.exit(7)
for number in wanted: signal.signal(number, heard)
os.write(1, b'%s\\n' % b' '.join(b'%d' % number for number in wanted))
while True: signal.pause()
";
    let sandbox = sandbox();
    let (mut child, mut output, line) =
        start_until_line(&sandbox, &["--grace=1h"], &["python3", "-c", script]);
    let signals: Vec<i32> = line.split_whitespace().map(|number| number.parse().unwrap()).collect();
    assert!(signals.len() > 50, "{line}");
    for signal in signals.iter().filter(|signal| **signal != libc::SIGUSR2) {
        send(&child, *signal);
        let mut heard = String::new();
        output.read_line(&mut heard).unwrap();
        assert_eq!(heard.trim(), signal.to_string());
        // The step goes on after TSTP; steplog must have no doubt about that either.
    }
    send(&child, libc::SIGUSR2);
    assert_eq!(child.wait().unwrap().code(), Some(7));
}

#[test]
fn ignored_signals_stay_ignored() {
    let sandbox = sandbox();
    let mut command = sandbox.command("sh");
    let status = "grep SigIgn /proc/self/status";
    command.args(["-c", "trap '' HUP USR1; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_steplog")]);
    command.args(["run", "--run=r", "--on-undelivered=ignore", "--", "sh", "-c", status]);
    let output = collect(start(&mut command)).expect(0);
    let mask = mask_in(&output.text());
    let bit = |signal: i32| 1 << (signal - 1);
    assert_eq!(mask, bit(libc::SIGHUP) | bit(libc::SIGUSR1));
}

#[test]
fn the_step_starts_with_nothing_blocked() {
    let ran = run(&[], &["sh", "-c", "grep -E 'SigBlk|SigIgn' /proc/self/status"]);
    for line in ran.output.text().lines() {
        assert_eq!(mask_in(line), 0, "{line}");
    }
}

/// `SigIgn: 0000000000000001`, without the two signals that belong to the C library: its
/// posix_spawn(3) leaves them ignored, and whoever has use for them sets them anew.
fn mask_in(line: &str) -> u64 {
    let mask = u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap();
    mask & !(1 << (32 - 1) | 1 << (33 - 1))
}

const DEAF: &str = "trap '' TERM INT; echo ready; while :; do sleep 0.05; done";

#[test]
fn a_step_that_ignores_term_is_killed_after_the_grace() {
    let sandbox = sandbox();
    let (child, _output, _) = start_until_line(&sandbox, &["--grace=500ms"], &["sh", "-c", DEAF]);
    let asked = Instant::now();
    send(&child, libc::SIGTERM);
    assert_eq!(collect(child).code, Some(128 + libc::SIGKILL));
    assert!(asked.elapsed() >= Duration::from_millis(400), "{:?}", asked.elapsed());
    assert_eq!(exit_record(&sandbox).signal.as_deref(), Some("SIGKILL"));
}

#[test]
fn a_second_request_shortens_the_grace() {
    let sandbox = sandbox();
    let (child, _output, _) = start_until_line(&sandbox, &["--grace=1h"], &["sh", "-c", DEAF]);
    let asked = Instant::now();
    send(&child, libc::SIGTERM);
    std::thread::sleep(Duration::from_millis(150));
    send(&child, libc::SIGINT);
    assert_eq!(collect(child).code, Some(128 + libc::SIGKILL));
    assert!(asked.elapsed() < Duration::from_secs(60));
}

#[test]
fn interrupts_alone_kill_nobody() {
    let sandbox = sandbox();
    let script = "trap 'echo heard' INT; echo ready; while :; do sleep 0.02; done";
    let (child, mut output, _) =
        start_until_line(&sandbox, &["--grace=100ms"], &["sh", "-c", script]);
    for _ in 0..3 {
        send(&child, libc::SIGINT);
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "heard\n");
    }
    std::thread::sleep(Duration::from_millis(300));
    send(&child, libc::SIGTERM);
    assert_eq!(collect(child).code, Some(128 + libc::SIGTERM));
}

#[test]
fn a_step_that_ends_on_term_says_its_last_words() {
    let sandbox = sandbox();
    let script = "trap 'echo bye; exit 9' TERM; echo ready; while :; do sleep 0.02; done";
    let (child, mut output, _) = start_until_line(&sandbox, &[], &["sh", "-c", script]);
    send(&child, libc::SIGTERM);
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "bye\n");
    assert_eq!(collect(child).code, Some(9));
}

#[test]
fn the_whole_group_and_orphans_get_the_signal() {
    // The orphan is in a session of its own, its parent has ended, and it is deaf to HUP.
    let script = "
        (setsid sh -c 'trap \"echo orphan >>heard; exit\" TERM; echo orphan-ready; while :; do sleep 0.02; done' &)
        sh -c 'trap \"echo child >>heard; exit\" TERM; echo child-ready; while :; do sleep 0.02; done' &
        trap 'wait; echo main >>heard; exit 0' TERM
        wait; wait";
    let sandbox = sandbox();
    let (child, mut output, _) = start_until_line(&sandbox, &[], &["sh", "-c", script]);
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    send(&child, libc::SIGTERM);
    assert_eq!(collect(child).code, Some(0));
    wait::until_true("the orphan to have heard it", || {
        let heard = std::fs::read_to_string(sandbox.path("work/heard")).unwrap_or_default();
        ["orphan", "child", "main"].iter().all(|who| heard.lines().any(|line| line == *who))
    });
}

#[test]
fn orphans_are_reaped() {
    let script = "
        for n in 1 2 3 4 5; do (sh -c 'sleep 0.05' &) ; done
        sleep 0.3
        ps -o stat= --ppid $PPID | grep -c Z || true";
    let ran = run(&[], &["sh", "-c", script]);
    assert_eq!(ran.output.text(), "0\n");
}

#[test]
fn it_works_as_process_1() {
    let sandbox = sandbox();
    let mut command = sandbox.command("unshare");
    command.args(["--pid", "--fork", "--mount-proc", env!("CARGO_BIN_EXE_steplog")]);
    command.args(["run", "--run=r", "--on-undelivered=ignore", "--grace=500ms", "--"]);
    let script = "(sleep 0.05 &); echo $PPID; sleep 0.2; ps -eo stat= | grep -c Z; exit 3";
    let output = collect(start(command.args(["sh", "-c", script]))).expect(3);
    assert_eq!(output.text(), "1\n0\n");
}

#[test]
fn a_stopped_step_is_let_go_when_asked_to_end() {
    let sandbox = sandbox();
    let script = "echo $$; exec sleep 1000";
    let (child, _output, line) = start_until_line(&sandbox, &["--grace=1h"], &["sh", "-c", script]);
    let pid: i32 = line.trim().parse().unwrap();
    // SAFETY: kill(2) touches no memory; the step lives until it is told to end.
    unsafe { libc::kill(pid, libc::SIGSTOP) };
    wait::until_true("the step to stand still", || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.contains(") T ")
    });
    send(&child, libc::SIGTERM);
    assert_eq!(collect(child).code, Some(128 + libc::SIGTERM));
}

#[test]
fn killing_ship_does_not_touch_the_step() {
    let sandbox = sandbox();
    let script = "echo ready; read line; echo $line";
    let mut command = wrapped(&sandbox, &[], &["sh", "-c", script]);
    let mut child = start(command.stdin(std::process::Stdio::piped()));
    wait::until_true("ship to be started", || {
        let ships = sandbox.processes("ship");
        ships.iter().for_each(crate::support::processes::Process::kill);
        !ships.is_empty()
    });
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"done\n").unwrap();
    let output = collect(child).expect(0);
    assert_eq!(output.text(), "ready\ndone\n");
    let ran = Ran { sandbox, output };
    assert_eq!(ran.exit().code, Some(0));
}

#[test]
fn killing_the_wrapper_loses_nothing_that_was_written() {
    let sandbox = sandbox();
    let script =
        "i=0; while [ $i -lt 1000 ]; do echo line $i; i=$((i+1)); done; echo end; exec sleep 1000";
    let (mut child, mut output, _) = start_until_line(&sandbox, &[], &["sh", "-c", script]);
    let mut line = String::new();
    while line != "end\n" {
        line.clear();
        output.read_line(&mut line).unwrap();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let kept = super::captured(&sandbox, steplog::record::IoStream::Stdout);
    assert_eq!(kept.lines().count(), 1001);
    assert!(kept.ends_with("line 999\nend\n"));
}
