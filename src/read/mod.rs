//! Queries over any store.
