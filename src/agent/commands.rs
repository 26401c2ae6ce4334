//! What the agent does when it is asked: attach, detach, reload, status.
//!
//! Apart from [`Agent`]'s loop, which reads; and from [`control`](super::control), which only carries
//! questions and answers.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::control::{Answer, Request};
use super::intake::Token;
use super::log::Log;
use super::{Agent, DeliveryStatus, Input, Kind, SpoolStatus, Status, StoreStatus};
use crate::ship::Mark;
use crate::spool::{self, Checkpoint};

/// The folder of attached inputs, in the folder of the spools.
const ATTACHED: &str = ".inputs";

/// Clients at a time, and those of them that may only ask whether somebody is there: they cannot keep the others
/// out.
const MOST_CLIENTS: usize = 64;
const MOST_STRANGERS: usize = 32;

impl Agent {
    pub(super) fn accept(&mut self) {
        let now = Instant::now();
        while let Some(client) = self.control.accept(now) {
            let there = || self.clients.iter().flatten();
            let strangers = there().filter(|client| !client.may_change).count();
            if there().count() >= MOST_CLIENTS
                || (!client.may_change && strangers >= MOST_STRANGERS)
            {
                continue;
            }
            let number = self.clients.iter().position(Option::is_none).unwrap_or_else(|| {
                self.clients.push(None);
                self.clients.len() - 1
            });
            if self.intake.watch(Token::Client(number), client.descriptor()).is_ok()
                && let Some(slot) = self.clients.get_mut(number)
            {
                *slot = Some(client);
            }
        }
    }

    pub(super) fn hear(&mut self, number: usize) {
        let Some(slot) = self.clients.get_mut(number) else { return };
        let Some(mut client) = slot.take() else { return };
        match client.hear() {
            Ok(None) => *slot = Some(client),
            Ok(Some(request)) => {
                self.intake.unwatch(client.descriptor());
                let answer = match request {
                    Ok(request) => self.answer(request),
                    Err(why) => Answer::Refused { why },
                };
                client.answer(&answer);
            }
            // It has gone.
            Err(_) => {}
        }
    }

    fn answer(&mut self, request: Request) -> Answer {
        let done = |result: Result<String, String>| match result {
            Ok(note) => Answer::Done { note },
            Err(why) => Answer::Refused { why },
        };
        match request {
            Request::Ping => done(Ok("here".to_owned())),
            Request::Status => Answer::Status { status: Box::new(self.status()) },
            Request::Attach { input } => done(self.attach(*input)),
            Request::Detach { name } => done(self.detach(&name)),
            Request::Reload => done(self.reload()),
        }
    }

    fn attach(&mut self, mut input: Input) -> Result<String, String> {
        if self.inputs.get(&input.name).is_some() {
            return Err(format!("there is an input {:?} already", input.name));
        }
        if matches!(input.kind, Kind::Stdin | Kind::Otlp) {
            let kind = input.kind.as_str();
            return Err(format!("an input of kind {kind:?} is the stack file's to name"));
        }
        if !crate::stack::is_name(&input.name) {
            return Err(format!("{:?} is not a name", input.name));
        }
        input.metadata.check()?;
        if let Some(process) = input.process {
            // Once it has ended nobody could say it.
            input.metadata = self.inputs.whose(&input, process, &self.intake.common);
        }
        let name = input.name.clone();
        let folder = self.root().join(ATTACHED);
        let file = folder.join(format!("{name}.json"));
        let json = serde_json::to_vec(&input).map_err(|error| error.to_string())?;
        self.inputs.add(input, true, &mut self.intake);
        self.scan();
        let status = self.inputs.status(&self.intake, |_, _| (0, 0.0));
        let wrong = status.into_iter().find(|it| it.name == name).and_then(|it| it.error);
        if let Some(wrong) = wrong {
            self.inputs.remove(&name, "it could not be opened", &mut self.intake);
            self.inputs.let_go();
            return Err(wrong);
        }
        // So that it is attached again after a restart.
        let kept = fs::create_dir_all(&folder).and_then(|()| fs::write(&file, json));
        match kept {
            Ok(()) => Ok(format!("{name} is attached")),
            Err(error) => Ok(format!(
                "{name} is attached, but not after a restart of the agent: {}: {error}",
                file.display()
            )),
        }
    }

    fn detach(&mut self, name: &str) -> Result<String, String> {
        let Some((_, attached)) = self.inputs.get(name) else {
            let names = self.inputs.names();
            let known: Vec<&str> = names.iter().map(String::as_str).collect();
            let help = crate::stack::suggest(name, "inputs", &known);
            return Err(format!("there is no input {name:?}; {help}"));
        };
        self.inputs.remove(name, "detached", &mut self.intake);
        self.inputs.let_go();
        if attached {
            self.forget(name);
            return Ok(format!("{name} is detached"));
        }
        Ok(format!("{name} is detached; the stack file names it, so a reload brings it back"))
    }

    /// The next agent does not attach it again.
    fn forget(&self, name: &str) {
        drop(fs::remove_file(self.root().join(ATTACHED).join(format!("{name}.json"))));
    }

