//! Queries over any store.

pub mod cursor;
pub mod filter;
pub mod format;
pub mod join;
pub mod merge;
pub mod page;
mod parse;
pub mod pattern;
pub mod pipeline;
pub mod session;
pub mod store;
pub mod target;
#[cfg(test)]
pub(crate) mod testing;
pub mod when;
