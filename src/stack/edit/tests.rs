//! Edits: before, change, after. Comments, order and spelling are part of what is compared.

use super::known::Known;
use super::*;

const LOGS: Component = Component::LogStore;
const OBJECTS: Component = Component::ArtifactStore;

fn apply(before: &str, change: &Change) -> Result<String, EditError> {
    let known = Known::read(before).unwrap_or_else(|errors| panic!("{before}\n{errors:?}"));
    let after = plan::apply(before, &known, change)?;
    assert!(Known::read(&after).is_ok(), "{change:?} makes what is not TOML of\n{before}\n{after}");
    Ok(after)
}

#[track_caller]
fn check(before: &str, change: Change, after: &str) {
    let actual = apply(before, &change).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(actual, after, "\n--- {change:?}\n{actual}\n---");
}

#[track_caller]
fn refused(before: &str, change: Change, expected: &str) {
    let error = apply(before, &change).unwrap_err();
    let help = error.help().map(|help| format!("; {help}")).unwrap_or_default();
    assert_eq!(format!("{error}{help}"), expected);
}

fn attributes(written: &[(&str, &str)]) -> Vec<Attribute> {
    written.iter().map(|(name, value)| Attribute::new(name, (*value).to_owned())).collect()
}

fn register(component: Component, name: &str, flavor: &str, written: &[(&str, &str)]) -> Change {
    let (name, flavor, attributes) = (name.to_owned(), flavor.to_owned(), attributes(written));
    Change::Register { component, name, flavor, attributes }
}

fn update(component: Component, name: &str, written: &[(&str, &str)]) -> Change {
    Change::Update { component, name: name.to_owned(), attributes: attributes(written) }
}

fn remove(component: Component, name: &str, keys: &[&str]) -> Change {
    let keys = keys.iter().map(|key| (*key).to_owned()).collect();
    Change::RemoveAttributes { component, name: name.to_owned(), keys }
}

fn rename(component: Component, from: &str, to: &str) -> Change {
    Change::Rename { component, from: from.to_owned(), to: to.to_owned() }
}

fn copy(component: Component, from: &str, to: &str) -> Change {
    Change::Copy { component, from: from.to_owned(), to: to.to_owned() }
}

