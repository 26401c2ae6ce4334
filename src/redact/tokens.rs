//! Tokens that can be told by their look, whoever issued them.
//!
//! Only kinds with a prefix that no ordinary text has in front of so many of the right characters:
//! what is masked wrongly cannot be brought back. A table and a few lines instead of regular
//! expressions, because it must be known at any point of the stream whether a token may go on.

use super::Then;

/// What a place in the stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    No,
    /// A token of so many bytes.
    Match(usize),
    /// It depends on what follows.
    More,
}

struct Token {
    prefix: &'static [u8],
    body: Body,
}

enum Body {
    /// So many characters of a set, and then another one.
    Run { set: fn(u8) -> bool, least: usize, most: usize },
    /// `eyJ….eyJ….…`
    Jwt,
    /// To `-----END … PRIVATE KEY-----`.
    KeyBlock,
}

const fn run(prefix: &'static [u8], set: fn(u8) -> bool, least: usize, most: usize) -> Token {
    Token { prefix, body: Body::Run { set, least, most } }
}

static TOKENS: [Token; 27] = [
    // AWS access key ids; the secret keys that go with them look like anything.
    run(b"AKIA", is_upper, 16, 16),
    run(b"ASIA", is_upper, 16, 16),
    // GitHub
    run(b"ghp_", is_alphanumeric, 36, 255),
    run(b"gho_", is_alphanumeric, 36, 255),
    run(b"ghu_", is_alphanumeric, 36, 255),
    run(b"ghs_", is_alphanumeric, 36, 255),
    run(b"ghr_", is_alphanumeric, 36, 255),
    run(b"github_pat_", is_word, 36, 255),
    // GitLab
    run(b"glpat-", is_dotted, 20, 255),
    // Slack
    run(b"xoxb-", is_dashed, 20, 255),
    run(b"xoxp-", is_dashed, 20, 255),
    run(b"xoxa-", is_dashed, 20, 255),
    run(b"xapp-1-", is_dashed, 20, 255),
    // Stripe
    run(b"sk_live_", is_alphanumeric, 20, 255),
    run(b"rk_live_", is_alphanumeric, 20, 255),
    // Anthropic, OpenAI
    run(b"sk-ant-", is_dashed, 32, 255),
    run(b"sk-proj-", is_dashed, 32, 255),
    run(b"sk-svcacct-", is_dashed, 32, 255),
    // Hugging Face, npm, PyPI, Docker, DigitalOcean, Databricks
    run(b"hf_", is_alphanumeric, 34, 64),
    run(b"npm_", is_alphanumeric, 36, 36),
    run(b"pypi-AgEIcHlwaS5vcmc", is_dashed, 50, 1024),
    run(b"dckr_pat_", is_dashed, 20, 64),
    run(b"dop_v1_", is_alphanumeric, 64, 64),
    // Google
    run(b"AIza", is_dashed, 35, 35),
    run(b"ya29.", is_dotted, 40, 2048),
    Token { prefix: b"eyJ", body: Body::Jwt },
    Token { prefix: b"-----BEGIN ", body: Body::KeyBlock },
];

/// Longest JSON Web Token, and longest key block.
const LONGEST: usize = 16 << 10;

/// What all tokens begin with.
pub(super) fn prefixes() -> impl Iterator<Item = &'static [u8]> {
    TOKENS.iter().map(|token| token.prefix)
}

/// Whether `text` begins with a token; `before` is the byte before it.
pub(super) fn at(text: &[u8], before: Option<u8>, then: Then) -> Verdict {
    if before.is_some_and(is_word) {
        return Verdict::No;
    }
    for token in &TOKENS {
        let Some(rest) = text.strip_prefix(token.prefix) else { continue };
        let verdict = match &token.body {
            Body::Run { set, least, most } => run_length(rest, *set, *least, *most, then),
            Body::Jwt => jwt(rest, then),
            Body::KeyBlock => key_block(rest, then),
        };
        return match verdict {
            Verdict::Match(length) => Verdict::Match(token.prefix.len() + length),
            other => other,
        };
    }
    Verdict::No
}

