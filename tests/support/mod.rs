//! What every test needs: a place of its own ([`sandbox`]), waiting without sleeping
//! ([`wait`]), the bytes of known lines ([`lines`]), a step that waits to be told ([`paced`]),
//! a terminal ([`screen`]).

pub(crate) mod http;
pub(crate) mod lines;
pub(crate) mod paced;
pub(crate) mod processes;
pub(crate) mod sandbox;
pub(crate) mod screen;
pub(crate) mod wait;

use std::path::{Path, PathBuf};

/// A path inside the project.
pub(crate) fn project(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)
}

/// A helper step of `tests/steps/`, or one of `examples/`.
pub(crate) fn step(name: &str) -> PathBuf {
    let path = project("tests/steps").join(name);
    assert!(path.exists(), "no helper step {}", path.display());
    path
}
