//! The settings tables: `[metadata]`, `[capture]`, `[redact]`, `[spool]`, `[ship]`, `[agent]`,
//! `[server]`.
//!
//! One function a table, one line a key, in the order of the default file. The stages own the
//! settings; here is only how they are written and between which bounds they make sense.

use std::time::Duration;

use super::document::Table;
use super::inputs;
use super::kind::size;
use super::reader::{Context, Reader, Secrets};
use crate::listen::Keys;
use crate::{agent, capture, enrich, line, pages, redact, server, ship, spool};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Stands for "never" where a stage wants a number: far, and yet no clock overflows.
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// The settings tables, resolved.
pub(super) struct Sections {
    pub(super) metadata: enrich::Table,
    pub(super) capture: capture::Settings,
    pub(super) lines: line::Settings,
    pub(super) redact: redact::Settings,
    pub(super) spool: spool::Settings,
    pub(super) ship: ship::Settings,
    pub(super) agent: agent::Settings,
    pub(super) server: server::Settings,
    pub(super) inputs: Vec<agent::Input>,
}

/// Reads them all; a table that is missing or wrong keeps its defaults.
pub(super) fn read(context: &mut Context<'_>, document: &Table, secrets: Secrets) -> Sections {
    let spool_dir = context.env.spool();
    let dead_letter_dir = context.env.dead_letter();
    let mut sections = Sections {
        metadata: enrich::Table::default(),
        capture: capture::Settings::default(),
        lines: line::Settings::default(),
        redact: redact::Settings::default(),
        spool: spool::Settings { dir: spool_dir, ..spool::Settings::default() },
        ship: ship::Settings::default(),
        agent: agent::Settings::default(),
        server: server::Settings::default(),
        inputs: Vec::new(),
    };
    sections.ship.dead_letter.dir = dead_letter_dir;
    let mut top = Reader::new(context, document, "", None, secrets);
    if let Some(reader) = top.table("metadata") {
        metadata(reader, &mut sections.metadata);
    }
    if let Some(reader) = top.table("capture") {
        capture(reader, &mut sections.capture, &mut sections.lines);
    }
    pages::give_back();
    if let Some(reader) = top.table("redact") {
        redact(reader, &mut sections.redact);
    }
    if let Some(reader) = top.table("spool") {
        spool(reader, &mut sections.spool);
    }
    if let Some(reader) = top.table("ship") {
        ship(reader, &mut sections.ship);
    }
    // Where every wrapper that uses the same spool finds it, also from another container.
    sections.agent.control = sections.spool.dir.join(agent::CONTROL);
    if let Some(reader) = top.table("agent") {
        agent(reader, &mut sections.agent);
    }
    if let Some(reader) = top.table("server") {
        server(reader, &mut sections.server);
    }
    sections.inputs = inputs::read(&mut top);
    sections
}

fn metadata(mut reader: Reader<'_, '_, '_>, table: &mut enrich::Table) {
    let example = "[\"STEPLOG_STEP_ID\"]";
    let default = "to look at the usual variables";
    reader.some_texts("pipeline_run_id", example, default, &mut table.pipeline_run_id);
    reader.some_texts("step_id", example, default, &mut table.step_id);
    reader.some_texts("attempt", example, default, &mut table.attempt);
    reader.some_texts("source", example, default, &mut table.source);
    if let Some(mut attributes) = reader.table("attributes") {
        for entry in attributes.all() {
            let shape = "a table such as { env = \"TEAM\" } or { value = \"eu-1\" }";
            if entry.key.is_empty() {
                let what = "an attribute needs a name".to_owned();
                attributes.note(Some(entry.place), "", what, None);
            }
            let Some(mut one) = attributes.below(entry, shape) else { continue };
            let env = one.optional_text("env", "TEAM");
            let value = one.optional_text("value", "eu-1");
            let attribute = match (env, value) {
                (Some(env), None) => Some(enrich::Attribute::Env(env)),
                (None, Some(value)) => Some(enrich::Attribute::Value(value)),
                (None, None) if one.is_unclear(&["env", "value"]) => None,
                _ => {
                    let help = Some("write { env = \"NAME\" } or { value = \"text\" }".to_owned());
                    one.problem("", "expected either env or value".to_owned(), help);
                    None
                }
            };
            one.finish();
            table.attributes.extend(attribute.map(|attribute| (entry.key.clone(), attribute)));
        }
    }
    reader.finish();
}

