//! Log stores: one folder a flavor.

pub mod artifact;
