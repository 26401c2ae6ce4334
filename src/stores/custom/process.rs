//! The program of a custom flavor: started when it is needed, answers given to whoever asked, ended.
//!
//! ```text
//!  ask ──► id, waiting ──► standard input ──► program ──► standard output ──► answer by id ──► ask
//!                                                └──────► standard error ──► ours, limited
//! ```
//!
//! One program a log store and process of ours. It ends by itself, by a broken protocol, by a deadline, or because
//! we do; whatever waits for an answer then gets an error that may be tried again, and the next question
//! starts the next program. Its standard input ends when we do, however that happens.

use std::collections::{HashMap, VecDeque};
use std::io::Write as _;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{Mutex as AsyncMutex, oneshot};
use tokio::task::JoinHandle;

use super::config::Config;
use super::protocol::{Answer, Description, Failure, FailureKind, Fetch, Say, VERSION};
use crate::stores::records::{Request, SendError};

/// A line of an answer, and all records of a page.
const MAX_ANSWER: u64 = 64 << 20;
/// To answer `describe` and `configure`: starting may take a while.
const START: Duration = Duration::from_secs(30);
/// To answer anything else, unless `export_timeout_millis` says otherwise.
const ANSWER: Duration = Duration::from_secs(30);
/// To end after `shutdown` and the end of its standard input; then it is killed.
const END: Duration = Duration::from_secs(5);
/// Lines of its standard error that we show in [`SHOWN_EVERY`]; more are counted.
const SHOWN_LINES: u32 = 20;
const SHOWN_EVERY: Duration = Duration::from_secs(10);
/// The last of them stand in the message when it ends.
const LAST_WORDS: usize = 3;

const COMMAND: &str = "check the command of the flavor in the stack file";
const CONFIG: &str = "check the log store's keys in the stack file";
const VERSIONS: &str = "use a version of the program that speaks this protocol";

pub(super) struct Program {
    config: Config,
    running: AsyncMutex<Option<Arc<Running>>>,
}

/// A program that has been started and configured.
struct Running {
    stdin: AsyncMutex<Option<ChildStdin>>,
    shared: Arc<Shared>,
    child: AsyncMutex<Child>,
    output: JoinHandle<()>,
}

/// What the task that reads its output shares with those who ask.
#[derive(Default)]
struct Shared {
    next_id: AtomicU64,
    waiting: Mutex<HashMap<String, oneshot::Sender<Answer>>>,
    over: AtomicBool,
    why: Mutex<Option<String>>,
    last_words: Mutex<VecDeque<String>>,
}

impl Program {
    pub(super) fn new(config: Config) -> Self {
        Self { config, running: AsyncMutex::new(None) }
    }

    /// What the program says of itself.
    pub(super) async fn describe(&self) -> Result<Description, SendError> {
        let running = self.running(false).await?;
        self.describe_to(&running).await
    }

    pub(super) async fn write(&self, request: &Request) -> Result<Answer, SendError> {
        let running = self.running(true).await?;
        let say = |id: &str| {
            let (batch, records) = (request.id.as_str(), request.records);
            json(&Say::Write { id, batch, records })
        };
        self.ask(&running, say, &request.body, self.answer()).await
    }

    pub(super) async fn fetch(&self, fetch: Fetch<'_>) -> Result<Answer, SendError> {
        let running = self.running(true).await?;
        let say = |id: &str| json(&Say::Fetch(Fetch { id, ..fetch }));
        self.ask(&running, say, &[], self.answer()).await
    }

    /// How long an answer may take.
    pub(super) fn answer(&self) -> Duration {
        self.config.batching.timeout.unwrap_or(ANSWER)
    }

    /// Everything it has taken is to be kept for good.
    pub(super) async fn flush(&self) -> Result<(), SendError> {
        let running = self.running(true).await?;
        let answer = self.ask(&running, |id| json(&Say::Flush { id }), &[], self.answer()).await?;
        self.acknowledged("flush", &answer)
    }

