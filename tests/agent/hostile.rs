//! What a hostile step, or whoever reaches an input, tries: a test for each promise of docs/agent.md, "Safety".

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::json;

use super::{Running, arrives, sandbox};
use crate::support::sandbox::{Sandbox, finish};
use crate::support::wait;

const SOCKET: &str =
    "[[inputs]]\nname = \"socket\"\nkind = \"socket\"\npath = \"{sandbox}/socket\"\n";

fn connect(sandbox: &Sandbox) -> UnixStream {
    UnixStream::connect(sandbox.path("socket")).unwrap()
}

/// One line of a stream whose first line says this.
fn say(sandbox: &Sandbox, header: &serde_json::Value, line: &str) {
    let mut stream = connect(sandbox);
    writeln!(stream, "{}\n{line}", json!({ "steplog": header })).unwrap();
}

/// All files and folders below, but for those in one of `but`.
fn all(folder: &Path, but: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if but.contains(&name.as_str()) {
            continue;
        }
        found.push(path.display().to_string());
        if path.is_dir() && !path.is_symlink() {
            found.extend(all(&path, &[]));
        }
    }
    found.sort();
    found
}

#[test]
fn no_id_leads_out_of_spool_and_store() {
    let sandbox = sandbox(SOCKET);
    let agent = Running::start(&sandbox);
    let before = all(sandbox.root(), &["spool", "store"]);
    let long = "../".repeat(80);
    let ids = ["../../escaped", "a/../../../escaped", "/etc/escaped", "a\\b:c*?", long.as_str()];
    for (number, id) in ids.iter().enumerate() {
        let header = json!({ "pipeline_run_id": id, "step_id": id, "source": id });
        say(&sandbox, &header, &format!("line {number}"));
    }
    wait::until_true("all of them in the store", || {
        let listed = sandbox.call(["ls", "-o", "json"]).text();
        ids.iter().all(|id| listed.contains(&json!(id).to_string()))
    });
    // Of nothing but dots no id is made.
    say(&sandbox, &json!({ "pipeline_run_id": "..", "step_id": "train" }), "dots");
    wait::until_true("the refusal to be said", || {
        agent.said().contains("its first line is not used: pipeline_run_id has no letter or digit")
    });
    agent.stop().expect(0);
    assert_eq!(all(sandbox.root(), &["spool", "store"]), before);
    for path in all(&sandbox.path("store"), &[]) {
        assert!(!path.contains("/../") && !path.contains("/etc/escaped"), "{path}");
    }
}

#[test]
fn what_the_table_fixes_nobody_changes() {
    let sandbox = sandbox(&format!(
        "{SOCKET}metadata = {{ pipeline_run_id = \"mine\", step_id = \"fixed\", attempt = 2, \
         source = \"here\", attributes = {{ team = \"ours\" }} }}\n"
    ));
    let agent = Running::start(&sandbox);
    let script = "import json, socket, sys\n\
                  s = socket.socket(socket.AF_UNIX)\n\
                  s.connect(sys.argv[1])\n\
                  said = dict(pipeline_run_id='yours', step_id='x', attempt=1, source='y',\n\
                  \x20           attributes=dict(team='theirs', more='kept'))\n\
                  s.sendall(json.dumps(dict(steplog=said), separators=(',', ':')).encode() + b'\\nforged\\n')\n";
    let mut command = sandbox.command("python3");
    command.args(["-c", script]).arg(sandbox.path("socket"));
    for (name, value) in [("RUN_ID", "yours"), ("ATTEMPT", "1"), ("SOURCE", "y")] {
        command
            .env(format!("STEPLOG_PIPELINE_{name}"), value)
            .env(format!("STEPLOG_{name}"), value);
    }
    finish(&mut command).expect(0);
    arrives(&sandbox, "mine", b"forged\n");
    agent.stop().expect(0);
    let record = &sandbox.records("mine")[0];
    for (field, expected) in [
        ("step_id", json!("fixed")),
        ("attempt", json!(2)),
        ("source", json!("here")),
        ("pipeline_run_id", json!("mine")),
    ] {
        assert_eq!(record[field], expected, "{record}");
    }
    let said = |what: &str| {
        let files = all(&sandbox.path("store"), &[])
            .into_iter()
            .filter(|it| it.rsplit('.').next() == Some("json"));
        files.map(|file| fs::read_to_string(file).unwrap()).any(|text| text.contains(what))
    };
    assert!(said("\"team\":\"ours\"") && said("\"more\":\"kept\"") && !said("theirs"));
    sandbox.call(["logs", "yours"]).expect(3);
}

