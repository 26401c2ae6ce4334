//! What a stack file comes to, and that nothing of it shows a secret.

mod bad;
mod http;

use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::stores::artifact::{Codec, Config, Location};
use crate::stores::records::dead_letter;

/// A user with a home, a secret, and a variable that is no number.
fn env() -> Env {
    Env::given(1000, [("HOME", "/home/ada"), ("SECRET", "hunter2hunter2"), ("WORD", "hunter2word")])
}

fn source(text: &str) -> Source {
    Source { file: Some(PathBuf::from("/etc/steplog/stack.toml")), text: text.to_owned() }
}

fn resolved(text: &str) -> (Stack, View) {
    resolve::resolve(&env(), &source(text), Choose::Active, Secrets::Followed)
        .unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn the_default_file_says_what_the_defaults_are() {
    let source = Source { file: None, text: String::new() };
    let (stack, _) = resolve::resolve(&env(), &source, Choose::Active, Secrets::Followed).unwrap();
    let path = PathBuf::from("/home/ada/.local/share/steplog");
    let config = Config::new(Location::Local { path });
    let dir = PathBuf::from("/home/ada/.local/state/steplog/spool");
    assert_eq!(stack.name, "default");
    assert_eq!(stack.file, None);
    let artifact_store = ArtifactStore { name: "local".into(), config: config.clone() };
    assert_eq!(stack.artifact_store, artifact_store);
    let fallback = LogStore { name: "local".into(), config: stores::Config::Artifact(config) };
    assert_eq!(stack.log_stores, [fallback]);
    assert_eq!(stack.metadata, enrich::Table::default());
    assert_eq!(stack.capture, capture::Settings::default());
    assert_eq!(stack.lines, line::Settings::default());
    assert_eq!(stack.redact, redact::Settings::default());
    let control = dir.join(".agent.sock");
    assert_eq!(stack.agent, agent::Settings { control, ..agent::Settings::default() });
    assert!(stack.inputs.is_empty());
    assert_eq!(stack.spool, spool::Settings { dir, ..spool::Settings::default() });
    let dead_letter = dead_letter::Settings {
        dir: PathBuf::from("/home/ada/.local/state/steplog/dead-letter"),
        ..ship::Settings::default().dead_letter
    };
    assert_eq!(stack.ship, ship::Settings { dead_letter, ..ship::Settings::default() });
}

#[test]
fn the_default_file_may_be_used_as_it_is() {
    let (stack, _) = resolved(DEFAULT);
    let (default, _) = resolved("");
    assert_eq!(stack, Stack { file: stack.file.clone(), ..default });
}

/// What the default file only shows in comments is right too.
#[test]
fn the_default_file_may_be_uncommented() {
    let uncomment = |line: &'static str| match line.strip_prefix("# ") {
        Some(key) if key.starts_with('[') => key,
        Some(key) if key.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')) => key,
        _ => line,
    };
    let text = DEFAULT.lines().map(uncomment).collect::<Vec<_>>().join("\n");
    let (stack, _) = resolved(&text);
    assert_eq!(stack.log_stores[0].name, "archive");
    assert_eq!(stack.metadata.attributes.len(), 2);
    assert_eq!(stack.spool.dir, Path::new("/var/lib/steplog/spool"));
}

#[test]
fn what_a_file_says_stands_over_the_default() {
    let (stack, _) = resolved(
        "[capture]\ndrain_idle = 'inf'\ndrain_max = 'inf'\ngroup_timeout = '1s 500ms'\n\
         [spool]\nsync = 'always'\nmax_bytes = '2 GB'\ndir = '~/spool'\n\
         [redact]\nenv = []\nfiles = ['secrets/one']\n\
         [metadata.attributes]\nteam = { env = 'TEAM' }\n'the region' = { value = '$${x}' }\n\
         [ship]\nretry_max = '100ms'\n\
         [artifact_stores.local]\npath = 'store'\ncodec = 'gzip'\n",
    );
    assert_eq!(stack.ship.retry_initial, stack.ship.retry_max);
    assert!(stack.capture.drain_idle > Duration::from_secs(24 * 3600));
    assert_eq!(stack.capture.drain_max, None);
    assert_eq!(stack.capture.grace, capture::Settings::default().grace);
    assert_eq!(stack.lines.group_timeout_ms, 1500);
    assert_eq!(stack.spool.sync, spool::Sync::Always);
    assert_eq!(stack.spool.max_bytes, 2_000_000_000);
    assert_eq!(stack.spool.dir, Path::new("/home/ada/spool"));
    assert!(stack.redact.env.is_empty());
    assert_eq!(stack.redact.files, [Path::new("/etc/steplog/secrets/one")]);
    let attributes = &stack.metadata.attributes;
    assert_eq!(attributes["team"], enrich::Attribute::Env("TEAM".into()));
    assert_eq!(attributes["the region"], enrich::Attribute::Value("${x}".into()));
    let config = &stack.artifact_store.config;
    assert_eq!(config.location, Location::Local { path: "/etc/steplog/store".into() });
    assert_eq!(config.codec, Codec::Gzip);
    assert_eq!(stack.log_stores[0].config, stores::Config::Artifact(config.clone()));
}

