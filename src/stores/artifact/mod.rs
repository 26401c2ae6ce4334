//! The artifact store as log store.

pub mod config;
pub mod layout;
pub mod object;

pub use config::{Codec, Config, Location};
