//! What redaction promises, against a naive replace over the whole input.

use std::collections::BTreeSet;

use proptest::prelude::*;
use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::literal::Extractor;

use super::defaults::DEFAULT_STARTS;
use super::*;

fn redactor(values: &[&str], patterns: &[&str]) -> Redactor {
    let patterns: Vec<String> = patterns.iter().map(|&p| p.to_owned()).collect();
    Redactor::new(values.iter().map(|v| v.as_bytes().to_vec()), &patterns).unwrap()
}

/// Pushes all of the reads, then flushes.
fn run<'a>(redactor: &Redactor, reads: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, u64) {
    let (mut stream, mut scratch) = (redactor.stream(), Scratch::default());
    let (mut all, mut masked) = (Vec::new(), 0);
    let mut take = |output: Output<'_>| {
        all.extend_from_slice(output.bytes);
        masked += output.masked;
    };
    for read in reads {
        take(stream.push(read, &mut scratch));
    }
    take(stream.flush(&mut scratch));
    assert_eq!(stream.pending(), 0);
    (all, masked)
}

fn check(redactor: &Redactor, reads: &[&str], want: &str) {
    let (all, masked) = run(redactor, reads.iter().map(|r| r.as_bytes()));
    assert_eq!(String::from_utf8_lossy(&all), want, "{reads:?}");
    assert_eq!(masked, want.matches("***").count() as u64, "{reads:?}");
    let whole = reads.concat();
    assert_eq!(run(redactor, [whole.as_bytes()]).0, all, "in one read: {whole:?}");
    assert_eq!(run(redactor, whole.as_bytes().chunks(1)).0, all, "byte by byte: {whole:?}");
}

fn literals_of(values: &[Vec<u8>]) -> BTreeSet<Vec<u8>> {
    let mut all = BTreeSet::new();
    for value in values {
        encode::forms(value, |form| {
            if form.len() >= MIN_SECRET {
                all.insert(form.to_vec());
            }
        });
    }
    all
}

/// The leftmost-longest replace; stops where the text may become a literal if it is open.
fn naive_literals(all: &BTreeSet<Vec<u8>>, text: &[u8], open: bool) -> (Vec<u8>, usize) {
    let (mut output, mut at) = (Vec::new(), 0);
    while let Some(&byte) = text.get(at) {
        let rest = &text[at..];
        if open && all.iter().any(|l| l.len() > rest.len() && l.starts_with(rest)) {
            break;
        }
        if let Some(length) = all.iter().filter(|l| rest.starts_with(l)).map(Vec::len).max() {
            output.extend_from_slice(MASK);
            at += length;
        } else {
            output.push(byte);
            at += 1;
        }
    }
    (output, text.len() - at)
}

fn naive_patterns(patterns: &[&str], text: &[u8]) -> Vec<u8> {
    let build = |text: &str| -> Regex {
        RegexBuilder::new(text).unicode(false).multi_line(true).crlf(true).build().unwrap()
    };
    let any = build(&patterns.iter().map(|p| format!("(?:{p})")).collect::<Vec<_>>().join("|"));
    let mut output = Vec::new();
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        let (line, end) = line.strip_suffix(b"\n").map_or((line, &b""[..]), |l| (l, b"\n"));
        output.extend_from_slice(&any.replace_all(line, MASK));
        output.extend_from_slice(end);
    }
    output
}

fn cut<'a>(text: &'a [u8], sizes: &'a [usize]) -> Vec<&'a [u8]> {
    let (mut rest, mut reads) = (text, Vec::new());
    for &size in sizes.iter().cycle().take(text.len() * 2) {
        let (read, further) = rest.split_at(size.min(rest.len()));
        reads.push(read);
        rest = further;
    }
    reads.push(rest);
    reads
}

/// Few letters, so that literals overlap, contain and begin one another.
fn value() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(b"aab\n".to_vec()), 4..14)
}

