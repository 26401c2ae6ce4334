//! Completion in the real shells, on a terminal: what is typed with the tabulator between is run, and
//! what it then did is looked at. And the manual pages, read by the programs that show them.

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::sandbox::{LOCAL, Sandbox, finish};
use crate::support::screen::Screen;

/// What a shell needs to be started without anybody's settings, and to complete steplog.
struct Shell {
    program: &'static str,
    arguments: &'static [&'static str],
    set_up: &'static str,
}

const BASH: Shell = Shell {
    program: "bash",
    arguments: &["--norc", "--noprofile", "-i"],
    set_up: "source <(steplog completions bash)",
};
const ZSH: Shell = Shell {
    program: "zsh",
    arguments: &["-f", "-i"],
    set_up: "autoload -Uz compinit; compinit -u -D; source <(steplog completions zsh)",
};
const FISH: Shell = Shell {
    program: "fish",
    arguments: &["--no-config", "-i"],
    set_up: "steplog completions fish | source",
};

/// Names of log stores, two of whose flavors have keys of their own.
const STORES: &str = r#"
[log_stores.history]
flavor = "artifact"
[log_stores.hook]
flavor = "http"
endpoint = "http://127.0.0.1:1/"
[flavors.sqlite]
command = ["/not/started"]
keys.path = { type = "string" }
"#;

/// What is typed, and what the stack file has in it then. Behind a word that is completed a shell may
/// put a space of its own; one more is none too many.
const TYPED: &[(&str, &str)] = &[
    // A command, a flavor, a key of that flavor.
    (
        "steplog log-st\t reg\t dd --flavor datad\t --api_k\t abc\n",
        "[log_stores.dd]\nflavor = \"datadog\"\napi_key = \"abc\"\n",
    ),
    // A flavor of one's own, and its key.
    (
        "steplog log-store register db --flavor sql\t --pa\t /logs.db\n",
        "[log_stores.db]\nflavor = \"sqlite\"\npath = \"/logs.db\"\n",
    ),
    // The name of a store, a key of its flavor, one of the words that the key takes.
    ("steplog log-store update hoo\t --form\t jso\t\n", "format = \"json\""),
    ("steplog log-store rename his\t old\n", "[log_stores.old]"),
    // Names for an option of a stack.
    ("steplog stack update tes\t -l hoo\t\n", "log_stores = [\"hook\"]"),
    ("steplog artifact-store copy her\t there\n", "[artifact_stores.there]"),
];

fn completes(shell: &Shell) {
    let sandbox = Sandbox::with_stack(&format!("{LOCAL}{STORES}"));
    finish(&mut sandbox.wrap("a-run-of-this-name", ["echo", "hello"])).expect(0);
    let bin = sandbox.path("bin");
    fs::create_dir(&bin).unwrap();
    symlink(env!("CARGO_BIN_EXE_steplog"), bin.join("steplog")).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut command = sandbox.command(shell.program);
    command.args(shell.arguments).env("PATH", path).env("TERM", "xterm");
    let mut screen = Screen::start(command);
    let begun = sandbox.path("work/begun");
    screen.type_in(&format!("{}; echo > begun\n", shell.set_up));
    screen.wait("the shell to be set up", |_| begun.exists());
    screen.type_in("steplog logs a-run-o\t -o raw > shown\n");
    let shown = sandbox.path("work/shown");
    screen.wait("the run to be shown", |_| fs::read(&shown).is_ok_and(|text| text == b"hello\n"));
    let file = sandbox.path("config/steplog/stack.toml");
    for (typed, expected) in TYPED {
        screen.type_in(typed);
        screen.wait(&format!("{expected:?} in the stack file after {typed:?}"), |_| {
            fs::read_to_string(&file).unwrap().contains(expected)
        });
    }
    screen.type_in("steplog log-store remove-attribute hoo\t form\t\n");
    screen.wait("the attribute to be gone", |_| {
        !fs::read_to_string(&file).unwrap().contains("format")
    });
    screen.type_in("steplog log-store register x --flavor \t\t");
    screen.wait("all flavors on the screen", |seen| {
        ["datadog", "elasticsearch", "loki", "sqlite"].iter().all(|flavor| seen.contains(flavor))
    });
}

#[test]
fn bash_completes() {
    completes(&BASH);
}

#[test]
fn zsh_completes() {
    completes(&ZSH);
}

#[test]
fn fish_completes() {
    completes(&FISH);
}

/// One page a command, and the programs that show them have nothing to say against any.
#[test]
fn the_manual_is_whole_and_in_order() {
    let sandbox = Sandbox::new();
    sandbox.call(["man", "pages"]).expect(0);
    let folder = sandbox.path("work/pages");
    let mut pages: Vec<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|page| page.unwrap().file_name().into_string().unwrap())
        .collect();
    pages.sort();
    let mut commands = commands(&sandbox, &[]);
    commands.sort();
    assert_eq!(pages, commands);
    assert!(pages.len() > 40, "{} pages", pages.len());
    for page in &pages {
        let path = folder.join(page);
        let lint = finish(sandbox.command("mandoc").args(["-T", "lint", "-W", "error"]).arg(&path));
        assert_eq!(
            (lint.code, lint.text(), lint.errors()),
            (Some(0), String::new(), String::new())
        );
        let mut man = sandbox.command("man");
        man.args(["--warnings", "-l"])
            .arg(&path)
            .env("MAN_KEEP_FORMATTING", "")
            .env("MANPAGER", "cat");
        let shown = finish(&mut man).expect(0);
        assert_eq!(shown.errors(), "", "{page}");
        let last = shown.text().trim_end().lines().last().unwrap().to_owned();
        assert!(last.starts_with("steplog 0."), "{page}: {last}");
        for heading in ["NAME", "SYNOPSIS", "DESCRIPTION"] {
            assert!(shown.text().lines().any(|line| line == heading), "{page}: no {heading}");
        }
    }
}

/// The pages that there must be: of this command and of all below it, as its help lists them.
fn commands(sandbox: &Sandbox, path: &[&str]) -> Vec<String> {
    let help = sandbox.call(path.iter().chain(&["--help"])).expect(0).text();
    let listed = help.split_once("\nCommands:\n").map_or("", |(_, list)| list);
    let below = listed.lines().take_while(|line| !line.is_empty());
    let names = below.filter_map(|line| line.split_whitespace().next());
    let mut found =
        vec![["steplog"].iter().chain(path).copied().collect::<Vec<_>>().join("-") + ".1"];
    for name in names.filter(|name| *name != "help") {
        found.extend(commands(sandbox, &[path, &[name]].concat()));
    }
    found
}
