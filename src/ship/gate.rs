//! One store's gate, shared by all who deliver to it in this process: shut while the store asks for a
//! pause or seems to be down.
//!
//! ```text
//! open ──(so many failures in a row)──► down ──(pause)──► one request ──(it fails: longer pause)─┐
//!  ▲                                     ▲                    │                                  │
//!  └────────────── it succeeds ──────────│────────────────────┘◄─────────────────────────────────┘
//! ```
//!
//! Apart from the pace, which is each writer's own: that a store is down, or wants a second's rest,
//! is the same for all of them, and a store that comes up must not meet with all at once. Who
//! is turned away hears when it is worth asking again. Makes no request and never waits.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::Settings;
use super::retry::Backoff;

/// So many failures without a success between: the store is down. Fewer may be the luck of single
/// requests, which try again by themselves.
const DOWN: u32 = 4;

/// See the module.
#[derive(Debug)]
pub struct Gate(Mutex<State>);

#[derive(Debug)]
struct State {
    backoff: Backoff,
    /// In a row.
    failures: u32,
    /// Nobody enters before.
    until: Option<Instant>,
    outage: Option<Outage>,
    /// Outages that are over.
    outages: u64,
    /// By number; gone with their [`Changes`].
    listeners: BTreeMap<u64, Sender<()>>,
    next_listener: u64,
}

/// The store is down.
#[derive(Debug, Default)]
struct Outage {
    /// Requests that found it so.
    probes: u32,
    /// One is under way.
    probing: bool,
}

/// Permission for one request. Dropped without a word, it has told nothing.
#[derive(Debug)]
pub(super) struct Pass {
    gate: Arc<Gate>,
    probe: bool,
}

/// Hears of changes as long as it lives. A turn of delivery has one, and there are many turns.
#[derive(Debug)]
pub(super) struct Changes {
    gate: Arc<Gate>,
    number: u64,
    channel: Receiver<()>,
}

impl Changes {
    /// Something has changed.
    pub(super) fn channel(&self) -> &Receiver<()> {
        &self.channel
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        self.gate.state().listeners.remove(&self.number);
    }
}

impl Gate {
    /// An open one, with the pauses of these settings.
    pub fn new(settings: &Settings) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            backoff: Backoff::new(settings.retry_initial, settings.retry_max),
            failures: 0,
            until: None,
            outage: None,
            outages: 0,
            listeners: BTreeMap::new(),
            next_listener: 0,
        })))
    }

    /// Lets a request through; or says when to ask again. If not even that is known, [`Gate::changes`] tells.
    pub(super) fn enter(self: &Arc<Self>, now: Instant) -> Result<Pass, Option<Instant>> {
        let mut state = self.state();
        if let Some(until) = state.until.filter(|until| *until > now) {
            return Err(Some(until));
        }
        let probe = match &mut state.outage {
            None => false,
            Some(Outage { probing: true, .. }) => return Err(None),
            Some(outage) => {
                outage.probing = true;
                true
            }
        };
        Ok(Pass { gate: Arc::clone(self), probe })
    }

    /// Hears when somebody else's answer has changed something.
    pub(super) fn changes(self: &Arc<Self>) -> Changes {
        let (sender, channel) = bounded(1);
        let mut state = self.state();
        let number = state.next_listener;
        state.next_listener += 1;
        state.listeners.insert(number, sender);
        drop(state);
        Changes { gate: Arc::clone(self), number, channel }
    }

    /// The store seems to be down.
    pub fn is_down(&self) -> bool {
        self.state().outage.is_some()
    }

    /// How many outages are over.
    pub(super) fn outages(&self) -> u64 {
        self.state().outages
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn tell(&mut self) {
        for listener in self.listeners.values() {
            // One change that has not been heard yet will do.
            listener.try_send(()).ok();
        }
    }
}

