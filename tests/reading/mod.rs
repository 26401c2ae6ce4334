//! What a person who reads logs sees: every option, every exit code, and the terminal.

mod bars;
mod codes;
mod options;
mod terminal;
