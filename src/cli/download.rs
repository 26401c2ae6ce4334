//! `steplog download`: copies logs to files.
//!
//! A file is written as `NAME.part` and gets its name when it is whole. `NAME.state` says how far it
//! has come, so that a download that was cut off, or one of a step that had not ended, is taken up
//! where it stood. A file with a name and without a state is whole and is left alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::reading::{self, Access, Failure, INCOMPLETE, STORE_FAILED, bar, caveat, is_incomplete};
use super::wrap::say;
use crate::read::filter::Filter;
use crate::read::store::{Event, Request, Stream};
use crate::read::target::{Attempts, Selection, Target};
use crate::record::{IoStream, WriterId};
use crate::stores::artifact::layout;
use crate::words::counted;

/// How far a download may fall back when it is cut off.
const SAVE_EVERY: u64 = 32 << 20;

/// Copy the logs of a run to files, one a step, attempt and source
///
/// Files are named STEP.ATTEMPT.SOURCE.log (.ndjson), with what a name cannot hold percent-encoded. A
/// download that was cut off is taken up where it stood; files that are whole are left alone.
///
/// Exit codes: 0 done; 2 usage; 3 no such run; 4 the log store does not allow it; 5 incomplete: lines
/// are missing or damaged, or a step has no end and nothing comes any more; 7 the store or a file failed.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// RUN[/STEP[/ATTEMPT]]
    #[arg(value_name = "RUN[/STEP[/ATTEMPT]]")]
    target: Target,
    /// Where to [default: a folder named like the run]
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The same
    #[arg(long = "output", value_name = "DIR", conflicts_with = "dir")]
    output: Option<PathBuf>,
    /// raw for the very bytes of the steps, json for the records
    #[arg(long, value_name = "FORM", value_enum, default_value_t)]
    format: Form,
    /// Only what was written to this
    #[arg(long, value_name = "WHICH", value_enum)]
    stream: Option<Which>,
    /// The log store to read from: by default the first of the stack that can be read
    #[arg(long, value_name = "NAME")]
    log_store: Option<String>,
    /// The stack file
    #[arg(long, value_name = "FILE")]
    stack: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Form {
    /// The very bytes of the steps
    #[default]
    Raw,
    /// The records, one a line
    Json,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Which {
    /// Standard output
    Stdout,
    /// Standard error
    Stderr,
}

pub(super) fn run(args: &Args) -> ExitCode {
    reading::end(download(args))
}

fn download(args: &Args) -> Result<u8, Failure> {
    let access = Access::open(args.stack.as_deref(), args.log_store.as_deref())?;
    let attempts = args.target.attempt.map_or(Attempts::All, Attempts::Number);
    let mut selection = Selection { attempts, ..Selection::default() };
    let found = access.find(&args.target, &mut selection)?;
    if found.selected.is_empty() {
        return Err(access.nothing(&found, &selection));
    }
    let iostream = args.stream.map(|which| match which {
        Which::Stdout => IoStream::Stdout,
        Which::Stderr => IoStream::Stderr,
    });
    let dir = args.output.clone().or_else(|| args.dir.clone());
    let dir = dir.unwrap_or_else(|| PathBuf::from(layout::encode(&found.run)));
    fs::create_dir_all(&dir).map_err(|error| failed(&dir, &error))?;
    let lines = found.selected.iter().filter_map(|stream| stream.lines).sum();
    let bar = bar(lines, "downloading lines");
    let mut code = 0;
    for stream in &found.selected {
        let copy = Copy {
            stream,
            file: dir.join(name(stream, &found.selected, args.format, iostream)),
            form: args.format,
            iostream,
        };
        let done = access.runtime.block_on(copy.run(&access, &bar))?;
        bar.suspend(|| println!("{}", done.text(&copy.file)));
        for trouble in done.troubles() {
            bar.suspend(|| say(trouble));
            code = INCOMPLETE;
        }
        if let Some(caveat) = caveat(stream) {
            bar.suspend(|| say(caveat));
        }
        if is_incomplete(stream) {
            code = INCOMPLETE;
        }
    }
    bar.finish_and_clear();
    Ok(code)
}

/// `train.1.step.log`, with the writer where that is not one.
fn name(stream: &Stream, all: &[Stream], form: Form, iostream: Option<IoStream>) -> String {
    let origin = &stream.origin;
    let mut parts = vec![
        layout::encode(&origin.step_id),
        origin.attempt.to_string(),
        layout::encode(&origin.source),
    ];
    if all.iter().filter(|other| other.origin == *origin).count() > 1 {
        parts.push(stream.writer.to_string());
    }
    parts.extend(iostream.map(|iostream| iostream.as_str().to_owned()));
    parts.push(match form {
        Form::Raw => "log".to_owned(),
        Form::Json => "ndjson".to_owned(),
    });
    parts.join(".")
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure { code: STORE_FAILED, message: format!("write {}: {error}", path.display()) }
}

/// One stream to one file.
struct Copy<'a> {
    stream: &'a Stream,
    file: PathBuf,
    form: Form,
    iostream: Option<IoStream>,
}