fn capture(
    mut reader: Reader<'_, '_, '_>,
    capture: &mut capture::Settings,
    lines: &mut line::Settings,
) {
    reader.duration("partial_idle", 10 * MILLISECOND..=HOUR, &mut capture.partial_idle);
    reader.duration("partial_age", 10 * MILLISECOND..=HOUR, &mut capture.partial_age);
    let mut drain_idle = Some(capture.drain_idle);
    reader.duration_or_inf("drain_idle", Duration::ZERO..=DAY, &mut drain_idle);
    capture.drain_idle = drain_idle.unwrap_or(YEAR);
    reader.duration_or_inf("drain_max", Duration::ZERO..=DAY, &mut capture.drain_max);
    reader.duration("grace", Duration::ZERO..=DAY, &mut capture.grace);
    reader.bytes("pipe_bytes", 4 * KIB..=GIB, &mut capture.pipe_bytes);
    reader.bytes("read_bytes", 4 * KIB..=16 * MIB, &mut capture.read_bytes);
    reader.flag("python_unbuffered", &mut capture.python_unbuffered);
    reader.bytes("max_line_bytes", KIB..=16 * MIB, &mut lines.max_line_bytes);
    reader.flag("multiline", &mut lines.multiline);
    reader.count("max_group_lines", 2..=1_000_000, &mut lines.max_group_lines);
    reader.milliseconds("group_timeout", 10 * MILLISECOND..=HOUR, &mut lines.group_timeout_ms);
    reader.bytes("block_bytes", 4 * KIB..=64 * MIB, &mut lines.block_bytes);
    reader.count("block_lines", 1..=1 << 20, &mut lines.block_lines);
    if lines.max_line_bytes > lines.block_bytes {
        let (line, block) = (size(lines.max_line_bytes as u64), size(lines.block_bytes as u64));
        let what =
            format!("a line must fit a block: max_line_bytes is {line}, block_bytes is {block}");
        reader.conflict(["max_line_bytes", "block_bytes"], what);
    }
    reader.finish();
}

fn redact(mut reader: Reader<'_, '_, '_>, settings: &mut redact::Settings) {
    reader.texts("env", "[\"*_TOKEN\"]", &mut settings.env);
    let example = "[\"ghp_[A-Za-z0-9]{36}\"]";
    if let Some((patterns, _)) = reader.list("patterns", example) {
        let is_built_in = |pattern: &str| redact::DEFAULT_PATTERNS.contains(&pattern);
        for (pattern, place) in patterns.iter().filter(|(pattern, _)| !is_built_in(pattern)) {
            if let Some((what, help)) = pattern_problem(pattern) {
                reader.note(Some(*place), "patterns", what, Some(help.to_owned()));
            }
        }
        settings.patterns = patterns.into_iter().map(|(pattern, _)| pattern).collect();
    }
    reader.paths("files", "[\"/run/secrets/token\"]", &mut settings.files);
    reader.finish();
}

/// What is wrong with a pattern. Only parses it: this is on the way of a step's start. Never
/// quotes it: it may come from a reference.
fn pattern_problem(pattern: &str) -> Option<(String, &'static str)> {
    let mut parser = regex_syntax::ParserBuilder::new().unicode(false).utf8(false).build();
    match parser.parse(pattern) {
        Ok(parsed) if parsed.properties().minimum_len() == Some(0) => {
            let what = "it matches where there is no text".to_owned();
            Some((what, "use + instead of *, or anchor it to something"))
        }
        Ok(_) => None,
        Err(error) => {
            // The text of the error shows the pattern; its last line says what is wrong.
            let error = error.to_string();
            let why = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
            let help = "\\ in \"quotes\" is written \\\\; 'single quotes' keep it as it is";
            Some((format!("not a regular expression: {why}"), help))
        }
    }
}

fn spool(mut reader: Reader<'_, '_, '_>, settings: &mut spool::Settings) {
    reader.path("dir", &mut settings.dir);
    reader.bytes("max_bytes", 64 * KIB..=1024 * TIB, &mut settings.max_bytes);
    let choices = [
        ("block", spool::WhenFull::Block),
        ("drop_oldest", spool::WhenFull::DropOldest),
        ("drop_newest", spool::WhenFull::DropNewest),
    ];
    reader.choice("when_full", &choices, &mut settings.when_full);
    let mut interval = match settings.sync {
        spool::Sync::Interval(interval) => interval,
        spool::Sync::Never | spool::Sync::Always => Duration::from_secs(1),
    };
    reader.duration("sync_interval", 10 * MILLISECOND..=HOUR, &mut interval);
    let choices = [
        ("never", spool::Sync::Never),
        ("interval", spool::Sync::Interval(interval)),
        ("always", spool::Sync::Always),
    ];
    settings.sync = spool::Sync::Interval(interval);
    reader.choice("sync", &choices, &mut settings.sync);
    reader.finish();
}

