//! What comes after the step: draining its output, the exit record, delivery, leaving.
//!
//! The second half of [`Supervisor`], apart for its size: here are the phases behind the first.

use std::time::{Duration, Instant};

use super::drain::{Drain, DrainEnd};
use super::holders;
use super::signals::Signal;
use super::spawn::stdout_is_pipeline;
use super::supervise::{Phase, Subject, Supervisor};
use super::{Courier, Delivery, How, Notice};
use crate::pages;
use crate::record::Nanos;

/// Delivery that takes longer than this is worth a word on a terminal.
const WORD_AFTER: Duration = Duration::from_secs(1);

/// How long delivery may take to stop when asked to.
const STOPPING: Duration = Duration::from_millis(500);

impl Supervisor<'_> {
    /// Whoever started us wants us to stop reading standard input.
    pub(super) fn on_input_end(&mut self, signal: Signal, now: Instant) {
        self.code = How::Killed { signal, core: false }.code();
        self.exit.reason = Some(signal.to_string());
        self.start_drain(now);
    }

    pub(super) fn start_drain(&mut self, now: Instant) {
        pages::give_back();
        self.exit.ended = Nanos::now();
        self.exit.wall_ns = now.duration_since(self.started).as_nanos() as u64;
        let drain = Drain::new(self.settings.drain_idle, self.settings.drain_max, now);
        self.phase = Phase::Draining { drain, stuck_since: None, end: None };
    }

    /// Whoever waits is told to stop waiting.
    pub(super) fn hurry(&mut self, now: Instant) {
        match &mut self.phase {
            Phase::Draining { drain, end, .. } => {
                drain.hurry();
                if let Some(pump) = &mut self.pump {
                    pump.read_rest(now);
                    if !pump.is_done() {
                        end.get_or_insert(DrainEnd::Limit);
                    }
                    pump.close();
                    pump.silence();
                }
            }
            Phase::Delivering { .. } => self.leave(Delivery::Interrupted, now),
            Phase::Leaving { kill_at, .. } => *kill_at = now,
            Phase::Running | Phase::Done { .. } => {}
        }
    }

    pub(super) fn is_shipping(&mut self) -> bool {
        match &mut self.courier {
            Courier::Process(shipper) => shipper.pid().is_some(),
            Courier::Thread(thread) => thread.delivered().is_none(),
            Courier::Agent | Courier::Nobody => false,
        }
    }

    pub(super) fn is_delivered(&mut self) -> bool {
        match &mut self.courier {
            Courier::Process(shipper) => shipper.is_delivered(),
            Courier::Thread(thread) => thread.delivered() == Some(true),
            Courier::Agent | Courier::Nobody => false,
        }
    }

    pub(super) fn drain(&mut self, now: Instant) {
        let Phase::Draining { drain, stuck_since, end } = &mut self.phase else { return };
        let Some(pump) = &mut self.pump else { return };
        if pump.is_done() || (drain.hurried() && end.is_some()) {
            let end = end.unwrap_or(DrainEnd::Eof);
            self.conclude(end, now);
            return;
        }
        // Who reads own output may take all the time in the world: that is not the step's doing.
        if pump.is_stuck() {
            stuck_since.get_or_insert(now);
            return;
        }
        if let Some(since) = stuck_since.take() {
            drain.shift(now.duration_since(since));
        }
        if end.is_none()
            && let Some(over) = drain.over(now)
        {
            *end = Some(over);
            if let Subject::Step(_) = self.subject {
                let outputs: Vec<_> = pump.open_sources().filter_map(holders::identity).collect();
                let holders = holders::find(&outputs);
                self.exit.held_by = holders.iter().map(|holder| holder.pid).collect();
                (self.notify)(match over {
                    DrainEnd::Limit => Notice::StillWriting(&holders),
                    _ => Notice::Held(&holders),
                });
            }
            pump.close();
            self.drain(now);
        }
    }

    /// Everything that will be captured is captured.
    fn conclude(&mut self, end: DrainEnd, now: Instant) {
        self.exit.drain = Some(end.as_str().to_owned());
        if self.subject == Subject::Input && end == DrainEnd::Eof {
            // Nothing is known of the step, but all that it wrote was read.
            self.code = 0;
            self.exit.code = Some(0);
            self.exit.reason = None;
        }
        self.additions = None;
        pages::give_back();
        if let Some(pump) = self.pump.take()
            && let Err(error) = pump.finish(&mut self.exit)
        {
            (self.notify)(Notice::ExitNotKept(&error.to_string()));
        }
        pages::give_back();
        (self.notify)(Notice::Ended(&self.exit));
        // Who reads own output has everything, and need not wait for delivery.
        if stdout_is_pipeline()
            && let Ok(null) = std::fs::File::options().write(true).open("/dev/null")
        {
            nix::unistd::dup2_stdout(null).ok();
        }
        let until = now + self.deadline;
        let until = self.ladder.leave_at(now).map_or(until, |leave| leave.min(until));
        self.phase = Phase::Delivering { until, word_at: Some(now + WORD_AFTER) };
        pages::give_back();
        self.deliver(now);
    }

    pub(super) fn deliver(&mut self, now: Instant) {
        let Phase::Delivering { until, word_at } = &mut self.phase else { return };
        let state = match &mut self.courier {
            Courier::Process(shipper) if shipper.is_delivered() => Some(Delivery::Delivered),
            Courier::Process(shipper) if shipper.is_failed() => Some(Delivery::Failed),
            Courier::Thread(thread) => thread
                .delivered()
                .map(|delivered| if delivered { Delivery::Delivered } else { Delivery::Failed }),
            Courier::Agent => Some(Delivery::Agent),
            Courier::Nobody => Some(Delivery::Deadline),
            Courier::Process(_) => None,
        };
        if let Some(delivery) = state {
            self.phase = Phase::Done { delivery };
        } else if now >= *until {
            self.leave(Delivery::Deadline, now);
        } else if word_at.take_if(|at| now >= *at).is_some() {
            (self.notify)(Notice::Delivering);
        }
    }

    /// Ends delivery before it is done.
    fn leave(&mut self, delivery: Delivery, now: Instant) {
        match &mut self.courier {
            Courier::Process(shipper) => shipper.stop(Signal::TERM),
            Courier::Thread(thread) => thread.stop(),
            Courier::Agent | Courier::Nobody => {}
        }
        self.phase = Phase::Leaving { delivery, kill_at: now + STOPPING };
        if !self.is_shipping() {
            self.phase = Phase::Done { delivery };
        }
    }
}
