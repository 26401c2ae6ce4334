//! How the agent's own lines look: text, logfmt or JSON, with the journal's mark of how serious they are.
//!
//! Pure, and apart from [`log`](super::log), which says what is said at all. `<3>` at the start of a line is
//! taken off by the journal (sd-daemon(3), `SyslogLevelPrefix=`) and becomes its priority.

use serde_json::json;

use crate::record::{Level, Nanos};

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// `key=value`.
    Logfmt,
    /// One object a line.
    Json,
}

impl LogFormat {
    /// All, with the words of the stack file.
    pub const ALL: [(&'static str, Self); 3] =
        [("text", Self::Text), ("logfmt", Self::Logfmt), ("json", Self::Json)];

    /// What is written for a message, with its line end; of text more than one line, if the message has.
    pub fn line(self, journal: bool, level: Level, message: &str, time: Nanos) -> String {
        let mark = if journal { format!("<{}>", priority(level)) } else { String::new() };
        let word = level.as_str().to_ascii_lowercase();
        match self {
            Self::Text => {
                // The journal says whose line it is.
                let name = if journal { "" } else { "steplog: " };
                let mut out = String::new();
                for (number, line) in message.lines().enumerate() {
                    let name = if number == 0 { name } else { "" };
                    out.push_str(&format!("{mark}{name}{line}\n"));
                }
                out
            }
            Self::Logfmt => {
                let (time, message) = (time.to_rfc3339(), json!(message));
                format!("{mark}time={time} level={word} message={message}\n")
            }
            Self::Json => {
                let line = json!({ "time": time.to_rfc3339(), "level": word, "message": message });
                format!("{mark}{line}\n")
            }
        }
    }
}

/// syslog's number.
fn priority(level: Level) -> u8 {
    match level {
        Level::Critical => 2,
        Level::Error => 3,
        Level::Warning => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format() {
        let check = |format: LogFormat, journal: bool, expected: &str| {
            let time = Nanos(1_000_000_000);
            assert_eq!(format.line(journal, Level::Error, "a \"b\"\nc", time), expected);
        };
        check(LogFormat::Text, false, "steplog: a \"b\"\nc\n");
        check(LogFormat::Text, true, "<3>a \"b\"\n<3>c\n");
        let logfmt = "time=1970-01-01T00:00:01.000000000Z level=error message=\"a \\\"b\\\"\\nc\"\n";
        check(LogFormat::Logfmt, false, logfmt);
        let json = "<3>{\"level\":\"error\",\"message\":\"a \\\"b\\\"\\nc\",\"time\":\"1970-01-01T00:00:01.000000000Z\"}\n";
        check(LogFormat::Json, true, json);
    }
}
