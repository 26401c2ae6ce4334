//! Stack files of any content.

use std::path::PathBuf;

use super::env::Env;
use super::reader::Secrets;
use super::resolve::{self, Choose, Source};

/// What a secret of the environment is.
const SECRET: &str = "hunter2hunter2";

/// A file is refused with what is wrong, or is what its shown form says; neither shows a secret.
pub(crate) fn stack_file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // No file of this machine is read.
    if text.contains("${file") || text.contains(SECRET) {
        return;
    }
    let env = Env::given(1000, [("HOME", "/home/ada"), ("SECRET", SECRET)]);
    let file = Some(PathBuf::from("/etc/steplog/stack.toml"));
    let resolved = |text: &str| {
        let source = Source { file: file.clone(), text: text.to_owned() };
        resolve::resolve(&env, &source, Choose::Active, Secrets::Followed)
    };
    let (stack, view) = match resolved(text) {
        Ok((stack, view)) => {
            assert!(!format!("{stack:?}").contains(SECRET));
            (stack, view)
        }
        Err(errors) => {
            assert!(!errors.to_string().contains(SECRET), "{errors}");
            return;
        }
    };
    let shown = view.to_toml();
    assert!(!shown.contains(SECRET), "{shown}");
    // What is shown of a secret is no value for every key.
    if shown.contains("********") {
        return;
    }
    let (again, _) = resolved(&shown).unwrap_or_else(|errors| panic!("{errors}\nof\n{shown}"));
    assert!(stack == again, "{shown}");
}
