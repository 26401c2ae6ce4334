//! Job control and `--pty`, with a real shell on a real terminal.

use std::process::Stdio;

use steplog::record::IoStream;

use super::{STACK, captured};
use crate::support::sandbox::Sandbox;
use crate::support::screen::Screen;

fn sandbox() -> Sandbox {
    Sandbox::with_stack(STACK)
}

/// A shell that knows the beginning of a command as `$RUN`.
fn shell(sandbox: &Sandbox) -> Screen {
    let run = format!("{} run --run=r --on-undelivered=ignore", env!("CARGO_BIN_EXE_steplog"));
    Screen::shell(sandbox, &[("RUN", &run)])
}

#[test]
fn the_step_has_the_keyboard() {
    let sandbox = sandbox();
    let mut screen = shell(&sandbox);
    screen.type_in("$RUN -- sh -c 'echo go; read x; echo got $x'\n");
    screen.expect("go\r\n");
    screen.type_in("keys\n");
    screen.expect("got keys");
    screen.expect("ready> ");
}

#[test]
fn ctrl_c_interrupts_the_step() {
    let sandbox = sandbox();
    let mut screen = shell(&sandbox);
    screen.type_in("$RUN -- sh -c 'echo go; exec sleep 1000'\n");
    screen.expect("go\r\n");
    screen.type_in("\x03");
    screen.expect("ready> ");
    screen.type_in("echo code=$?\n");
    screen.expect("code=130");
}

#[test]
fn ctrl_z_stops_both_and_fg_lets_both_go_on() {
    let sandbox = sandbox();
    let mut screen = shell(&sandbox);
    screen.type_in("$RUN -- sh -c 'echo go; read x; echo got $x; read y; echo and $y; exit 3'\n");
    screen.expect("go\r\n");
    screen.type_in("\x1a");
    screen.expect("Stopped");
    screen.expect("ready> ");
    screen.type_in("ps -o s=,args= | grep -E 'go; read' | grep -v grep\n");
    screen.expect("T ");
    screen.expect("T ");
    screen.expect("ready> ");
    screen.type_in("fg\n");
    screen.expect("RUN -- sh -c");
    screen.type_in("one\n");
    screen.expect("got one");
    // Once more: the first time must have left nothing behind.
    screen.type_in("\x1a");
    screen.expect("Stopped");
    screen.expect("ready> ");
    screen.type_in("fg\n");
    screen.expect("RUN -- sh -c");
    screen.type_in("two\n");
    screen.expect("and two");
    screen.expect("ready> ");
    screen.type_in("echo code=$?\n");
    screen.expect("code=3");
}

#[test]
fn bg_lets_it_go_on_in_the_background() {
    let sandbox = sandbox();
    let mut screen = shell(&sandbox);
    screen
        .type_in("$RUN -- sh -c 'echo go; while ! [ -e there ]; do sleep 0.02; done; echo end'\n");
    screen.expect("go\r\n");
    screen.type_in("\x1a");
    screen.expect("Stopped");
    screen.expect("ready> ");
    screen.type_in("bg\n");
    screen.expect("ready> ");
    screen.type_in("touch there; wait; echo all-over\n");
    screen.expect("end\r\n");
    screen.expect("all-over");
}

#[test]
fn a_background_job_that_reads_is_stopped_like_any_other() {
    let sandbox = sandbox();
    let mut screen = shell(&sandbox);
    screen.type_in("$RUN -- sh -c 'read x; echo got $x' &\n");
    screen.expect("ready> ");
    screen.type_in("while jobs | grep -q Running; do sleep 0.02; done; jobs\n");
    screen.expect("Stopped");
    screen.type_in("fg\n");
    screen.expect("RUN -- sh -c");
    screen.type_in("word\n");
    screen.expect("got word");
}

#[test]
fn a_pager_at_the_end_of_the_pipe_keeps_the_keyboard() {
    let sandbox = sandbox();
    let mut screen = shell(&sandbox);
    // Like a pager: reads the pipe, and keys from the terminal.
    let pager = "python3 -c 'import sys; text = sys.stdin.read(); key = open(\"/dev/tty\").readline(); print(\"paged\", text.strip(), key.strip())'";
    screen.type_in(&format!("$RUN -- echo output | {pager}\n"));
    screen.type_in("q\n");
    screen.expect("paged output q");
}

#[test]
fn a_step_that_asks_on_the_terminal_gets_it() {
    let sandbox = sandbox();
    let mut screen = shell(&sandbox);
    screen.type_in("$RUN --stdin=null -- sh -c 'echo go; read x </dev/tty; echo got $x' | cat\n");
    screen.expect("go\r\n");
    screen.type_in("password\n");
    screen.expect("got password");
    screen.expect("ready> ");
}

#[test]
fn pty_gives_the_step_a_terminal() {
    let sandbox = sandbox();
    let mut screen = shell(&sandbox);
    screen.type_in("$RUN --pty -- sh -c 'test -t 0 && test -t 1 && test -t 2 && stty size; read x; echo got $x'\n");
    screen.expect("33 99\r\n");
    screen.type_in("keys\r");
    screen.expect("got keys");
    screen.expect("ready> ");
    // Raw mode is undone.
    screen.type_in("stty -a\n");
    screen.expect(" icanon");
    assert!(captured(&sandbox, IoStream::Stdout).contains("got keys\r\n"));
}

#[test]
fn pty_follows_the_window() {
    let sandbox = sandbox();
    let mut screen = shell(&sandbox);
    screen.type_in("$RUN --pty -- sh -c 'trap \"stty size; exit 4\" WINCH; echo go; while :; do sleep 0.02; done'\n");
    screen.expect("go\r\n");
    screen.resize(44, 111);
    screen.expect("44 111\r\n");
    screen.expect("ready> ");
    screen.type_in("echo code=$?\n");
    screen.expect("code=4");
}

#[test]
fn pty_passes_control_keys_to_the_step() {
    let sandbox = sandbox();
    let mut screen = shell(&sandbox);
    screen.type_in("$RUN --pty -- sh -c 'echo go; exec sleep 1000'\n");
    screen.expect("go\r\n");
    screen.type_in("\x03");
    screen.expect("ready> ");
    screen.type_in("echo code=$?\n");
    screen.expect("code=130");
}

#[test]
fn pty_without_a_terminal_of_our_own() {
    let ran = super::run(
        &["--pty"],
        &["sh", "-c", "test -t 1 && test -t 2 && echo terminal; cat; exit 5"],
    );
    assert_eq!(ran.output.code, Some(5));
    assert_eq!(ran.output.text(), "terminal\r\n");
    assert_eq!(ran.exit().drain.as_deref(), Some("eof"));
}

#[test]
fn waiting_for_delivery_is_said_on_a_terminal_and_can_be_ended() {
    let sandbox = sandbox();
    sandbox.write_stack(&STACK.replace("deadline = \"0s\"", "deadline = \"1h\""));
    let mut command = sandbox.steplog(["run", "--run=r", "--", "echo", "over"]);
    command.stdin(Stdio::null());
    let mut screen = Screen::start(command);
    screen.expect("over");
    screen.expect("waiting for the logs to reach nowhere");
    screen.type_in("\x03");
    screen.expect("the logs are safe in");
    assert_eq!(screen.child.wait().unwrap().code(), Some(0));
}
