//! Capture and ship in one process, where no directory is writable: the delivering threads, and
//! the channels that capture fills.

use std::thread;

use crate::capture::memory::{Courier, FanOut, MemorySource, channel};
use crate::delivery::{behind, chain, refusal, targets};
use crate::ship::{self, Delivery, FrameSource, Keeper, Outcome, SourceError, Stop, Target, Until};
use crate::spool::Meta;
use crate::stack::Stack;

/// Starts delivery. Says why if it cannot.
pub(super) fn deliver(stack: &Stack, meta: Meta) -> Result<(FanOut, Courier), String> {
    let targets = targets(stack).map_err(|error| chain(&error))?;
    let runtime = ship::runtime(&stack.ship).map_err(|error| error.to_string())?;
    let max_bytes = stack.ship.channel_bytes as u64;
    let (sinks, sources): (Vec<_>, Vec<_>) =
        targets.iter().map(|_| channel(max_bytes, stack.spool.when_full)).unzip();
    let settings = stack.ship.clone();
    let (stopper, stop) = ship::stop();
    let thread = thread::Builder::new().name("ship".to_owned()).spawn(move || {
        let keeper = Keeper::in_memory(targets.iter().map(|target| target.name.clone()).collect());
        let to = |target: &Target, source: MemorySource| {
            let delivery = Delivery {
                writer: &meta.writer,
                lines: &meta.lines,
                name: &target.name,
                store: target.store.as_ref(),
                gate: &target.gate,
                settings: &settings,
                keeper: &keeper,
                runtime: runtime.handle(),
                progress: &target.progress,
                until: Until::End,
            };
            match one(&delivery, source, &stop) {
                Ok(Outcome::Delivered) => Ok(refusal(target)),
                Ok(Outcome::Stopped | Outcome::CaughtUp | Outcome::Down) => Err(behind(target)),
                Err(error) => Err(chain(&error)),
            }
        };
        // One thread a store, as each takes its own time.
        let results: Vec<Result<Option<String>, String>> = thread::scope(|scope| {
            let to = &to;
            let running: Vec<_> = targets
                .iter()
                .zip(sources)
                .map(|(target, source)| scope.spawn(move || to(target, source)))
                .collect();
            let crashed = |_| Err("delivery has crashed".to_owned());
            running.into_iter().map(|thread| thread.join().unwrap_or_else(crashed)).collect()
        });
        ship::close(&targets, &runtime);
        runtime.shutdown_background();
        let (mut refused, mut failed) = (Vec::new(), Vec::new());
        for result in results {
            match result {
                Ok(line) => refused.extend(line),
                Err(line) => failed.push(line),
            }
        }
        if failed.is_empty() { Ok(refused.join("\n")) } else { Err(failed.join("\n")) }
    });
    let thread = thread.map_err(|error| error.to_string())?;
    Ok((FanOut(sinks), Courier::new(thread, stopper)))
}

/// Delivers to one store what can be read only once.
fn one(delivery: &Delivery<'_>, source: MemorySource, stop: &Stop) -> Result<Outcome, ship::Error> {
    let mut source = Some(source);
    let mut open = |_from| match source.take() {
        Some(source) => Ok(Box::new(source) as Box<dyn FrameSource>),
        None => Err(SourceError::Spent),
    };
    ship::deliver(delivery, &mut ship::Left::default(), &mut open, stop)
}
