//! The head of a text line, token by token: timestamps, brackets, separators, names, and a level
//! if it stands where a logger puts one.
//!
//! Whatever looks like prose ends the search at once, which for most lines is the first word.

use super::keys;
use super::message::{exception, is_value, phrase};
use crate::record::Level;

/// What stands right before the token that is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Start,
    /// A date, a time, a process id behind one.
    Stamp,
    /// Something that ends with a colon: `main.c:3:7:`.
    Tag,
    /// `[`
    Bracket,
    /// `(`, `{`, `<`
    Open,
    /// `|`
    Pipe,
    Close,
    /// ` - `, ` : `, `***`
    Separator,
    /// A word that may be a logger's or a host's name.
    Name,
}

struct Head<'a> {
    text: &'a [u8],
    at: usize,
    before: Before,
    /// A date or time has been seen.
    stamped: bool,
    /// Words outside brackets that were taken for names.
    names: u32,
    /// Brackets that are open.
    depth: u32,
}

/// Looks for a level in `text`, the beginning of a line without escape sequences.
pub(super) fn detect(text: &[u8]) -> Option<Level> {
    const TOKENS: usize = 24;
    const NAMES: u32 = 4;
    let mut head = Head { text, at: 0, before: Before::Start, stamped: false, names: 0, depth: 0 };
    for _ in 0..TOKENS {
        while matches!(head.byte(), Some(b' ' | b'\t')) {
            head.at += 1;
        }
        match head.token()? {
            Token::Level(level) => return Some(level),
            Token::Passed(before) => head.before = before,
        }
        if head.names > NAMES {
            return None;
        }
    }
    None
}

/// What a byte can be part of.
const NUMBER: u8 = 1;
/// Of a number: a date or time, no count.
const MARK: u8 = 2;
const WORD: u8 = 4;
/// Of a word: no letter, so it is no level.
const NAME: u8 = 8;

static CLASS: [u8; 256] = {
    const fn class(byte: u8) -> u8 {
        let word = match byte {
            b'a'..=b'z' | b'A'..=b'Z' => WORD,
            b'0'..=b'9' | b'_' | b'.' | b'$' => WORD | NAME,
            _ => 0,
        };
        match byte {
            b':' | b'.' | b'-' | b'/' => word | NUMBER | MARK,
            b'0'..=b'9' | b',' | b'+' | b'Z' => word | NUMBER,
            _ => word,
        }
    }
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        #[expect(clippy::indexing_slicing, reason = "checked when it is compiled")]
        {
            table[byte] = class(byte as u8);
        }
        byte += 1;
    }
    table
};

/// 19 for `2024-01-01 12:00:00` or the same with `T`, which is how most layouts begin; 0 for others.
#[inline]
fn timestamp_len(text: &[u8]) -> usize {
    match text {
        [
            b'0'..=b'9',
            _,
            _,
            b'0'..=b'9',
            b'-' | b'/',
            b'0'..=b'1',
            b'0'..=b'9',
            b'-' | b'/',
            b'0'..=b'3',
            b'0'..=b'9',
            b' ' | b'T',
            b'0'..=b'2',
            b'0'..=b'9',
            b':',
            b'0'..=b'5',
            b'0'..=b'9',
            b':',
            b'0'..=b'6',
            b'0'..=b'9',
            ..,
        ] => 19,
        _ => 0,
    }
}

/// How many bytes of a class `text` begins with, and what else they are.
#[inline]
fn run(text: &[u8], class: u8) -> (usize, u8) {
    let (mut length, mut seen) = (0, 0);
    for byte in text {
        let found = CLASS.get(usize::from(*byte)).copied().unwrap_or(0);
        if found & class == 0 {
            break;
        }
        seen |= found;
        length += 1;
    }
    (length, seen)
}

enum Token {
    Level(Level),
    Passed(Before),
}

impl<'a> Head<'a> {
    fn byte(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn from(&self, at: usize) -> &'a [u8] {
        self.text.get(at..).unwrap_or_default()
    }

