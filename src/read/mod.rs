//! Queries over any store.

pub mod filter;
pub mod join;
pub mod merge;
pub mod page;
mod parse;
pub mod pattern;
pub mod pipeline;
pub mod store;
#[cfg(test)]
pub(crate) mod testing;
