//! Bytes from the world to frames in the spool.

use std::time::Duration;

/// How steps are captured: the `[capture]` table, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A line without an end is shown as a part when its stream has been quiet this long.
    pub partial_idle: Duration,
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
            drain_idle: Duration::from_millis(250),
            drain_max: Some(Duration::from_secs(5)),
            grace: Duration::from_secs(10),
            pipe_bytes: 1 << 20,
            read_bytes: 256 << 10,
            python_unbuffered: true,
        }
    }
}
