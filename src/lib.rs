//! steplog is a Log Store for pipeline steps: it captures what a step process prints, keeps it
//! safe, ships it to the log store that the user's stack names, and reads it back.
//!
//! It is a program first. The library exists so that its parts can be tested and measured one by
//! one; it promises no stable interface, and it is neither a logging framework for Rust programs
//! nor a general log router.
//!
//! ```text
//! step ──fd 1,2──► capture ──► spool ──► ship ───────────► log store
//! stdin ─┘           │ redact    │ frames   │ lines, level       │
//!                    └─► own     │ CRC      │ enrich, encode     │
//!                       stdout   └─► fsync  └─► checkpoint       │
//!                                                                ▼
//!                                      `steplog logs` ◄──── read
//! ```
//!
//! Modules in reading order: [`record`] is the vocabulary that every stage shares; [`capture`],
//! [`redact`] and [`spool`] run next to the step; [`line`], [`enrich`], [`ship`] and [`stores`]
//! run behind the spool; [`read`] brings it back;
//! [`agent`] is the daemon that does all of this for many streams; [`server`] shows what was read over HTTP;
//! [`listen`] is how servers are reached; [`stack`] says where all of it goes; [`cli`] is
//! the only place that prints or exits.

pub mod record;

pub mod capture;
pub mod redact;
pub mod spool;

pub mod enrich;
pub mod line;
pub mod ship;
pub mod stores;

pub mod read;

pub mod agent;
pub mod delivery;
pub mod listen;
pub mod server;

pub mod cli;
pub mod stack;

#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod glob;
mod pages;
mod protobuf;
mod words;
