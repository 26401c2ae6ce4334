//! What redaction promises.
