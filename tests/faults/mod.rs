//! What must not lose, double, reorder or hide a line. Each test is named by what happens.

mod clock;
mod shipper;
mod spool;
mod store;
mod wrapper;

use crate::support::lines;
use crate::support::sandbox::Sandbox;

/// The bytes came back, and `verify` agrees.
#[track_caller]
fn all_there(sandbox: &Sandbox, run: &str, expected: &str) {
    sandbox.verify(run);
    lines::assert_same("logs -o raw", expected.as_bytes(), &sandbox.raw(run));
}

/// Numbers that look random, the same ones in every run: a failure can be had again.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
