//! The artifact store as log store.

pub mod config;
pub mod fetch;
pub(crate) mod flavor;
pub mod layout;
pub mod object;
pub mod open;
pub mod probe;
#[cfg(test)]
pub(crate) mod testing;

pub use config::{Codec, Config, Location};
pub use open::OpenError;
