//! `--key=value` of a store's own: options that clap cannot know, since they are the flavor's.
//!
//! Before clap sees the arguments of `register`, `update` and `remove-attribute`, each long option
//! that it does not know becomes a value of one that it does (`--attribute KEY=VALUE`), so that
//! order, help and errors are clap's as everywhere. Then the values: `-` reads standard input and
//! `@file` a file, for secrets that should not be in a shell's history.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Read};
use std::os::fd::AsFd;

use clap::Command;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};

use crate::stack::edit::Attribute;

/// The option that an unknown one becomes.
const OPTION: &str = "--attribute";
/// More than any secret or certificate has.
const MAX_VALUE: u64 = 64 << 10;

/// Attributes, as clap has them after [`adapt`].
#[derive(clap::Args)]
pub(super) struct Attributes {
    /// An attribute of the flavor. KEY.NAME sets NAME in the table KEY; the value - is read from
    /// standard input, @FILE from a file (@@ stands for @)
    #[arg(long = "attribute", value_name = "KEY=VALUE", hide = true)]
    attributes: Vec<String>,
}

/// Shows no value: it may be a secret.
impl std::fmt::Debug for Attributes {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} attributes", self.attributes.len())
    }
}

/// Why an attribute cannot be had. Shows no value.
#[derive(Debug, thiserror::Error)]
pub(super) enum AttributeError {
    #[error("--{0} needs a value: --{0}=VALUE")]
    NoValue(String),
    #[error("only one attribute can be read from standard input")]
    TwoFromInput,
    #[error("read the value of {key} from {from}: {why}")]
    Read { key: String, from: String, why: io::Error },
    #[error("the value of {key} from {from} is {what}")]
    Bad { key: String, from: String, what: &'static str },
}

/// Makes attributes of the options that `command` does not know; asked for only where it matters.
pub(super) fn adapt(command: fn() -> Command, arguments: Vec<OsString>) -> Vec<OsString> {
    let words: Vec<&str> = arguments.iter().skip(1).take(2).filter_map(|it| it.to_str()).collect();
    let [component @ ("log-store" | "artifact-store"), verb] = words.as_slice() else {
        return arguments;
    };
    let names = match *verb {
        "register" | "update" => false,
        "remove-attribute" => true,
        _ => return arguments,
    };
    let command = command();
    let below = command.find_subcommand(component).and_then(|it| it.find_subcommand(verb));
    let known: Vec<&str> =
        below.into_iter().flat_map(Command::get_arguments).filter_map(|it| it.get_long()).collect();
    let is_known = |name: &str| known.contains(&name) || matches!(name, "help" | "version");

    let mut adapted: Vec<OsString> = arguments.iter().take(3).cloned().collect();
    let mut rest = arguments.into_iter().skip(3).peekable();
    while let Some(argument) = rest.next() {
        let written = argument.to_str().and_then(|text| text.strip_prefix("--"));
        let (name, value) = match written {
            None => {
                adapted.push(argument);
                continue;
            }
            Some("") => {
                adapted.push(argument);
                adapted.extend(rest);
                break;
            }
            Some(text) => match text.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (text.to_owned(), None),
            },
        };
        if is_known(&name) {
            let is_alone = value.is_none() && name != "help" && name != "version";
            adapted.push(argument);
            if is_alone {
                // Its value, whatever it looks like, is no attribute.
                adapted.extend(rest.next());
            }
        } else if names {
            adapted.push(name.into());
        } else {
            let is_value =
                |next: &OsString| next == "-" || !next.as_encoded_bytes().starts_with(b"-");
            let value = value.or_else(|| rest.next_if(is_value)?.into_string().ok());
            adapted.push(OPTION.into());
            adapted.push(match value {
                Some(value) => format!("{name}={value}").into(),
                None => name.into(),
            });
        }
    }
    adapted
}

impl Attributes {
    /// The attributes, values that are elsewhere read.
    pub(super) fn read(self) -> Result<Vec<Attribute>, AttributeError> {
        let mut input = false;
        let mut attributes = Vec::new();
        for written in self.attributes {
            let Some((key, value)) = written.split_once('=') else {
                return Err(AttributeError::NoValue(written));
            };
            let value = match value.strip_prefix('@') {
                None if value == "-" => {
                    if std::mem::replace(&mut input, true) {
                        return Err(AttributeError::TwoFromInput);
                    }
                    from_input(key)?
                }
                None => value.to_owned(),
                Some(rest) if rest.starts_with('@') => rest.to_owned(),
                Some(path) => {
                    let opened = std::fs::File::open(path);
                    text(key, path, opened.and_then(bytes))?
                }
            };
            attributes.push(Attribute::new(key, value));
        }
        Ok(attributes)
    }
}