    /// Ends the program, if there is one: first it is asked.
    pub(super) async fn shut_down(&self) {
        let Some(running) = self.running.lock().await.take() else { return };
        let say = |id: &str| json(&Say::Shutdown { id });
        // Whether it answers or not: its input ends, and then it has to.
        let _answer = self.ask(&running, say, &[], END).await;
        running.stdin.lock().await.take();
        let mut child = running.child.lock().await;
        if tokio::time::timeout(END, child.wait()).await.is_err() {
            // It is dead or about to be.
            let _gone = child.kill().await;
        }
    }

    /// An answer that the protocol does not know here ends the program.
    pub(super) fn unexpected(&self, what: &str, answer: &Answer) -> SendError {
        self.broke(&format!("it answered {what} with something else (id {})", answer.id()))
    }

    /// It broke the protocol.
    pub(super) fn broke(&self, how: &str) -> SendError {
        // The next question finds it over and starts another.
        if let Ok(running) = self.running.try_lock()
            && let Some(running) = running.as_ref()
        {
            running.shared.end(how);
            running.output.abort();
        }
        self.retry(how, None)
    }

    fn retry(&self, what: &str, after: Option<Duration>) -> SendError {
        let name = &self.config.flavor.name;
        SendError::Retry { message: format!("the program of flavor {name}: {what}"), after }
    }

    fn fatal(&self, what: &str, advice: &'static str, not_allowed: bool) -> SendError {
        let message = format!("the program of flavor {}: {what}", self.config.flavor.name);
        SendError::Fatal { message, advice, not_allowed }
    }

    fn acknowledged(&self, what: &str, answer: &Answer) -> Result<(), SendError> {
        match answer {
            Answer::Ack { .. } => Ok(()),
            other => Err(self.unexpected(what, other)),
        }
    }

    /// The program that runs, or a new one; `configured` if it is to know which log store it is.
    async fn running(&self, configured: bool) -> Result<Arc<Running>, SendError> {
        let mut slot = self.running.lock().await;
        if let Some(running) = slot.as_ref().filter(|running| !running.shared.is_over()) {
            return Ok(Arc::clone(running));
        }
        // Dropping the one before kills it, should it live.
        *slot = None;
        let running = Arc::new(self.start()?);
        if configured {
            let description = self.describe_to(&running).await?;
            if description.protocol != VERSION {
                let theirs = description.protocol;
                let what = format!("it speaks protocol {theirs}, this is protocol {VERSION}");
                return Err(self.fatal(&what, VERSIONS, false));
            }
            let (log_store, config) = (self.config.log_store.as_str(), &self.config.values.0);
            let say = |id: &str| json(&Say::Configure { id, log_store, config });
            let answer = self.ask(&running, say, &[], START).await?;
            self.acknowledged("configure", &answer)?;
            *slot = Some(Arc::clone(&running));
        }
        Ok(running)
    }

    async fn describe_to(&self, running: &Running) -> Result<Description, SendError> {
        let say = |id: &str| json(&Say::Describe { id, protocol: VERSION });
        match self.ask(running, say, &[], START).await? {
            Answer::Description(description) => Ok(description),
            other => Err(self.unexpected("describe", &other)),
        }
    }

