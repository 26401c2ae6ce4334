//! Logs of a node, and templates of paths, of any content.

use std::path::Path;
use std::time::Duration;

use super::{Template, cri as format};
use crate::fuzz::Input;

/// No byte of a text is lost or doubled.
pub(crate) fn cri(data: &[u8]) {
    let mut input = Input(data);
    let span = Duration::from_millis(u64::from(input.byte()));
    format::holds(input.0, span);
}

/// A template takes a path or does not; what it captures is no path.
pub(crate) fn template(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (pattern, path) = text.split_once('\n').unwrap_or((text, "/steps/r1/train.log"));
    let Ok(template) = Template::new(pattern) else { return };
    let Some(Ok(captures)) = template.captures(Path::new(path)) else { return };
    let ids = [&captures.pipeline_run_id, &captures.step_id, &captures.source];
    for id in ids.into_iter().flatten().chain(captures.attributes.values()) {
        assert!(!id.contains('/') && !matches!(id.as_str(), "" | "." | ".."), "{id:?}");
    }
}