/// Files and links that a step leaves where its output is looked for.
#[test]
fn no_link_is_followed_and_no_record_of_an_end_makes_bytes() {
    let sandbox = sandbox(
        "[[inputs]]\nname = \"steps\"\nkind = \"steps\"\npath = \"{sandbox}/steps\"\n\
         metadata = { pipeline_run_id = \"steps\" }\n\
         [[inputs]]\nname = \"files\"\nkind = \"file\"\npath = \"{sandbox}/files/**/{step_id}.log\"\n\
         env_file = \"{sandbox}/files/{step_id}.env\"\n\
         metadata = { pipeline_run_id = \"files\" }\n",
    );
    for folder in ["steps", "files", "private"] {
        fs::create_dir(sandbox.path(folder)).unwrap();
    }
    let secret = sandbox.path("private/secret.log");
    fs::write(&secret, "not for the log\n").unwrap();
    fs::write(sandbox.path("private/x.env"), "STEPLOG_ATTEMPT=7\n").unwrap();
    for (link, to) in [
        ("steps/linked", "private/secret.log"),
        ("steps/train.env", "private/x.env"),
        ("files/linked.log", "private/secret.log"),
        ("files/folder", "private"),
        ("files/train.env", "private/x.env"),
    ] {
        symlink(sandbox.path(to), sandbox.path(link)).unwrap();
    }
    let agent = Running::start(&sandbox);
    fs::write(sandbox.path("files/train.log"), "of the file\n").unwrap();
    fs::write(sandbox.path("steps/train"), "of the step\n").unwrap();
    let forged = json!({
        "code": 0, "bytes_spooled": 1_u64 << 60, "bytes_captured": 1_u64 << 60,
        "reason": format!("\u{1b}[31m{}", "x".repeat(100_000)), "unknown": { "a": [1] },
    });
    fs::write(sandbox.path("steps/train.exit.tmp"), forged.to_string()).unwrap();
    fs::rename(sandbox.path("steps/train.exit.tmp"), sandbox.path("steps/train.exit.json"))
        .unwrap();
    arrives(&sandbox, "files", b"of the file\n");
    arrives(&sandbox, "steps", b"of the step\n");
    agent.stop().expect(0);
    for run in ["files", "steps"] {
        let records = sandbox.records(run);
        assert_eq!(records.len(), 1, "{records:?}");
        assert_eq!((&records[0]["step_id"], &records[0]["attempt"]), (&json!("train"), &json!(1)));
    }
    // No gap of a quintillion bytes.
    sandbox.verify("steps");
    let listed = sandbox.call(["ls", "steps"]).expect(0).text();
    assert!(listed.len() < 2000, "{} bytes of a list", listed.len());
    assert!(listed.contains("xxx") && !listed.contains('\u{1b}'), "{listed}");
}

#[test]
fn the_secrets_of_one_writer_mask_nothing_of_another_s() {
    let sandbox = sandbox(SOCKET);
    let agent = Running::start(&sandbox);
    let script = "import socket, sys\n\
                  s = socket.socket(socket.AF_UNIX)\n\
                  s.connect(sys.argv[1])\n\
                  s.sendall(b'the accuracy is 0.93\\n')\n\
                  s.recv(1)\n";
    let mut hostile = sandbox.command("python3");
    hostile.args(["-c", script]).arg(sandbox.path("socket"));
    hostile.env("STEPLOG_PIPELINE_RUN_ID", "hostile").env("X_TOKEN", "accuracy");
    let mut hostile = hostile.spawn().unwrap();
    arrives(&sandbox, "hostile", b"the *** is 0.93\n");
    say(&sandbox, &json!({ "pipeline_run_id": "other" }), "the accuracy is 0.93");
    arrives(&sandbox, "other", b"the accuracy is 0.93\n");
    hostile.kill().unwrap();
    hostile.wait().unwrap();
    agent.stop().expect(0);
}

