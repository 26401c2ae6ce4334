//! Text with terminal sequences to plain text and the looks of its pieces. Pure.
//!
//! Log text is of strangers: only looks (SGR) and links to http and https come through, as data; every
//! other sequence goes. Control characters stay in the text, for whoever shows it to show them.

use std::borrow::Cow;

use serde::Serialize;
use utoipa::ToSchema;
use vte::{Params, Parser, Perform};

/// Pieces of one line, at the most: what is behind has no looks.
const MAX_SPANS: usize = 10_000;
/// A link is this long at the most.
const MAX_LINK: usize = 2048;

/// How a piece of a message looks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Span {
    /// Where it begins, in UTF-16 units of `message`.
    at: u32,
    /// How long it is, in UTF-16 units.
    len: u32,
    #[serde(flatten)]
    look: Look,
}

/// Colours and weights.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
struct Look {
    /// Colour of the text: a number of the 256 colours of terminals, or `#rrggbb`.
    #[serde(skip_serializing_if = "Option::is_none")]
    fg: Option<String>,
    /// Colour behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    bg: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    bold: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dim: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    italic: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    underline: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    strike: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    inverse: bool,
    /// Where it leads, `http` or `https`.
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
}

/// The text without sequences, and its looks.
pub(super) fn take_apart(text: &str) -> (Cow<'_, str>, Vec<Span>) {
    // ESC, and CSI and its like as one character.
    let has = |text: &str| text.bytes().any(|byte| byte == 0x1b) || text.contains('\u{9b}');
    if !has(text) {
        return (Cow::Borrowed(text), Vec::new());
    }
    let mut screen = Screen::default();
    Parser::new().advance(&mut screen, text.as_bytes());
    screen.close();
    (Cow::Owned(screen.text), screen.spans)
}

/// What the sequences draw on.
#[derive(Default)]
struct Screen {
    text: String,
    /// Of `text`, in UTF-16 units.
    len: u32,
    spans: Vec<Span>,
    look: Look,
    /// Where the present look began.
    since: u32,
}

impl Screen {
    fn push(&mut self, character: char) {
        self.text.push(character);
        self.len += character.len_utf16() as u32;
    }

    /// The present look ends here.
    fn close(&mut self) {
        let plain = self.look == Look::default();
        if !plain && self.len > self.since && self.spans.len() < MAX_SPANS {
            let (at, len) = (self.since, self.len - self.since);
            self.spans.push(Span { at, len, look: self.look.clone() });
        }
        self.since = self.len;
    }

    fn rendition(&mut self, params: &Params) {
        let mut params = params.iter();
        while let Some(param) = params.next() {
            let look = &mut self.look;
            match param.first().copied().unwrap_or(0) {
                0 => *look = Look { link: look.link.take(), ..Look::default() },
                1 => look.bold = true,
                2 => look.dim = true,
                3 => look.italic = true,
                4 => look.underline = param.get(1) != Some(&0),
                7 => look.inverse = true,
                9 => look.strike = true,
                21 => look.underline = true,
                22 => (look.bold, look.dim) = (false, false),
                23 => look.italic = false,
                24 => look.underline = false,
                27 => look.inverse = false,
                29 => look.strike = false,
                colour @ 30..=37 => look.fg = Some((colour - 30).to_string()),
                colour @ 40..=47 => look.bg = Some((colour - 40).to_string()),
                colour @ 90..=97 => look.fg = Some((colour - 82).to_string()),
                colour @ 100..=107 => look.bg = Some((colour - 92).to_string()),
                39 => look.fg = None,
                49 => look.bg = None,
                which @ (38 | 48) => {
                    let colour = if param.len() > 1 {
                        colour(&mut param.iter().skip(1).copied(), true)
                    } else {
                        colour(&mut params.by_ref().filter_map(|it| it.first().copied()), false)
                    };
                    let slot = if which == 38 { &mut look.fg } else { &mut look.bg };
                    *slot = colour.or(slot.take());
                }
                _ => {}
            }
        }
    }
}