/// How far a file has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    version: u32,
    writer: WriterId,
    form: Form,
    iostream: Option<IoStream>,
    next_seq: u64,
    bytes: u64,
}

enum Done {
    There,
    Written { lines: u64, bytes: u64, resumed: bool, troubles: Vec<String> },
}

impl Done {
    fn text(&self, file: &Path) -> String {
        let file = file.display();
        match self {
            Self::There => format!("{file}: there already"),
            Self::Written { lines, bytes, resumed, .. } => format!(
                "{file}: {}, {}{}",
                counted(*lines, "line"),
                counted(*bytes, "byte"),
                if *resumed { ", taken up where it stood" } else { "" }
            ),
        }
    }

    fn troubles(&self) -> &[String] {
        match self {
            Self::There => &[],
            Self::Written { troubles, .. } => troubles,
        }
    }
}

impl Copy<'_> {
    async fn run(&self, access: &Access, bar: &indicatif::ProgressBar) -> Result<Done, Failure> {
        let (part, state_file) = (self.beside("part"), self.beside("state"));
        if self.file.exists() && !state_file.exists() {
            bar.inc(self.stream.lines.unwrap_or(0));
            return Ok(Done::There);
        }
        let io_failed = |error| failed(&part, &error);
        if self.file.exists() {
            fs::rename(&self.file, &part).map_err(io_failed)?;
        }
        let (mut file, mut state) = self.open(&part, &state_file).map_err(io_failed)?;
        let resumed = state.next_seq > 0;
        bar.inc(state.next_seq);
        let request = Request {
            filter: Filter { iostream: self.iostream, ..Filter::default() },
            from: vec![Some(state.next_seq)],
            ..Request::default()
        };
        let mut lines = access.reader.open(std::slice::from_ref(self.stream), request);
        let (mut buffer, mut saved, mut count) = (Vec::new(), state.bytes, 0);
        let mut troubles = Vec::new();
        loop {
            match lines.next().await? {
                Event::Lines(slice) => {
                    buffer.clear();
                    for line in slice.lines() {
                        match self.form {
                            Form::Raw => slice.page().append_exact(line, &mut buffer),
                            Form::Json => {
                                buffer.extend_from_slice(slice.page().json(line));
                                buffer.push(b'\n');
                            }
                        }
                    }
                    file.write_all(&buffer).map_err(io_failed)?;
                    let lines = slice.lines().len() as u64;
                    count += lines;
                    bar.inc(lines);
                    state.bytes += buffer.len() as u64;
                    state.next_seq = slice.lines().last().map_or(state.next_seq, |it| it.seq + 1);
                    if state.bytes - saved >= SAVE_EVERY {
                        self.save(&file, &state, &state_file).map_err(io_failed)?;
                        saved = state.bytes;
                    }
                }
                Event::Trouble(trouble) => troubles.push(trouble.what),
                Event::Idle | Event::Ended(..) => {}
                Event::End => break,
            }
        }
        if self.stream.status.is_final() && troubles.is_empty() {
            file.sync_all().map_err(io_failed)?;
            remove(&state_file).map_err(io_failed)?;
        } else {
            self.save(&file, &state, &state_file).map_err(io_failed)?;
        }
        fs::rename(&part, &self.file).map_err(io_failed)?;
        Ok(Done::Written { lines: count, bytes: state.bytes, resumed, troubles })
    }

    /// The file, as far as it has come.
    fn open(&self, part: &Path, state_file: &Path) -> io::Result<(File, State)> {
        let fresh = State {
            version: 1,
            writer: self.stream.writer,
            form: self.form,
            iostream: self.iostream,
            next_seq: 0,
            bytes: 0,
        };
        let saved = fs::read(state_file).ok();
        let saved: Option<State> = saved.and_then(|json| serde_json::from_slice(&json).ok());
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(part)?;
        let usable = |saved: &State| State { next_seq: 0, bytes: 0, ..saved.clone() } == fresh;
        let len = file.metadata()?.len();
        let state = saved.filter(|saved| usable(saved) && saved.bytes <= len).unwrap_or(fresh);
        file.set_len(state.bytes)?;
        file.seek(SeekFrom::End(0))?;
        Ok((file, state))
    }

    /// What the state says is in the file must be there before it says so.
    fn save(&self, file: &File, state: &State, state_file: &Path) -> io::Result<()> {
        file.sync_data()?;
        let temporary = self.beside("state.new");
        fs::write(&temporary, serde_json::to_vec(state)?)?;
        fs::rename(&temporary, state_file)
    }

    fn beside(&self, extension: &str) -> PathBuf {
        let mut name = self.file.clone().into_os_string();
        name.push(".");
        name.push(extension);
        PathBuf::from(name)
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