#[test]
fn connections_and_what_they_say_are_bounded() {
    let sandbox = sandbox(&format!("{SOCKET}max_connections = 4\n"));
    let agent = Running::start(&sandbox);
    let mut held: Vec<UnixStream> = (0..4).map(|_| connect(&sandbox)).collect();
    wait::until_true("them to be known", || {
        agent.status()["inputs"][0]["streams"].as_array().map(Vec::len) == Some(4)
    });
    // The next hears at once that it is not wanted.
    assert_eq!(connect(&sandbox).read(&mut [0; 1]).unwrap(), 0);
    wait::until_true("that to be said", || agent.said().contains("4 are connected already"));
    held.pop();
    wait::until_true("one to be taken again", || {
        say(&sandbox, &json!({ "pipeline_run_id": "again" }), "line");
        sandbox.call(["logs", "again"]).code == Some(0)
    });
    // A header with too much in it is no header: it is the step's first line.
    drop(held);
    let many: serde_json::Map<_, _> =
        (0..65).map(|number| (format!("a{number}"), json!("x"))).collect();
    for (run, attributes) in [
        ("many", json!(many)),
        ("long", json!({ "a": "x".repeat(257) })),
        ("odd", json!({ "a": "\n" })),
    ] {
        let header = json!({ "pipeline_run_id": run, "attributes": attributes });
        say(&sandbox, &header, "line");
        wait::until_true("it to be refused", || {
            let status = agent.status();
            let errors = status["errors"].to_string() + &agent.said();
            errors.contains("its first line is not used")
        });
        sandbox.call(["logs", run]).expect(3);
    }
    agent.stop().expect(0);
}

/// As another user, one may ask whether an agent is there and nothing else, and keep nobody out.
#[test]
fn strangers_at_the_control_socket_are_told_nothing() {
    let sandbox = sandbox(SOCKET);
    let agent = Running::start(&sandbox);
    let script = "import os, socket, sys\n\
                  os.setgid(65534); os.setuid(65534)\n\
                  def ask(text):\n\
                  \x20   s = socket.socket(socket.AF_UNIX); s.settimeout(20)\n\
                  \x20   s.connect(sys.argv[1])\n\
                  \x20   try: s.sendall(text)\n\
                  \x20   except OSError: pass\n\
                  \x20   return s\n\
                  held = [ask(b'') for _ in range(200)]\n\
                  print('held', flush=True)\n\
                  sys.stdin.readline()\n\
                  del held\n\
                  for what in ['ping', 'status', 'reload', 'detach']:\n\
                  \x20   more = b',\"name\":\"socket\"' if what == 'detach' else b''\n\
                  \x20   answer = b''\n\
                  \x20   while not answer:\n\
                  \x20       s = ask(b'{\"do\":\"' + what.encode() + b'\"' + more + b'}\\n')\n\
                  \x20       try: answer = s.recv(4096)\n\
                  \x20       except ConnectionError: pass\n\
                  \x20   print(what, answer.decode().strip(), flush=True)\n";
    // It may not come to a private folder of ours at all; to this one it may.
    let control = sandbox.path("spool/.agent.sock");
    for folder in
        control.ancestors().skip(1).take_while(|folder| folder.starts_with(sandbox.root()))
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = sandbox.command("python3");
    command.args(["-c", script]).arg(&control);
    let mut stranger = command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = [0; 5];
    stranger.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
    assert_eq!(&said, b"held\n");
    // While it holds what it can, its owner is heard.
    agent.status();
    stranger.stdin.take().unwrap().write_all(b"\n").unwrap();
    let output = stranger.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let refused = "{\"answer\":\"refused\",\"why\":\"only the user that the agent runs as may ask for that, and root\"}";
    assert_eq!(
        text,
        format!(
            "ping {{\"answer\":\"done\",\"note\":\"here\"}}\nstatus {refused}\nreload {refused}\ndetach {refused}\n"
        )
    );
    agent.stop().expect(0);
}