fn delete(component: Component, name: &str) -> Change {
    Change::Delete { component, name: name.to_owned() }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn register_stack(name: &str, store: &str, log_stores: &[&str], set: bool) -> Change {
    let (name, artifact_store) = (name.to_owned(), store.to_owned());
    Change::RegisterStack { name, artifact_store, log_stores: names(log_stores), set }
}

fn update_stack(name: Option<&str>, store: Option<&str>, log_stores: &[&str]) -> Change {
    let (name, artifact_store) = (name.map(str::to_owned), store.map(str::to_owned));
    Change::UpdateStack { name, artifact_store, log_stores: names(log_stores) }
}

const FILE: &str = r#"# Where our logs go.
# Ask Ada before you change it.

active = "prod" # not test

# The real one.
[stacks.prod]
artifact_store = "s3"
log_stores = ["web"]    # one is enough

[artifact_stores.s3]
flavor = "s3"
uri = "s3://bucket"

# Nobody remembers why.

# The hook of the team.
[log_stores.web]
flavor = "http"
# The new one.
endpoint = "http://127.0.0.1:1/"   # moved in May
format = 'json'

[spool]
max_bytes = "2 GiB"
# The end.
"#;

#[test]
fn the_first_store_of_an_empty_file() {
    check(
        "",
        register(LOGS, "dd", "http", &[("endpoint", "http://x"), ("max_concurrent_exports", "8")]),
        "[log_stores.dd]\nflavor = \"http\"\nendpoint = \"http://x\"\nmax_concurrent_exports = 8\n",
    );
    check(
        "# A header.\n",
        register(LOGS, "dd", "http", &[("headers.x-a", "1"), ("headers.x-b", "2")]),
        "# A header.\n\n[log_stores.dd]\nflavor = \"http\"\nheaders = { x-a = \"1\", x-b = \"2\" }\n",
    );
}

#[test]
fn a_store_goes_to_its_likes() {
    let after = FILE
        .replace("\n[spool]", "\n[log_stores.keep]\nflavor = \"artifact\"\nlevel = 9\n\n[spool]");
    check(FILE, register(LOGS, "keep", "artifact", &[("level", "9")]), &after);
    let after = FILE.replace(
        "\n# Nobody",
        "\n[artifact_stores.disk]\nflavor = \"local\"\npath = \"/x\"\n\n# Nobody",
    );
    check(FILE, register(OBJECTS, "disk", "local", &[("path", "/x")]), &after);
}

#[test]
fn a_store_in_braces_gets_a_neighbour_in_braces() {
    check(
        "log_stores = { a = { flavor = 'artifact' } }\n",
        register(LOGS, "b", "artifact", &[]),
        "log_stores = { a = { flavor = 'artifact' }, b = { flavor = \"artifact\" } }\n",
    );
    let dotted = apply("log_stores.a.flavor = 'artifact'\n", &register(LOGS, "b", "artifact", &[]));
    let known = Known::read(&dotted.unwrap()).unwrap();
    assert_eq!(known.names("log_stores"), ["a", "b"]);
}

#[test]
fn a_value_is_replaced_and_its_comment_stays() {
    let after = FILE.replace("http://127.0.0.1:1/", "http://127.0.0.1:2/");
    check(FILE, update(LOGS, "web", &[("endpoint", "http://127.0.0.1:2/")]), &after);
    let after = FILE.replace("format = 'json'\n", "format = 'json'\nmethod = \"PUT\"\n");
    check(FILE, update(LOGS, "web", &[("method", "PUT")]), &after);
    check(
        "[log_stores.a]\nflavor = 'http'\n[log_stores.a.headers]\nx-a = \"1\" # one\n",
        update(LOGS, "a", &[("headers.x-a", "2"), ("headers.x-b", "3")]),
        "[log_stores.a]\nflavor = 'http'\n[log_stores.a.headers]\nx-a = \"2\" # one\nx-b = \"3\"\n",
    );
}

#[test]
fn what_is_built_in_is_changed_by_what_differs() {
    check(
        "",
        update(OBJECTS, "local", &[("path", "/x"), ("level", "3")]),
        "[artifact_stores.local]\npath = \"/x\"\nlevel = 3\n",
    );
    check("", copy(OBJECTS, "local", "disk"), "[artifact_stores.disk]\nflavor = \"local\"\n");
    refused(
        "",
        rename(OBJECTS, "local", "disk"),
        "the artifact store \"local\" is built in; it can be updated, or copied under another name",
    );
    check(
        "[artifact_stores.local]\npath = \"/x\"\n",
        rename(OBJECTS, "local", "disk"),
        "[artifact_stores.disk]\npath = \"/x\"\nflavor = \"local\"\n\n[stacks.default]\nartifact_store = \"disk\"\n",
    );
}

#[test]
fn attributes_are_removed_with_their_comments() {
    let after =
        FILE.replace("# The new one.\nendpoint = \"http://127.0.0.1:1/\"   # moved in May\n", "");
    check(FILE, remove(LOGS, "web", &["endpoint"]), &after);
    check(
        "[log_stores.a]\nheaders = { x-a = \"1\", x-b = \"2\" }\n",
        remove(LOGS, "a", &["headers.x-a"]),
        "[log_stores.a]\nheaders = { x-b = \"2\" }\n",
    );
    check(
        "[log_stores.a]\nflavor = \"http\"\nheaders = { x-a = \"1\" }\n",
        remove(LOGS, "a", &["headers.x-a"]),
        "[log_stores.a]\nflavor = \"http\"\n",
    );
    refused(FILE, remove(LOGS, "web", &["format", "no"]), "\"web\" has no attribute \"no\"");
    refused(
        FILE,
        remove(LOGS, "web", &["flavor"]),
        "the flavor of \"web\" cannot be changed; register another store, then delete this one",
    );
}

#[test]
fn a_new_name_is_known_everywhere() {
    let after =
        FILE.replace("[log_stores.web]", "[log_stores.hook]").replace("[\"web\"]", "[\"hook\"]");
    check(FILE, rename(LOGS, "web", "hook"), &after);
    let after = FILE.replace("[artifact_stores.s3]", "[artifact_stores.aws]");
    let after = after.replace("artifact_store = \"s3\"", "artifact_store = \"aws\"");
    check(FILE, rename(OBJECTS, "s3", "aws"), &after);
    let store = "[artifact_stores.a]\nflavor = \"local\"\n[log_stores.l]\nflavor = \"artifact\"\n";
    check(
        &format!("{store}artifact_store = \"a\" # a\n"),
        rename(OBJECTS, "a", "b"),
        &format!("{}artifact_store = \"b\" # a\n", store.replace("stores.a]", "stores.b]")),
    );
}

#[test]
fn a_copy_stands_behind_its_original() {
    let (_, table) = FILE.split_once("[log_stores.web]").unwrap();
    let (table, _) = table.split_once("\n[spool]").unwrap();
    let after = FILE.replace("\n[spool]", &format!("\n[log_stores.two]{table}\n[spool]"));
    check(FILE, copy(LOGS, "web", "two"), &after);
    check(
        "[log_stores.a]\nflavor = \"http\"\n[log_stores.a.headers]\nx = \"1\"\n[ship]\n",
        copy(LOGS, "a", "b"),
        "[log_stores.a]\nflavor = \"http\"\n[log_stores.a.headers]\nx = \"1\"\n\n[log_stores.b]\n\
         flavor = \"http\"\n[log_stores.b.headers]\nx = \"1\"\n[ship]\n",
    );
}

#[test]
fn what_is_deleted_takes_its_own_comments_only() {
    let before = FILE.replace("\nlog_stores = [\"web\"]    # one is enough", "");
    let (head, _) = before.split_once("# The hook").unwrap();
    let after = format!("{}\n\n[spool]\nmax_bytes = \"2 GiB\"\n# The end.\n", head.trim_end());
    check(&before, delete(LOGS, "web"), &after);
    check(
        "# Ours.\n[log_stores.a]\nflavor = 'artifact'\n\n[ship]\nencoders = 1\n",
        delete(LOGS, "a"),
        "# Ours.\n\n[ship]\nencoders = 1\n",
    );
    check("log_stores.a.flavor = 'artifact'\n", delete(LOGS, "a"), "");
    check("[log_stores]\na = { flavor = 'artifact' }\n", delete(LOGS, "a"), "[log_stores]\n");
}

#[test]
fn what_is_used_is_not_deleted() {
    refused(
        FILE,
        delete(LOGS, "web"),
        "the log store \"web\" is used by the stack \"prod\"; take it out there first",
    );
    refused(
        "[log_stores.l]\nflavor = 'artifact'\nartifact_store = 'local'\n",
        delete(OBJECTS, "local"),
        "the artifact store \"local\" is used by the stack \"default\", the log store \"l\"; take it \
         out there first",
    );
    refused(FILE, delete(LOGS, "wbe"), "there is no log store \"wbe\"; did you mean \"web\"?");
}

#[test]
fn names_are_looked_at() {
    refused(
        FILE,
        register(LOGS, "web", "http", &[]),
        "there is a log store \"web\" already; update changes it; or choose another name",
    );
    refused(
        FILE,
        register(LOGS, "a b", "http", &[]),
        "\"a b\" is not a name; a name is 1 to 64 letters, digits, \"_\", \"-\" or \".\"",
    );
    check(
        "",
        register(LOGS, "a.b", "artifact", &[]),
        "[log_stores.\"a.b\"]\nflavor = \"artifact\"\n",
    );
}

#[test]
fn the_seeds_own_session() {
    let after = apply("", &register(LOGS, "my_datadog_logs", "http", &[("endpoint", "http://x")]));
    check(
        &after.unwrap(),
        update_stack(None, None, &["my_datadog_logs"]),
        "[log_stores.my_datadog_logs]\nflavor = \"http\"\nendpoint = \"http://x\"\n\n\
         [stacks.default]\nartifact_store = \"local\"\nlog_stores = [\"my_datadog_logs\"]\n",
    );
}

#[test]
fn stacks_are_composed() {
    let after = FILE.replace("[\"web\"] ", "[\"keep\", \"web\"] ");
    let more = "[log_stores.keep]\nflavor = 'artifact'\n";
    check(
        &format!("{FILE}{more}"),
        update_stack(Some("prod"), None, &["keep", "web", "keep"]),
        &format!("{after}{more}"),
    );
    let after = FILE.replace("artifact_store = \"s3\"", "artifact_store = \"local\"");
    check(FILE, update_stack(None, Some("local"), &[]), &after);
    refused(
        FILE,
        update_stack(None, None, &["wbe"]),
        "there is no log store \"wbe\"; did you mean \"web\"?",
    );
    let remove = |log_stores| Change::RemoveLogStores { name: None, log_stores: names(log_stores) };
    let after = FILE.replace("log_stores = [\"web\"]    # one is enough\n", "");
    check(FILE, remove(&["web"]), &after);
    check(FILE, remove(&[]), &after);
    check(
        "[stacks.default]\nlog_stores = [\n  'a', # first\n  'b',\n]\n",
        remove(&["b"]),
        "[stacks.default]\nlog_stores = [\n  'a', # first\n]\n",
    );
    check(
        "[stacks.default]\nlog_stores = [\n  'a', # first\n  'b', # second\n]\n",
        remove(&["a"]),
        "[stacks.default]\nlog_stores = [\n  'b', # second\n]\n",
    );
    check(
        "[stacks.default]\nlog_stores = ['a', 'b', 'c']\n",
        remove(&["a", "c"]),
        "[stacks.default]\nlog_stores = ['b']\n",
    );
    refused(FILE, remove(&["x"]), "there is no log store \"x\"; the log stores are: web");
}

/// A file with one stack needs no `active`; one more must not change what is active.
#[test]
fn what_is_active_changes_only_when_asked() {
    check(
        "",
        register_stack("prod", "local", &[], false),
        "active = \"default\"\n\n[stacks.prod]\nartifact_store = \"local\"\n",
    );
    check(
        "# Ours.\n\n# The one.\n[stacks.prod]\nartifact_store = 'local'\n",
        register_stack("dev", "local", &[], false),
        "# Ours.\nactive = \"prod\"\n\n# The one.\n[stacks.prod]\nartifact_store = 'local'\n\n\
         [stacks.dev]\nartifact_store = \"local\"\n",
    );
    check(
        "",
        register_stack("prod", "local", &[], true),
        "[stacks.prod]\nartifact_store = \"local\"\n",
    );
    let set = |name: &str| Change::SetStack { name: name.to_owned() };
    check(FILE, set("default"), &FILE.replace("active = \"prod\"", "active = \"default\""));
    check(FILE, set("prod"), FILE);
    refused(FILE, set("pord"), "there is no stack \"pord\"; did you mean \"prod\"?");
}

#[test]
fn stacks_are_renamed_copied_and_deleted() {
    let rename = |from: &str, to: &str| Change::RenameStack { from: from.into(), to: to.into() };
    let copy = |from: &str, to: &str| Change::CopyStack { from: from.into(), to: to.into() };
    let delete = |name: &str| Change::DeleteStack { name: name.into() };
    let after = FILE.replace("[stacks.prod]", "[stacks.live]").replace("\"prod\" #", "\"live\" #");
    check(FILE, rename("prod", "live"), &after);
    let copied = apply(FILE, &copy("prod", "next")).unwrap();
    let copy_text =
        "[stacks.next]\nartifact_store = \"s3\"\nlog_stores = [\"web\"]    # one is enough\n";
    assert_eq!(
        copied,
        FILE.replace("\n[artifact_stores", &format!("\n{copy_text}\n[artifact_stores"))
    );
    check(&copied, delete("next"), FILE);
    refused(
        FILE,
        delete("prod"),
        "the stack \"prod\" is active; first activate another: steplog stack set NAME",
    );
    refused(
        FILE,
        delete("default"),
        "the stack \"default\" is built in; it can be updated, or copied under another name",
    );
    check(
        "",
        copy("default", "mine"),
        "active = \"default\"\n\n[stacks.mine]\nartifact_store = \"local\"\n",
    );
    check(
        "[stacks.default]\nlog_stores = ['a']\n[log_stores.a]\nflavor = 'artifact'\n",
        rename("default", "mine"),
        "[stacks.mine]\nlog_stores = ['a']\nartifact_store = \"local\"\n[log_stores.a]\nflavor = 'artifact'\n",
    );
}

#[test]
fn flavors_are_registered_and_deleted() {
    let register = |name: &str, command: &[&str]| {
        let (name, command) = (name.to_owned(), names(command));
        Change::RegisterFlavor(Registered { name, command, can_fetch: false, keys: None })
    };
    let delete = |name: &str| Change::DeleteFlavor { name: name.into() };
    let after = "[flavors.sqlite]\ncommand = [\"python3\", \"/x y.py\"]\n";
    check("", register("sqlite", &["python3", "/x y.py"]), after);
    check(after, delete("sqlite"), "");
    refused(
        "",
        register("http", &["x"]),
        "the flavor \"http\" is built in; it can be updated, or copied under another name",
    );
    refused("", register("x", &[]), "the command of a flavor is empty");
    refused(
        &format!("{after}[log_stores.a]\nflavor = 'sqlite'\n"),
        delete("sqlite"),
        "the flavor \"sqlite\" is used by the log store \"a\"; take it out there first",
    );
}

/// Whatever shape a file has, an edit and its opposite leave it as it was.
#[test]
fn there_and_back() {
    for before in [
        FILE,
        crate::stack::DEFAULT,
        "log_stores = { web = { flavor = 'artifact' } }\n",
        "[log_stores]\nweb = { flavor = 'artifact' }\n# x\n",
        "# a\n\n# b\n[log_stores.web]\nflavor = 'artifact'\n\n# c\n",
        "active = 'default'\nlog_stores.web.flavor = 'artifact' # x\n\n[ship]\n",
    ] {
        let there = apply(before, &register(LOGS, "new", "http", &[("endpoint", "http://x")]));
        let back = apply(&there.unwrap(), &delete(LOGS, "new")).unwrap();
        assert_eq!(back.trim_end(), before.trim_end());
        let Ok(there) = apply(before, &rename(LOGS, "web", "new")) else { continue };
        assert_eq!(apply(&there, &rename(LOGS, "new", "web")).unwrap(), before);
        let there = apply(before, &copy(LOGS, "web", "new")).unwrap();
        assert_eq!(apply(&there, &delete(LOGS, "new")).unwrap().trim_end(), before.trim_end());
    }
}