/// `5;N` or `2;R;G;B`; with colons there may be a colour space before R.
fn colour(values: &mut dyn Iterator<Item = u16>, colons: bool) -> Option<String> {
    let byte = |value: u16| u8::try_from(value).ok();
    match values.next()? {
        5 => Some(byte(values.next()?)?.to_string()),
        2 => {
            let all: Vec<u16> = values.take(if colons { 4 } else { 3 }).collect();
            let [.., red, green, blue] = all.as_slice() else { return None };
            Some(format!("#{:02x}{:02x}{:02x}", byte(*red)?, byte(*green)?, byte(*blue)?))
        }
        _ => None,
    }
}

impl Perform for Screen {
    fn print(&mut self, character: char) {
        self.push(character);
    }

    fn execute(&mut self, byte: u8) {
        self.push(char::from(byte));
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], _: bool, action: char) {
        if action == 'm' && intermediates.is_empty() {
            let before = self.look.clone();
            self.rendition(params);
            if self.look != before {
                let after = std::mem::replace(&mut self.look, before);
                self.close();
                self.look = after;
            }
        }
    }

    fn osc_dispatch(&mut self, params: &[&[u8]], _: bool) {
        // 8 ; parameters ; address, which may have semicolons in it.
        if let [b"8", _, address @ ..] = params {
            let address = address.join(&b';');
            self.close();
            self.look.link = link(&address);
        }
    }
}

/// Only addresses that a browser may be sent to.
fn link(address: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(address).ok()?;
    let (scheme, rest) = text.split_once("://")?;
    let web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    let sound = text.len() <= MAX_LINK
        && !rest.is_empty()
        && !text.chars().any(|it| it.is_control() || it.is_whitespace());
    (web && sound).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, plain: &str, spans: &str) {
        let (message, looks) = take_apart(text);
        assert_eq!(message, plain);
        assert_eq!(serde_json::to_string(&looks).unwrap(), spans);
    }

    #[test]
    fn looks_come_through() {
        check("plain \t\u{8}text", "plain \t\u{8}text", "[]");
        check("\x1b[31mred\x1b[0m no", "red no", r#"[{"at":0,"len":3,"fg":"1"}]"#);
        check(
            "a\x1b[1;92;44mb\x1b[22mc\x1b[m",
            "abc",
            r#"[{"at":1,"len":1,"fg":"10","bg":"4","bold":true},{"at":2,"len":1,"fg":"10","bg":"4"}]"#,
        );
        check(
            "\x1b[38;5;208mx\x1b[48;2;1;2;255my\x1b[38:2::9:8:7mz",
            "xyz",
            r##"[{"at":0,"len":1,"fg":"208"},{"at":1,"len":1,"fg":"208","bg":"#0102ff"},{"at":2,"len":1,"fg":"#090807","bg":"#0102ff"}]"##,
        );
        // UTF-16 units, as a browser counts.
        check("😀\x1b[3mé\x1b[m", "😀é", r#"[{"at":2,"len":1,"italic":true}]"#);
    }

    #[test]
    fn links_lead_to_the_web_only() {
        check(
            "\x1b]8;;https://a.example/x;y\x1b\\here\x1b]8;;\x1b\\.",
            "here.",
            r#"[{"at":0,"len":4,"link":"https://a.example/x;y"}]"#,
        );
        for address in ["javascript:alert(1)", "file:///etc/passwd", "data:text/html,x", "https://"]
        {
            check(&format!("\x1b]8;;{address}\x07no\x1b]8;;\x07"), "no", "[]");
        }
    }

    #[test]
    fn other_sequences_go() {
        check("a\x1b[2Jb\x1b]0;title\x07c\x1b[?25ld\x1bPq#0\x1b\\e", "abcde", "[]");
        check("cut \x1b[3", "cut ", "[]");
        check("\x1b[38;5;999mx", "x", "[]");
    }

    proptest! {
        #[test]
        fn spans_stand_in_the_text_in_order(text in "([a-z😀é]|\x1b\\[[0-9;:]{0,6}m|\x1b|\u{9b}|\x1b\\][0-9];){0,30}") {
            let (plain, spans) = take_apart(&text);
            let mut end = 0;
            for span in spans {
                prop_assert!(span.at >= end && span.len > 0);
                end = span.at + span.len;
            }
            prop_assert!(end as usize <= plain.encode_utf16().count());
            prop_assert!(!plain.contains('\x1b'));
        }
    }
}