    fn start(&self) -> Result<Running, SendError> {
        let mut words = self.config.flavor.command.iter();
        let program = words.next().map_or("", String::as_str);
        let started = Command::new(program)
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C is for the step; the program has to outlive it to take the rest.
            .process_group(0)
            .kill_on_drop(true)
            .spawn();
        let mut child = started
            .map_err(|error| self.fatal(&format!("start {program}: {error}"), COMMAND, false))?;
        let shared = Arc::new(Shared::default());
        let stdin = child.stdin.take();
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let name = self.config.flavor.name.clone();
        let theirs = Arc::clone(&shared);
        let errors = stderr.map(|stderr| tokio::spawn(tell(name, stderr, Arc::clone(&shared))));
        let output = tokio::spawn(async move {
            let how = match stdout {
                Some(stdout) => listen(stdout, &theirs).await,
                None => "it has no standard output".to_owned(),
            };
            // What it said last says more than that it ended.
            if let Some(errors) = errors {
                drop(tokio::time::timeout(Duration::from_millis(200), errors).await);
            }
            theirs.end(&how);
        });
        Ok(Running { stdin: AsyncMutex::new(stdin), shared, child: AsyncMutex::new(child), output })
    }

    /// Says one thing and waits for its answer. An answer that says `error` is an error.
    async fn ask(
        &self,
        running: &Running,
        say: impl FnOnce(&str) -> Vec<u8>,
        records: &[u8],
        deadline: Duration,
    ) -> Result<Answer, SendError> {
        let id = running.shared.next_id.fetch_add(1, Ordering::Relaxed).to_string();
        let (sender, receiver) = oneshot::channel();
        running.shared.waiting().insert(id.clone(), sender);
        // Nobody waits any more, however this ends.
        let _forget = Forget { shared: &running.shared, id: &id };
        let exchange = async {
            {
                let mut stdin = running.stdin.lock().await;
                if running.shared.is_over() {
                    return None;
                }
                // Half a message would make nonsense of the next one.
                let half = Half(&running.shared);
                let stdin = stdin.as_mut()?;
                stdin.write_all(&say(&id)).await.ok()?;
                stdin.write_all(records).await.ok()?;
                stdin.flush().await.ok()?;
                half.whole();
            }
            receiver.await.ok()
        };
        let answer = match tokio::time::timeout(deadline, exchange).await {
            Ok(Some(answer)) => answer,
            Ok(None) => {
                let why = running.shared.why();
                return Err(self.retry(&why, None));
            }
            Err(_) => {
                let how = format!("no answer within {deadline:?}");
                running.shared.end(&how);
                running.output.abort();
                return Err(self.retry(&how, None));
            }
        };
        match answer {
            Answer::Error(failure) => Err(self.failed(failure)),
            answer => Ok(answer),
        }
    }

    fn failed(&self, failure: Failure) -> SendError {
        let message = &failure.message;
        let prefixed = || format!("the program of flavor {}: {message}", self.config.flavor.name);
        match failure.kind {
            FailureKind::Retry => {
                self.retry(message, failure.retry_after_ms.map(Duration::from_millis))
            }
            FailureKind::TooLarge => SendError::TooLarge { message: prefixed() },
            FailureKind::Invalid => SendError::Invalid { message: prefixed() },
            FailureKind::Fatal => self.fatal(message, CONFIG, false),
            FailureKind::NotAllowed => self.fatal(message, CONFIG, true),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.output.abort();
    }
}

/// Takes a question out of those that wait.
struct Forget<'a> {
    shared: &'a Shared,
    id: &'a str,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.shared.waiting().remove(self.id);
    }
}

/// A message that is being written: if that is broken off, the program cannot be spoken to any more.
struct Half<'a>(&'a Shared);

impl Half<'_> {
    fn whole(self) {
        std::mem::forget(self);
    }
}

impl Drop for Half<'_> {
    fn drop(&mut self) {
        self.0.end("a message to it was broken off");
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, HashMap<String, oneshot::Sender<Answer>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// No more answers come; whoever waits hears of it by the loss of its channel.
    fn end(&self, how: &str) {
        let mut why = self.why.lock().unwrap_or_else(PoisonError::into_inner);
        why.get_or_insert_with(|| {
            let words = self.last_words.lock().unwrap_or_else(PoisonError::into_inner);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            if words.is_empty() {
                how.to_owned()
            } else {
                format!("{how}; it said: {}", words.join(" / "))
            }
        });
        drop(why);
        self.over.store(true, Ordering::Release);
        self.waiting().clear();
    }

    fn why(&self) -> String {
        let why = self.why.lock().unwrap_or_else(PoisonError::into_inner);
        why.clone().unwrap_or_else(|| "it is gone".to_owned())
    }

    fn hears(&self, line: &str) {
        let mut words = self.last_words.lock().unwrap_or_else(PoisonError::into_inner);
        if words.len() == LAST_WORDS {
            words.pop_front();
        }
        words.push_back(line.to_owned());
    }
}

