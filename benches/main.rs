//! `cargo bench`: what steplog costs, each figure as a ratio to a public yardstick.

fn main() {}