#[test]
fn inputs_are_read() {
    let (stack, view) = resolved(
        "[[inputs]]\nname = 'steps'\nkind = 'file'\npath = '/steps/{pipeline_run_id}/{step_id}.log'\n\
         ends_after_idle = '10m'\n\
         metadata = { attempt = 2, source = 'hook', attributes = { team = 'x', rank = 7 } }\n\
         [[inputs]]\nname = 'pipe'\nkind = 'fifo'\npath = 'pipe'\nmode = '0600'\n\
         [agent]\ndeliveries = 2\n[spool]\ndir = '/spool'\n",
    );
    let [steps, pipe] = &stack.inputs[..] else { panic!("two inputs") };
    assert_eq!((steps.name.as_str(), steps.kind, steps.mode), ("steps", agent::Kind::File, 0o622));
    assert_eq!(steps.ends_after_idle, Some(Duration::from_secs(600)));
    assert_eq!((steps.metadata.attempt, steps.metadata.source.as_deref()), (Some(2), Some("hook")));
    assert_eq!(steps.metadata.attributes["rank"], "7");
    assert_eq!((pipe.path.as_str(), pipe.mode), ("/etc/steplog/pipe", 0o600));
    assert_eq!((pipe.ends_after_idle, pipe.metadata.attempt), (None, None));
    assert_eq!(stack.agent.control, Path::new("/spool/.agent.sock"));
    assert_eq!(stack.agent.deliveries, 2);
    assert_eq!(resolved(&view.to_toml()).0, stack);
}

/// Two stacks, of which only the first one's secrets can be had; some secrets stand in the file.
const PROD: &str = r#"
active = "prod"
[stacks.prod]
artifact_store = "s3"
log_stores = ["archive", "logs"]
[stacks.other]
artifact_store = "azure"
[artifact_stores.s3]
flavor = "s3"
uri = "s3://my-bucket/steplog"
endpoint = "https://ada:hunter2pass@s3.example.com"
allow_http = true
connect_timeout = "3s"
aws_secret_access_key = "${env:SECRET}"
token = "hunter2literal"
[artifact_stores.azure]
flavor = "azure"
uri = "az://container"
account_key = "${env:NOT_SET}"
sas_token = 'hunter2"sas'
[artifact_stores.cold]
flavor = "gcs"
uri = "gs://cold"
bearer_token = "${env:SECRET}"
[log_stores.archive]
flavor = "artifact"
artifact_store = "cold"
level = 9
[log_stores.logs]
flavor = "artifact"
[log_stores.unused]
flavor = "artifact"
[spool]
dir = "/spool/${env:WORD}"
"#;

#[test]
fn components_are_looked_up_by_name() {
    let (stack, view) = resolved(PROD);
    assert_eq!((stack.name.as_str(), stack.artifact_store.name.as_str()), ("prod", "s3"));
    let Location::Remote { uri, options } = &stack.artifact_store.config.location else {
        panic!("{stack:?}");
    };
    assert_eq!(uri, "s3://my-bucket/steplog");
    assert_eq!(options["aws_secret_access_key"], "hunter2hunter2");
    assert_eq!((options["allow_http"].as_str(), options.len()), ("true", 5));
    let names: Vec<_> = stack.log_stores.iter().map(|store| store.name.as_str()).collect();
    assert_eq!(names, ["archive", "logs"]);
    let stores::Config::Artifact(archive) = &stack.log_stores[0].config else { panic!() };
    assert_eq!(archive.level, 9);
    assert!(matches!(&archive.location, Location::Remote { uri, .. } if uri == "gs://cold"));
    assert_eq!(stack.log_stores[1].config, stores::Config::Artifact(stack.artifact_store.config));
    assert_eq!(stack.spool.dir, Path::new("/spool/hunter2word"));
    let stacks: Vec<_> = view.stacks.iter().map(|stack| stack.name.as_str()).collect();
    assert_eq!(stacks, ["default", "prod", "other"]);
}

