//! Completion in shells: `steplog completions SHELL` prints what makes a shell ask, and this program
//! answers it, with what is really there: flavors and their keys, names of the stack file, runs.
//!
//! The commands are clap's own, to which the answers are added only when a shell asks. A question
//! comes in the environment ([`VARIABLE`]), not as a command, so that nothing has to be parsed that
//! is half written. Nothing here prints an error: a shell has no place for one.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, Command, CommandFactory, ValueHint};
use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter, CompletionCandidate};
use clap_complete::env::{Bash, Elvish, EnvCompleter, Fish, Powershell, Shells, Zsh};

use super::reading::Access;
use super::stack::print;
use crate::read::target;
use crate::stack::keys::{self, KeyInfo};
use crate::stack::kind::Kind;
use crate::stack::{self, Env, View};
use crate::stores::{Component, FLAVORS, Flavor};

/// Set by the shell that asks; of our own, since a step's environment is anybody's.
const VARIABLE: &str = "_STEPLOG_COMPLETE";
/// A store that is slower than this has no runs to offer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Newest first.
const RUNS: usize = 50;

const SHELLS: Shells<'_> = Shells(&[&WholeWords, &Elvish, &Fish, &Powershell, &Zsh]);

/// Print what makes a shell complete steplog's commands
///
/// bash: source <(steplog completions bash) in ~/.bashrc. zsh: the same in ~/.zshrc, or write it to a
/// file _steplog in $fpath. fish: steplog completions fish | source in config.fish.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[arg(value_parser = ["bash", "elvish", "fish", "powershell", "zsh"])]
    shell: String,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let mut script = Vec::new();
    let written = SHELLS.completer(&args.shell).map(|shell| {
        shell.write_registration(VARIABLE, "steplog", "steplog", "steplog", &mut script)
    });
    print(&String::from_utf8_lossy(&script));
    if matches!(written, Some(Ok(()))) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Answers the shell, if one has asked.
