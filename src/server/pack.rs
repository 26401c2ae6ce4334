//! One document of many files: `index.html` with its styles and modules put in where it names them, so that a
//! browser has all it needs after one answer. Dozens of small files cost it more time than all else that it does
//! before the first line is seen.
//!
//! A module becomes a function that gives what it exports, called once, after those that it imports:
//!
//! ```text
//! import { el } from "./dom.js";          const $look = (() => {
//! export function look() { … }     ─►     const { el } = $dom;
//!                                         function look() { … }
//!                                         return { look };
//!                                         })();
//! ```
//!
//! Only the two forms of a line above are known, which is all that the page uses; a test sees to it. Knows nothing of
//! what the modules do.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// A page that is whole by itself.
pub(super) struct Document {
    pub(super) html: String,
    /// What of it may run and style: exactly what was put in, by its hash.
    pub(super) policy: String,
}

/// Puts into `index` the files that it names, each as `read` gives it.
pub(super) fn pack(index: &str, read: impl Fn(&str) -> String) -> Document {
    let (mut html, mut scripts, mut styles) = (String::new(), String::new(), String::new());
    let mut modules = Modules { read: &read, known: Vec::new(), text: String::new() };
    for line in index.split_inclusive('\n') {
        if let Some(name) = between(line, "<link rel=\"stylesheet\" href=\"", "\">\n") {
            let text = read(name);
            styles.push_str(&source(&text));
            html.push_str(&format!("<style>{text}</style>\n"));
        } else if let Some(name) = between(line, "<script type=\"module\" src=\"", "\"></script>\n")
        {
            modules.add(name);
            let text = format!("\"use strict\";\n{}", std::mem::take(&mut modules.text));
            scripts.push_str(&source(&text));
            html.push_str(&format!("<script>{text}</script>\n"));
        } else {
            html.push_str(line);
        }
    }
    let policy = format!("default-src 'none'; script-src{scripts}; style-src{styles}");
    Document { html, policy }
}

/// What a policy calls this text.
fn source(text: &str) -> String {
    let hash = BASE64_STANDARD.encode(digest(&SHA256, text.as_bytes()));
    format!(" 'sha256-{hash}'")
}

/// Modules that are in the document.
struct Modules<'a, Read> {
    read: &'a Read,
    known: Vec<String>,
    /// Of those that are not in a script yet.
    text: String,
}

impl<Read: Fn(&str) -> String> Modules<'_, Read> {
    /// A module, behind those that it needs.
    fn add(&mut self, file: &str) {
        if self.known.iter().any(|known| known == file) {
            return;
        }
        self.known.push(file.to_owned());
        let (mut text, mut exports) = (String::new(), Vec::new());
        let module = (self.read)(file);
        for line in module.lines() {
            let import =
                between(line, "import ", ".js\";").and_then(|it| it.split_once(" from \"./"));
            if let Some((names, from)) = import {
                self.add(&format!("{from}.js"));
                text.push_str(&format!("const {names} = ${from};\n"));
                continue;
            }
            let line =
                line.strip_prefix("export ").inspect(|it| exports.push(name(it))).unwrap_or(line);
            text.push_str(line);
            text.push('\n');
        }
        let stem = file.trim_end_matches(".js");
        let exports = exports.join(", ");
        self.text.push_str(&format!(
            "const ${stem} = (() => {{\n{text}return {{ {exports} }};\n}})();\n"
        ));
    }
}

/// Of what a line declares: the word behind those that say of which kind it is.
fn name(declaration: &str) -> &str {
    let kinds = ["async", "function", "function*", "class", "const"];
    let word = declaration.split(' ').find(|word| !kinds.contains(word)).unwrap_or_default();
    word.split(|it: char| !it.is_alphanumeric() && it != '_').next().unwrap_or_default()
}

fn between<'a>(text: &'a str, before: &str, behind: &str) -> Option<&'a str> {
    text.strip_prefix(before)?.strip_suffix(behind)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files as `name: text` with blank lines between.
    fn read(name: &str) -> String {
        let files = [
            ("first.js", "import { two } from \"./two.js\";\nexport const ONE = two();\n"),
            ("two.js", "export async function* two(a) {\n}\nexport class Three {\n}\n"),
            (
                "last.js",
                "import { ONE } from \"./first.js\";\nimport { Three } from \"./two.js\";\n",
            ),
            ("look.css", "p { color: red }\n"),
        ];
        files.iter().find(|(known, _)| *known == name).unwrap().1.to_owned()
    }

    #[test]
    fn each_module_stands_once_and_behind_what_it_needs() {
        let index = "<link rel=\"stylesheet\" href=\"look.css\">\n\
            <script type=\"module\" src=\"first.js\"></script>\n<p>\n\
            <script type=\"module\" src=\"last.js\"></script>\n";
        let document = pack(index, read);
        assert_eq!(
            document.html,
            "<style>p { color: red }\n</style>\n\
             <script>\"use strict\";\n\
             const $two = (() => {\nasync function* two(a) {\n}\nclass Three {\n}\nreturn { two, Three };\n})();\n\
             const $first = (() => {\nconst { two } = $two;\nconst ONE = two();\nreturn { ONE };\n})();\n\
             </script>\n<p>\n\
             <script>\"use strict\";\n\
             const $last = (() => {\nconst { ONE } = $first;\nconst { Three } = $two;\nreturn {  };\n})();\n\
             </script>\n"
        );
    }

    #[test]
    fn the_policy_names_what_was_put_in() {
        let document = pack("<link rel=\"stylesheet\" href=\"look.css\">\n", read);
        // printf 'p { color: red }\n' | openssl dgst -sha256 -binary | base64
        assert_eq!(
            document.policy,
            "default-src 'none'; script-src; style-src 'sha256-Bobe6CYX5zxHHYfLPTOtWPQ5noNsHWzCunyLdPCF74I='"
        );
    }
}