    /// Passes one token; `None` where the head ends.
    fn token(&mut self) -> Option<Token> {
        let byte = self.byte()?;
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'_' => return self.word(),
            b'0'..=b'9' => return self.number(),
            _ => {}
        }
        let before = match byte {
            b'[' | b'(' | b'{' | b'<' => {
                self.depth += 1;
                if byte == b'[' { Before::Bracket } else { Before::Open }
            }
            b']' | b')' | b'}' | b'>' => {
                self.depth = self.depth.saturating_sub(1);
                Before::Close
            }
            b'|' => Before::Pipe,
            b'/' => return self.rest_of_token(self.at),
            // `::error file=a.c::text`, as GitHub's runner reads it.
            b':' if self.before == Before::Start => return self.workflow_command(),
            // A bullet, a comment: what follows is prose.
            b'-' | b'*' | b'#' if self.before == Before::Start => {
                if matches!(self.text.get(self.at + 1), None | Some(b' ' | b'\t')) {
                    return None;
                }
                Before::Separator
            }
            // A zone: `12:00:00 +0000`
            b'+' if self.before == Before::Stamp => Before::Stamp,
            b':' if self.before == Before::Close => Before::Tag,
            b',' if self.before == Before::Start || self.depth == 0 => return None,
            b'-' | b'*' | b'#' | b':' | b'=' | b'!' | b',' | b'~' => Before::Separator,
            // Symbols and box drawing at the start of the line.
            0x80.. if matches!(self.before, Before::Start | Before::Separator) => Before::Separator,
            _ => return None,
        };
        self.at += 1;
        Some(Token::Passed(before))
    }

    fn number(&mut self) -> Option<Token> {
        let start = self.at;
        let rest = self.from(start);
        let stamp = timestamp_len(rest);
        let (mut length, mut seen) = run(rest.get(stamp..).unwrap_or_default(), NUMBER);
        if stamp > 0 {
            length += stamp;
            seen |= MARK;
        }
        while matches!(rest.get(length..), Some([b'T', b'0'..=b'9', ..])) {
            let (more, also) = run(self.from(start + length + 1), NUMBER);
            length += 1 + more;
            seen |= also;
        }
        let marked = seen & MARK != 0;
        self.at += length;
        if !marked && length < 8 && !self.stamped && self.depth == 0 {
            // A count: "3 ERROR lines".
            return None;
        }
        self.stamped |= marked || length >= 8;
        let ends_in_colon = rest.get(length.saturating_sub(1)) == Some(&b':');
        Some(Token::Passed(if ends_in_colon { Before::Tag } else { Before::Stamp }))
    }

    fn word(&mut self) -> Option<Token> {
        let start = self.at;
        let rest = self.from(start);
        let (mut length, mut seen) = run(rest, WORD);
        while let Some([b'-', next, ..]) = rest.get(length..)
            && next.is_ascii_alphanumeric()
        {
            length += 1 + run(self.from(start + length + 1), WORD).0;
            seen |= NAME;
        }
        let (word, after) = rest.split_at_checked(length)?;
        let next = after.first();
        // How most lines of prose begin.
        let prose = self.before == Before::Start
            && next == Some(&b' ')
            && matches!(word, [b'a'..=b'z', ..])
            && !matches!(word, b"npm" | b"fatal" | b"thread");
        if !prose && let Some(level) = self.level(word, seen, after) {
            return Some(Token::Level(level));
        }
        self.at = start + length;
        match next {
            Some(b' ' | b'\t') | None => self.bare_word(word, after),
            Some(b'=') if self.depth == 0 => keys::logfmt(rest).map(Token::Level),
            // Ruby: `E, [2024-…] ERROR -- : text`
            Some(b',') if word.len() == 1 && self.before == Before::Start => {
                self.at += 1;
                Some(Token::Passed(Before::Separator))
            }
            Some(b']' | b')' | b'}' | b'>' | b'|' | b'[' | b'(' | b',') if self.depth > 0 => {
                Some(Token::Passed(Before::Name))
            }
            Some(b']' | b')' | b'}' | b'>' | b'|' | b'[' | b'(') => {
                self.names += 1;
                Some(Token::Passed(Before::Name))
            }
            _ => self.rest_of_token(start),
        }
    }

    /// A word with a space behind it.
    fn bare_word(&mut self, word: &[u8], after: &[u8]) -> Option<Token> {
        if word == b"NCCL" {
            return Some(Token::Passed(Before::Tag));
        }
        if is_calendar(word) {
            self.stamped = true;
            return Some(Token::Passed(Before::Stamp));
        }
        let is_zone = (2..=4).contains(&word.len()) && word.iter().all(u8::is_ascii_uppercase);
        if self.before == Before::Stamp && is_zone {
            return Some(Token::Passed(Before::Stamp));
        }
        if self.depth > 0 {
            return Some(Token::Passed(Before::Name));
        }
        self.names += 1;
        let goes_on = self.stamped
            || matches!(after.trim_ascii_start(), [b'[' | b'|' | b'(' | b'-' | b':', ..]);
        goes_on.then_some(Token::Passed(Before::Name))
    }

    /// Paths, `host:pid`, `file.py:12:`.
    fn rest_of_token(&mut self, start: usize) -> Option<Token> {
        let rest = self.from(start);
        let is_end = |byte: &u8| match byte {
            b' ' | b'\t' | b'[' => true,
            b']' | b')' | b'}' | b'>' | b'|' => self.depth > 0,
            _ => false,
        };
        let length = rest.iter().position(is_end).unwrap_or(rest.len());
        let token = rest.get(..length)?;
        self.at = start + length;
        // Apache: `[core:error]`
        if self.before == Before::Bracket
            && rest.get(length) == Some(&b']')
            && let Some(colon) = memchr::memrchr(b':', token)
            && let Some(level) = keys::from_word(token.get(colon + 1..)?)
        {
            return Some(Token::Level(level));
        }
        if token.ends_with(b":") {
            return Some(Token::Passed(Before::Tag));
        }
        if self.depth == 0 {
            self.names += 1;
        }
        Some(Token::Passed(Before::Name))
    }

    /// `::error file=…::` and `::error::`
    fn workflow_command(&mut self) -> Option<Token> {
        let rest = self.from(self.at).strip_prefix(b"::")?;
        let length = rest.iter().take_while(|byte| byte.is_ascii_lowercase()).count();
        let (word, after) = rest.split_at_checked(length)?;
        if !after.starts_with(b" ") && !after.starts_with(b"::") {
            return None;
        }
        keys::from_word(word).map(Token::Level)
    }

    /// What a word means where it stands.
    fn level(&self, word: &[u8], seen: u8, after: &[u8]) -> Option<Level> {
        if matches!(word, [_] | [_, b'0'..=b'9', ..])
            && let Some(level) = self.letter(word, after)
        {
            return Some(level);
        }
        if seen & NAME == 0
            && let Some(level) = self.named(word, after)
        {
            return Some(level);
        }
        if matches!(self.before, Before::Start | Before::Tag | Before::Separator) {
            return exception(word, after).or_else(|| phrase(word, after));
        }
        None
    }

    /// A level by its name.
    fn named(&self, word: &[u8], after: &[u8]) -> Option<Level> {
        let level = keys::from_word(word)?;
        let upper = word.first().is_some_and(u8::is_ascii_uppercase)
            && word.iter().all(u8::is_ascii_uppercase);
        let next = after.first().copied();
        let named = self.before != Before::Name;
        let believed = match next {
            Some(b':') if named => match after.get(1) {
                None | Some(b' ' | b'\t') => {
                    (upper || self.before != Before::Open) && !is_value(after.get(1..)?)
                }
                Some(_) => upper,
            },
            None | Some(b' ' | b'\t') if named && upper => true,
            // `[info     ]`, `| info |`; `\tinfo\t` is how zap writes it.
            None | Some(b' ' | b'\t') => self.enclosed(after, upper),
            Some(b']' | b')' | b'}' | b'>' | b'|') => {
                (named && upper) || self.enclosed(after, upper)
            }
            Some(b'!') => named && upper,
            Some(b',' | b'/') => named && upper && self.depth > 0,
            // `error[E0425]: cannot find …`
            Some(b'[') => {
                named && matches!(after, [_, b'A'..=b'Z', b'0'..=b'9', ..]) && self.depth == 0
            }
            _ => false,
        };
        let believed = believed || (self.before == Before::Tag && has_code(after));
        believed.then_some(level)
    }

    /// Whether a level in any case is set off on both sides.
    fn enclosed(&self, after: &[u8], upper: bool) -> bool {
        let follows = after.trim_ascii_start().first().copied();
        match self.before {
            Before::Bracket => follows == Some(b']') && (upper || self.names == 0 || self.stamped),
            Before::Pipe => follows == Some(b'|'),
            Before::Stamp => {
                after.starts_with(b"\t")
                    && self.at.checked_sub(1).and_then(|at| self.text.get(at)) == Some(&b'\t')
            }
            Before::Name => upper && self.stamped && matches!(follows, Some(b'-' | b'|' | b':')),
            _ => false,
        }
    }

    /// A level by its first letter: glog, TensorFlow, PyTorch, Ray.
    fn letter(&self, word: &[u8], after: &[u8]) -> Option<Level> {
        let (letter, digits) = word.split_first()?;
        let level = match letter {
            b'V' | b'T' => Level::Trace,
            b'D' => Level::Debug,
            b'I' => Level::Info,
            b'W' => Level::Warning,
            b'E' => Level::Error,
            b'F' | b'C' => Level::Critical,
            _ => return None,
        };
        let rest = after.strip_prefix(b" ")?;
        let believed = if digits.is_empty() {
            match self.before {
                Before::Stamp => self.depth > 0,
                Before::Tag => self.stamped && names_source(rest),
                Before::Bracket => names_source(rest),
                _ => false,
            }
        } else {
            // `E0102 15:04:05.678901`, `[W102 15:04:05.678901`
            digits.len() >= 3
                && digits.iter().all(u8::is_ascii_digit)
                && rest.first().is_some_and(u8::is_ascii_digit)
                && matches!(self.before, Before::Start | Before::Bracket | Before::Separator)
        };
        believed.then_some(level)
    }
}

/// `ProcessGroupNCCL.cpp:123`
fn names_source(text: &[u8]) -> bool {
    let endings: [&[u8]; 5] = [b".cpp:", b".cc:", b".h:", b".py:", b".cu:"];
    endings.iter().any(|ending| memchr::memmem::find(text, ending).is_some())
}

/// ` CS0246: …`: the number that compilers give their messages.
fn has_code(after: &[u8]) -> bool {
    let Some(code) = after.strip_prefix(b" ") else { return false };
    let letters = code.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    let digits = code.iter().skip(letters).take_while(|byte| byte.is_ascii_digit()).count();
    (1..=5).contains(&letters) && digits >= 2 && code.get(letters + digits) == Some(&b':')
}

/// `Jan`, `Mon`
fn is_calendar(word: &[u8]) -> bool {
    const NAMES: &[u8] = b"JanFebMarAprMayJunJulAugSepOctNovDecMonTueWedThuFriSatSun";
    word.len() == 3 && NAMES.chunks_exact(3).any(|name| name == word)
}
