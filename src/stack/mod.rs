//! The stack file: as written and as resolved.
