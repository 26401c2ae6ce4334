//! The document that describes the API, made of what stands beside each endpoint.

use utoipa::{IntoParams, OpenApi};

use super::{density, follow, lines, logs, model, problem, raw, runs, search, zenml};

/// Which streams.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what query.rs reads")]
pub(super) struct Selected {
    /// Only this step; may be given more than once
    step: Option<Vec<String>>,
    /// A number, `last`, `previous` or `all` [default: last]
    attempt: Option<String>,
    /// Only what comes from here: `step`, `orchestrator`, `client`, …
    source: Option<String>,
    /// Only what this writer captured
    writer: Option<String>,
    /// `stdout` or `stderr`
    iostream: Option<String>,
    /// Which log store of the stack
    log_store: Option<String>,
}

/// Which lines.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what query.rs reads")]
pub(super) struct Asked {
    /// Not before: RFC 3339, or a length of time such as `10m`
    since: Option<String>,
    /// Not at or after; as `since`
    until: Option<String>,
    /// This level and more serious ones
    level: Option<String>,
    /// Lines that match this regular expression; given more than once, any of them
    grep: Option<Vec<String>>,
    /// No lines that match this
    exclude: Option<Vec<String>>,
    /// `grep` and `exclude` are plain text
    fixed: Option<bool>,
    /// Any case
    ignore_case: Option<bool>,
    /// Lines before each match
    before_context: Option<u32>,
    /// Lines behind each match
    after_context: Option<u32>,
}

/// What ZenML's clients ask.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what zenml.rs reads")]
pub(super) struct Zenml {
    /// `oldest` or `newest` entries first [default: oldest]
    start: Option<String>,
    /// How many [default: 1000, at most 10000]
    limit: Option<u64>,
    /// Towards older entries: `before` of an answer
    before: Option<String>,
    /// Towards newer entries: `after` of an answer
    after: Option<String>,
    /// Plain text, in any case
    search: Option<String>,
    /// This level and more serious ones: a name or a number of Python's logging
    level: Option<String>,
    /// Not before
    since: Option<String>,
    /// Not after
    until: Option<String>,
    /// Which log store of the stack
    log_store: Option<String>,
}

/// Logs of pipeline runs, from any log store that steplog can read
#[derive(OpenApi)]
#[openapi(
    info(title = "steplog", license(name = "Apache-2.0", identifier = "Apache-2.0")),
    paths(
        runs::list,
        runs::one,
        logs::get,
        follow::get,
        lines::get,
        search::get,
        density::get,
        raw::get,
        zenml::of_run,
        zenml::of_step,
        super::store,
    ),
    components(schemas(model::Stream, model::Line<'static>, problem::Problem, zenml::Entry))
)]
pub(super) struct Document;

/// As JSON, the way it is kept in docs/openapi.json.
pub fn document() -> String {
    let mut text = Document::openapi().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}
