//! Changes to a stack file that leave the rest of it as it was written.
//!
//! ```text
//!  Change ─► plan: may it be, what else follows ─► tree: toml_edit ─► text
//!                                                                      │
//!  lock ◄── file ── read                      loaded as any stack file ┘
//!            └───── written beside it, renamed over it ◄─── no problem
//! ```
//!
//! What holds:
//!
//! * Comments, order, spelling and the file's owner and mode stay. A file that holds a secret itself
//!   becomes readable by its owner only.
//! * The result is loaded before it takes the file's place; one that is not valid never does.
//! * Two edits at the same time both take effect: the second waits for the first, then reads anew.
//! * Which stack is active changes only when that was asked for: where leaving it open would
//!   decide otherwise, the file says it.
//! * A name that something uses cannot be taken away; one that is changed is changed everywhere.
//!
//! What is built in counts as written above the file: it can be changed, but not taken away.

mod file;
mod known;
mod plan;
#[cfg(test)]
mod tests;
mod tree;
mod value;

pub(crate) use self::file::{FileError, edit};
pub(crate) use self::value::Attribute;

use crate::stack::problem::suggest;
use crate::stores::Component;
use crate::stores::custom::Registered;

/// What is to be changed.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// A new store.
    Register { component: Component, name: String, flavor: String, attributes: Vec<Attribute> },
    /// Keys of a store, set.
    Update { component: Component, name: String, attributes: Vec<Attribute> },
    /// Keys of a store, taken out.
    RemoveAttributes { component: Component, name: String, keys: Vec<String> },
    /// Another name for a store.
    Rename { component: Component, from: String, to: String },
    /// A store once more.
    Copy { component: Component, from: String, to: String },
    /// A store, taken out.
    Delete { component: Component, name: String },
    /// A flavor of the user's own, new or anew.
    RegisterFlavor(Registered),
    /// The same, taken out.
    DeleteFlavor { name: String },
    /// A new stack, active at once or not.
    RegisterStack { name: String, artifact_store: String, log_stores: Vec<String>, set: bool },
    /// What a stack is made of; none: that stays. The stack is the active one if none is named.
    UpdateStack { name: Option<String>, artifact_store: Option<String>, log_stores: Vec<String> },
    /// Log stores, taken out of a stack; none: all of them.
    RemoveLogStores { name: Option<String>, log_stores: Vec<String> },
    /// The active stack.
    SetStack { name: String },
    /// Another name for a stack.
    RenameStack { from: String, to: String },
    /// A stack once more.
    CopyStack { from: String, to: String },
    /// A stack, taken out.
    DeleteStack { name: String },
}

/// Why a change cannot be made. No value is shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EditError {
    #[error("there is no {noun} {name:?}")]
    NoSuch { noun: &'static str, name: String, known: Vec<String> },
    #[error("there is a {noun} {name:?} already")]
    Exists { noun: &'static str, name: String },
    #[error("the {noun} {name:?} is built in")]
    BuiltIn { noun: &'static str, name: String },
    #[error("the {noun} {name:?} is used by {}", by.join(", "))]
    InUse { noun: &'static str, name: String, by: Vec<String> },
    #[error("{0:?} is not a name")]
    Name(String),
    #[error("the stack {0:?} is active")]
    Active(String),
    #[error("no stack is active")]
    NoneActive,
    #[error("{name:?} has no attribute {key:?}")]
    NoAttribute { name: String, key: String },
    #[error("the flavor of {0:?} cannot be changed")]
    Flavor(String),
    #[error("{key:?} of {name:?} is not a table")]
    NotATable { name: String, key: String },
    #[error("the command of a flavor is empty")]
    NoCommand,
}

impl EditError {
    /// What to do about it.
    pub(crate) fn help(&self) -> Option<String> {
        Some(match self {
            Self::NoSuch { noun, name, known } => {
                let known: Vec<_> = known.iter().map(String::as_str).collect();
                suggest(name, &format!("{noun}s"), &known)
            }
            Self::Exists { .. } => "update changes it; or choose another name".to_owned(),
            Self::BuiltIn { .. } => "it can be updated, or copied under another name".to_owned(),
            Self::InUse { .. } => "take it out there first".to_owned(),
            Self::Name(_) => "a name is 1 to 64 letters, digits, \"_\", \"-\" or \".\"".to_owned(),
            Self::Active(_) => "first activate another: steplog stack set NAME".to_owned(),
            Self::NoneActive => {
                "name the stack, or activate one: steplog stack set NAME".to_owned()
            }
            Self::NoAttribute { .. } | Self::NoCommand => return None,
            Self::Flavor(_) => "register another store, then delete this one".to_owned(),
            Self::NotATable { .. } => "give it without the dot".to_owned(),
        })
    }
}