/// Patterns that meet borders, long repeats, alternatives, bytes of one character, lines.
const PATTERNS: &[&str] = &[
    r"ab+c",
    r"\bfoo\b",
    r"k=[^x]*x",
    r"^a.b$",
    r"(?:ab){2,3}c",
    r"a[ab]{3,}b",
    r"o+$",
    r"\Bk\b",
    r"(?i)FO(?:A|kk)x?",
    r"c.*?c",
    "(?u:[é-ü]+)x",
    r"\s+=",
];

/// Pieces of keys, so that built-in patterns begin, match, nearly match, and end anywhere.
const PIECES: &[&str] = &[
    "A",
    "AKI",
    "AKIA",
    "IOSFODNN7EXAMPLE",
    " ",
    "\n",
    "\r",
    "gh",
    "ghp_",
    "github_",
    "pat_",
    "0123456789abcdefABCDEF0123456789abcdef",
    "hf_",
    "s",
    "sk-",
    "ant-",
    "xoxb",
    "-",
    "-----BEGIN ",
    "RSA PRIVATE KEY-----",
    "\\n",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn literals_are_as_in_a_naive_replace_whatever_the_reads(
        values in prop::collection::vec(value(), 1..5),
        pieces in prop::collection::vec((any::<prop::sample::Index>(), 0usize..16, value()), 0..12),
        sizes in prop::collection::vec(0usize..40, 1..8).prop_filter("none", |s| s.iter().sum::<usize>() > 0),
    ) {
        // The text is made of literals, of their beginnings and of noise.
        let all = literals_of(&values);
        let list: Vec<_> = all.iter().collect();
        let mut text = Vec::new();
        for (which, length, noise) in &pieces {
            if !list.is_empty() {
                let literal = which.get(&list);
                text.extend_from_slice(&literal[..literal.len().min(*length)]);
            }
            text.extend_from_slice(&noise[..noise.len().min(length / 2)]);
        }
        let redactor = Redactor::new(values, &[]).unwrap();
        let (mut stream, mut scratch) = (redactor.stream(), Scratch::default());
        let (mut output, mut seen) = (Vec::new(), 0);
        for read in cut(&text, &sizes) {
            output.extend_from_slice(stream.push(read, &mut scratch).bytes);
            seen += read.len();
            let (naive, held) = naive_literals(&all, &text[..seen], true);
            prop_assert_eq!(&output, &naive);
            prop_assert_eq!(stream.pending(), held);
        }
        output.extend_from_slice(stream.flush(&mut scratch).bytes);
        prop_assert_eq!(output, naive_literals(&all, &text, false).0);
    }

    #[test]
    fn patterns_are_as_in_a_naive_replace_by_lines_whatever_the_reads(
        patterns in prop::sample::subsequence(PATTERNS, 1..4),
        text in "[abcfokx= \r\néü]{0,60}",
        sizes in prop::collection::vec(0usize..20, 1..8).prop_filter("none", |s| s.iter().sum::<usize>() > 0),
    ) {
        let redactor = redactor(&["aabbcc"], &patterns);
        let (output, _) = run(&redactor, cut(text.as_bytes(), &sizes));
        let all = literals_of(&[b"aabbcc".to_vec()]);
        let (naive, _) = naive_literals(&all, text.as_bytes(), false);
        let naive = naive_patterns(&patterns, &naive);
        prop_assert_eq!(String::from_utf8_lossy(&output), String::from_utf8_lossy(&naive));
    }

    #[test]
    fn built_in_patterns_are_the_same_without_their_starts(
        pieces in prop::collection::vec(prop::sample::select(PIECES), 0..30),
        sizes in prop::collection::vec(0usize..30, 1..8).prop_filter("none", |s| s.iter().sum::<usize>() > 0),
    ) {
        // With one more pattern it is another list, of which the starts are not known.
        let more: Vec<&str> = DEFAULT_PATTERNS.iter().copied().chain(["\u{1}{9}"]).collect();
        let rules = [redactor(&[], DEFAULT_PATTERNS), redactor(&[], &more)];
        let [mut known, mut unknown] = rules.map(|rules| (rules.stream(), Scratch::default()));
        let text = pieces.concat();
        for read in cut(text.as_bytes(), &sizes) {
            let one = known.0.push(read, &mut known.1);
            let other = unknown.0.push(read, &mut unknown.1);
            prop_assert_eq!((one.bytes, one.masked), (other.bytes, other.masked));
            prop_assert_eq!(known.0.pending(), unknown.0.pending());
        }
    }
}

