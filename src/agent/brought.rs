//! Inputs whose lines are brought whole, over OTLP: where they listen, and which stream has which lines.
//!
//! Apart from [`inputs`](super::inputs), which makes the streams, and from [`otlp`](super::otlp), which
//! decodes. A stream that has been quiet for `ends_after_idle` has ended and is forgotten; what comes later
//! is another writer of the same step.

use std::collections::HashMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::http::Monitor;
use super::inbox::Outbox;
use super::intake::Intake;
use super::otlp::Receiver;
use super::source::Source;
use super::web::{Address, Serving, Web};
use super::{Input, Metadata};

/// The largest file of a token.
const MAX_TOKEN: u64 = 64 << 10;

/// Who may ask at a Unix socket how the agent is doing: everybody.
const MONITOR_MODE: u32 = 0o666;
/// At the same time.
const MONITOR_CONNECTIONS: usize = 16;

/// See the module.
pub(super) struct Brought {
    outbox: Outbox,
    web: Web,
    serving: HashMap<String, Serving>,
    monitor: Option<Serving>,
    streams: HashMap<(String, Metadata), usize>,
}

impl Brought {
    /// `sockets`: those that the service manager has made.
    pub(super) fn new(outbox: Outbox, sockets: Vec<OwnedFd>) -> Self {
        let mut web = Web::default();
        for socket in sockets {
            web.inherit(socket);
        }
        Self { outbox, web, serving: HashMap::new(), monitor: None, streams: HashMap::new() }
    }

    /// Takes records for this input. Says what is wrong.
    pub(super) fn listen(&mut self, input: &Input) -> Result<(), String> {
        let Some(otlp) = input.otlp.clone() else {
            return Err("it does not say where to listen".to_owned());
        };
        let token = match &otlp.token_file {
            None => otlp.token.clone().map(|token| token.0),
            Some(file) => {
                let wrong = |what: &dyn std::fmt::Display| format!("{}: {what}", file.display());
                let metadata = fs::metadata(file).map_err(|error| wrong(&error))?;
                if metadata.len() > MAX_TOKEN {
                    return Err(wrong(&"too large for a token"));
                }
                let text = fs::read_to_string(file).map_err(|error| wrong(&error))?;
                if text.trim().is_empty() {
                    return Err(wrong(&"there is no token in it"));
                }
                Some(text.trim().to_owned())
            }
        };
        let (address, connections) = (otlp.listen.clone(), otlp.max_connections);
        let receiver = Receiver::new(&input.name, otlp, token, self.outbox.clone());
        let serving = self
            .web
            .serve(&address, input.mode, connections, Arc::new(receiver))
            .map_err(|error| format!("listen at {address}: {error}"))?;
        self.serving.insert(input.name.clone(), serving);
        Ok(())
    }

    /// Says at this address how the agent is doing, or nowhere. Says what is wrong.
    pub(super) fn watch(&mut self, address: Option<&Address>) -> Result<(), String> {
        if self.monitor.as_ref().map(Serving::asked) == address {
            return Ok(());
        }
        self.monitor = None;
        let Some(address) = address else { return Ok(()) };
        let monitor = Arc::new(Monitor::new(self.outbox.clone()));
        let serving = self.web.serve(address, MONITOR_MODE, MONITOR_CONNECTIONS, monitor);
        let serving = serving.map_err(|error| format!("[agent] http: listen at {address}: {error}"))?;
        self.monitor = Some(serving);
        Ok(())
    }

    /// Takes no more for this input.
    pub(super) fn close(&mut self, input: &str) {
        self.serving.remove(input);
        self.streams.retain(|(of, _), _| of != input);
    }

    /// Takes nothing more at all. Who has asked gets an answer; [`is_quiet`](Self::is_quiet) says when all have.
    pub(super) fn stop(&mut self) {
        self.serving.clear();
        self.monitor = None;
    }

    /// Whether nobody waits for an answer.
    pub(super) fn is_quiet(&self) -> bool {
        self.web.is_quiet()
    }

    /// Closes the sockets of inputs that are no more.
    pub(super) fn reloaded(&mut self) {
        let used = self.serving.values().chain(&self.monitor).map(Serving::asked);
        self.web.keep_only(used);
    }

    /// The stream that has these lines, if there is one.
    pub(super) fn stream(&self, input: &str, metadata: &Metadata, intake: &Intake) -> Option<usize> {
        let index = *self.streams.get(&(input.to_owned(), metadata.clone()))?;
        let slot = intake.slot(index)?;
        (slot.stream.input == input && matches!(slot.source, Source::Brought)).then_some(index)
    }

    /// This stream has these lines.
    pub(super) fn know(&mut self, input: &str, metadata: &Metadata, index: usize) {
        self.streams.insert((input.to_owned(), metadata.clone()), index);
    }

    /// Forgets streams that have ended.
    pub(super) fn tidy(&mut self, intake: &mut Intake) {
        self.streams.retain(|_, index| {
            let open = intake.slot(*index).is_some_and(|slot| slot.stream.spool().is_some());
            if !open {
                intake.forget(*index);
            }
            open
        });
    }
}

/// What a stream is called in status and messages.
pub(super) fn label(input: &str, metadata: &Metadata) -> String {
    let parts = [&metadata.pipeline_run_id, &metadata.step_id, &metadata.source];
    let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
    match parts.is_empty() {
        true => input.to_owned(),
        false => format!("{input} {}", parts.join("/")),
    }
}