fn from_input(key: &str) -> Result<String, AttributeError> {
    let stdin = io::stdin();
    let read = if stdin.is_terminal() { typed(key) } else { bytes(stdin.lock()) };
    text(key, "standard input", read)
}

/// A line that is typed on the terminal, which does not show it, and shows what is typed again however
/// this ends: Ctrl-C and Ctrl-Z do what they do when that is so.
fn typed(key: &str) -> io::Result<Vec<u8>> {
    let signals =
        [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGTSTP];
    let signals: SigSet = signals.into_iter().collect();
    // Is asked whether one has come, and never read: it stays pending.
    let arrived = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC)?;
    let stdin = io::stdin();
    loop {
        signals.thread_block()?;
        let shown = tcgetattr(&stdin)?;
        let mut hidden = shown.clone();
        hidden.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(&stdin, SetArg::TCSAFLUSH, &hidden)?;
        eprint!("{key} (not shown): ");
        let mut ready = [
            PollFd::new(stdin.as_fd(), PollFlags::POLLIN),
            PollFd::new(arrived.as_fd(), PollFlags::POLLIN),
        ];
        let polled = poll(&mut ready, PollTimeout::NONE);
        let [typed, _] = ready.map(|fd| fd.any().unwrap_or(false));
        let mut line = String::new();
        let read = if typed { stdin.read_line(&mut line).map(drop) } else { Ok(()) };
        eprintln!();
        tcsetattr(&stdin, SetArg::TCSADRAIN, &shown)?;
        // Here a signal that came ends us, or stops us; then it is asked once more.
        signals.thread_unblock()?;
        polled?;
        read?;
        if typed {
            return Ok(line.into_bytes());
        }
    }
}

fn bytes(source: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(MAX_VALUE + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Text without the line end behind it.
fn text(key: &str, from: &str, read: io::Result<Vec<u8>>) -> Result<String, AttributeError> {
    let bad = |what| AttributeError::Bad { key: key.to_owned(), from: from.to_owned(), what };
    let bytes = read.map_err(|why| AttributeError::Read {
        key: key.to_owned(),
        from: from.to_owned(),
        why,
    })?;
    if bytes.len() as u64 > MAX_VALUE {
        return Err(bad("larger than 64 KiB"));
    }
    let mut text = String::from_utf8(bytes).map_err(|_| bad("not UTF-8"))?;
    text.truncate(text.trim_end_matches(['\n', '\r']).len());
    if text.is_empty() { Err(bad("empty")) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[track_caller]
    fn check(arguments: &str, expected: &str) {
        let arguments = arguments.split(' ').map(OsString::from).collect();
        let adapted = adapt(super::super::Cli::command, arguments);
        let adapted: Vec<_> = adapted.iter().map(|it| it.to_str().unwrap()).collect();
        assert_eq!(adapted.join(" "), expected);
    }

    #[test]
    fn what_clap_does_not_know_is_an_attribute() {
        check("steplog ls --all", "steplog ls --all");
        check(
            "steplog log-store register dd --flavor http --endpoint=http://x --a.b c --stack f",
            "steplog log-store register dd --flavor http --attribute endpoint=http://x \
             --attribute a.b=c --stack f",
        );
        check(
            "steplog log-store update dd --api_key - --site --headers.x=-5",
            "steplog log-store update dd --attribute api_key=- --attribute site --attribute headers.x=-5",
        );
        check(
            "steplog log-store remove-attribute dd site --api_key --stack f",
            "steplog log-store remove-attribute dd site api_key --stack f",
        );
        check("steplog log-store register -- --x", "steplog log-store register -- --x");
        check("steplog log-store register --help", "steplog log-store register --help");
        check("steplog log-store list --x", "steplog log-store list --x");
    }

    /// An option of ours must not hide a key of a flavor.
    #[test]
    fn no_key_is_called_like_an_option() {
        let command = super::super::Cli::command();
        for (component, verb) in [("log-store", "register"), ("artifact-store", "update")] {
            let below = command.find_subcommand(component).and_then(|it| it.find_subcommand(verb));
            let options = below.unwrap().get_arguments().filter_map(|it| it.get_long());
            for option in options {
                let mut keys = crate::stores::FLAVORS.iter().flat_map(crate::stores::Flavor::keys);
                assert!(keys.all(|key| key.name != option), "{option}");
            }
        }
    }
}