#[test]
fn every_match_of_a_built_in_pattern_begins_with_a_start() {
    let mut parser = ParserBuilder::new().utf8(false).unicode(false).multi_line(true).build();
    for pattern in DEFAULT_PATTERNS {
        let prefixes = Extractor::new().extract(&parser.parse(pattern).unwrap());
        let literals = prefixes.literals().unwrap_or_default();
        assert!(!literals.is_empty(), "{pattern}");
        for literal in literals {
            let begins = |start: &&str| literal.as_bytes().starts_with(start.as_bytes());
            assert!(DEFAULT_STARTS.iter().any(begins), "{pattern}: {literal:?}");
        }
    }
}

#[test]
fn the_longest_literal_wins_and_the_leftmost_before_it() {
    let rules = redactor(&["secret1", "secret12345", "12345678"], &[]);
    check(&rules, &["a secr", "et1 b"], "a *** b");
    check(&rules, &["secret1234", "5678"], "***678");
    check(&rules, &["secret1234", "X 12345678"], "***234X ***");
    check(&rules, &["secretsecret1"], "secret***");
}

#[test]
fn short_values_are_not_masked() {
    let rules = redactor(&["12345", "  abc \n", ""], &[]);
    assert!(rules.is_empty());
    check(&rules, &["12345 abc"], "12345 abc");
    assert_eq!(rules.add([b"12345".to_vec(), b"123456".to_vec()]), 1);
    assert!(!rules.is_empty());
}

