//! `cargo bench`: what steplog costs. Every figure stands beside a yardstick that anyone can run,
//! measured in the same run on the same machine; only the ratios mean anything elsewhere.
//!
//! ```text
//! cargo bench                      all of it, some ten minutes
//! cargo bench -- --quick           small sizes: is the output right? judges no time
//! cargo bench -- write read        only these groups (write, scale, down, stores, encode, start,
//!                                  many, live, read, agent, restart, parts, server)
//! cargo bench -- soak              half an hour of the agent with faults: only when it is asked for;
//!                                  STEPLOG_SOAK_SECONDS says how long instead
//! ```
//!
//! Each measured run is also checked: `verify` must pass and the bytes must come back.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measuring program: it prints, and what goes wrong ends it"
)]

mod agent;
mod encode;
mod live;
mod measure;
mod null;
mod parts;
mod read;
mod server;
mod soak;
mod start;
mod stores;
mod table;
mod write;

#[path = "../tests/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the tests use the rest of it")]
mod support;

use std::time::Duration;

use table::Table;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Lines of the input of about 120 bytes each.
    pub(crate) lines: usize,
    /// The input that shows whether memory grows with it, as a multiple.
    pub(crate) scale: usize,
    /// Each timed thing is done so often; the median counts.
    pub(crate) repetitions: usize,
    /// Start-ups are shorter and done more often.
    pub(crate) starts: usize,
    /// Steps of ten lines.
    pub(crate) steps: usize,
    /// Lines whose way to `logs -f` is timed.
    pub(crate) live: usize,
    /// Inputs of the agent that say nothing, and how long that is watched.
    pub(crate) idle: usize,
    pub(crate) quiet: Duration,
    /// Inputs of the agent that print, and for how long.
    pub(crate) busy: usize,
    pub(crate) printing: Duration,
    /// Clients that follow one stream.
    pub(crate) followers: usize,
    /// How often the agent is started again, and how long it lives until then.
    pub(crate) restarts: usize,
    pub(crate) life: Duration,
    /// How long it is soaked.
    pub(crate) soak: Duration,
}

const FULL: Sizes = Sizes {
    lines: 1_000_000,
    scale: 10,
    repetitions: 7,
    starts: 40,
    steps: 10_000,
    live: 200,
    idle: 10_000,
    quiet: Duration::from_secs(5),
    busy: 1_000,
    printing: Duration::from_secs(20),
    followers: 1000,
    restarts: 5,
    life: Duration::from_secs(3),
    soak: Duration::from_secs(1800),
};
const QUICK: Sizes = Sizes {
    lines: 20_000,
    scale: 2,
    repetitions: 1,
    starts: 2,
    steps: 5,
    live: 5,
    idle: 20,
    quiet: Duration::from_millis(200),
    busy: 10,
    printing: Duration::from_millis(1500),
    followers: 10,
    restarts: 1,
    life: Duration::from_millis(500),
    soak: Duration::from_secs(6),
};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut sizes = if arguments.iter().any(|it| it == "--quick") { QUICK } else { FULL };
    if let Some(seconds) = std::env::var_os("STEPLOG_SOAK_SECONDS") {
        sizes.soak = Duration::from_secs(seconds.to_str().unwrap().parse().unwrap());
    }
    let groups: Vec<&String> = arguments.iter().filter(|it| !it.starts_with("--")).collect();
    let wanted = |group: &str| groups.is_empty() || groups.iter().any(|it| *it == group);

    println!("steplog {}, {}", env!("CARGO_PKG_VERSION"), table::machine());
    let input = measure::Input::new(sizes.lines);
    println!("input: {} lines, {} bytes\n", input.lines, input.bytes.len());

    if wanted("write") {
        write::overhead(&input, sizes).print();
    }
    if wanted("scale") {
        write::memory(&input, sizes).print();
    }
    if wanted("down") {
        write::store_down(&input, sizes).print();
    }
    if wanted("stores") {
        stores::each(&input, sizes).print();
    }
    if wanted("encode") {
        encode::flavors(&input, sizes).print();
    }
    if wanted("start") {
        start::single(sizes).print();
    }
    if wanted("many") {
        start::many(sizes).print();
    }
    if wanted("live") {
        live::latency(sizes).print();
    }
    if wanted("read") {
        read::all(&input, sizes).print();
    }
    if wanted("agent") {
        agent::busy(sizes).print();
        agent::idle(sizes).print();
        agent::one(&input, sizes).print();
    }
    if wanted("restart") {
        soak::restart(sizes).print();
    }
    // Not among all the others, unless it is a short one.
    if groups.iter().any(|it| *it == "soak") || (groups.is_empty() && sizes.soak < FULL.soak) {
        soak::soak(sizes).print();
    }
    if wanted("parts") {
        parts::each(&input, sizes).print();
    }
    if wanted("server") {
        server::large(&input, sizes).print();
        server::followers(sizes).print();
    }
}

/// What a group gives.
pub(crate) type Group = Table;
