//! What must hold for any bytes that a step, a node or a client can send: the targets of the fuzzers.
//!
//! ```text
//! seeds (fuzz/seeds) ─► mutation ─► target ─► panics if something that must hold does not
//!                       ├ in `cargo test`: a few seconds, by `mutate`, on stable
//!                       └ cargo-fuzz (fuzz/): libFuzzer, by coverage, as long as you like
//! ```
//!
//! Each target stands beside the code that it is for and is only in builds for tests and fuzzers. Here is their
//! list. Every input that a fuzzer has ever found something with is a seed; see fuzz/README.md.

#[cfg(test)]
mod mutate;
#[cfg(test)]
mod tests;

/// A target: what it is called, and what panics.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 8] = [
    ("frames", crate::spool::fuzz::frames),
    ("lines", crate::line::fuzz::lines),
    ("cri", crate::capture::file::fuzz::cri),
    ("template", crate::capture::file::fuzz::template),
    ("otlp_json", crate::agent::fuzz::otlp_json),
    ("otlp_protobuf", crate::agent::fuzz::otlp_protobuf),
    ("said", crate::agent::fuzz::said),
    ("stack_file", crate::stack::fuzz::stack_file),
];

/// Runs the target of this name.
///
/// # Panics
///
/// If something does not hold that must: that is what it is for. Also if there is no such target.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    target.expect("there is a target of this name").1(data);
}

/// Takes bytes apart, for targets that need more than text. Zeros when there is nothing left.
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    pub(crate) fn number(&mut self) -> u64 {
        (0..8).fold(0, |number, _| number << 8 | u64::from(self.byte()))
    }

    /// The next bytes: as many as the next byte says, or what is left.
    pub(crate) fn bytes(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte()).min(self.0.len());
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
