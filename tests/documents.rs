//! What the documents show is true.

use std::fs;

use crate::support::project;

#[test]
fn the_readme_names_two_commands_and_both_exist() {
    let readme = fs::read_to_string(project("README.md")).unwrap();
    assert!(readme.contains("\ncargo build --release && "));
    assert!(readme.contains("\ntests/run\n"));
    assert!(project("tests/run").exists() && project("examples/train.py").exists());
}

#[test]
fn every_relative_link_leads_somewhere() {
    let mut files = vec!["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "ARCHITECTURE.md"]
        .into_iter()
        .map(project)
        .collect::<Vec<_>>();
    for folder in ["docs", "packaging", "systemd", "examples"] {
        files.extend(
            fs::read_dir(project(folder))
                .unwrap()
                .flatten()
                .map(|entry| entry.path())
                .filter(|path| path.extension().is_some_and(|extension| extension == "md")),
        );
    }
    for file in files {
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file:?}: {error}"));
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')) {
            let target = link.0.split('#').next().unwrap();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let path = file.parent().unwrap().join(target);
            assert!(path.exists(), "{}: {target} does not exist", file.display());
        }
    }
}