fn ship(mut reader: Reader<'_, '_, '_>, settings: &mut ship::Settings) {
    reader.bytes("channel_bytes", MIB..=16 * GIB, &mut settings.channel_bytes);
    reader.count("concurrency", 1..=256, &mut settings.concurrency);
    reader.count("encoders", 1..=64, &mut settings.encoders);
    reader.duration("deadline", Duration::ZERO..=DAY, &mut settings.deadline);
    reader.duration("timeout", 100 * MILLISECOND..=HOUR, &mut settings.timeout);
    reader.bytes("lowest_rate", KIB..=GIB, &mut settings.lowest_rate);
    reader.duration("retry_initial", MILLISECOND..=HOUR, &mut settings.retry_initial);
    reader.duration("retry_max", MILLISECOND..=HOUR, &mut settings.retry_max);
    reader.path("dead_letter", &mut settings.dead_letter.dir);
    reader.bytes("dead_letter_bytes", 0..=1024 * TIB, &mut settings.dead_letter.max_bytes);
    settings.retry_initial = settings.retry_initial.min(settings.retry_max);
    reader.finish();
}

/// Where the agent says how it is doing, and to whom.
const HTTP: Keys = Keys {
    address: "http",
    tls_certificate: "http_tls_certificate",
    tls_key: "http_tls_key",
    token: "http_token",
    token_file: "http_token_file",
};

fn agent(mut reader: Reader<'_, '_, '_>, settings: &mut agent::Settings) {
    reader.path("control", &mut settings.control);
    reader.count("deliveries", 1..=256, &mut settings.deliveries);
    reader.count("max_inputs", 1..=1_000_000, &mut settings.max_inputs);
    reader.duration("scan_interval", 100 * MILLISECOND..=HOUR, &mut settings.scan_interval);
    reader.duration("gc_interval", 1000 * MILLISECOND..=30 * DAY, &mut settings.gc_interval);
    reader.duration("deadline", Duration::ZERO..=DAY, &mut settings.deadline);
    settings.http = HTTP.read(&mut reader, "127.0.0.1:9464", None);
    let formats = agent::LogFormat::ALL;
    reader.choice("log_format", &formats, &mut settings.log_format);
    reader.finish();
}

/// Where `steplog serve` listens, and to whom.
const SERVER: Keys = Keys {
    address: "listen",
    tls_certificate: "tls_certificate",
    tls_key: "tls_key",
    token: "token",
    token_file: "token_file",
};

fn server(mut reader: Reader<'_, '_, '_>, settings: &mut server::Settings) {
    let default = settings.endpoint.address.clone();
    if let Some(endpoint) = SERVER.read(&mut reader, "127.0.0.1:7300", Some(default)) {
        settings.endpoint = endpoint;
    }
    settings.identity_header = reader.optional_text("identity_header", "X-Forwarded-User");
    if let Some(header) = &settings.identity_header
        && !server::is_header(header)
    {
        let what = format!("{header:?} is not the name of a header");
        reader.problem("identity_header", what, None);
    }
    reader.texts("trusted_users", "[\"www-data\"]", &mut settings.trusted_users);
    reader.texts("hosts", "[\"logs.example.com\"]", &mut settings.hosts);
    let limits = &mut settings.limits;
    reader.count("max_connections", 1..=1_000_000, &mut limits.connections);
    reader.count("max_requests", 1..=10_000, &mut limits.requests);
    reader.count("max_downloads", 1..=10_000, &mut limits.downloads);
    reader.count("max_streams", 1..=1_000_000, &mut limits.streams);
    reader.count("max_followed", 1..=10_000, &mut limits.followed);
    reader.bytes("max_scan_bytes", MIB..=1024 * TIB, &mut limits.scan_bytes);
    reader.bytes("max_answer_bytes", 64 * KIB..=GIB, &mut limits.answer_bytes);
    reader.count("max_message_chars", 100..=16 << 20, &mut limits.message_chars);
    reader.duration("request_deadline", 100 * MILLISECOND..=HOUR, &mut limits.deadline);
    reader.duration("write_timeout", 100 * MILLISECOND..=HOUR, &mut limits.write_timeout);
    reader.finish();
}
