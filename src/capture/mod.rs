//! Bytes from the world to frames in the spool.
//!
//! ```text
//! step, or standard input ──► pump ──► sink (spool, or memory)
//!                              │ mask
//!                              └─────► tee (own stdout and stderr)
//! ```
//!
//! Capture never fails the step: it starts the step before it does anything that takes time, and
//! from then on whatever goes wrong is said once and counted. It knows no line, no network and no
//! store; its cost is per block, its memory two blocks. One thread waits for everything (`poll`);
//! the spool has another for syncs.
//!
//! In reading order: [`identity`] says who writes, [`naming`] what a step without a name is called; [`process`] starts a step and sees it to its
//! end; `pump` moves the bytes, into a [`sink`] and a `tee`; `shipper` keeps `steplog ship` on the
//! spool; [`additions`] takes secrets that become known later; [`memory`] stands in for the spool
//! where no directory is writable.

pub mod file;
pub mod identity;
pub mod naming;

pub mod process;

pub(crate) mod mask;
mod pump;
pub mod sink;
mod tee;
mod unfinished;

pub mod additions;
pub mod memory;
pub(crate) mod shipper;

mod poll;

use std::time::Duration;

pub use shipper::Death;

/// How steps are captured: the `[capture]` table, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A line without an end is shown as a part when its stream has been quiet this long.
    pub partial_idle: Duration,
    /// A line without an end that goes on all the time is shown as far as it is, each time after so long.
    pub partial_age: Duration,
    /// After the step's exit, reading ends when its pipes have been quiet this long.
    pub drain_idle: Duration,
    /// After the step's exit, reading ends at the latest after this long. `None`: at end of file only.
    pub drain_max: Option<Duration>,
    /// Between TERM and KILL.
    pub grace: Duration,
    /// Size asked for the pipes' buffers (F_SETPIPE_SZ), bytes.
    pub pipe_bytes: usize,
    /// Largest read, bytes.
    pub read_bytes: usize,
    /// Set `PYTHONUNBUFFERED=1` unless it is set.
    pub python_unbuffered: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            partial_idle: Duration::from_secs(1),
            partial_age: Duration::from_secs(2),
            drain_idle: Duration::from_millis(250),
            drain_max: Some(Duration::from_secs(5)),
            grace: Duration::from_secs(10),
            pipe_bytes: 1 << 20,
            read_bytes: 256 << 10,
            python_unbuffered: true,
        }
    }
}
