//! Queries over any store: one query type, one behaviour, whatever keeps the logs.
//!
//! ```text
//! target, when, cursor      what a person says ──► Selection, Query
//!                                                       │
//! session      which passes over the store answer it, following, the end of it
//!                 │ Request                             ▲ lines in order
//!                 ▼                                     │
//! store        LogReader: runs, streams, lines ──► pipeline: parts joined, context, limits
//!   (a flavor)    │ filter, in parallel                 │
//!                 └ page, parse, pattern, group,        ▼
//!                   merge, sources
//!                                                  format ──► text, raw, json
//! ```
//!
//! * A store does what it can of a request and says so ([`store::Pushdown`]); what it leaves, the
//!   pipeline does.
//! * Lines are not copied on their way: a page keeps the store's text, and everything else points
//!   into it.
//! * A line in parts is one line: it is matched whole, counted once, shown once.
//! * A traceback is as serious as its first line.
//! * What is missing or damaged is named and read past, never skipped in silence; "not allowed" is
//!   never "nothing there".
//!
//! Knows no flavor, prints nothing.

pub mod cursor;
pub mod filter;
pub mod find;
pub mod format;
pub mod group;
pub mod join;
pub mod merge;
#[cfg(test)]
pub(crate) mod model;
pub mod page;
mod parse;
pub mod pattern;
pub mod pipeline;
pub mod session;
pub mod sources;
pub mod standing;
pub mod store;
pub mod target;
#[cfg(test)]
pub(crate) mod testing;
pub mod when;
