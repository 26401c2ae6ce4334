//! `TRACEPARENT`: the trace that the step is part of.
//!
//! Source: W3C Trace Context, `version "-" trace-id "-" parent-id "-" trace-flags`, as lower-case
//! hex; a later version may carry more after the flags. What is not valid is passed over. The
//! names are OpenTelemetry's for logs ("Trace Context in non-OTLP Log Formats").

use std::collections::BTreeMap;

pub(super) fn attributes(env: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let Some((trace_id, span_id, flags)) =
        env.get("TRACEPARENT").and_then(|text| parse(text.trim()))
    else {
        return BTreeMap::new();
    };
    BTreeMap::from([
        ("trace_id".to_owned(), trace_id.to_owned()),
        ("span_id".to_owned(), span_id.to_owned()),
        ("trace_flags".to_owned(), flags.to_owned()),
    ])
}

fn parse(text: &str) -> Option<(&str, &str, &str)> {
    let mut parts = text.split('-');
    let version = parts.next().filter(|part| hex(part, 2) && *part != "ff")?;
    let trace_id = parts.next().filter(|part| hex(part, 32) && !zero(part))?;
    let span_id = parts.next().filter(|part| hex(part, 16) && !zero(part))?;
    let flags = parts.next().filter(|part| hex(part, 2))?;
    (version != "00" || parts.next().is_none()).then_some((trace_id, span_id, flags))
}

fn hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn zero(text: &str) -> bool {
    text.bytes().all(|byte| byte == b'0')
}

#[cfg(test)]
mod tests {
    use super::super::tests::env;
    use super::*;

    #[test]
    fn valid_and_not() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let span = "00f067aa0ba902b7";
        for (text, valid) in [
            (format!("00-{trace}-{span}-01"), true),
            (format!("cc-{trace}-{span}-01-what-comes"), true),
            (format!("00-{trace}-{span}-01-extra"), false),
            (format!("ff-{trace}-{span}-01"), false),
            (format!("00-{}-{span}-01", "0".repeat(32)), false),
            (format!("00-{trace}-{}-01", "0".repeat(16)), false),
            (format!("00-{}-{span}-01", trace.to_uppercase()), false),
            (format!("00-{trace}-{span}"), false),
            (String::new(), false),
        ] {
            let named = [("trace_id", trace), ("span_id", span), ("trace_flags", "01")];
            let expected = if valid { env(&named) } else { env(&[]) };
            assert_eq!(attributes(&env(&[("TRACEPARENT", &text)])), expected, "{text}");
        }
    }
}
