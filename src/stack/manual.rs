//! What the manual says of flavors and keys, for `flavor describe`, completions and the schema.
//!
//! The pages under `docs/` are compiled in and their tables looked up: what a key is for is written
//! once, where people read it. A new flavor adds its page here and its row to the table of flavors.

/// The page of each flavor of record stores.
const FLAVORS: &[(&str, &str)] = &[
    ("console", include_str!("../../docs/log-stores/console.md")),
    ("datadog", include_str!("../../docs/log-stores/datadog.md")),
    ("elasticsearch", include_str!("../../docs/log-stores/elasticsearch.md")),
    ("http", include_str!("../../docs/log-stores/http.md")),
    ("loki", include_str!("../../docs/log-stores/loki.md")),
    ("otel", include_str!("../../docs/log-stores/otel.md")),
    ("splunk", include_str!("../../docs/log-stores/splunk.md")),
];
/// What all of these share, and their table.
const SHARED: &str = include_str!("../../docs/log-stores/README.md");
const STACK_FILE: &str = include_str!("../../docs/stack-file.md");

/// What a log store's flavor is, in the words of its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlavorLine {
    /// Where the logs go.
    pub(crate) writes_to: &'static str,
    /// Begins with "yes" or "no".
    pub(crate) reads_back: &'static str,
}

/// The row of a log store's flavor.
pub(crate) fn flavor_line(flavor: &str) -> Option<FlavorLine> {
    let row = rows(SHARED).find(|row| row.is_of(flavor))?;
    Some(FlavorLine { writes_to: row.cell(1)?, reads_back: row.cell(2)? })
}

/// The first stack file that the flavor's page shows, or that shows the flavor.
pub(crate) fn example(flavor: &str) -> Option<&'static str> {
    let written = format!("flavor = \"{flavor}\"");
    let pages = page(flavor).into_iter().chain([STACK_FILE]);
    let blocks = pages.flat_map(|page| page.split("```toml\n").skip(1));
    blocks.filter_map(|block| block.split("```").next()).find(|block| block.contains(&written))
}

/// What a key of a flavor is for.
pub(crate) fn about_flavor_key(flavor: &str, key: &str) -> String {
    let own = page(flavor).into_iter().flat_map(rows);
    let stores =
        ["## Artifact stores", "## Log stores"].into_iter().filter_map(section).flat_map(rows);
    let mut all = own.chain(rows(SHARED).filter(|_| page(flavor).is_some())).chain(stores);
    all.find(|row| row.is_of(key)).map_or_else(String::new, |row| row.about())
}

/// What a key is for that all flavors of record stores share.
pub(crate) fn about_shared_key(key: &str) -> String {
    rows(SHARED).find(|row| row.is_of(key)).map_or_else(String::new, |row| row.about())
}

/// What a key of a settings table is for.
pub(crate) fn about_section_key(name: &str, key: &str) -> String {
    let heading = format!("## `[{name}]`");
    let mut all = section(&heading).into_iter().flat_map(rows);
    all.find(|row| row.is_of(key)).map_or_else(String::new, |row| row.about())
}

/// What a settings table is for: the words of its heading.
pub(crate) fn about_section(name: &str) -> String {
    let heading = format!("## `[{name}]`:");
    let line = STACK_FILE.lines().find_map(|line| line.strip_prefix(heading.as_str()));
    line.unwrap_or_default().trim().to_owned()
}

fn page(flavor: &str) -> Option<&'static str> {
    FLAVORS.iter().find(|(name, _)| *name == flavor).map(|(_, page)| *page)
}

/// The part of the stack file's page below a heading.
fn section(heading: &str) -> Option<&'static str> {
    let (_, rest) = STACK_FILE.split_once(heading)?;
    Some(rest.split("\n## ").next().unwrap_or(rest))
}

/// A row of a table.
struct Row(&'static str);

fn rows(page: &'static str) -> impl Iterator<Item = Row> {
    page.lines().filter(|line| line.starts_with('|') && !line.starts_with("|-")).map(Row)
}

impl Row {
    fn cell(&self, number: usize) -> Option<&'static str> {
        self.0.trim_matches('|').split('|').nth(number).map(str::trim)
    }

    /// Whether its first cell has `name` as code.
    fn is_of(&self, name: &str) -> bool {
        let first = self.cell(0).unwrap_or_default();
        first.split('`').skip(1).step_by(2).any(|code| code == name)
    }

    /// Its last cell, as plain text.
    fn about(&self) -> String {
        let last = self.0.trim_end().trim_end_matches('|').rsplit('|').next();
        let mut text = last.unwrap_or_default().trim().replace(['`', '*'], "");
        // [text](link)
        while let Some((before, rest)) = text.split_once('[') {
            let Some((label, rest)) = rest.split_once("](") else { break };
            let Some((_, after)) = rest.split_once(')') else { break };
            text = format!("{before}{label}{after}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::{Component, Flavor};

    #[test]
    fn rows_are_found_by_the_code_in_their_first_cell() {
        let about = about_flavor_key("http", "endpoint");
        assert_eq!(about, "where to");
        assert!(about_flavor_key("http", "headers").contains("headers"));
        assert!(about_flavor_key("s3", "codec").contains("compressed"));
        assert_eq!(about_flavor_key("local", "headers"), "");
        assert!(about_section_key("spool", "dir").contains("folder"));
        assert_eq!(about_section_key("spool", "partial_idle"), "");
    }

    /// Each flavor of log stores has a row that says whether it can be read back, and an example.
    #[test]
    fn every_flavor_is_in_the_manual() {
        for flavor in Flavor::of(Component::LogStore) {
            let name = flavor.name;
            let line = flavor_line(name).unwrap_or_else(|| panic!("no row for {name}"));
            let word = line.reads_back.split([' ', ',']).next().unwrap();
            assert!(["yes", "no"].contains(&word), "{name}: {}", line.reads_back);
            let config = super::super::keys::log_store_example(flavor).unwrap();
            if matches!(config.reading(), Ok(crate::stores::Reading::Here(_))) {
                assert_eq!(word, "yes", "{name} can be read back");
            }
        }
        for component in [Component::ArtifactStore, Component::LogStore] {
            for flavor in Flavor::of(component) {
                assert!(example(flavor.name).is_some(), "no example of {}", flavor.name);
            }
        }
    }
}