#[test]
fn secrets_are_asked_of_the_chosen_stack_only() {
    let source = source(PROD);
    let choose = Choose::Named("other");
    let error = resolve::resolve(&env(), &source, choose, Secrets::Followed).unwrap_err();
    assert_eq!(error.problems.len(), 1, "{error}");
    assert_eq!(error.problems[0].what, "the environment variable NOT_SET is not set");
    let (_, view) = resolve::resolve(&env(), &source, choose, Secrets::Unread).unwrap();
    assert!(view.to_toml().contains("account_key = \"${env:NOT_SET}\""), "{view:?}");
    let choose = Choose::Named("pord");
    let error = resolve::resolve(&env(), &source, choose, Secrets::Unread).unwrap_err();
    let expected =
        "/etc/steplog/stack.toml: there is no stack \"pord\"\n    help: did you mean \"prod\"?";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn the_only_stack_of_a_file_is_active() {
    let (stack, view) = resolved("[stacks.mine]\nartifact_store = 'local'\n");
    assert_eq!(stack.name, "mine");
    assert_eq!(view.active.as_deref(), Some("mine"));
}

#[test]
fn nothing_that_is_shown_holds_a_secret() {
    let secrets = ["SECRET", "WORD", "NOT_SET"].map(|name| (name, "hunter2hunter2"));
    let env = Env::given(0, secrets);
    for name in ["prod", "other"] {
        let choose = Choose::Named(name);
        let (stack, view) =
            resolve::resolve(&env, &source(PROD), choose, Secrets::Followed).unwrap();
        let json = view.to_json().to_string();
        for text in [format!("{stack:?}"), format!("{view:?}"), view.to_toml(), json] {
            assert!(!text.contains("hunter2"), "{text}");
        }
    }
}

#[test]
fn what_clients_say_is_scrubbed() {
    let (_, view) = resolved(PROD);
    let said = "PUT https://a.example/b?sig=abc%3D: 'hunter2hunter2' or hunter2literal refused? No";
    let expected = "PUT https://a.example/b '********' or ******** refused? No";
    assert_eq!(view.scrub(said), expected);
}

#[test]
fn literal_secrets_are_named() {
    let (_, view) = resolved(PROD);
    let named: Vec<_> = view.literal_secrets().collect();
    assert_eq!(named, ["artifact_stores.s3.token", "artifact_stores.azure.sas_token"]);
}

#[test]
fn what_is_shown_is_a_stack_file_that_says_the_same() {
    let text = PROD.replace("hunter2literal", "${env:SECRET}").replace("ada:hunter2pass@", "");
    let (stack, view) = resolved(&text);
    let (again, view_again) = resolved(&view.to_toml());
    assert_eq!(stack, again);
    assert_eq!(view.to_toml(), view_again.to_toml());
    let (stack, view) = resolved("");
    assert_eq!(resolved(&view.to_toml()).0, stack);
}

#[test]
fn shown_as_toml() {
    let (_, view) = resolved(PROD);
    let toml = view.to_toml();
    let (components, _) = toml.split_once("[metadata]").unwrap();
    let expected = r#"active = "prod"

[stacks.prod]
artifact_store = "s3"
log_stores = ["archive", "logs"]

[artifact_stores.s3]
flavor = "s3"
uri = "s3://my-bucket/steplog"
endpoint = "https://********@s3.example.com"
allow_http = true
connect_timeout = "3s"
aws_secret_access_key = "${env:SECRET}"
token = "********"
codec = "zstd"
level = 1
chunk_bytes = "4 MiB"
segment_chunks = 256
segment_bytes = "64 MiB"
retention = "inf"

[artifact_stores.cold]
flavor = "gcs"
uri = "gs://cold"
bearer_token = "${env:SECRET}"
codec = "zstd"
level = 1
chunk_bytes = "4 MiB"
segment_chunks = 256
segment_bytes = "64 MiB"
retention = "inf"

[log_stores.archive]
flavor = "artifact"
artifact_store = "cold"
level = 9

[log_stores.logs]
flavor = "artifact"

"#;
    assert_eq!(components, expected);
}

fn context(env: &Env) -> reader::Context<'_> {
    let (found, secrets, literals) = Default::default();
    reader::Context { env, folder: Path::new("/"), found, secrets, literals, recorder: None }
}

