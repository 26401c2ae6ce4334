//! Bad configuration of every kind: each is refused before the step starts, names file, line and
//! key, and never shows a secret.

use std::fs;

use crate::support::sandbox::{LOCAL, Sandbox, finish};

/// Stack file, and what the message must contain.
#[rustfmt::skip]
const TABLE: &[(&str, &[&str])] = &[
    ("active = ", &["stack.toml:1"]),
    ("active = \"nowhere\"\n", &["stack.toml:1", "nowhere"]),
    ("activ = \"test\"\n", &["stack.toml:1", "activ", "active"]),
    ("[spool]\nmax_byte = 3\n", &["stack.toml:2", "max_byte", "max_bytes"]),
    ("[spool]\nmax_bytes = true\n", &["stack.toml:2", "max_bytes"]),
    ("[spool]\nmax_bytes = \"many\"\n", &["stack.toml:2", "max_bytes"]),
    ("[spool]\nwhen_full = \"explode\"\n", &["stack.toml:2", "explode", "drop_oldest"]),
    ("[ship]\ndeadline = \"soon\"\n", &["stack.toml:2", "deadline"]),
    ("[redact]\npatterns = [\"(\"]\n", &["stack.toml:2", "patterns"]),
    ("active = \"s\"\n[stacks.s]\nartifact_store = \"a\"\n[artifact_stores.a]\nflavor = \"floppy\"\n",
        &["stack.toml:5", "floppy"]),
    ("active = \"s\"\n[stacks.s]\nartifact_store = \"b\"\n[artifact_stores.a]\nflavor = \"local\"\npath = \"/tmp\"\n",
        &["stack.toml:3", "b"]),
    ("active = \"s\"\n[stacks.s]\nartifact_store = \"a\"\n[artifact_stores.a]\nflavor = \"s3\"\n",
        &["uri"]),
    ("active = \"s\"\n[stacks.s]\nartifact_store = \"a\"\n[artifact_stores.a]\nflavor = \"s3\"\nuri = \"gs://b/p\"\n",
        &["stack.toml:6", "s3://"]),
    ("active = \"s\"\n[stacks.s]\nartifact_store = \"a\"\n[artifact_stores.a]\nflavor = \"s3\"\nuri = \"s3://b/p\"\n\
      secret_access_key = \"${env:NOT_SET_ANYWHERE}\"\n", &["stack.toml:7", "NOT_SET_ANYWHERE"]),
    ("active = \"s\"\n[stacks.s]\nartifact_store = \"a\"\n[artifact_stores.a]\nflavor = \"s3\"\nuri = \"s3://b/p\"\n\
      secret_access_key = \"${file:/not/there}\"\n", &["stack.toml:7", "/not/there"]),
    ("active = \"s\"\n[stacks.s]\nartifact_store = \"a\"\n[artifact_stores.a]\nflavor = \"s3\"\nuri = \"s3://b/p\"\n\
      endpoint = \"nonsense\"\n", &["stack.toml:7", "a.endpoint", "https://"]),
    ("active = \"s\"\n[stacks.s]\nartifact_store = \"a\"\n[artifact_stores.a]\nflavor = \"azure\"\nuri = \"az://b/p\"\n\
      authority_host = \"ftp://x\"\n", &["stack.toml:7", "a.authority_host", "https://"]),
    ("[redact]\nfiles = [\"/not/there\"]\n", &["/not/there"]),
    // All at once, not one after the other.
    ("[spool]\nmax_byte = 3\n[ship]\ndeadline = \"soon\"\n", &["max_byte", "deadline", "stack.toml:2", "stack.toml:4"]),
];

#[test]
fn is_refused_with_file_line_key_and_hint() {
    let sandbox = Sandbox::new();
    for (text, needles) in TABLE {
        sandbox.write_stack(text);
        let checked = sandbox.call(["check"]);
        assert!(checked.code.is_some_and(|code| code != 0), "accepted: {text}");
        let run = finish(&mut sandbox.wrap("run", ["touch", "started"])).expect(125);
        for message in [checked.errors(), run.errors()] {
            for needle in *needles {
                assert!(message.contains(needle), "no {needle:?} for\n{text}\nin\n{message}");
            }
        }
        assert!(!sandbox.path("work/started").exists(), "the step was started: {text}");
    }
}

#[test]
fn a_secret_is_never_shown() {
    let sandbox = Sandbox::with_stack(
        "active = \"s\"\n[stacks.s]\nartifact_store = \"a\"\n[artifact_stores.a]\nflavor = \"s3\"\n\
         uri = \"s3://b/p\"\nregion = \"here\"\naccess_key_id = \"me\"\nsecret_access_key = \"hunter2hunter2\"\nnonsense = 1\n",
    );
    for arguments in [&["check"][..], &["logs", "x"], &["run", "--", "true"]] {
        let output = sandbox.call(arguments);
        assert!(output.code != Some(0));
        let said = output.text() + &output.errors();
        assert!(said.contains("nonsense") && !said.contains("hunter2"), "{said}");
    }
    sandbox.write_stack(&fs_read(&sandbox).replace("nonsense = 1\n", ""));
    let checked = sandbox.call(["check"]).expect(0);
    assert!(!(checked.text() + &checked.errors()).contains("hunter2"), "{}", checked.text());
}

