//! Bad configuration of every kind, and what is said of it: line, column, key, what was expected, help.

use super::{env, source};
use crate::stack::reader::Secrets;
use crate::stack::resolve::{Choose, resolve};

/// What is said of `text`, with the file's name shortened.
fn errors(text: &str) -> String {
    let errors = resolve(&env(), &source(text), Choose::Active, Secrets::Followed)
        .map(|(stack, _)| stack)
        .expect_err(text)
        .to_string();
    assert!(!errors.contains("hunter2"), "a secret shows: {errors}");
    errors.replace("/etc/steplog/stack.toml:", "")
}

#[track_caller]
pub(super) fn check(text: &str, expected: &str) {
    let expected: Vec<_> = expected.trim().lines().map(str::trim).collect();
    let errors = errors(text);
    let actual: Vec<_> = errors.lines().map(str::trim).collect();
    assert_eq!(actual, expected, "\n{errors}\n");
}

/// A bad file and, line by line, what is said of it.
macro_rules! bad {
    ($($name:ident: $text:expr => $expected:expr;)*) => {
        $(#[test] fn $name() { check($text, $expected); })*
    };
}

bad! {
    input_without_anything: "[[inputs]]\n" => r#"
        1:1: inputs.name: missing
        help: add name = "trainer"
        1:1: inputs.kind: missing
        help: add kind = "fifo""#;
    input_of_no_kind: "[[inputs]]\nname = 'a'\nkind = 'fife'\n" => r#"
        3:8: inputs.kind: expected one of "fifo", "file", "cri", "steps", "socket", "stdin", "otlp", found "fife""#;
    input_without_path: "[[inputs]]\nname = 'a'\nkind = 'fifo'\npathh = '/a'\n" => r#"
        1:1: inputs.path: missing
        help: add path = "/steps/{pipeline_run_id}/{step_id}.log"
        4:1: inputs.pathh: unknown key
        help: did you mean "path"?"#;
    inputs_of_one_name: "[[inputs]]\nname = 'a'\nkind = 'stdin'\n[[inputs]]\nname = 'a'\nkind = 'cri'\n" => r#"
        5:8: inputs.name: another input is called "a"
        help: give each its own name"#;
    input_with_a_relative_template: "[[inputs]]\nname = 'a'\nkind = 'file'\npath = '*.log'\nmode = 'rw'\n" => r#"
        4:8: inputs.path: a path with wildcards has to begin with `/`, such as `/steps/{pipeline_run_id}/{step_id}.log`
        5:8: inputs.mode: expected octal digits from "0000" to "0777", found "rw""#;
    inputs_that_are_no_list: "[inputs]\nname = 'a'\n" => r"
        1:1: inputs: expected a list of tables: [[inputs]], found a table";
    unknown_key: "[capture]\ndrian_idle = '1s'\n" => r#"
        2:1: capture.drian_idle: unknown key
        help: did you mean "drain_idle"?"#;
    unknown_key_far_from_all: "[spool]\nfoo.bar = 1\n" => r"
        2:1: spool.foo: unknown key
        help: the keys here are: dir, max_bytes, when_full, sync_interval, sync";
    unknown_table: "[captrue]\ndrain_idle = '1s'\n" => r#"
        1:2: captrue: unknown key
        help: did you mean "capture"?"#;
    misplaced_key: "capture = 3\n" => r"
        1:11: capture: expected a table, found 3";
    duration_without_unit: "[ship]\ndeadline = 30\n" => r#"
        2:12: ship.deadline: expected a duration from 0s to 1day, such as "30s", found 30"#;
    duration_that_is_none: "[ship]\ndeadline = 'soon'\n" => r#"
        2:12: ship.deadline: expected a duration from 0s to 1day, such as "30s", found "soon""#;
    duration_out_of_range: "[capture]\ndrain_max = '9 days'\n" => r#"
        2:13: capture.drain_max: expected a duration from 0s to 1day, such as "30s", or "inf", found "9 days""#;
    size_without_meaning: "[spool]\nmax_bytes = '1 GigaByte'\n" => r#"
        2:13: spool.max_bytes: expected a size from 64 KiB to 1024 TiB, such as "4 MiB", found "1 GigaByte""#;
    size_too_small: "[spool]\nmax_bytes = 1\n" => r#"
        2:13: spool.max_bytes: expected a size from 64 KiB to 1024 TiB, such as "4 MiB", found 1"#;
    size_below_zero: "[capture]\nread_bytes = -1\n" => r#"
        2:14: capture.read_bytes: expected a size from 4 KiB to 16 MiB, such as "4 MiB", found -1"#;
    integer_as_text: "[ship]\nconcurrency = '4'\n" => r#"
        2:15: ship.concurrency: expected an integer from 1 to 256, found "4""#;
    integer_with_fraction: "[ship]\nencoders = 1.5\n" => r"
        2:12: ship.encoders: expected an integer from 1 to 64, found 1.5";
    flag_as_text: "[capture]\nmultiline = 'yes'\n" => r#"
        2:13: capture.multiline: expected true or false, found "yes""#;
    choice: "[spool]\nwhen_full = 'drop'\n" => r#"
        2:13: spool.when_full: expected one of "block", "drop_oldest", "drop_newest", found "drop""#;
    path_as_list: "[spool]\ndir = ['/a']\n" => r#"
        2:7: spool.dir: expected a path, such as "/var/lib/steplog", found a list"#;
    list_as_text: "[redact]\nenv = '*_KEY'\n" => r#"
        2:7: redact.env: expected a list of texts, such as ["*_TOKEN"], found "*_KEY""#;
    list_of_other_things: "[metadata]\nstep_id = ['A', 3, '']\n" => r#"
        2:17: metadata.step_id: expected a list of texts, such as ["STEPLOG_STEP_ID"], found 3
        2:20: metadata.step_id: expected a list of texts, such as ["STEPLOG_STEP_ID"], found """#;
    empty_list: "[metadata]\nstep_id = []\n" => r#"
        2:11: metadata.step_id: expected at least one, such as ["STEPLOG_STEP_ID"]
        help: leave the key out to look at the usual variables"#;
    attribute_as_text: "[metadata.attributes]\nteam = 'ml'\n" => r#"
        2:8: metadata.attributes.team: expected a table such as { env = "TEAM" } or { value = "eu-1" }, found "ml""#;
    attribute_of_both_kinds: "[metadata.attributes]\n'a b' = { env = 'A', value = 'b' }\n" => r#"
        2:1: metadata.attributes."a b": expected either env or value
        help: write { env = "NAME" } or { value = "text" }"#;
    attribute_of_no_kind: "[metadata.attributes]\nteam = { vaule = 'b' }\n" => r#"
        2:1: metadata.attributes.team: expected either env or value
        help: write { env = "NAME" } or { value = "text" }
        2:10: metadata.attributes.team.vaule: unknown key
        help: did you mean "value"?"#;
    bad_pattern: "[redact]\npatterns = ['ok', '(', 'x*']\n" => r#"
        2:19: redact.patterns: not a regular expression: unclosed group
        help: \ in "quotes" is written \\; 'single quotes' keep it as it is
        2:24: redact.patterns: it matches where there is no text
        help: use + instead of *, or anchor it to something"#;
    line_larger_than_block: "[capture]\nblock_bytes = '64 KiB'\n" => r"
        2:15: capture.block_bytes: a line must fit a block: max_line_bytes is 256 KiB, block_bytes is 64 KiB";
    unknown_flavor: "[artifact_stores.local]\nflavor = 'S3'\npath = '/x'\n" => r#"
        2:10: artifact_stores.local.flavor: there is no artifact store flavor "S3"
        help: did you mean "s3"?"#;
    missing_flavor: "[log_stores.dd]\napi_key = 'hunter2'\n" => r#"
        1:13: log_stores.dd.flavor: missing
        help: add flavor = "artifact""#;
    artifact_flavor_of_the_wrong_kind: "[log_stores.dd]\nflavor = 'local'\n" => r#"
        2:10: log_stores.dd.flavor: there is no log store flavor "local"
        help: the log store flavors are: artifact, console, datadog, elasticsearch, http, loki, otel, splunk"#;
    component_as_text: "[log_stores]\ndd = 'artifact'\n" => r#"
        2:6: log_stores.dd: expected a table: [log_stores.NAME], found "artifact""#;
    bad_name: "[artifact_stores.'../x']\nflavor = 'local'\n" => r#"
        1:18: artifact_stores."../x": not a name
        help: a name is 1 to 64 letters, digits, "_", "-" or ".""#;
    missing_uri: "[artifact_stores.p]\nflavor = 's3'\n" => r#"
        1:18: artifact_stores.p.uri: missing
        help: add uri = "s3://my-bucket/steplog""#;
    uri_of_another_flavor: "[artifact_stores.p]\nflavor = 's3'\nuri = 'gs://b'\n" => r#"
        3:7: artifact_stores.p.uri: a URI of this flavor begins with s3://, not gs://
        help: write "s3://my-bucket/steplog", or change flavor"#;
    uri_that_is_none: "[artifact_stores.p]\nflavor = 'azure'\nuri = 'my-container'\n" => r#"
        3:7: artifact_stores.p.uri: the URI must begin with s3://, gs:// or az://
        help: write "az://my-container/steplog""#;
    unknown_option: "[artifact_stores.p]\nflavor = 's3'\nuri = 's3://b'\nendpiont = 'x'\nbucket = 'b'\n" => r#"
        4:1: artifact_stores.p.endpiont: unknown key
        help: did you mean "endpoint"?
        5:1: artifact_stores.p.bucket: unknown key
        help: the keys here are: flavor, uri, codec, level, chunk_bytes, segment_chunks, segment_bytes, retention, and more: see docs/stack-file.md"#;
    option_of_the_wrong_type: "[artifact_stores.p]\nflavor = 's3'\nuri = 's3://b'\nregion = ['eu']\n" => r"
        4:10: artifact_stores.p.region: expected text, an integer, true or false, found a list";
    secret_of_the_wrong_type: "[artifact_stores.p]\nflavor = 's3'\nuri = 's3://b'\ntoken = { a = 'hunter2' }\n" => r"
        4:9: artifact_stores.p.token: expected text, an integer, true or false, found a table";
    level_of_another_codec: "[artifact_stores.local]\ncodec = 'gzip'\nlevel = 19\n" => r"
        3:9: artifact_stores.local.level: expected an integer from 0 to 9, found 19";
    key_of_another_flavor: "[artifact_stores.p]\nflavor = 'gcs'\nuri = 'gs://b'\npath = '/x'\nlocal_seal = '1s'\n" => r"
        4:1: artifact_stores.p.path: unknown key
        help: the keys here are: flavor, uri, codec, level, chunk_bytes, segment_chunks, segment_bytes, retention, and more: see docs/stack-file.md
        5:1: artifact_stores.p.local_seal: unknown key
        help: the keys here are: flavor, uri, codec, level, chunk_bytes, segment_chunks, segment_bytes, retention, and more: see docs/stack-file.md";
    no_such_artifact_store: "[stacks.default]\nartifact_store = 'lcoal'\n" => r#"
        2:18: stacks.default.artifact_store: there is no artifact store "lcoal"
        help: did you mean "local"?"#;
    no_artifact_store: "[stacks.prod]\nlog_stores = ['x']\n[log_stores.x]\nflavor = 'artifact'\n" => r#"
        1:9: stacks.prod.artifact_store: missing
        help: add artifact_store = "local""#;
    no_such_log_store: "[stacks.default]\nlog_stores = ['dd', 'x', 'x']\n[log_stores.x]\nflavor = 'artifact'\n" => r#"
        2:15: stacks.default.log_stores: there is no log store "dd"
        help: the log stores are: x
        2:26: stacks.default.log_stores: "x" is named twice"#;
    no_log_stores_at_all: "[stacks.default]\nlog_stores = ['dd']\n" => r#"
        2:15: stacks.default.log_stores: there is no log store "dd"
        help: there are no log stores"#;
    empty_log_stores: "[stacks.default]\nlog_stores = []\n" => r"
        2:14: stacks.default.log_stores: expected at least one log store
        help: leave the key out to keep the logs in the artifact store";
    log_store_with_an_unknown_artifact_store: "[log_stores.x]\nflavor = 'artifact'\nartifact_store = 'cold'\n" => r#"
        3:18: log_stores.x.artifact_store: there is no artifact store "cold"
        help: the artifact stores are: local"#;
    no_such_stack: "active = 'prd'\n[stacks.prod]\nartifact_store = 'local'\n" => r#"
        1:10: active: there is no stack "prd"
        help: did you mean "prod"?"#;
    several_stacks_and_none_active: "[stacks.a]\nartifact_store = 'local'\n[stacks.b]\nartifact_store = 'local'\n" => r"
        1:9: active: missing: the file has several stacks
        help: add active = … at the top; the stacks are: a, b";
    secret_not_set: "[artifact_stores.local]\nflavor = 's3'\nuri = 's3://b'\ntoken = '${env:NOT_SET}'\n" => r"
        4:9: artifact_stores.local.token: the environment variable NOT_SET is not set
        help: set NOT_SET where steplog runs, or name another source";
    secret_file_missing: "[spool]\ndir = '${file:/no/such}'\n" => r"
        2:7: spool.dir: cannot read /no/such: there is no such file
        help: the file must be readable by the user that steplog runs as";
    no_credentials: "[spool]\ndir = '${credential:dir}'\n" => r"
        2:7: spool.dir: there is no credential dir: $CREDENTIALS_DIRECTORY is not set
        help: add LoadCredential=dir:/path to the systemd unit";
    unknown_reference: "[spool]\ndir = '${vn:X}'\n" => r"
        2:7: spool.dir: unknown kind of reference ${vn:…}
        help: did you mean ${env:…}?";
    unclosed_reference_in_what_is_not_used: "[artifact_stores.p]\nflavor = 'local'\npath = '${env:X'\n" => r#"
        3:8: artifact_stores.p.path: "${" without "}"
        help: write ${env:NAME}, ${file:/path} or ${credential:name}; $${ stands for ${"#;
    secret_that_is_no_duration: "[ship]\ndeadline = '${env:WORD}'\n" => r#"
        2:12: ship.deadline: expected a duration from 0s to 1day, such as "30s", found "${env:WORD}""#;
    not_toml: "[capture\ndrain_idle = \n[ship]\nx == 'hunter2'\n" => r"
        1:9: unclosed table, expected `]`
        4:4: extra `=`, expected nothing
        4:6: unexpected key or value, expected newline, `#`";
    key_written_twice: "[ship]\nencoders = 1\nencoders = 2\n" => r"
        3:1: duplicate key";
    integer_too_large: "[ship]\nencoders = 99999999999999999999\n" => r"
        2:12: integer does not fit 64 bits";
    a_date: "[ship]\ndeadline = 2026-01-01\n" => r#"
        2:12: ship.deadline: expected a duration from 0s to 1day, such as "30s", found a date or time"#;
    everything_at_once: "activ = 'x'\n[ship]\nencoders = 0\n[spool]\nsync = 'sometimes'\n[stacks.default]\nartifact_store = 7\n" => r#"
        1:1: activ: unknown key
        help: did you mean "active"?
        3:12: ship.encoders: expected an integer from 1 to 64, found 0
        5:8: spool.sync: expected one of "never", "interval", "always", found "sometimes"
        7:18: stacks.default.artifact_store: expected text, such as "local", found 7"#;
}