/// The keys that a flavor declares are those it reads, and its defaults are the defaults.
#[test]
fn flavors_read_what_they_declare() {
    use crate::stores::{FLAVORS, Read, Siblings};
    for flavor in FLAVORS {
        let mut text = "uri = 's3://b'\nartifact_store = 'a'\n".to_owned();
        for key in flavor.keys().filter(|key| !key.default.is_empty()) {
            text = format!("{text}{} = {}\n", key.name, key.default);
        }
        let table = document::parse(&text, document::Layer::File).unwrap();
        let env = env();
        let mut context = context(&env);
        let mut reader = Reader::new(&mut context, &table, "", None, Secrets::Followed);
        let default = Config::new(Location::Local { path: "/a".into() });
        let config = match flavor.read {
            Read::ArtifactStore(read) => read(&mut reader),
            Read::LogStore(read) => {
                let all = [("a".to_owned(), default.clone())];
                match read(&mut reader, &Siblings { own: &default, all: &all }) {
                    stores::Config::Artifact(config) => config,
                    _ => continue,
                }
            }
        };
        let location = config.location.clone();
        assert_eq!(config, Config { location, ..default }, "{}", flavor.name);
        let mut asked = reader.asked().to_vec();
        let mut declared: Vec<_> = flavor.keys().map(|key| key.name.to_owned()).collect();
        asked.sort_unstable();
        declared.sort_unstable();
        assert_eq!(asked, declared, "{}", flavor.name);
    }
}

#[test]
fn keys_that_a_flavor_calls_secret_are_not_shown() {
    let table = document::parse("key = 7\nname = 'hunter2'\n", document::Layer::File).unwrap();
    let env = env();
    let mut context = context(&env);
    let mut reader = Reader::new(&mut context, &table, "x", None, Secrets::Followed);
    reader.keep_secret(["key", "name"].into_iter());
    let mut flag = false;
    reader.flag("name", &mut flag);
    assert_eq!(reader.optional_text("key", "…"), None);
    let found: Vec<_> = context.found.iter().map(|found| found.what.as_str()).collect();
    let expected = [
        "expected true or false, found other text",
        "expected text, such as \"…\", found an integer",
    ];
    assert_eq!(found, expected);
    assert_eq!(context.literals.len(), 2);
}

#[track_caller]
fn check_file(env: &Env, explicit: Option<&Path>, expected: Result<Option<&Path>, &str>) {
    let actual = load_in(env, explicit).map(|stack| stack.file).map_err(|it| it.to_string());
    assert_eq!(actual, expected.map(|file| file.map(Path::to_owned)).map_err(str::to_owned));
}

#[test]
fn files_are_looked_for_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| dir.path().join(name);
    std::fs::create_dir_all(place("config/steplog")).unwrap();
    let config = place("config");
    let mut env = Env::given(1000, [("XDG_CONFIG_HOME", config.to_str().unwrap())]);
    env.system_file = place("system.toml");
    check_file(&env, None, Ok(None));
    std::fs::write(&env.system_file, "").unwrap();
    check_file(&env, None, Ok(Some(&env.system_file)));
    let user = place("config/steplog/stack.toml");
    std::fs::write(&user, "").unwrap();
    check_file(&env, None, Ok(Some(&user)));
    let explicit = place("explicit.toml");
    let help = "name a file that exists, or leave --stack out";
    let shown = explicit.display();
    let missing =
        format!("{shown}: cannot read the stack file: there is no such file\n    help: {help}");
    check_file(&env, Some(&explicit), Err(&missing));
    std::fs::write(&explicit, "").unwrap();
    check_file(&env, Some(&explicit), Ok(Some(&explicit)));

    let mut env = Env::given(1000, [("STEPLOG_STACK", explicit.to_str().unwrap())]);
    env.system_file = place("system.toml");
    check_file(&env, None, Ok(Some(&explicit)));
    check_file(&env, Some(&user), Ok(Some(&user)));
    let shown = config.display();
    let folder = format!("{shown}: cannot read the stack file: it is a folder\n    help: {help}");
    check_file(&env, Some(&config), Err(&folder));
    std::fs::write(&user, [0xff]).unwrap();
    let not_text = format!("{}: it is not UTF-8\n    help: save it as UTF-8", user.display());
    check_file(&env, Some(&user), Err(&not_text));
}

