//! Flavors of the user's own: a program that is registered under a name.
//!
//! ```toml
//! [flavors.sqlite]
//! command = ["python3", "/opt/steplog/sqlite_store.py"]
//!
//! [log_stores.archive]
//! flavor = "sqlite"
//! ```
//!
//! Here is what the stack file says of them. A log store of such a flavor is read by [`read`].

use crate::stack::Reader;
use crate::stores::Config;

/// A flavor of the user's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// As in `flavor = "…"`; none of the built-in ones.
    pub name: String,
    /// The program and its arguments; never empty. No shell looks at it.
    pub command: Vec<String>,
}

/// Reads the table of a log store whose flavor is `registered`.
pub(crate) fn read(reader: &mut Reader<'_, '_, '_>, registered: &Registered) -> Option<Config> {
    let what = format!("the registered flavor {:?} cannot be used yet", registered.name);
    let help = "this version only knows the built-in flavors".to_owned();
    reader.problem("flavor", what, Some(help));
    // What its keys may be, only the program knows.
    reader.all().for_each(drop);
    None
}
