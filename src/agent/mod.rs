//! The agent.

mod settings;

pub use settings::{Input, Kind, Metadata, Settings};

/// The control socket's name in the folder of the spools.
pub const CONTROL: &str = ".agent.sock";
