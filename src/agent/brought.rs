//! Inputs whose lines are brought whole, over OTLP: where they listen, and which stream has which lines.
//!
//! Apart from [`inputs`](super::inputs), which makes the streams, and from [`otlp`](super::otlp), which
//! decodes. A stream that has been quiet for `ends_after_idle` has ended and is forgotten; what comes later
//! is another writer of the same step.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::http::Monitor;
use super::inbox::Outbox;
use super::intake::Intake;
use super::log::Log;
use super::otlp::Receiver;
use super::source::Source;
use super::web::{Serving, Web};
use super::{Input, Metadata};
use crate::listen::{Endpoint, Guard};

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
    log: Log,
}

impl Brought {
    /// `sockets`: those that the service manager has made.
    pub(super) fn new(outbox: Outbox, sockets: Vec<OwnedFd>, log: Log) -> Self {
        let mut web = Web::default();
        for socket in sockets {
            web.inherit(socket);
        }
        Self { outbox, web, serving: HashMap::new(), monitor: None, streams: HashMap::new(), log }
    }

    /// Takes records for this input. Says what is wrong.
    pub(super) fn listen(&mut self, input: &Input) -> Result<(), String> {
        let Some(otlp) = input.otlp.clone() else {
            return Err("it does not say where to listen".to_owned());
        };
        let guard = self.guard(otlp.endpoint.clone())?;
        let connections = input.max_connections;
        let receiver = Receiver::new(&input.name, otlp, Arc::clone(&guard), self.outbox.clone());
        let serving = self
            .web
            .serve(Arc::clone(&guard), input.mode, connections, Arc::new(receiver))
            .map_err(|error| format!("listen at {}: {error}", guard.endpoint().address))?;
        self.serving.insert(input.name.clone(), serving);
        Ok(())
    }

    /// Says at this endpoint how the agent is doing, or nowhere. Says what is wrong.
    pub(super) fn watch(&mut self, endpoint: Option<&Endpoint>) -> Result<(), String> {
        if self.monitor.as_ref().map(|monitor| monitor.guard().endpoint()) == endpoint {
            return Ok(());
        }
        self.monitor = None;
        let Some(endpoint) = endpoint else { return Ok(()) };
        let wrong = |what: String| format!("[agent] http: {what}");
        let guard = self.guard(endpoint.clone()).map_err(wrong)?;
        let monitor = Arc::new(Monitor::new(self.outbox.clone(), Arc::clone(&guard)));
        let serving = self.web.serve(guard, MONITOR_MODE, MONITOR_CONNECTIONS, monitor);
        let serving =
            serving.map_err(|error| wrong(format!("listen at {}: {error}", endpoint.address)))?;
        self.monitor = Some(serving);
        Ok(())
    }

    fn guard(&self, endpoint: Endpoint) -> Result<Arc<Guard>, String> {
        let guard = Guard::new(endpoint).map_err(|error| error.to_string())?;
        guard.warnings().iter().for_each(|warning| self.log.warn(warning));
        Ok(Arc::new(guard))
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

    /// Closes the sockets of inputs that are no more; the others' certificates and tokens may be new.
    pub(super) fn reloaded(&mut self) {
        let guards = self.serving.values().chain(&self.monitor).map(Serving::guard);
        for guard in guards.clone() {
            match guard.reload() {
                Ok(()) => guard.warnings().iter().for_each(|warning| self.log.warn(warning)),
                Err(error) => {
                    let address = &guard.endpoint().address;
                    self.log.warn(&format!("{address} goes on with what it had: {error}"));
                }
            }
        }
        self.web.keep_only(guards.map(|guard| &guard.endpoint().address));
    }

    /// The stream that has these lines, if there is one.
    pub(super) fn stream(
        &self,
        input: &str,
        metadata: &Metadata,
        intake: &Intake,
    ) -> Option<usize> {
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
    if parts.is_empty() { input.to_owned() } else { format!("{input} {}", parts.join("/")) }
}