#[test]
fn every_encoded_form_is_masked() {
    // The texts come from Python's base64, urllib.parse and json.
    let rules = redactor(&["p@ss/w\"rd é&1+x"], &[]);
    for (form, text, want) in [
        ("raw", "(p@ss/w\"rd é&1+x)", "(***)"),
        ("base64", "cEBzcy93InJkIMOpJjEreA==", "***=="),
        ("base64, 1 before", "YXBAc3MvdyJyZCDDqSYxK3g=", "YX***="),
        ("base64, 2 before", "YWJwQHNzL3cicmQgw6kmMSt4", "YWJ***"),
        ("base64, 3 before", "YWJjcEBzcy93InJkIMOpJjEreA==", "YWJj***=="),
        ("base64 url, then more", "dXNlcjpwQHNzL3cicmQgw6kmMSt4P3RhaWw=", "dXNlcjp***P3RhaWw="),
        ("quote", "p%40ss/w%22rd%20%C3%A9%261%2Bx", "***"),
        ("quote, all", "p%40ss%2Fw%22rd%20%C3%A9%261%2Bx", "***"),
        ("quote, small letters", "p%40ss%2fw%22rd%20%c3%a9%261%2bx", "***"),
        ("quote_plus", "p%40ss%2Fw%22rd+%C3%A9%261%2Bx", "***"),
        ("json", r#""p@ss/w\"rd é&1+x""#, r#""***""#),
        ("json, ascii", r#""p@ss/w\"rd \u00e9&1+x""#, r#""***""#),
        ("json, slash", r#""p@ss\/w\"rd é&1+x""#, r#""***""#),
        ("json, html", r#""p@ss/w\"rd é\u00261+x""#, r#""***""#),
        ("json in json", r#""\"p@ss/w\\\"rd \\u00e9&1+x\"""#, r#""\"***\"""#),
    ] {
        let (output, masked) = run(&rules, text.as_bytes().chunks(5));
        assert_eq!((String::from_utf8_lossy(&output).as_ref(), masked), (want, 1), "{form}");
    }
}

#[test]
fn a_secret_of_many_lines_is_masked_whole_and_by_the_line() {
    let pem = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\nAgEAMBMGByqGSM49MIGH\nab==\n\
               -----END PRIVATE KEY-----\n";
    let rules = redactor(&[pem], &[]);
    check(&rules, &[pem], "***\n");
    check(&rules, &["x MIGHAgEAMBMGByqGSM49\r\nab==\r\n"], "x ***\r\nab==\r\n");
    check(&rules, &[&pem.replace('\n', "\\n")], "***\\n");
    check(&rules, &["-----END PRIVATE KEY-----\n"], "-----END PRIVATE KEY-----\n");
    // As `base64` wraps it.
    let wrapped = "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCk1JR0hBZ0VBTUJNR0J5cUdTTTQ5CkFnRUFNQk1H\n";
    check(&rules, &[wrapped], "***\n");
}

#[test]
fn nothing_is_held_when_the_tail_begins_no_secret() {
    let rules = redactor(&["secret-one", "tango-four"], DEFAULT_PATTERNS);
    let (mut stream, mut scratch) = (rules.stream(), Scratch::default());
    for (read, held) in [
        ("Password: ", 0),
        ("\r 10%|█▏  | 1/10 [00:01", 0),
        (" now sec", 3),
        ("ond and A", 1),
        ("KI", 3),
        ("N ghp_0123", 8),
        (" done, t", 1),
        ("", 1),
        ("an", 3),
        ("gle xAK.", 0),
        ("\nAKIA", 4),
    ] {
        stream.push(read.as_bytes(), &mut scratch);
        assert_eq!(stream.pending(), held, "after {read:?}");
    }
    assert_eq!(stream.flush(&mut scratch).bytes, b"AKIA");
    assert_eq!(stream.pending(), 0);
}

#[test]
fn clean_input_passes_without_a_copy() {
    let rules = redactor(&["secret-one"], DEFAULT_PATTERNS);
    let (mut stream, mut scratch) = (rules.stream(), Scratch::default());
    for read in ["one\ntwo\nbegun", "a line goes on", " to its end\nnext\n", "", "\r 5%", "\r 6%\n"]
    {
        let output = stream.push(read.as_bytes(), &mut scratch);
        assert_eq!(output.bytes.as_ptr_range(), read.as_bytes().as_ptr_range(), "{read:?}");
    }
    // With a held tail, the part before it is still the input's.
    let output = stream.push(b"word s", &mut scratch);
    assert_eq!(output.bytes, b"word ");
    assert_eq!((scratch.literals.capacity(), scratch.patterns.capacity()), (0, 0));
}

#[test]
fn values_added_at_run_time_reach_open_streams_and_what_they_hold() {
    let rules = redactor(&["secret-one"], &["key=[a-z]+;"]);
    let (mut stream, mut scratch) = (rules.stream(), Scratch::default());
    assert_eq!(stream.push(b"1 secret-", &mut scratch).bytes, b"1 ");
    assert_eq!(rules.clone().add([b"secret-two".to_vec()]), 1);
    assert_eq!(stream.push(b"two secret-one key=", &mut scratch).bytes, b"*** *** ");
    assert_eq!(rules.add([b"key=value;".to_vec()]), 1);
    assert_eq!(stream.push(b"alue; sec", &mut scratch).bytes, b"*** ");
    assert_eq!(stream.flush(&mut scratch).bytes, b"sec");

    let empty = redactor(&[], &[]);
    let mut stream = empty.stream();
    assert_eq!(stream.push(b"first-value", &mut scratch).bytes, b"first-value");
    empty.add([b"first-value".to_vec()]);
    assert_eq!(stream.push(b"first-value", &mut scratch).bytes, MASK);
}

#[test]
fn a_flush_gives_out_what_is_held_and_the_line_goes_on() {
    let rules = redactor(&["secret-one", "secret-one-and-more"], &[r"\bword\b"]);
    let (mut stream, mut scratch) = (rules.stream(), Scratch::default());
    assert_eq!(stream.push(b"a secret-one-and", &mut scratch).bytes, b"a ");
    let output = stream.flush(&mut scratch);
    assert_eq!((output.bytes, output.masked), (&b"***-and"[..], 1));
    // The border looks back over the flush.
    assert_eq!(stream.push(b"word word ", &mut scratch).bytes, b"word *** ");
}

#[test]
fn a_match_is_found_across_reads_up_to_the_window() {
    let rules = redactor(&[], &["key=[a-z]+;"]);
    let secret = format!("key={};", "z".repeat(PATTERN_WINDOW - 5));
    let text = format!("a {secret} b\n");
    for size in [1000, 4096, PATTERN_WINDOW - 1] {
        let (output, masked) = run(&rules, text.as_bytes().chunks(size));
        assert_eq!((output.as_slice(), masked), (&b"a *** b\n"[..], 1), "reads of {size}");
    }
    // A line without end is held back by no more than the window.
    let (mut stream, mut scratch) = (rules.stream(), Scratch::default());
    stream.push(b"key=", &mut scratch);
    for _ in 0..10 {
        stream.push(&[b'z'; 5000], &mut scratch);
        assert!(stream.pending() <= PATTERN_WINDOW);
    }
    stream.push(b"\n", &mut scratch);
    assert_eq!(stream.pending(), 0);
}

#[test]
fn a_pattern_too_deep_for_beginnings_holds_back_the_line() {
    let long = "x".repeat(2000);
    let rules = redactor(&[], &[&long]);
    check(&rules, &["a ", &long[..700], &long[700..], " b\n"], "a *** b\n");
}

#[test]
fn each_pattern_keeps_its_flags() {
    let rules = redactor(&[], &["(?x) a b c  # a comment", "(?i)def", "g h"]);
    check(&rules, &["abc DeF A", "BC g", " h a b c\n"], "*** *** ABC *** a b c\n");
}

#[test]
fn unusable_patterns_are_refused() {
    for (patterns, want) in [
        (&["a(b"][..], "pattern \"a(b\" is not usable"),
        (&["x", "a*"], "pattern \"a*\" can match empty text"),
        (&[r"\b"], "pattern \"\\\\b\" can match empty text"),
        (&["(?<n>aa)", "(?<n>bb)"], "patterns are not usable together"),
    ] {
        let patterns: Vec<String> = patterns.iter().map(|&p| p.to_owned()).collect();
        let error = Redactor::new([], &patterns).unwrap_err().to_string();
        assert!(error.starts_with(want), "{error}");
    }
}

#[test]
fn default_patterns_mask_keys_and_leave_text() {
    let rules = redactor(&[], DEFAULT_PATTERNS);
    let a36 = "a0B".repeat(12);
    for secret in [
        "AKIAIOSFODNN7EXAMPLE",
        &format!("ghp_{a36}"),
        &format!("github_pat_{a36}"),
        &format!("glpat-{a36}"),
        "xoxb-123456789012-abc",
        &format!("hf_{}", "aB".repeat(17)),
        &format!("sk-ant-api03-{a36}"),
        &format!("AIza{}", &a36[1..]),
        "-----BEGIN RSA PRIVATE KEY-----\\nMIIE+/ab\\nAA==\\n",
    ] {
        check(&rules, &["'", secret, "', next\n"], "'***', next\n");
    }
    for text in [
        "-----BEGIN CERTIFICATE-----\n",
        "-----BEGIN PRIVATE KEY-----\n",
        "sk-learn hf_hub ghp_ AIzawa xoxo-1 AKIA MAKIAIOSFODNN7EXAMPLE\n",
    ] {
        check(&rules, &[text], text);
    }
}

#[test]
fn nothing_shows_a_secret_in_debug_output() {
    let rules = redactor(&["secret-one"], &[]);
    let (mut stream, mut scratch) = (rules.stream(), Scratch::default());
    stream.push(b"secret-one and se", &mut scratch);
    let state = format!("{rules:?} {stream:?} {scratch:?}");
    let text = format!("{state} {:?}", stream.push(b"cret", &mut scratch));
    assert!(!text.contains("secret") && !text.contains("115"), "{text}");
}
