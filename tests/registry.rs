//! The stack file edited from the command line: what is typed, what the file then says, what is
//! refused, and that nothing is lost or shown on the way.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;

use serde_json::Value;

use crate::support::sandbox::{LOCAL, Output, Sandbox, finish, finish_with_input};
use crate::support::screen::{PROMPT, Screen};
use crate::support::{http, project, wait};

fn file(sandbox: &Sandbox) -> PathBuf {
    sandbox.path("config/steplog/stack.toml")
}

fn text(sandbox: &Sandbox) -> String {
    fs::read_to_string(file(sandbox)).unwrap()
}

#[track_caller]
fn call(sandbox: &Sandbox, line: &str) -> Output {
    sandbox.call(line.split(' '))
}

#[track_caller]
fn json(sandbox: &Sandbox, line: &str) -> Value {
    let output = call(sandbox, &format!("{line} -o json")).expect(0);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The session of ZenML's users, with `steplog` for `zenml`.
#[test]
fn a_log_store_is_registered_used_and_described() {
    let server = http::Server::start();
    let sandbox = Sandbox::new();
    let flavors = call(&sandbox, "log-store flavor list").expect(0);
    assert!(flavors.text().contains("http ") && flavors.text().contains("artifact "));
    let endpoint = server.url();
    let registered = sandbox.call([
        "log-store".to_owned(),
        "register".to_owned(),
        "my_logs".to_owned(),
        "--headers.x-api-key=${env:LOG_KEY}".to_owned(),
        "--flavor".to_owned(),
        "http".to_owned(),
        "--endpoint".to_owned(),
        endpoint.clone(),
        "--schedule_delay_millis=50".to_owned(),
    ]);
    let registered = registered.expect(0);
    assert!(registered.text().contains("which is new"), "{}", registered.text());
    assert_eq!(registered.errors(), "", "a reference is no secret");
    call(&sandbox, "stack update -l my_logs").expect(0);
    let (_, written) = {
        let text = text(&sandbox);
        let (head, rest) = text.split_once("\n\n").unwrap();
        (head.to_owned(), rest.to_owned())
    };
    assert_eq!(
        written,
        format!(
            "[log_stores.my_logs]\nflavor = \"http\"\nheaders = {{ x-api-key = \"${{env:LOG_KEY}}\" }}\n\
             endpoint = \"{endpoint}\"\nschedule_delay_millis = 50\n\n[stacks.default]\n\
             artifact_store = \"local\"\nlog_stores = [\"my_logs\"]\n"
        )
    );
    let list = json(&sandbox, "log-store list");
    assert_eq!(list[0]["name"], "my_logs");
    assert_eq!((&list[0]["active"], &list[0]["flavor"]), (&true.into(), &"http".into()));
    assert_eq!(json(&sandbox, "log-store get"), serde_json::json!(["my_logs"]));
    let described = json(&sandbox, "log-store describe my_logs");
    assert_eq!(described["configuration"]["max_export_batch_size"], 2_000);
    assert_eq!(described["configuration"]["headers"]["x-api-key"], "${env:LOG_KEY}");

    let mut test = sandbox.steplog(["log-store", "test", "my_logs"]);
    let tried = finish(test.env("LOG_KEY", "hunter2hunter2")).expect(0);
    assert!(
        tried.errors().contains("log_stores.my_logs: took a test record"),
        "{}",
        tried.errors()
    );
    let request = wait::until("the test record", || server.requests().pop());
    assert_eq!(request.header("x-api-key"), Some("hunter2hunter2"));
    assert!(request.text().contains("steplog-test"), "{}", request.text());

    let before = server.requests().len();
    let mut run = sandbox.wrap("run", ["echo", "hello"]);
    finish(run.env("LOG_KEY", "hunter2hunter2")).expect(0);
    let bodies: String = server.requests().iter().skip(before).map(http::Request::text).collect();
    assert!(bodies.contains("\"hello\""), "{bodies}");
}

#[test]
fn what_a_store_refuses_is_said() {
    let server = http::Server::start();
    let sandbox = Sandbox::new();
    let register = format!("log-store register hook -f http --endpoint={}", server.url());
    call(&sandbox, &register).expect(0);
    server.answer(403, "no key, no logs");
    let tried = call(&sandbox, "log-store test hook").expect(4);
    assert!(tried.errors().contains("not allowed: ") && tried.errors().contains("no key, no logs"));
    server.answer(500, "on fire");
    let tried = call(&sandbox, "log-store test hook").expect(7);
    assert!(tried.errors().contains("on fire"), "{}", tried.errors());
    call(&sandbox, "stack update -l hook").expect(0);
    let checked = call(&sandbox, "check --connect").expect(1);
    assert!(checked.errors().contains("artifact_stores.local: wrote"), "{}", checked.errors());
    assert!(checked.errors().contains("log_stores.hook: failed to"), "{}", checked.errors());
    call(&sandbox, "log-store test hok").expect(2);
    // Only the secrets of the store that is tried are asked for.
    let sandbox =
        Sandbox::with_stack("[log_stores.other]\nflavor = 'http'\nendpoint = '${env:NOT_SET}'\n");
    call(&sandbox, "artifact-store test local").expect(0);
    let tried = call(&sandbox, "log-store test other").expect(2);
    assert!(tried.errors().contains("NOT_SET"), "{}", tried.errors());
}

#[test]
fn an_invalid_edit_changes_nothing() {
    let sandbox = Sandbox::with_stack(LOCAL);
    let before = text(&sandbox);
    for (line, needles) in [
        ("log-store register a -f http --endpoint=x", &["log_stores.a.endpoint", "URL"][..]),
        ("log-store register a -f http2", &["http2", "did you mean \"http\"?"]),
        ("log-store register a -f http", &["log_stores.a.endpoint: missing"]),
        ("log-store register a -f http --endpoint=http://x --frmt=json", &["frmt", "format"]),
        ("log-store register a -f http --endpoint", &["--endpoint needs a value"]),
        ("artifact-store update here --level=99", &["artifact_stores.here.level", "1 to 22"]),
        ("artifact-store delete here", &["used by the stack \"test\""]),
        ("artifact-store delete her", &["did you mean \"here\"?"]),
        ("artifact-store remove-attribute here level", &["no attribute \"level\""]),
        ("stack update -l nothing", &["there is no log store \"nothing\""]),
        ("stack set nothing", &["there is no stack \"nothing\""]),
        ("stack delete test", &["is active"]),
        ("log-store flavor register http --command x", &["built in"]),
    ] {
        let output = call(&sandbox, line).expect(2);
        for needle in needles {
            assert!(output.errors().contains(needle), "{line}: {}", output.errors());
        }
        assert_eq!(text(&sandbox), before, "{line}");
    }
    // What is wrong already is said with its place.
    sandbox.write_stack("[spool]\nmax_byte = 1\n");
    let output = call(&sandbox, "log-store register a -f artifact").expect(2);
    assert!(output.errors().contains("stack.toml:2:1: spool.max_byte"), "{}", output.errors());
    // But an edit may be what puts it right.
    sandbox.write_stack("[log_stores.a]\nflavor = 'http2'\n");
    call(&sandbox, "log-store delete a").expect(0);
    assert_eq!(text(&sandbox), "");
}

#[test]
fn the_file_stays_whose_it_is_and_where_it_is() {
    let sandbox = Sandbox::with_stack(LOCAL);
    let (link, real) = (file(&sandbox), sandbox.path("dotfiles/steplog.toml"));
    fs::create_dir(sandbox.path("dotfiles")).unwrap();
    fs::rename(&link, &real).unwrap();
    symlink("../../dotfiles/steplog.toml", &link).unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(&real, Some(1234), Some(5678)).unwrap();
    }
    let before = fs::metadata(&real).unwrap();
    call(&sandbox, "log-store register keep -f artifact --level 9").expect(0);
    let after = fs::metadata(&real).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(text(&sandbox).contains("[log_stores.keep]"));
    assert_eq!(after.mode() & 0o777, 0o640);
    assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()));
    assert_eq!(fs::read_dir(sandbox.path("dotfiles")).unwrap().count(), 1, "nothing is left over");
    assert_eq!(fs::read_dir(link.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn a_secret_closes_the_file_and_is_never_shown() {
    let sandbox = Sandbox::with_stack(LOCAL);
    fs::set_permissions(file(&sandbox), fs::Permissions::from_mode(0o644)).unwrap();
    let command = ["log-store", "register", "a", "-f", "http", "--endpoint=http://127.0.0.1:1/"];
    let given = ["--headers.authorization=Bearer hunter2hunter2"];
    let output = finish(&mut sandbox.steplog(command.iter().chain(&given))).expect(0);
    let said = output.text() + &output.errors();
    assert!(said.contains("log_stores.a.headers.authorization: the secret itself stands in"));
    assert!(said.contains("${env:AUTHORIZATION}") && said.contains("it was 644"), "{said}");
    assert_eq!(fs::metadata(file(&sandbox)).unwrap().mode() & 0o777, 0o600);
    let mut all = said;
    for line in [
        "log-store describe a",
        "log-store describe a -o json",
        "check",
        "log-store test a",
        "log-store update a --format=xml",
    ] {
        let output = call(&sandbox, line);
        all += &(output.text() + &output.errors());
    }
    assert!(!all.contains("hunter2"), "{all}");

    // From standard input, and from a file.
    let mut update = sandbox.steplog(["log-store", "update", "a", "--headers.x-one=-"]);
    finish_with_input(&mut update, b"from input\n").expect(0);
    fs::write(sandbox.path("work/key"), "from file\n").unwrap();
    call(&sandbox, "log-store update a --headers.x-two=@key --headers.x-three=@@home").expect(0);
    let text = text(&sandbox);
    for value in ["x-one = \"from input\"", "x-two = \"from file\"", "x-three = \"@home\""] {
        assert!(text.contains(value), "{text}");
    }
    let missing = call(&sandbox, "log-store update a --headers.x=@/not/there").expect(2);
    assert!(missing.errors().contains("/not/there"), "{}", missing.errors());
}

/// A shell whose terminal shows what is typed, and steplog asking on it for a secret.
fn asked(sandbox: &Sandbox) -> Screen {
    let mut screen = Screen::shell(sandbox, &[]);
    screen.type_in("stty echo; echo typed''-text-is-shown\n");
    screen.expect("typed-text-is-shown");
    screen.expect(PROMPT);
    // Not the shell itself: one that is interactive mends the terminal after whoever was killed.
    screen.type_in("sh -c '$STEPLOG log-store register a -f http --endpoint=http://127.0.0.1:1/ ");
    screen.type_in("--headers.x-key=-; exec stty -a'\n");
    screen.expect("headers.x-key (not shown): ");
    screen
}

/// `stty -a` says so.
fn shows_again(screen: &mut Screen) {
    screen.wait("what is typed to be shown again", |seen| {
        seen.split([' ', ';']).any(|word| word == "echo")
    });
}

#[test]
fn a_secret_that_is_typed_is_not_shown() {
    let sandbox = Sandbox::new();
    let mut screen = asked(&sandbox);
    screen.type_in("hunter2hunter2\n");
    let before = screen.expect("registered the log store");
    assert!(!before.contains("hunter2"), "{before}");
    screen.wait("the terminal's modes", |seen| seen.contains(PROMPT));
    shows_again(&mut screen);
    assert!(!screen.expect(PROMPT).contains("hunter2"));
    assert!(text(&sandbox).contains("x-key = \"hunter2hunter2\""), "{}", text(&sandbox));
    assert_eq!(fs::metadata(file(&sandbox)).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn whoever_does_not_type_it_has_a_terminal_again() {
    let sandbox = Sandbox::new();
    let mut screen = asked(&sandbox);
    // Half of it, and then not.
    screen.type_in("hunter2");
    let pid = sandbox.processes("log-store").pop().unwrap().pid;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM)
        .unwrap();
    shows_again(&mut screen);
    assert!(!file(&sandbox).exists());

    let mut screen = asked(&sandbox);
    screen.type_in("\n");
    screen.expect("the value of headers.x-key from standard input is empty");
    shows_again(&mut screen);
    assert!(!file(&sandbox).exists());

    let mut screen = asked(&sandbox);
    screen.type_in("\x1a");
    screen.expect(PROMPT);
    screen.type_in("stty -a\n");
    shows_again(&mut screen);
    screen.type_in("fg\n");
    screen.expect("headers.x-key (not shown): ");
    screen.type_in("hunter2hunter2\n");
    screen.expect("registered the log store");
    assert!(text(&sandbox).contains("hunter2hunter2"));
}

/// As a ConfigMap is.
#[test]
fn a_file_that_cannot_be_written_is_left_as_it_is() {
    let sandbox = Sandbox::with_stack(&format!("{LOCAL}[log_stores.a]\nflavor = 'artifact'\n"));
    let (path, before) = (file(&sandbox), text(&sandbox));
    let program = project("examples/flavors/sqlite.py").display().to_string();
    let flavor = format!("log-store flavor register own --command python3 {program}");
    for line in [
        "log-store register b -f artifact",
        "log-store update a --level=3",
        "log-store delete a",
        "stack update -l a",
        &flavor,
        "stack init --force",
    ] {
        let mut command = sandbox.command("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c"]);
        command.arg("mount --bind \"$0\" \"$0\" && mount -o remount,ro,bind \"$0\" && exec \"$@\"");
        command.arg(path.parent().unwrap()).arg(env!("CARGO_BIN_EXE_steplog"));
        let said = finish(command.args(line.split(' '))).expect(1).errors();
        let place = path.display().to_string();
        for words in ["failed to ", &place, "Read-only file system", "help: "] {
            assert!(said.contains(words), "{line}: no {words:?} in {said}");
        }
        assert_eq!(text(&sandbox), before, "{line}");
        assert_eq!(
            fs::read_dir(path.parent().unwrap()).unwrap().count(),
            1,
            "nothing is left over"
        );
    }
}

#[test]
fn edits_at_the_same_time_all_take_effect() {
    let sandbox = Sandbox::new();
    let all: Vec<String> = (0..12).map(|number| format!("store{number}")).collect();
    let started: Vec<_> = all
        .iter()
        .map(|name| {
            let arguments = ["log-store", "register", name.as_str(), "-f", "artifact"];
            sandbox.steplog(arguments).stdout(std::process::Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut child in started {
        assert!(child.wait().unwrap().success());
    }
    let list = json(&sandbox, "log-store list");
    let mut names: Vec<_> =
        list.as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    names.sort_by_key(|name| all.iter().position(|known| known == name));
    assert_eq!(names, all);
}

#[test]
fn stacks_are_put_together_and_taken_apart() {
    let sandbox = Sandbox::new();
    call(&sandbox, "artifact-store register disk --flavor local --path /tmp/x").expect(0);
    call(&sandbox, "log-store register one -f artifact").expect(0);
    call(&sandbox, "log-store register two -f artifact --artifact_store=disk").expect(0);
    call(&sandbox, "stack register prod -a disk -l one -l two").expect(0);
    assert_eq!(call(&sandbox, "stack get").expect(0).text(), "default\n");
    call(&sandbox, "stack set prod").expect(0);
    assert_eq!(call(&sandbox, "log-store get").expect(0).text(), "one\ntwo\n");
    assert_eq!(call(&sandbox, "artifact-store get").expect(0).text(), "disk\n");
    call(&sandbox, "stack remove-component -l one").expect(0);
    call(&sandbox, "log-store rename two archive").expect(0);
    call(&sandbox, "log-store copy archive spare").expect(0);
    call(&sandbox, "artifact-store rename disk cold").expect(0);
    call(&sandbox, "stack copy prod next").expect(0);
    call(&sandbox, "stack rename prod live").expect(0);
    call(&sandbox, "log-store delete one").expect(0);
    let stacks = json(&sandbox, "stack list");
    let row =
        |name: &str| stacks.as_array().unwrap().iter().find(|row| row["name"] == name).unwrap();
    assert_eq!(row("live")["active"], true);
    assert_eq!(row("next")["log_stores"], serde_json::json!(["archive"]));
    assert_eq!(row("live")["artifact_store"], "cold");
    let store = json(&sandbox, "log-store describe spare");
    assert_eq!(store["configuration"]["artifact_store"], "cold");
    call(&sandbox, "stack remove-component live -l archive").expect(0);
    let none = call(&sandbox, "log-store get").expect(0);
    assert_eq!(none.text(), "");
    assert!(none.errors().contains("its artifact store \"cold\" keeps the logs"));
    call(&sandbox, "stack delete next").expect(0);
    call(&sandbox, "check").expect(0);
}

/// The example program is asked what it is; its keys are known from then on.
#[test]
fn a_flavor_of_ones_own_is_registered_and_used() {
    let sandbox = Sandbox::new();
    let program = project("examples/flavors/sqlite.py").display().to_string();
    let register = format!("log-store flavor register sqlite --command python3 {program}");
    call(&sandbox, &register).expect(0);
    let written = text(&sandbox);
    assert!(
        written.contains(&format!("[flavors.sqlite]\ncommand = [\"python3\", \"{program}\"]\n"))
    );
    let flavors = json(&sandbox, "log-store flavor list");
    let own = flavors.as_array().unwrap().iter().find(|it| it["name"] == "sqlite").unwrap();
    assert_eq!((&own["built_in"], &own["reads_back"]), (&false.into(), &true.into()));
    let described = call(&sandbox, "log-store flavor describe sqlite").expect(0).text();
    assert!(
        described.contains("path") && described.contains("max_export_batch_size"),
        "{described}"
    );
    // Once more is anew, and says the same.
    call(&sandbox, &register).expect(0);
    assert_eq!(text(&sandbox), written);

    let misspelt = call(&sandbox, "log-store register history -f sqlite --pth=x").expect(2);
    assert!(misspelt.errors().contains("did you mean \"path\"?"), "{}", misspelt.errors());
    let database = sandbox.path("work/logs.db").display().to_string();
    call(&sandbox, &format!("log-store register history -f sqlite --path={database}")).expect(0);
    let tried = call(&sandbox, "log-store test history").expect(0);
    assert!(tried.errors().contains("log_stores.history: can be read"), "{}", tried.errors());
    call(&sandbox, "stack update -l history").expect(0);
    finish(&mut sandbox.wrap("run", ["echo", "hello"])).expect(0);
    assert_eq!(sandbox.raw("run"), b"hello\n");

    let used = call(&sandbox, "log-store flavor delete sqlite").expect(2);
    assert!(used.errors().contains("used by the log store \"history\""), "{}", used.errors());
    call(&sandbox, "stack remove-component -l history").expect(0);
    call(&sandbox, "log-store delete history").expect(0);
    call(&sandbox, "log-store flavor delete sqlite").expect(0);
    assert!(!text(&sandbox).contains("sqlite"));
    let gone = call(&sandbox, "log-store flavor register x --command /not/there").expect(2);
    assert!(gone.errors().contains("was not registered"), "{}", gone.errors());
}

/// As typed by ZenML's users, with `steplog` for `zenml`.
#[test]
fn the_session_of_the_datadog_log_store() {
    let sandbox = Sandbox::new();
    let list = call(&sandbox, "log-store flavor list").expect(0).text();
    assert!(list.contains("datadog"), "{list}");
    let register = "log-store register my_datadog_logs --flavor datadog --api_key=hunter2hunter2 \
                    --site=datadoghq.com";
    let registered = call(&sandbox, register).expect(0);
    assert!(!(registered.text() + &registered.errors()).contains("hunter2"));
    call(&sandbox, "stack update -l my_datadog_logs").expect(0);
    let described = json(&sandbox, "log-store describe my_datadog_logs");
    assert_eq!(described["configuration"]["api_key"], "********");
    assert_eq!(described["stacks"], serde_json::json!(["default"]));
}

#[test]
fn flavors_are_described() {
    let sandbox = Sandbox::new();
    let text = call(&sandbox, "log-store flavor describe http").expect(0).text();
    for needle in ["endpoint", "(required)", "max_export_batch_size", "10000", "Example:"] {
        assert!(text.contains(needle), "{text}");
    }
    let local = json(&sandbox, "artifact-store flavor describe local");
    let level = local["keys"].as_array().unwrap().iter().find(|key| key["key"] == "level").unwrap();
    assert_eq!(level["takes"], "1 to 22; 0 to 9 with codec = \"gzip\"");
    let unknown = call(&sandbox, "log-store flavor describe http2").expect(2);
    assert!(unknown.errors().contains("did you mean \"http\"?"), "{}", unknown.errors());
}

#[test]
fn a_file_that_is_named_is_the_one_that_is_edited() {
    let sandbox = Sandbox::with_stack(LOCAL);
    let before = text(&sandbox);
    let other = sandbox.path("work/other.toml");
    call(&sandbox, "log-store register a --stack other.toml -f artifact").expect(0);
    assert!(fs::read_to_string(&other).unwrap().contains("[log_stores.a]"));
    let mut copy = sandbox.steplog(["log-store", "copy", "a", "b"]);
    finish(copy.env("STEPLOG_STACK", &other)).expect(0);
    assert!(fs::read_to_string(&other).unwrap().contains("[log_stores.b]"));
    assert_eq!(text(&sandbox), before);
}
