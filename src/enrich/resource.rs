//! `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME`.
//!
//! Source: OpenTelemetry specification, "Resource SDK" and "Environment Variable Specification":
//! `key=value` pairs in the form of W3C Baggage, values percent-encoded, no metadata after `;`;
//! `OTEL_SERVICE_NAME` wins over `service.name`. A string that cannot be decoded is passed over
//! as a whole.

use std::collections::BTreeMap;

use super::{MAX_VALUE_BYTES, clean};

pub(super) fn attributes(env: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut found =
        env.get("OTEL_RESOURCE_ATTRIBUTES").and_then(|text| parse(text)).unwrap_or_default();
    if let Some(name) = env.get("OTEL_SERVICE_NAME").and_then(|name| clean(name, MAX_VALUE_BYTES)) {
        found.insert("service.name".to_owned(), name);
    }
    found
}

fn parse(text: &str) -> Option<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=')?;
        let key = decode(key.trim())?;
        let value = decode(value.trim())?;
        if let (false, Some(value)) = (key.is_empty(), clean(&value, MAX_VALUE_BYTES)) {
            found.insert(key, value);
        }
    }
    Some(found)
}

/// RFC 3986 percent-decoding; `None` if what comes out is not UTF-8 or a `%` stands alone.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            let digits = std::str::from_utf8(&digits).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::super::tests::env;
    use super::*;

    #[test]
    fn pairs() {
        for (text, expected) in [
            ("a=b", vec![("a", "b")]),
            (" a = b , c=d%2Ce ,", vec![("a", "b"), ("c", "d,e")]),
            ("service.name=x,k=%C3%A9", vec![("service.name", "x"), ("k", "é")]),
            ("a=b,broken", vec![]),
            ("a=%zz", vec![]),
            ("a=%2", vec![]),
            ("a=x=y", vec![("a", "x=y")]),
            ("", vec![]),
        ] {
            let found = attributes(&env(&[("OTEL_RESOURCE_ATTRIBUTES", text)]));
            assert_eq!(found, env(&expected), "{text:?}");
        }
    }

    #[test]
    fn service_name_variable_wins() {
        let found = attributes(&env(&[
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=a"),
            ("OTEL_SERVICE_NAME", "b"),
        ]));
        assert_eq!(found, env(&[("service.name", "b")]));
    }
}
