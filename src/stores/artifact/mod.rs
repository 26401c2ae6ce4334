//! The artifact store as log store.

pub mod config;
pub mod fetch;
pub(crate) mod flavor;
pub mod gc;
pub mod layout;
pub mod object;
pub mod open;
#[cfg(test)]
pub(crate) mod testing;
pub mod verify;

pub use config::{Codec, Config, Location};
pub use open::OpenError;
