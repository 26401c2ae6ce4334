//! The forms in which a secret value shows up in output.
//!
//! As it is; in base64 (standard and URL alphabet) at any of the three places it can have in a
//! longer encoded text, without the characters that its neighbours decide; percent-encoded as the
//! common libraries do it; escaped as in a JSON string. Values of several lines (keys,
//! certificates) also line by line, since loggers prefix and indent lines.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::MINIMUM_LENGTH;

/// Longer values are masked in pieces of this size, and only as they are.
const LONGEST: usize = 16 << 10;

/// Adds all forms of `value`; none if it is too short.
pub(super) fn all(value: &[u8], into: &mut Vec<Box<[u8]>>) {
    let value = trim_line_end(value);
    if value.len() > LONGEST {
        for piece in value.chunks(LONGEST) {
            add(piece.to_vec(), into);
        }
    } else if is_secret(value) {
        encoded(value, into);
    }
    if value.contains(&b'\n') {
        for line in value.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
            // The frame of a key block is no secret, and is in every other one too.
            if is_secret(line) && line.len() <= LONGEST && !line.starts_with(b"-----") {
                add(line.to_vec(), into);
                add(json(line, Html::Plain).into_bytes(), into);
            }
        }
    }
}

fn is_secret(value: &[u8]) -> bool {
    value.len() >= MINIMUM_LENGTH && !value.iter().all(u8::is_ascii_whitespace)
}

fn add(form: Vec<u8>, into: &mut Vec<Box<[u8]>>) {
    if form.len() >= MINIMUM_LENGTH {
        into.push(form.into_boxed_slice());
    }
}

fn encoded(value: &[u8], into: &mut Vec<Box<[u8]>>) {
    add(value.to_vec(), into);
    for shift in 0..3 {
        for form in base64_inside(value, shift) {
            add(form, into);
        }
    }
    // As quote(), quote(safe=''), quote_plus(), encodeURIComponent() and encodeURI() do it.
    for keep in [b"-._~".as_slice(), b"-._~/", b"-._", b"-_.!~*'()", b"-_.!~*'();/?:@&=+$,#"] {
        add(percent(value, keep, Space::Percent, Case::Upper), into);
        add(percent(value, keep, Space::Percent, Case::Lower), into);
    }
    add(percent(value, b"-._~", Space::Plus, Case::Upper), into);
    add(percent(value, b"-._", Space::Plus, Case::Upper), into);
    for html in [Html::Plain, Html::Escaped] {
        add(json(value, html).into_bytes(), into);
    }
    if let Ok(text) = std::str::from_utf8(value)
        && !text.is_ascii()
    {
        add(json_ascii(text).into_bytes(), into);
    }
}

