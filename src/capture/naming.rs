//! What a step is called that nobody has named: its program, or the script that its program runs.
//!
//! Apart because it is a table of knowledge about other people's command lines. Pure: does not
//! look whether a file is there. Where it cannot tell, the program's name has to do.

use std::ffi::{OsStr, OsString};
use std::path::Path;

/// The name for a step with this command: a program and its arguments.
pub fn step_name(command: &[OsString]) -> String {
    let words: Vec<_> = command.iter().map(|word| word.to_string_lossy()).collect();
    let words: Vec<_> = words.iter().map(AsRef::as_ref).collect();
    name(&words).to_owned()
}

/// What an option of a program that runs others says of the words behind it.
#[derive(Clone, Copy)]
enum Behind {
    /// The next one is its value.
    Value,
    /// The next one is a module.
    Module,
    /// The next one is the script.
    Script,
    /// No script is named: the text stands there, or comes on standard input.
    Text,
}

fn meaning(program: &str, option: &str) -> Option<Behind> {
    use Behind::{Module, Script, Text, Value};
    Some(match (program, option) {
        ("python" | "pypy" | "uv", "-m") | ("uv", "--module") => Module,
        ("java", "-jar") | ("uv", "-s" | "--script") => Script,
        ("python" | "pypy" | "bash" | "sh" | "dash" | "zsh" | "ksh", "-c" | "-")
        | ("bash" | "sh" | "dash" | "zsh" | "ksh", "-s")
        | ("perl" | "ruby" | "node" | "Rscript", "-e" | "-E" | "--eval" | "-")
        | ("node", "-p" | "--print") => Text,
        ("python" | "pypy", "-W" | "-X")
        | ("bash" | "sh" | "dash" | "zsh" | "ksh", "-o" | "-O" | "--rcfile" | "--init-file")
        | ("perl" | "ruby", "-I")
        | ("node", "-r" | "--require" | "--import" | "--loader" | "-C" | "--conditions")
        | ("java", "-cp" | "-classpath" | "--class-path" | "-p" | "--module-path")
        | ("env", "-u" | "--unset" | "-C" | "--chdir")
        | (
            "uv",
            "-p"
            | "--python"
            | "--with"
            | "--with-editable"
            | "--with-requirements"
            | "--extra"
            | "--group"
            | "--env-file"
            | "--package"
            | "--project"
            | "--directory"
            | "--index",
        ) => Value,
        _ => return None,
    })
}

fn name<'a>(command: &[&'a str]) -> &'a str {
    let [program, arguments @ ..] = command else { return "" };
    let own = part(program, Path::file_name);
    let without_version = own.trim_end_matches(|end: char| end.is_ascii_digit() || end == '.');
    let other = match (own, arguments) {
        ("uv", ["run", arguments @ ..]) => other(own, arguments),
        ("uv", _) => None,
        _ => other(without_version, arguments),
    };
    other.filter(|other| !other.is_empty()).unwrap_or(own)
}

/// The name of what a program runs; none if it runs nothing else, or that cannot be told.
fn other<'a>(program: &str, arguments: &[&'a str]) -> Option<&'a str> {
    let stem = |script: &&'a str| part(script, Path::file_stem);
    let mut rest = arguments;
    while let [word, behind @ ..] = rest
        && word.starts_with('-')
    {
        rest = behind;
        // Of letters behind one dash the last may have a value, as in `-euo pipefail`.
        let last = word.chars().next_back().filter(|_| !word.starts_with("--"));
        let meaning = meaning(program, word)
            .or_else(|| meaning(program, &format!("-{}", last.unwrap_or_default())));
        match meaning {
            None if *word == "--" => break,
            None => {}
            Some(Behind::Value) => rest = behind.get(1..)?,
            Some(Behind::Module) => return behind.first().copied(),
            Some(Behind::Script) => return behind.first().map(stem),
            Some(Behind::Text) => return None,
        }
    }
    match program {
        "env" => {
            let assignments = rest.iter().take_while(|word| word.contains('=')).count();
            rest.get(assignments..).filter(|command| !command.is_empty()).map(name)
        }
        "uv" => match rest.first() {
            Some(word) if Path::new(word).extension() == Some(OsStr::new("py")) => Some(stem(word)),
            _ => Some(name(rest)),
        },
        "python" | "pypy" | "bash" | "sh" | "dash" | "zsh" | "ksh" | "perl" | "ruby" | "node"
        | "Rscript" => rest.first().map(stem),
        _ => None,
    }
}

fn part<'a>(path: &'a str, of: impl Fn(&'a Path) -> Option<&'a OsStr>) -> &'a str {
    of(Path::new(path)).and_then(OsStr::to_str).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_called_by_what_it_runs() {
        for (command, expected) in [
            ("./train.sh --fast", "train.sh"),
            ("/usr/bin/make all", "make"),
            ("python3 examples/train.py --epochs 3", "train"),
            ("/opt/py/bin/python3.11 -u -X dev -W ignore train.v2.py", "train.v2"),
            ("python -m pkg.mod --flag", "pkg.mod"),
            ("python3 -um torch.distributed.run train.py", "torch.distributed.run"),
            ("python3 -c print(1)", "python3"),
            ("python3 -uc print(1)", "python3"),
            ("python3 - train.py", "python3"),
            ("python3", "python3"),
            ("python3 -W", "python3"),
            ("python3 -- -odd.py", "-odd"),
            ("python-config --libs", "python-config"),
            ("bash -euo pipefail jobs/nightly.sh train.py", "nightly"),
            ("bash --norc -x nightly.sh", "nightly"),
            ("sh -c ./train.py", "sh"),
            ("bash -lc ./train.py", "bash"),
            ("node --require ./setup.js --max-old-space-size=4096 build/train.mjs", "train"),
            ("node -e 1 x.js", "node"),
            ("perl -w -I lib -MData::Dumper train.pl", "train"),
            ("ruby3.2 -Ilib train.rb", "train"),
            ("Rscript --vanilla fit.R data.csv", "fit"),
            ("java -Xmx4g -cp a.jar:b.jar -jar target/train-1.0.jar x", "train-1.0"),
            ("java -cp a.jar com.acme.Train", "java"),
            ("uv run train.py --fast", "train"),
            ("uv run --with rich -p 3.12 python -m pkg.mod", "pkg.mod"),
            ("uv run --module pkg.mod", "pkg.mod"),
            ("uv run pytest -q", "pytest"),
            ("uv run", "uv"),
            ("uv sync", "uv"),
            ("env A=b C=d python train.py", "train"),
            ("env -i -u HOME PATH=/bin uv run train.py", "train"),
            ("/usr/bin/env bash -x nightly.sh", "nightly"),
            ("env A=b", "env"),
            ("", ""),
        ] {
            let command: Vec<_> = command.split_whitespace().map(OsString::from).collect();
            assert_eq!(step_name(&command), expected, "{command:?}");
        }
        assert_eq!(step_name(&["python3".into(), OsString::new()]), "python3");
    }
}