    /// Inputs end with the processes that they are of.
    pub(super) fn forget_processes(&mut self) {
        for name in self.inputs.end_with_processes(&mut self.intake) {
            self.inputs.let_go();
            self.forget(&name);
            self.log.info(&format!("{name} is detached: its process has ended"));
        }
    }

    pub(super) fn reload(&mut self) -> Result<String, String> {
        self.inputs.service.reloading();
        let reloaded = self.load_again();
        self.inputs.service.ready();
        reloaded
    }

    fn load_again(&mut self) -> Result<String, String> {
        let loaded = (self.load)().and_then(|(stack, redactor)| {
            let old = &self.intake.common.stack;
            let fixed = [
                (stack.spool.dir != old.spool.dir, "[spool] dir"),
                (stack.agent.control != old.agent.control, "[agent] control"),
            ];
            match fixed.iter().find(|(differs, _)| *differs) {
                Some((_, key)) => {
                    Err(format!("{key} cannot change while the agent runs: restart it"))
                }
                None => Ok((stack, redactor)),
            }
        });
        let (stack, redactor) = match loaded {
            Ok(loaded) => loaded,
            Err(why) => {
                self.log.warn(&format!("not reloaded, all goes on as before: {why}"));
                return Err(why);
            }
        };
        let stack = Arc::new(stack);
        self.intake.common.stack = Arc::clone(&stack);
        self.intake.common.redactor = redactor;
        self.inputs.set_settings(stack.agent.clone());
        self.courier.reload();
        let (mut opened, mut ended) = (0, 0);
        for name in self.inputs.names() {
            let Some((known, attached)) = self.inputs.get(&name) else { continue };
            let same = stack.inputs.iter().any(|input| input == known);
            let named = stack.inputs.iter().any(|input| input.name == name);
            if !same && (!attached || named) {
                self.inputs.remove(&name, "the stack file has changed", &mut self.intake);
                ended += 1;
            }
        }
        for input in &stack.inputs {
            if self.inputs.get(&input.name).is_none() {
                self.inputs.add(input.clone(), false, &mut self.intake);
                opened += 1;
            }
        }
        if let Err(why) = self.inputs.brought.watch(stack.agent.http.as_ref()) {
            self.log.warn(&why);
        }
        self.inputs.brought.reloaded();
        self.scan();
        self.inputs.let_go();
        let note = format!("reloaded: {opened} inputs opened, {ended} ended");
        self.log.info(&note);
        Ok(note)
    }

    pub(super) fn status(&self) -> Status {
        let stack = &self.intake.common.stack;
        let report = self.courier.report();
        let lag = |dir: &Path, offset: u64| {
            let known = report.targets.get(dir).filter(|targets| !targets.is_empty());
            let acknowledged = match known {
                Some(targets) => targets.iter().map(|target| target.progress.offset()).min(),
                None => Some(acknowledged(dir)),
            };
            let lag = offset.saturating_sub(acknowledged.unwrap_or_default());
            let since = report.caught_up.get(dir).map_or(self.started, |at| *at);
            (lag, if lag == 0 { 0.0 } else { since.elapsed().as_secs_f64() })
        };
        let (spools, bytes) = spool::usage(self.root()).unwrap_or_default();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_seconds: self.started.elapsed().as_secs_f64(),
            stack: stack.name.clone(),
            inputs: self.inputs.status(&self.intake, lag),
            spool: SpoolStatus {
                dir: self.root().display().to_string(),
                bytes,
                max_bytes: stack.spool.max_bytes,
                spools,
            },
            deliveries: DeliveryStatus {
                running: report.running as u64,
                waiting: report.waiting as u64,
                delivered: report.delivered,
            },
            stores: stack
                .log_stores
                .iter()
                .map(|store| StoreStatus {
                    name: store.name.clone(),
                    error: report.stores.get(&store.name).cloned().flatten(),
                })
                .collect(),
            errors: self.log.errors(),
        }
    }
}

/// Bytes of a spool that every log store has acknowledged.
fn acknowledged(dir: &Path) -> u64 {
    let checkpoint = Checkpoint::<Mark>::load(dir).unwrap_or_default();
    let stores = checkpoint.stores.values();
    stores.map(|store| store.acked.lines.resume_offset()).min().unwrap_or(0)
}

/// The inputs that were attached to an agent before this one.
pub(super) fn attached(root: &Path, log: &Log) -> Vec<Input> {
    let Ok(entries) = fs::read_dir(root.join(ATTACHED)) else { return Vec::new() };
    let mut inputs = Vec::new();
    for entry in entries.flatten() {
        let read = fs::read(entry.path()).map_err(|error| error.to_string());
        let parsed = read.and_then(|json| {
            serde_json::from_slice::<Input>(&json).map_err(|error| error.to_string())
        });
        match parsed {
            Ok(input) => inputs.push(input),
            Err(error) => log.warn(&format!("{}: {error}", entry.path().display())),
        }
    }
    inputs
}
