//! The units of `systemd/`, installed as its README says, under a systemd of their own.

use std::fs;

use super::attempt;
use super::machine::{Machine, stack};
use crate::support::sandbox::Sandbox;
use crate::support::{project, wait};

/// The README's block for the agent.
pub(super) const AGENT: usize = 1;
/// And that for the timer.
const TIMER: usize = 2;

/// The commands of a block of the README, from 0.
pub(super) fn installation(block: usize) -> String {
    let readme = fs::read_to_string(project("systemd/README.md")).unwrap();
    let block = readme.split("```sh\n").nth(block + 1).unwrap();
    block.split("```").next().unwrap().to_owned()
}

#[test]
fn the_units_deliver_what_runs_left_behind() {
    let sandbox = Sandbox::new();
    let machine = Machine::boot(&sandbox);
    machine.succeed(&["sh", "-ec", &installation(TIMER)]);
    assert_eq!(machine.succeed(&["systemctl", "is-active", "steplog-ship.timer"]), "active");
    // What the README says of secrets: a value that only the service is given.
    machine.write("/etc/steplog/store", "/var/lib/steplog/store");
    machine.write(
        "/etc/systemd/system/steplog-ship.service.d/store.conf",
        "[Service]\nLoadCredential=store:/etc/steplog/store\n",
    );
    machine.succeed(&["systemctl", "daemon-reload"]);

    machine.leave_behind("one");
    machine.succeed(&["systemctl", "start", "steplog-ship.service"]);
    let said = machine.journal("steplog-ship.service");
    assert!(said.contains("1 spool delivered"), "{said}");

    // And by the timer, whose time is brought forward.
    machine.leave_behind("two");
    machine.write(
        "/etc/systemd/system/steplog-ship.timer.d/soon.conf",
        "[Timer]\nOnBootSec=\nRandomizedDelaySec=0\nOnActiveSec=10ms\nAccuracySec=1ms\n",
    );
    machine.succeed(&["systemctl", "daemon-reload"]);
    machine.succeed(&["systemctl", "restart", "steplog-ship.timer"]);
    wait::until_true("the timer to deliver", || {
        machine.succeed(&["ls", "/var/lib/steplog/spool"]).is_empty()
    });

    machine.write("/etc/steplog/stack.toml", &stack("/var/lib/steplog/store"));
    for run in ["one", "two"] {
        assert_eq!(machine.succeed(&["steplog", "logs", run]), format!("left {run}"));
        machine.succeed(&["steplog", "verify", run]);
    }
}

#[test]
fn root_and_the_agent_share_a_spool_and_a_store() {
    let sandbox = Sandbox::new();
    let machine = Machine::boot(&sandbox);
    let input = "[[inputs]]\nname = \"train\"\nkind = \"fifo\"\npath = \"/run/steplog/train\"\n\
                 metadata = { pipeline_run_id = \"r\", step_id = \"train\" }\n";
    machine.write("/etc/steplog/stack.toml", &(stack("/var/lib/steplog/store") + input));
    for block in [AGENT, TIMER] {
        machine.succeed(&["sh", "-ec", &installation(block)]);
    }
    // Left to the agent, which may not write to a spool of root's.
    let step = ["steplog", "run", "--run=root", "--step=s", "--", "echo", "of", "root"];
    attempt(&mut machine.inside(&step)).expect(0);
    machine.succeed(&["systemctl", "start", "steplog-ship.service"]);
    assert_eq!(machine.succeed(&["steplog", "logs", "root"]), "of root");
    // The day's folder in the store is now root's.
    machine.succeed(&["sh", "-c", "echo of the agent >/run/steplog/train"]);
    wait::until_true("the agent to deliver", || {
        let logs = attempt(&mut machine.inside(&["steplog", "logs", "r", "-o", "raw"]));
        logs.text() == "of the agent\n"
    });
}

#[test]
fn a_service_of_a_user_made_up_keeps_its_logs_in_its_own_folder() {
    let sandbox = Sandbox::new();
    let machine = Machine::boot(&sandbox);
    machine.write(
        "/etc/systemd/system/app.service",
        "[Service]\nType=oneshot\nDynamicUser=yes\nStateDirectory=app\n\
         ExecStartPre=-/usr/bin/steplog ship --all\n\
         ExecStart=/usr/bin/steplog run --run=r --step=s -- echo hello\n",
    );
    machine.succeed(&["systemctl", "daemon-reload"]);
    machine.succeed(&["systemctl", "start", "app.service"]);
    let said = machine.journal("app.service");
    assert!(said.contains("\nhello\n"), "{said}");
    let read = ["env", "STATE_DIRECTORY=/var/lib/app", "steplog", "logs", "r/s"];
    assert_eq!(machine.succeed(&read), "hello");
}