/// Where the longest end of `buffer` starts that is the beginning of a prefix.
pub(super) fn live(buffer: &[u8], before: Option<u8>) -> usize {
    let longest = prefixes().map(<[u8]>::len).max().unwrap_or(0);
    let from = buffer.len().saturating_sub(longest - 1);
    let live = (from..buffer.len()).find(|start| {
        let end = buffer.get(*start..).unwrap_or_default();
        let before = start.checked_sub(1).and_then(|at| buffer.get(at)).copied().or(before);
        !before.is_some_and(is_word)
            && prefixes().any(|prefix| prefix.len() > end.len() && prefix.starts_with(end))
    });
    live.unwrap_or(buffer.len())
}

fn run_length(text: &[u8], set: fn(u8) -> bool, least: usize, most: usize, then: Then) -> Verdict {
    let length = text.iter().take(most + 1).take_while(|byte| set(**byte)).count();
    if length > most {
        Verdict::No
    } else if length == text.len() && then == Then::More {
        Verdict::More
    } else if length >= least {
        Verdict::Match(length)
    } else {
        Verdict::No
    }
}

fn jwt(text: &[u8], then: Then) -> Verdict {
    const LEAST: usize = 10;
    let text = text.get(..LONGEST).unwrap_or(text);
    let mut length = 0;
    for (part, begins) in [b"".as_slice(), b"eyJ", b""].iter().enumerate() {
        let rest = text.get(length..).unwrap_or_default();
        let run = rest.iter().take_while(|byte| is_dashed(**byte)).count();
        let open = run == rest.len() && then == Then::More && text.len() < LONGEST;
        let fits =
            if run < begins.len() { begins.starts_with(rest) } else { rest.starts_with(begins) };
        if !fits {
            return Verdict::No;
        }
        if open {
            return Verdict::More;
        }
        if run < LEAST {
            return Verdict::No;
        }
        length += run;
        if part < 2 {
            if rest.get(run) != Some(&b'.') {
                return Verdict::No;
            }
            length += 1;
        }
    }
    Verdict::Match(length)
}

/// `RSA PRIVATE KEY-----…-----END RSA PRIVATE KEY-----`. A block without an end is masked to where
/// the stream ends.
fn key_block(text: &[u8], then: Then) -> Verdict {
    const KIND: &[u8] = b"PRIVATE KEY";
    const DASHES: &[u8] = b"-----";
    let kind = text.iter().take(64).take_while(|byte| is_upper(**byte) || **byte == b' ').count();
    if kind == text.len() && kind < 64 {
        return if then == Then::More { Verdict::More } else { Verdict::No };
    }
    let (name, rest) = text.split_at_checked(kind).unwrap_or_default();
    if memchr::memmem::find(name, KIND).is_none() {
        return Verdict::No;
    }
    if !rest.starts_with(DASHES) {
        let open = rest.len() < DASHES.len() && DASHES.starts_with(rest) && then == Then::More;
        return if open { Verdict::More } else { Verdict::No };
    }
    let body = rest.get(DASHES.len()..).unwrap_or_default();
    let window = body.get(..LONGEST).unwrap_or(body);
    let end = memchr::memmem::find(window, b"-----END ").and_then(|end| {
        let name = end + 9;
        let tail = window.get(name..)?;
        memchr::memmem::find(tail, DASHES).map(|dashes| name + dashes + DASHES.len())
    });
    match (end, then) {
        (Some(end), _) => Verdict::Match(kind + DASHES.len() + end),
        (None, Then::More) if window.len() < LONGEST => Verdict::More,
        // What was printed so far of a key is as secret as all of it.
        (None, _) => Verdict::Match(kind + DASHES.len() + window.len()),
    }
}

fn is_upper(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

fn is_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_dashed(byte: u8) -> bool {
    is_word(byte) || byte == b'-'
}

fn is_dotted(byte: u8) -> bool {
    is_dashed(byte) || byte == b'.'
}