/// The characters that only `value` decides when it is encoded behind `shift` other bytes.
fn base64_inside(value: &[u8], shift: usize) -> [Vec<u8>; 2] {
    let mut padded = vec![0; shift];
    padded.extend_from_slice(value);
    let from = (shift * 8).div_ceil(6);
    let to = padded.len() * 8 / 6;
    [STANDARD_NO_PAD, URL_SAFE_NO_PAD].map(|engine| {
        let text = engine.encode(&padded).into_bytes();
        text.get(from..to).unwrap_or_default().to_vec()
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Space {
    Percent,
    Plus,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    Upper,
    Lower,
}

fn percent(value: &[u8], keep: &[u8], space: Space, case: Case) -> Vec<u8> {
    let digits = match case {
        Case::Upper => b"0123456789ABCDEF",
        Case::Lower => b"0123456789abcdef",
    };
    let digit = |value: u8| digits.get(usize::from(value & 0xf)).copied().unwrap_or(b'0');
    let mut out = Vec::with_capacity(value.len() * 3);
    for byte in value {
        if byte.is_ascii_alphanumeric() || keep.contains(byte) {
            out.push(*byte);
        } else if *byte == b' ' && space == Space::Plus {
            out.push(b'+');
        } else {
            out.extend_from_slice(&[b'%', digit(byte >> 4), digit(*byte)]);
        }
    }
    out
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Html {
    Plain,
    /// `<`, `>` and `&` too, as Go does it.
    Escaped,
}

/// Inside of a JSON string. Bytes that are not UTF-8 stay as they are.
fn json(value: &[u8], html: Html) -> String {
    let mut out = String::with_capacity(value.len() + 8);
    for character in String::from_utf8_lossy(value).chars() {
        let is_html = matches!(character, '<' | '>' | '&');
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            _ if character < ' ' || (is_html && html == Html::Escaped) => {
                unicode_escape(u32::from(character) as u16, &mut out);
            }
            _ => out.push(character),
        }
    }
    out
}

/// The same in ASCII alone, as Python does it.
fn json_ascii(text: &str) -> String {
    let mut out = String::new();
    for character in json(text.as_bytes(), Html::Plain).chars() {
        if character.is_ascii() {
            out.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            unicode_escape(*unit, &mut out);
        }
    }
    out
}

fn unicode_escape(unit: u16, out: &mut String) {
    out.push_str("\\u");
    for shift in [12, 8, 4, 0] {
        out.push(char::from_digit(u32::from(unit >> shift & 0xf), 16).unwrap_or('0'));
    }
}

fn trim_line_end(value: &[u8]) -> &[u8] {
    let end = value.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r'));
    end.and_then(|end| value.get(..=end)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    use super::*;

    fn forms(value: &str) -> Vec<String> {
        let mut forms = Vec::new();
        all(value.as_bytes(), &mut forms);
        forms.sort_unstable();
        forms.dedup();
        forms.iter().map(|form| String::from_utf8_lossy(form).into_owned()).collect()
    }

    #[test]
    fn base64_of_any_text_around_it_holds_a_form() {
        let value = "hunter2?>~secret";
        let forms = forms(value);
        for before in 0..7 {
            for after in 0..5 {
                let text = format!("{}{value}{}", "x".repeat(before), "y".repeat(after));
                for encoded in [STANDARD.encode(&text), URL_SAFE.encode(&text)] {
                    let found = forms.iter().any(|form| encoded.contains(form.as_str()));
                    assert!(found, "{encoded} holds none of {forms:?}");
                }
            }
        }
    }

    #[test]
    fn escapes() {
        let found = forms("pä\"s <w>/&d\\");
        for expected in [
            "pä\"s <w>/&d\\",
            r#"pä\"s <w>/&d\\"#,
            r#"p\u00e4\"s <w>/&d\\"#,
            r#"pä\"s \u003cw\u003e/\u0026d\\"#,
            "p%C3%A4%22s%20%3Cw%3E%2F%26d%5C",
            "p%c3%a4%22s%20%3cw%3e%2f%26d%5c",
            "p%C3%A4%22s%20%3Cw%3E/%26d%5C",
            "p%C3%A4%22s+%3Cw%3E%2F%26d%5C",
        ] {
            assert!(found.iter().any(|form| form == expected), "{expected} is not in {found:?}");
        }
    }

    #[test]
    fn plain_values_have_few_forms() {
        // As it is, and base64 in three places.
        assert_eq!(forms("hunter2hunter2").len(), 4);
    }

    #[test]
    fn short_and_blank_values_have_none() {
        for value in ["", "short", "      ", "a\nb\nc", "12345\n"] {
            let forms = forms(value);
            assert!(forms.is_empty() || value.len() >= MINIMUM_LENGTH, "{value:?}: {forms:?}");
        }
        assert!(forms("short\n").is_empty());
    }

    #[test]
    fn lines_of_a_key_are_masked_without_its_frame() {
        let key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADAN\n  BgkqhkiG9w0B\nshort\n-----END PRIVATE KEY-----\n";
        let forms = forms(key);
        assert!(forms.iter().any(|form| form == "MIIEvQIBADAN"));
        assert!(forms.iter().any(|form| form == "BgkqhkiG9w0B"));
        assert!(!forms.iter().any(|form| form == "short"
            || form.starts_with("-----BEGIN PRIVATE KEY-----") && form.len() < 30));
    }

    #[test]
    fn very_long_values_are_masked_in_pieces() {
        let mut forms = Vec::new();
        all(&vec![b'x'; LONGEST * 2 + 100], &mut forms);
        assert_eq!(
            forms.iter().map(|form| form.len()).collect::<Vec<_>>(),
            [LONGEST, LONGEST, 100]
        );
    }
}
