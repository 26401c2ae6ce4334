//! Lines by which a step says that a part of its log begins or ends: the conventions of CI systems. Pure.

use serde::Serialize;
use utoipa::ToSchema;

/// A part of the log begins or ends at this line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Section {
    /// Whether it begins or ends.
    kind: Kind,
    /// What it is called; what ends by itself has none.
    name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Start,
    End,
}

impl Section {
    fn start(name: &str) -> Self {
        Self { kind: Kind::Start, name: name.trim().to_owned() }
    }

    fn end(name: &str) -> Self {
        Self { kind: Kind::End, name: name.trim().to_owned() }
    }
}

/// What a line as the step wrote it says.
///
/// | who | begins | ends |
/// |---|---|---|
/// | GitHub | `::group::NAME` | `::endgroup::` |
/// | GitHub, Azure | `##[group]NAME` | `##[endgroup]` |
/// | Buildkite | `--- NAME`, `+++ NAME`, `~~~ NAME` | the next one |
/// | GitLab | `section_start:TIME:ID[collapsed=true]` CR CSI 0K NAME | `section_end:TIME:ID` |
pub(super) fn of(raw: &str) -> Option<Section> {
    // Most lines begin with none of these.
    let first = raw.bytes().find(|byte| !byte.is_ascii_whitespace())?;
    if !matches!(first, b':' | b'#' | b'-' | b'+' | b'~' | b's' | 0x1b) {
        return None;
    }
    let text = raw.trim();
    if let Some(name) = text.strip_prefix("::group::").or_else(|| text.strip_prefix("##[group]")) {
        return Some(Section::start(name));
    }
    if text.starts_with("::endgroup::") || text.starts_with("##[endgroup]") {
        return Some(Section::end(""));
    }
    for mark in ["--- ", "+++ ", "~~~ "] {
        // A patch has lines like that with names of files.
        if let Some(name) = text.strip_prefix(mark)
            && !is_patch(name)
        {
            return Some(Section::start(name));
        }
    }
    gitlab(text)
}

fn is_patch(name: &str) -> bool {
    ["a/", "b/", "/dev/null"].iter().any(|start| name.starts_with(start)) || name.contains('\t')
}

fn gitlab(text: &str) -> Option<Section> {
    let text = text.trim_start_matches("\x1b[0K");
    let (start, rest) = if let Some(rest) = text.strip_prefix("section_start:") {
        (true, rest)
    } else {
        (false, text.strip_prefix("section_end:")?)
    };
    let (time, rest) = rest.split_once(':')?;
    if time.is_empty() || !time.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (id, shown) = rest.split_once('\r').unwrap_or((rest, ""));
    // Behind it may stand how it is to be shown.
    let id = id.split_once('[').map_or(id, |(id, _)| id);
    if !start {
        return Some(Section::end(id));
    }
    let (shown, _) = super::ansi::take_apart(shown);
    let name = if shown.trim().is_empty() { id } else { &*shown };
    Some(Section::start(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conventions() {
        for (text, expected) in [
            ("::group::Install it", Some(Section::start("Install it"))),
            ("::endgroup::", Some(Section::end(""))),
            ("##[group]Run make", Some(Section::start("Run make"))),
            ("##[endgroup]", Some(Section::end(""))),
            ("--- :package: Build", Some(Section::start(":package: Build"))),
            ("+++ Test", Some(Section::start("Test"))),
            (
                "\x1b[0Ksection_start:1560896352:one[collapsed=true]\r\x1b[0K\x1b[36mFirst\x1b[0m",
                Some(Section::start("First")),
            ),
            ("section_end:1560896353:one\r\x1b[0K", Some(Section::end("one"))),
            ("--- a/src/main.rs", None),
            ("+++ b/src/main.rs\t2026", None),
            ("---", None),
            ("section_start:soon:x", None),
            ("a ::group::b", None),
            ("", None),
        ] {
            assert_eq!(of(text), expected, "{text}");
        }
    }
}
