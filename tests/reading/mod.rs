//! What a person who reads logs sees: options, exit codes, and the terminal.

mod terminal;