impl Pass {
    /// The store works.
    pub(super) fn succeeded(self) {
        let mut state = self.gate.state();
        state.failures = 0;
        if state.outage.take().is_some() {
            state.until = None;
            state.outages += 1;
            state.tell();
        }
    }

    /// The store did not take it; it asked for at least this pause.
    pub(super) fn failed(self, after: Option<Duration>, now: Instant) {
        let mut state = self.gate.state();
        state.failures += 1;
        if state.outage.is_none() && state.failures >= DOWN {
            state.outage = Some(Outage { probes: 0, probing: self.probe });
        } else if !self.probe || state.outage.is_none() {
            // Nothing new but what it asked for.
            state.until = state.until.max(after.map(|after| now + after));
            return;
        }
        let Some(outage) = &mut state.outage else { return };
        outage.probes += 1;
        outage.probing = false;
        let probes = outage.probes;
        let pause = state.backoff.pause(probes, after);
        state.until = state.until.max(Some(now + pause));
        state.tell();
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut state = self.gate.state();
        if self.probe
            && let Some(outage) = &mut state.outage
            && outage.probing
        {
            // Whoever asked has gone: the next one may.
            outage.probing = false;
            state.tell();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn who_has_gone_is_not_kept() {
        let gate = gate();
        let stays = gate.changes();
        for _ in 0..10 {
            drop(gate.changes());
        }
        assert_eq!(gate.state().listeners.len(), 1);
        drop(stays);
        assert!(gate.state().listeners.is_empty());
    }

    fn gate() -> Arc<Gate> {
        Gate::new(&Settings {
            retry_initial: SECOND,
            retry_max: SECOND * 60,
            ..Settings::default()
        })
    }

    /// As many requests as make the store seem down, all begun before the first failed.
    fn go_down(gate: &Arc<Gate>, now: Instant) {
        let passes: Vec<_> = (0..64).map(|_| gate.enter(now).unwrap()).collect();
        for pass in passes {
            pass.failed(None, now);
        }
    }

    #[test]
    fn a_pause_that_one_was_asked_for_holds_for_all() {
        let (gate, now) = (gate(), Instant::now());
        gate.enter(now).unwrap().failed(Some(SECOND * 7), now);
        assert_eq!(gate.enter(now).unwrap_err(), Some(now + SECOND * 7));
        assert!(gate.enter(now + SECOND * 7).is_ok());
    }

    #[test]
    fn single_failures_shut_nothing() {
        let (gate, now) = (gate(), Instant::now());
        for _ in 0..20 {
            for _ in 1..DOWN {
                gate.enter(now).unwrap().failed(None, now);
            }
            gate.enter(now).unwrap().succeeded();
        }
        assert_eq!(gate.outages(), 0);
    }

    #[test]
    fn while_it_is_down_one_asks_at_a_time_and_ever_more_rarely() {
        let (gate, mut now) = (gate(), Instant::now());
        let changes = gate.changes();
        go_down(&gate, now);
        let mut pauses = Vec::new();
        for _ in 0..12 {
            if let Err(again) = gate.enter(now) {
                let again = again.expect("nobody asks");
                pauses.push(again - now);
                now = again;
            }
            let probe = gate.enter(now).unwrap();
            assert_eq!(gate.enter(now).unwrap_err(), None, "one at a time");
            probe.failed(None, now);
        }
        // Jitter is full, so only the bounds are known.
        assert!(pauses.iter().zip(1..).all(|(pause, n)| *pause <= SECOND * 2_u32.pow(n - 1)));
        assert!(pauses.iter().all(|pause| *pause <= SECOND * 60));
        let now = now + SECOND * 60;
        drop(gate.enter(now).unwrap());
        let probe = gate.enter(now).expect("the one before told nothing");
        while changes.channel().try_recv().is_ok() {}
        probe.succeeded();
        assert!(changes.channel().try_recv().is_ok());
        assert_eq!(gate.outages(), 1);
        let _open = [gate.enter(now).unwrap(), gate.enter(now).unwrap()];
    }
}