fn fs_read(sandbox: &Sandbox) -> String {
    fs::read_to_string(sandbox.path("config/steplog/stack.toml")).unwrap()
}

#[test]
fn a_good_one_is_accepted_and_shown() {
    let sandbox = Sandbox::with_stack(LOCAL);
    let checked = sandbox.call(["check"]).expect(0);
    let store = sandbox.store().display().to_string();
    assert!(checked.text().contains(&store), "{}", checked.text());
}

#[test]
fn a_named_file_that_is_not_there_is_an_error() {
    let sandbox = Sandbox::new();
    for arguments in [
        &["check", "/not/there.toml"][..],
        &["run", "--stack", "/not/there.toml", "--", "true"],
        &["logs", "--stack", "/not/there.toml", "x"],
    ] {
        let output = sandbox.call(arguments);
        assert!(output.code != Some(0) && output.errors().contains("/not/there.toml"));
    }
}

#[test]
fn what_stack_init_writes_is_valid() {
    let sandbox = Sandbox::new();
    sandbox.call(["stack", "init"]).expect(0);
    assert!(sandbox.path("config/steplog/stack.toml").exists());
    sandbox.call(["check"]).expect(0);
    assert_ne!(sandbox.call(["stack", "init"]).code, Some(0), "it overwrites nothing");
    finish(&mut sandbox.wrap("run", ["echo", "hello"])).expect(0);
    assert_eq!(sandbox.raw("run"), b"hello\n");
}

#[test]
fn a_store_that_is_not_encrypted_has_to_be_allowed() {
    let stack = "active = \"s\"\n[stacks.s]\nartifact_store = \"a\"\n[artifact_stores.a]\nflavor = \"s3\"\n\
                 uri = \"s3://b/p\"\nendpoint = \"http://127.0.0.1:9\"\nregion = \"here\"\n\
                 access_key_id = \"me\"\nsecret_access_key = \"${env:KEY}\"\n";
    let sandbox = Sandbox::with_stack(stack);
    let call = |command: &str, allow: &[(&str, &str)]| {
        let mut command = sandbox.steplog(command.split(' '));
        finish(command.env("KEY", "hunter2hunter2").envs(allow.iter().copied()))
    };
    for (command, code) in [("check", 2), ("logs x", 7)] {
        let said = call(command, &[]).expect(code).errors();
        assert!(said.contains("allow_http = true"), "{command}: {said}");
    }
    call("check", &[("AWS_ALLOW_HTTP", "true")]).expect(0);
    sandbox.write_stack(&format!("{stack}allow_http = true\n"));
    call("check", &[]).expect(0);
}

#[test]
fn what_the_client_of_a_store_misses_is_named_with_its_line() {
    let azure = "active = \"s\"\n[stacks.s]\nartifact_store = \"a\"\n[artifact_stores.a]\nflavor = \"azure\"\n\
                 uri = \"az://b/p\"\n";
    let sandbox = Sandbox::new();
    for (more, needles) in [
        (
            "",
            [
                "stack.toml:4:",
                "artifact_stores.a.account_name: it is not set",
                "$AZURE_STORAGE_ACCOUNT_NAME",
            ],
        ),
        (
            "account_name = \"me\"\naccount_key = \"hunter2!\"\n",
            [
                "stack.toml:8:1: ",
                "artifact_stores.a.account_key: its value is not usable",
                "base64",
            ],
        ),
    ] {
        sandbox.write_stack(&format!("{azure}{more}"));
        let said = sandbox.call(["check"]).expect(2).errors();
        for needle in needles {
            assert!(said.contains(needle), "no {needle:?} in {said}");
        }
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn a_spool_whose_stack_has_gone_says_so_and_goes_out_by_another() {
    let stack = |name: &str, deadline: &str| {
        LOCAL
            .replace("\"test\"", &format!("\"{name}\""))
            .replace("stacks.test", &format!("stacks.{name}"))
            + deadline
    };
    let sandbox = Sandbox::with_stack(&stack("old", "[ship]\ndeadline = \"0s\"\n"));
    // A file in the place of the store's folder.
    fs::write(sandbox.store(), "").unwrap();
    finish(&mut sandbox.wrap("run", ["echo", "hello"])).expect(0);
    let spool = sandbox.spooled().remove(0);
    fs::remove_file(sandbox.store()).unwrap();
    sandbox.write_stack(&stack("new", ""));
    let said = sandbox.call(["ship", spool.to_str().unwrap()]).expect(2).errors();
    for needle in [
        spool.to_str().unwrap(),
        "the stack \"old\" that its writer used",
        "stack.toml",
        "--stack FILE",
    ] {
        assert!(said.contains(needle), "no {needle:?} in {said}");
    }
    assert!(spool.exists());
    sandbox.write_stack(&stack("old", ""));
    sandbox.call(["ship", spool.to_str().unwrap()]).expect(0);
    assert_eq!(sandbox.raw("run"), b"hello\n");
}
