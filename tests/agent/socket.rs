//! A Unix socket: each connection is a stream, and may say whose lines it brings.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use super::{Running, arrives, sandbox, write_stack};

const SOCKET: &str =
    "[[inputs]]\nname = \"socket\"\nkind = \"socket\"\npath = \"{sandbox}/socket\"\n";

#[test]
fn the_first_line_may_say_whose_lines_they_are() {
    let sandbox = sandbox(&format!("{SOCKET}metadata = {{ step_id = \"fixed\" }}\n"));
    let agent = Running::start(&sandbox);
    let connect = || UnixStream::connect(sandbox.path("socket")).unwrap();
    let mut step = connect();
    // In pieces, as the network may bring them.
    step.write_all(b"{\"steplog\":{\"pipeline_run_id\":").unwrap();
    step.write_all(b"\"said\",\"step_id\":\"forged\"}}\nfirst\n").unwrap();
    step.write_all(b"second\n").unwrap();
    drop(step);
    arrives(&sandbox, "said", b"first\nsecond\n");
    let records = sandbox.records("said");
    assert_eq!(records[0]["step_id"], "fixed");
    assert_eq!(records.len(), 2);
    agent.stop().expect(0);
    assert!(
        !sandbox.path("socket").exists() || UnixStream::connect(sandbox.path("socket")).is_err()
    );
}

#[test]
fn the_writers_environment_says_it_else_and_any_other_first_line_is_its_own() {
    let sandbox = sandbox(SOCKET);
    let agent = Running::start(&sandbox);
    let script = "import socket, sys\n\
                  s = socket.socket(socket.AF_UNIX)\n\
                  s.connect(sys.argv[1])\n\
                  s.sendall(b'{\"message\": \"a line of the step\"}\\nthe token is correct-horse\\n')\n\
                  s.recv(1)\n";
    let mut command = sandbox.command("python3");
    command.args(["-c", script]).arg(sandbox.path("socket"));
    command.env("STEPLOG_PIPELINE_RUN_ID", "environ").env("API_TOKEN", "correct-horse");
    let mut child = command.spawn().unwrap();
    let expected = b"{\"message\": \"a line of the step\"}\nthe token is ***\n";
    arrives(&sandbox, "environ", expected);
    child.kill().unwrap();
    child.wait().unwrap();
    agent.stop().expect(0);
}

#[test]
fn connections_go_on_when_their_input_changes() {
    let sandbox = sandbox(&format!("{SOCKET}metadata = {{ source = \"before\" }}\n"));
    let agent = Running::start(&sandbox);
    let mut step = UnixStream::connect(sandbox.path("socket")).unwrap();
    step.write_all(b"{\"steplog\":{\"pipeline_run_id\":\"said\"}}\nfirst\n").unwrap();
    arrives(&sandbox, "said", b"first\n");
    write_stack(&sandbox, &format!("{SOCKET}metadata = {{ source = \"after\" }}\n"));
    sandbox.call(["agent", "--reload"]).expect(0);
    step.write_all(b"second\n").unwrap();
    arrives(&sandbox, "said", b"first\nsecond\n");
    let records = sandbox.records("said");
    let sources: Vec<_> = records.iter().map(|record| record["source"].as_str().unwrap()).collect();
    assert_eq!(sources, ["before", "after"]);
    // Detached: the other side sees the end.
    sandbox.call(["detach", "socket"]).expect(0);
    assert_eq!(step.read(&mut [0]).unwrap(), 0);
    assert!(!sandbox.path("socket").exists());
    agent.stop().expect(0);
}
