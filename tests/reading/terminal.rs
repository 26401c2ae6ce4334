//! `steplog logs` on a terminal: the pager and the keyboard.

use std::fs;

use crate::support::sandbox::{Sandbox, finish};
use crate::support::screen::{PROMPT, Screen};
use crate::support::{lines, step};

/// A run `run` of this many lines, and a shell whose pager is `tests/steps/pager.py`.
fn paged(sandbox: &Sandbox, count: usize) -> Screen {
    fs::write(sandbox.path("work/input"), lines::numbered(count)).unwrap();
    finish(&mut sandbox.wrap("run", ["cat", "input"])).expect(0);
    let pager = format!("python3 {}", step("pager.py").display());
    Screen::shell(sandbox, &[("PAGER", &pager), ("TERM", "xterm")])
}

#[test]
fn ctrl_c_in_the_pager_leaves_it_the_terminal() {
    let sandbox = Sandbox::local("");
    let mut screen = paged(&sandbox, 100);
    screen.type_in("$STEPLOG logs run\n");
    screen.expect("pager: has 100 lines");
    screen.type_in("\x03");
    screen.expect("pager: interrupted");
    screen.type_in("q\n");
    let before = screen.expect("pager: over");
    assert!(!before.contains(PROMPT), "the shell has taken the terminal: {before}");
    screen.expect(PROMPT);
    screen.type_in("echo code=$?\n");
    screen.expect("code=0");
}

#[test]
fn a_pager_that_is_left_early_ends_the_reading() {
    let sandbox = Sandbox::local("");
    let mut screen = paged(&sandbox, 100_000);
    screen.type_in("LEAVE=early $STEPLOG logs run\n");
    screen.expect("pager: over");
    screen.expect(PROMPT);
    screen.type_in("echo code=$?\n");
    screen.expect("code=0");
}