pub(super) fn answer() -> Option<ExitCode> {
    std::env::var_os(VARIABLE)?;
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let mut words = arguments.iter().skip_while(|word| *word != "--").skip(1);
    let words: Vec<OsString> = words.by_ref().cloned().collect();
    let folder = std::env::current_dir().ok();
    let asked = CompleteEnv::with_factory(|| command(&words))
        .var(VARIABLE)
        .bin("steplog")
        .shells(SHELLS)
        .try_complete(arguments, folder.as_deref());
    Some(if asked.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Bash cuts words at `=`, `:` and `@`, too; this puts them together again before asking, and takes
/// off what bash keeps.
#[derive(Clone, Copy, Debug)]
struct WholeWords;

impl EnvCompleter for WholeWords {
    fn name(&self) -> &'static str {
        "bash"
    }

    fn is(&self, name: &str) -> bool {
        name == "bash"
    }

    fn write_registration(
        &self,
        variable: &str,
        _name: &str,
        program: &str,
        completer: &str,
        out: &mut dyn Write,
    ) -> std::io::Result<()> {
        let script = include_str!("complete.bash");
        let script = script.replace("VARIABLE", variable).replace("COMPLETER", completer);
        out.write_all(script.replace("PROGRAM", program).as_bytes())
    }

    fn write_complete(
        &self,
        command: &mut Command,
        words: Vec<OsString>,
        folder: Option<&Path>,
        out: &mut dyn Write,
    ) -> std::io::Result<()> {
        Bash.write_complete(command, words, folder, out)
    }
}

/// The command line with what its arguments may be; `words` is what has been typed.
fn command(words: &[OsString]) -> Command {
    let typed = Typed::of(words);
    let mut command = super::Cli::command();
    for (component, group) in
        [(Component::LogStore, "log-store"), (Component::ArtifactStore, "artifact-store")]
    {
        let file = typed.file.clone();
        let names = move || stores(file.as_deref(), component);
        for verb in ["update", "remove-attribute", "describe", "rename", "copy", "delete", "test"] {
            command = offer(command, &[group, verb], "name", names.clone());
        }
        let file = typed.file.clone();
        let flavors = move || flavors(file.as_deref(), component);
        command = offer(command, &[group, "register"], "flavor", flavors.clone());
        command = offer(command, &[group, "flavor", "describe"], "name", flavors);
        let keys = typed.keys(component);
        let these = keys.clone();
        command = offer(command, &[group, "remove-attribute"], "keys", move || {
            these.iter().map(candidate).collect()
        });
        for verb in ["register", "update"] {
            command = at(command, &[group, verb], |it| it.args(keys.iter().map(option)));
        }
    }
    let file = typed.file.clone();
    let own = move || {
        let view = view(file.as_deref());
        let own = view.iter().flat_map(View::flavors);
        own.map(|flavor| CompletionCandidate::new(&flavor.name)).collect()
    };
    command = offer(command, &["log-store", "flavor", "delete"], "name", own);
    let file = typed.file.clone();
    let stacks = move || {
        let view = view(file.as_deref());
        let stacks = view.iter().flat_map(|view| &view.stacks);
        stacks.map(|stack| CompletionCandidate::new(&stack.name)).collect()
    };
    for verb in ["update", "remove-component", "set", "describe", "rename", "copy", "delete"] {
        command = offer(command, &["stack", verb], "name", stacks.clone());
    }
    for (argument, component) in
        [("artifact_store", Component::ArtifactStore), ("log_stores", Component::LogStore)]
    {
        for verb in ["register", "update", "remove-component"] {
            let file = typed.file.clone();
            let names = move || stores(file.as_deref(), component);
            command = offer(command, &["stack", verb], argument, names);
        }
    }
    for verb in ["logs", "ls", "download", "verify"] {
        let (file, log_store) = (typed.file.clone(), typed.log_store.clone());
        let runs = ArgValueCompleter::new(move |current: &OsStr| {
            targets(file.as_deref(), log_store.as_deref(), current).unwrap_or_default()
        });
        command = argument(command, &[verb], "target", |it| it.add(runs.clone()));
        let file = typed.file.clone();
        let names = move || stores(file.as_deref(), Component::LogStore);
        command = offer(command, &[verb], "log_store", names);
    }
    command
}

/// What of the words typed so far decides what the next ones may be.
#[derive(Debug, Default)]
struct Typed {
    file: Option<PathBuf>,
    log_store: Option<String>,
    flavor: Option<String>,
    /// Third word: the name of a store.
    name: Option<String>,
}

impl Typed {
    fn of(words: &[OsString]) -> Self {
        let words: Vec<&str> = words.iter().map(|word| word.to_str().unwrap_or_default()).collect();
        let value = |names: &[&str]| {
            let mut found = None;
            for (number, word) in words.iter().enumerate() {
                for name in names {
                    if let Some(rest) = word.strip_prefix(name) {
                        let next = words.get(number + 1).copied();
                        found =
                            rest.strip_prefix('=').or(if rest.is_empty() { next } else { None });
                    }
                }
            }
            found.map(str::to_owned)
        };
        Self {
            file: value(&["--stack"]).map(PathBuf::from),
            log_store: value(&["--log-store"]),
            flavor: value(&["--flavor", "-f"]),
            name: words.get(3).map(|word| (*word).to_owned()),
        }
    }

    /// The keys of the flavor that is named, or that the store has that is named.
    fn keys(&self, component: Component) -> Vec<KeyInfo> {
        let view = view(self.file.as_deref());
        let of_store = || {
            let name = self.name.as_ref()?;
            let stores = view.as_ref()?.stores(component);
            stores.into_iter().find(|store| store.name == *name).map(|store| store.flavor)
        };
        let Some(flavor) = self.flavor.clone().or_else(of_store) else { return Vec::new() };
        if let Some(known) = Flavor::of(component).find(|known| known.name == flavor) {
            return keys::of_flavor(known);
        }
        let mut own = view.iter().flat_map(View::flavors);
        own.find(|own| own.name == flavor).map(keys::of_registered).unwrap_or_default()
    }
}

/// A key of a flavor as an option. What it is called must outlive the command; it does so for the
/// little while that this process lives.
fn option(key: &KeyInfo) -> Arg {
    let name: &'static str = key.name.clone().leak();
    let about: &'static str = key.about.clone().leak();
    let id: &'static str = format!("key:{name}").leak();
    let option = Arg::new(id).long(name).help(about).num_args(1);
    let words = |words: Vec<String>| {
        ArgValueCandidates::new(move || {
            words.iter().map(CompletionCandidate::new).collect::<Vec<_>>()
        })
    };
    match key.kind() {
        Kind::Choice(choices) => option.add(words(choices.clone())),
        Kind::Flag => option.add(words(vec!["true".to_owned(), "false".to_owned()])),
        Kind::Path => option.value_hint(ValueHint::AnyPath),
        _ => option.value_hint(ValueHint::Other),
    }
}

fn candidate(key: &KeyInfo) -> CompletionCandidate {
    CompletionCandidate::new(&key.name).help(Some(key.about.clone().into()))
}

/// Names for one argument of one command.
fn offer(
    command: Command,
    path: &[&str],
    name: &str,
    names: impl Fn() -> Vec<CompletionCandidate> + Send + Sync + 'static,
) -> Command {
    argument(command, path, name, |it| it.add(ArgValueCandidates::new(names)))
}

/// Changes one argument of one command, if it has it. All are gone through, for clap counts positional
/// ones in the order in which it has them.
fn argument(
    command: Command,
    path: &[&str],
    name: &str,
    change: impl FnOnce(Arg) -> Arg,
) -> Command {
    let mut change = Some(change);
    at(command, path, |command| {
        command.mut_args(|argument| match change.take_if(|_| argument.get_id() == name) {
            Some(change) => change(argument),
            None => argument,
        })
    })
}

/// Changes the command at `path`, if there is one.
fn at(command: Command, path: &[&str], change: impl FnOnce(Command) -> Command) -> Command {
    let Some((first, rest)) = path.split_first() else { return change(command) };
    let mut change = Some(change);
    command.mut_subcommands(|below| match change.take_if(|_| below.get_name() == *first) {
        Some(change) => at_boxed(below, rest, Box::new(change)),
        None => below,
    })
}

/// A closure within a closure within …: its type ends here.
fn at_boxed(
    command: Command,
    path: &[&str],
    change: Box<dyn FnOnce(Command) -> Command + '_>,
) -> Command {
    at(command, path, change)
}

fn view(file: Option<&Path>) -> Option<View> {
    stack::describe(&Env::process(), file, None).ok()
}

fn stores(file: Option<&Path>, component: Component) -> Vec<CompletionCandidate> {
    let stores = view(file).map(|view| view.stores(component)).unwrap_or_default();
    let candidate = |store: &stack::StoreLine| {
        CompletionCandidate::new(&store.name).help(Some(store.flavor.clone().into()))
    };
    stores.iter().map(candidate).collect()
}

fn flavors(file: Option<&Path>, component: Component) -> Vec<CompletionCandidate> {
    let built_in = FLAVORS.iter().filter(|flavor| flavor.is(component)).map(|flavor| flavor.name);
    let own = view(file).filter(|_| component == Component::LogStore);
    let own = own.iter().flat_map(View::flavors).map(|flavor| flavor.name.as_str());
    built_in.chain(own).map(CompletionCandidate::new).collect()
}

/// `RUN`, or behind a slash the run's steps.
fn targets(
    file: Option<&Path>,
    log_store: Option<&str>,
    current: &OsStr,
) -> Option<Vec<CompletionCandidate>> {
    let current = current.to_str()?;
    let access = Access::open(file, log_store).ok()?;
    let reader = &access.reader;
    let found = access.runtime.block_on(async {
        let asked = async {
            match current.split_once('/') {
                None => {
                    let runs = reader.runs(RUNS).await.ok()?;
                    let runs = runs.iter().map(|run| target::escape(&run.pipeline_run_id));
                    Some(["@latest".to_owned()].into_iter().chain(runs).collect::<Vec<_>>())
                }
                Some((run, _)) => {
                    let id = target::unescape(run);
                    let streams = reader.streams(&id, None, &[]).await.ok()?;
                    let steps = streams.iter().map(|stream| target::escape(&stream.origin.step_id));
                    let mut steps: Vec<String> =
                        steps.map(|step| format!("{run}/{step}")).collect();
                    steps.dedup();
                    Some(steps)
                }
            }
        };
        tokio::time::timeout(PATIENCE, asked).await.ok().flatten()
    })?;
    let names = found.into_iter().filter(|name| name.starts_with(current));
    Some(names.map(CompletionCandidate::new).collect())
}