#[test]
fn init_writes_the_default_file() {
    let dir = tempfile::tempdir().unwrap();
    let env = Env::given(1000, [("XDG_CONFIG_HOME", dir.path().to_str().unwrap())]);
    let path = init(&env, None, Existing::Keep).unwrap();
    assert_eq!(path, dir.path().join("steplog/stack.toml"));
    assert_eq!(load_in(&env, None).unwrap().file, Some(path));
    assert!(init(&env, None, Existing::Keep).is_err());
    init(&env, None, Existing::Replace).unwrap();
}

#[test]
fn examples_load() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/stacks");
    let variables = [
        ("HOME", "/home/ada"),
        ("S3_ACCESS_KEY_ID", "id"),
        ("S3_SECRET_ACCESS_KEY", "secret"),
        ("AZURE_ACCOUNT_KEY", "c2VjcmV0"),
    ];
    let env = Env::given(1000, variables);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        load_in(&env, Some(&path)).unwrap_or_else(|errors| panic!("{errors}"));
        names.push(path.file_stem().unwrap().to_str().unwrap().to_owned());
    }
    names.sort_unstable();
    assert_eq!(names, ["azure", "gcs", "local", "minimal", "s3"]);
}

#[test]
fn every_key_is_in_the_reference() {
    use crate::stores::artifact::open::Service;
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let read = |name: &str| std::fs::read_to_string(docs.join(name)).unwrap_or_default();
    let (reference, shared) = (read("stack-file.md"), read("log-stores/README.md"));
    let named_in = |texts: &[&str], name: &str| {
        let code = format!("`{name}`");
        assert!(texts.iter().any(|text| text.contains(&code)), "{name}");
    };
    let named = |name: &str| named_in(&[&reference], name);
    let default = document::parse(DEFAULT, document::Layer::Default).unwrap();
    for key in keys::of_inputs() {
        named(&key.name);
    }
    for section in ["metadata", "capture", "redact", "spool", "ship", "agent", "server"] {
        for entry in &default.table(section).unwrap().entries {
            named(&entry.key);
        }
    }
    for flavor in crate::stores::FLAVORS {
        named(flavor.name);
        let own = read(&format!("log-stores/{}.md", flavor.name));
        flavor.keys().for_each(|key| named_in(&[&reference, &shared, &own], key.name));
    }
    for service in [Service::S3, Service::Gcs, Service::Azure] {
        service.options().iter().for_each(|option| named(option));
    }
}

/// Loading is on the way of a step's start. The bound is far above what it takes, so that only a
/// change of kind (a network, a regular expression compiled) breaks it.
#[test]
fn loading_is_quick() {
    let (env, source) = (env(), source(DEFAULT));
    let once = || {
        let begun = std::time::Instant::now();
        resolve::resolve(&env, &source, Choose::Active, Secrets::Followed).unwrap();
        begun.elapsed()
    };
    let best = (0..20).map(|_| once()).min().unwrap();
    println!("a stack file as large as the default one loads in {best:?}");
    assert!(best < Duration::from_millis(50), "{best:?}");
}

/// Cut anywhere, or with any character missing, a file is read or refused, and shows no secret.
#[test]
fn no_damage_shows_a_secret() {
    // A damaged URL is no URL: nothing tells that there is a password in it.
    let good = PROD.replace("ada:hunter2pass@", "");
    let cut = (0..good.len()).map(|at| good[..at].to_owned());
    let missing = (0..good.len()).map(|at| format!("{}{}", &good[..at], &good[at + 1..]));
    for text in cut.chain(missing) {
        let source = source(&text);
        let shown = match resolve::resolve(&env(), &source, Choose::Active, Secrets::Followed) {
            Ok((stack, view)) => format!("{stack:?}{view:?}{}", view.to_json()),
            Err(errors) => errors.to_string(),
        };
        assert!(!shown.contains("hunter2"), "{text}\n{shown}");
    }
}
