//! The artifact store as log store.

pub mod config;
pub(crate) mod flavor;
pub mod fetch;
pub mod layout;
pub mod object;
pub mod open;
pub mod probe;

pub use config::{Codec, Config, Location};
pub use open::OpenError;
