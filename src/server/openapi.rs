//! The document that describes the API, made of what stands beside each endpoint.

use utoipa::{IntoParams, OpenApi};

use super::{follow, lines, logs, model, problem, runs, search};

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

/// Logs of pipeline runs, from any log store that steplog can read
#[derive(OpenApi)]
#[openapi(
    info(title = "steplog", license(name = "Apache-2.0", identifier = "Apache-2.0")),
    paths(runs::list, runs::one, logs::get, follow::get, lines::get, search::get),
    components(schemas(model::Stream, problem::Problem))
)]
pub(super) struct Document;

/// As JSON, the way it is kept in docs/openapi.json.
pub fn document() -> String {
    let mut text = Document::openapi().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}
