//! The artifact store as log store.

pub mod config;

pub use config::{Codec, Config, Location};
