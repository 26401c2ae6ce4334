//! What the flavor writes, where it sends it, and what it makes of answers.

mod answers;
mod encoding;
mod keys;