fn json(say: &Say<'_>) -> Vec<u8> {
    // Writing JSON of these types into memory does not fail.
    let mut text = serde_json::to_vec(say).unwrap_or_default();
    text.push(b'\n');
    text
}

/// Hands answers to those who wait until there are no more; says why.
async fn listen(stdout: impl AsyncRead + Unpin, shared: &Shared) -> String {
    let mut stdout = BufReader::new(stdout);
    let mut line = Vec::new();
    loop {
        match read_line(&mut stdout, &mut line).await {
            Ok(true) => {}
            Ok(false) => return "it ended".to_owned(),
            Err(how) => return how,
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let mut answer: Answer = match serde_json::from_slice(&line) {
            Ok(answer) => answer,
            Err(error) => {
                let text = String::from_utf8_lossy(&line);
                let start: String = text.chars().take(80).collect();
                return format!("it answered {start:?}, which is not of the protocol ({error})");
            }
        };
        if let Answer::Page { records, lines, .. } = &mut answer {
            for _ in 0..*records {
                match read_line(&mut stdout, &mut line).await {
                    Ok(true) if lines.len() + line.len() <= MAX_ANSWER as usize => {
                        lines.extend_from_slice(&line);
                    }
                    Ok(true) => return format!("a page of more than {MAX_ANSWER} bytes"),
                    Ok(false) => return "it ended in the middle of a page".to_owned(),
                    Err(how) => return how,
                }
            }
        }
        let waiting = shared.waiting().remove(answer.id());
        if let Some(waiting) = waiting {
            // Whoever asked may have given up.
            drop(waiting.send(answer));
        }
    }
}

/// One line with its end into `line`; `false` at the end of all.
async fn read_line(
    stdout: &mut (impl tokio::io::AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
) -> Result<bool, String> {
    line.clear();
    let read = (&mut *stdout).take(MAX_ANSWER).read_until(b'\n', line).await;
    match read {
        Ok(0) => Ok(false),
        Ok(_) if line.last() == Some(&b'\n') => Ok(true),
        Ok(_) if line.len() as u64 >= MAX_ANSWER => {
            Err(format!("a line of more than {MAX_ANSWER} bytes"))
        }
        Ok(_) => Err("it ended in the middle of a line".to_owned()),
        Err(error) => Err(format!("read its answers: {error}")),
    }
}

/// Hands on what the program says on its standard error, with its name in front, not more than a
/// person can read.
async fn tell(name: String, stderr: impl AsyncRead + Unpin, shared: Arc<Shared>) {
    const LONGEST: u64 = 4096;
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    let (mut since, mut shown, mut left_out) = (Instant::now(), 0, 0_u64);
    loop {
        line.clear();
        match (&mut stderr).take(LONGEST).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
        shared.hears(&text);
        if since.elapsed() >= SHOWN_EVERY {
            if left_out > 0 {
                say(&name, &format!("({left_out} more lines)"));
            }
            (since, shown, left_out) = (Instant::now(), 0, 0);
        }
        if shown < SHOWN_LINES {
            shown += 1;
            say(&name, &text);
        } else {
            left_out += 1;
        }
    }
}

fn say(name: &str, text: &str) {
    // The program's words, not ours; nobody to tell if that fails.
    drop(writeln!(std::io::stderr().lock(), "steplog: {name}: {text}"));
}
