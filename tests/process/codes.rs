//! The exit code is the step's; where there was no step, it says why.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use steplog::record::IoStream;

use super::{run, run_script, sandbox, wrapped};
use crate::support::sandbox::finish;

#[test]
fn the_step_s_code_is_ours() {
    for code in [0, 1, 2, 42, 125, 255] {
        let ran = run_script(&[], &format!("exit {code}"));
        assert_eq!(ran.output.code, Some(code));
        assert_eq!(ran.exit().code, Some(code));
        assert_eq!(ran.output.errors(), "", "nothing is said when nothing is wrong");
    }
}

#[test]
fn death_by_a_signal_is_128_and_its_number() {
    // Those whose default action is to end the process.
    let deadly = (1..=31)
        .chain([34, 64])
        .filter(|signal| ![17, 18, 19, 20, 21, 22, 23, 28].contains(signal));
    for signal in deadly {
        let step = [
            "python3",
            "-c",
            &format!(
                "import os, resource, signal\n\
             resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n\
             if {signal} not in (9, 19): signal.signal({signal}, signal.SIG_DFL)\n\
             os.kill(os.getpid(), {signal})"
            ),
        ];
        let ran = run(&[], &step);
        assert_eq!(ran.output.code, Some(128 + signal), "signal {signal}: {}", ran.output.errors());
        let exit = ran.exit();
        assert_eq!(exit.code, None);
        assert!(exit.signal.is_some());
        if signal == 9 {
            assert_eq!(exit.signal.as_deref(), Some("SIGKILL"));
        }
    }
}

#[test]
fn what_cannot_be_started_has_the_codes_of_a_shell() {
    let sandbox = sandbox();
    let write = |name: &str, text: &str, mode: u32| {
        let path = sandbox.path("work").join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    write("plain", "not a program", 0o644);
    write("orphan", "#!/no/such/interpreter\n", 0o755);
    for (program, code, said) in [
        ("no-such-program", 127, "no-such-program: command not found"),
        ("./no-such-program", 127, "./no-such-program: command not found"),
        ("./orphan", 127, "interpreter"),
        ("./plain", 126, "cannot execute ./plain: Permission denied"),
        ("/", 126, "cannot execute /"),
    ] {
        let output = finish(&mut wrapped(&sandbox, &[], &[program])).expect(code);
        assert!(output.errors().contains(said), "{program}: {}", output.errors());
        assert_eq!(output.errors().lines().count(), 1, "{}", output.errors());
    }
    assert!(sandbox.spooled().is_empty(), "no step, no logs");
}

#[test]
fn a_script_without_a_first_line_is_run_by_sh() {
    let sandbox = sandbox();
    let path = sandbox.path("work/script");
    fs::write(&path, "echo \"$1 from a bare script\"\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let output = finish(&mut wrapped(&sandbox, &[], &["./script", "hello"])).expect(0);
    assert_eq!(output.text(), "hello from a bare script\n");
}

#[test]
fn steplog_s_own_failure_before_the_step_is_125() {
    let sandbox = sandbox();
    let output =
        finish(&mut sandbox.steplog(["run", "--no-such-option", "--", "true"])).expect(125);
    assert!(output.errors().contains("--no-such-option"));
    finish(&mut sandbox.steplog(["run"])).expect(125);
    let missing = sandbox.path("missing.toml");
    let mut command = sandbox.steplog(["run", "--stack"]);
    let output = finish(command.arg(&missing).args(["--", "touch", "started"])).expect(125);
    assert!(output.errors().contains("missing.toml"), "{}", output.errors());
    assert!(!sandbox.path("work/started").exists());
}

#[test]
fn options_end_where_the_command_begins() {
    let ran = run(&["--quiet"], &["sh", "-c", "echo \"$@\"", "name", "--quiet", "--", "-x"]);
    assert_eq!(ran.output.text(), "");
    assert_eq!(ran.captured(IoStream::Stdout), "--quiet -- -x\n");
}

#[test]
fn a_run_without_a_name_is_given_one_and_the_way_to_read_it() {
    let sandbox = sandbox();
    let mut command = sandbox.steplog(["run", "--on-undelivered=ignore", "--", "/bin/echo", "hi"]);
    let output = finish(&mut command).expect(0);
    assert_eq!(output.text(), "hi\n");
    let said = output.errors();
    assert_eq!(said.lines().count(), 1, "{said}");
    let run = said.split("steplog logs ").nth(1).unwrap().trim_end();
    let (run, step) = run.split_once('/').unwrap();
    assert_eq!((run.len(), step), (24, "echo"), "{said}");
}

#[test]
fn what_is_not_delivered_is_said_and_may_count() {
    let sandbox = sandbox();
    for (option, code, lines) in [
        ("--on-undelivered=warn", 0, true),
        ("--on-undelivered=fail", 125, true),
        ("--on-undelivered=ignore", 0, false),
    ] {
        let mut command = sandbox.steplog(["run", "--run=r", option, "--", "true"]);
        let output = finish(&mut command).expect(code);
        assert_eq!(output.errors().contains("steplog ship /"), lines, "{}", output.errors());
    }
    let mut command = sandbox.steplog(["run", "--run=r", "--on-undelivered=fail", "--", "false"]);
    finish(&mut command).expect(1);
}

#[test]
fn the_exit_record_says_what_the_step_used() {
    let ran = run(&[], &["python3", "-c", "x = bytearray(64 << 20); print('x' * 1000)"]);
    let exit = ran.exit();
    assert_eq!(exit.bytes_captured, 1001);
    assert_eq!(exit.bytes_spooled, 1001);
    assert_eq!(exit.drain.as_deref(), Some("eof"));
    let usage = exit.usage.unwrap();
    assert!(usage.max_rss_kib > 64 << 10, "{usage:?}");
    assert!(exit.wall_ns > 1_000_000);
    assert!(exit.held_by.is_empty());
    assert_eq!((exit.delivery.as_deref(), exit.bytes_delivered), (Some("deadline"), Some(0)));
    assert_eq!(
        steplog::spool::read_exit(&ran.sandbox.spooled()[0]).unwrap().unwrap().code,
        Some(0)
    );
}

#[test]
fn the_step_sees_the_world_as_it_was() {
    let sandbox = sandbox();
    let script = "cat; echo \"$FOO $PYTHONUNBUFFERED\"; pwd";
    let mut command = wrapped(&sandbox, &[], &["sh", "-c", script]);
    command.env("FOO", "bar");
    let output = crate::support::sandbox::finish_with_input(&mut command, b"input\n").expect(0);
    let work = sandbox.path("work");
    assert_eq!(output.text(), format!("input\nbar 1\n{}\n", work.display()));
    let output = finish(
        wrapped(&sandbox, &["--stdin=null"], &["sh", "-c", script]).env("PYTHONUNBUFFERED", "0"),
    );
    assert_eq!(output.text(), format!(" 0\n{}\n", work.display()));
}

#[test]
fn no_descriptor_of_ours_leaks_into_the_step() {
    let ran = run(
        &[],
        &[
            "python3",
            "-c",
            "import os; print(sorted(int(fd) for fd in os.listdir('/proc/self/fd'))[:4])",
        ],
    );
    // The fourth is the folder's own.
    assert_eq!(ran.output.text(), "[0, 1, 2, 3]\n");
}
