//! The stream against replacing in the whole, for any division into reads.

use proptest::prelude::*;

use super::*;

/// Everything at once: the union of all occurrences, each stretch of overlapping ones one mask.
fn naive(input: &[u8], forms: &[Box<[u8]>]) -> (Vec<u8>, u64) {
    let mut masks: Vec<(usize, usize)> = Vec::new();
    for start in 0..input.len() {
        let longest = forms
            .iter()
            .filter(|form| input[start..].starts_with(form))
            .map(|form| form.len())
            .max();
        if let Some(length) = longest {
            match masks.last_mut() {
                Some((_, end)) if start < *end => *end = (*end).max(start + length),
                _ => masks.push((start, start + length)),
            }
        }
    }
    let (mut out, mut at) = (Vec::new(), 0);
    for (start, end) in &masks {
        out.extend_from_slice(&input[at..*start]);
        out.extend_from_slice(MASK);
        at = *end;
    }
    out.extend_from_slice(&input[at..]);
    (out, masks.len() as u64)
}

/// Feeds `input` in pieces of the given lengths (used round and round).
fn stream(redactor: &mut Redactor, input: &[u8], pieces: &[usize]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = input;
    let mut pieces = pieces.iter().cycle();
    while !rest.is_empty() {
        let length = (*pieces.next().unwrap()).clamp(1, rest.len());
        let (piece, after) = rest.split_at(length);
        out.extend_from_slice(redactor.feed(IoStream::Stdout, piece));
        rest = after;
    }
    out.extend_from_slice(redactor.finish(IoStream::Stdout));
    out
}

fn redactor(values: &[&str], patterns: &[&str]) -> Redactor {
    let values = values.iter().map(|value| value.as_bytes().to_vec());
    let patterns: Vec<String> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
    Redactor::new(values, &patterns).unwrap()
}

fn masked(redactor: &mut Redactor, input: &str) -> String {
    let mut all = None;
    for pieces in [usize::MAX, 1, 2, 3, 7, 16, 61] {
        let out = String::from_utf8(stream(redactor, input.as_bytes(), &[pieces])).unwrap();
        assert_eq!(all.get_or_insert_with(|| out.clone()), &out, "in pieces of {pieces}");
    }
    all.unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_division_masks_the_same(
        values in prop::collection::vec("[ab]{6,12}", 1..5),
        input in "[abc\n]{0,200}",
        pieces in prop::collection::vec(1usize..20, 1..10),
    ) {
        let values: Vec<Vec<u8>> = values.into_iter().map(String::into_bytes).collect();
        let mut redactor = Redactor::new(values, &[]).unwrap();
        let (expected, count) = naive(input.as_bytes(), &redactor.forms);
        let found = stream(&mut redactor, input.as_bytes(), &pieces);
        prop_assert_eq!(String::from_utf8(found).unwrap(), String::from_utf8(expected).unwrap());
        prop_assert_eq!(redactor.masked(), count);
    }

    #[test]
    fn multi_line_values_and_binary_input(
        value in prop::collection::vec(prop::sample::select(vec![b'a', b'\n', 0xff, b'"']), 6..40),
        before in prop::collection::vec(any::<u8>(), 0..40),
        after in prop::collection::vec(any::<u8>(), 0..40),
        pieces in prop::collection::vec(1usize..9, 1..10),
    ) {
        let mut redactor = Redactor::new([value.clone()], &[]).unwrap();
        let input = [before, value.clone(), after, value].concat();
        let (expected, _) = naive(&input, &redactor.forms);
        prop_assert_eq!(stream(&mut redactor, &input, &pieces), expected);
    }

    #[test]
    fn patterns_are_found_in_any_division(
        input in "[kx1\n\r ]{0,120}",
        pieces in prop::collection::vec(1usize..20, 1..10),
    ) {
        let pattern = "^ *k[x1]+k|1x1$";
        let regex = regex::bytes::RegexBuilder::new(pattern).build().unwrap();
        let mut redactor = redactor(&["secret"], &[pattern]);
        let mut expected = Vec::new();
        let lines = input.as_bytes().split_inclusive(|byte| matches!(byte, b'\n' | b'\r'));
        for line in lines {
            let end = line.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |at| at + 1);
            expected.extend_from_slice(&regex.replace_all(&line[..end], MASK));
            expected.extend_from_slice(&line[end..]);
        }
        let found = stream(&mut redactor, input.as_bytes(), &pieces);
        prop_assert_eq!(String::from_utf8(found).unwrap(), String::from_utf8(expected).unwrap());
    }

    #[test]
    fn tokens_are_found_in_any_division(
        words in prop::collection::vec(prop::sample::select(vec![
            "AKIAIOSFODNN7EXAMPLE", "AKIA", "ghp_0123456789abcdefghijklmnopqrstuvwxyz", "ghp_", "text", "eyJ",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N", "-----BEGIN ", "-----",
            "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nAAAA\n-----END RSA PRIVATE KEY-----", "_", " ", "\n", ".", "s", "hf_",
            "-----BEGIN CERTIFICATE-----",
        ]), 0..12),
        pieces in prop::collection::vec(1usize..40, 1..10),
    ) {
        let input = words.concat();
        let whole = stream(&mut redactor(&[], &[]).with_tokens(), input.as_bytes(), &[usize::MAX]);
        let found = stream(&mut redactor(&[], &[]).with_tokens(), input.as_bytes(), &pieces);
        prop_assert_eq!(String::from_utf8(found).unwrap(), String::from_utf8(whole).unwrap());
    }
}

#[test]
fn overlapping_secrets_leave_nothing_behind() {
    let mut redactor = redactor(&["abcdefgh", "efghijkl", "secret", "secret-and-more"], &[]);
    assert_eq!(
        masked(&mut redactor, "<abcdefghijkl> <secret-and-more> <secret-and-mor>"),
        "<***> <***> <***-and-mor>"
    );
    assert_eq!(masked(&mut redactor, "secretsecret"), "******");
}

#[test]
fn forms_of_a_value_are_masked() {
    let mut redactor = redactor(&["p@ss \"word\"/1"], &[]);
    let table = [
        ("p@ss \"word\"/1", "***"),
        (r#"{"password":"p@ss \"word\"/1"}"#, r#"{"password":"***"}"#),
        ("?password=p%40ss%20%22word%22%2F1&x", "?password=***&x"),
        ("?password=p%40ss+%22word%22%2F1&x", "?password=***&x"),
        // "user:p@ss …" as basic authentication: the value is in the middle of the text.
        ("Basic dXNlcjpwQHNzICJ3b3JkIi8x", "Basic dXNlcjp***x"),
    ];
    for (input, expected) in table {
        let found = masked(&mut redactor, input);
        if expected.starts_with("Basic") {
            assert!(
                found.starts_with("Basic ") && found.contains("***") && found.len() < input.len(),
                "{found}"
            );
        } else {
            assert_eq!(found, expected);
        }
    }
}

#[test]
fn clean_bytes_are_passed_on_without_a_copy() {
    let mut nothing = redactor(&[], &[]);
    let mut values = redactor(&["secret"], &[]);
    let input = b"a clean line\n";
    assert!(std::ptr::eq(nothing.feed(IoStream::Stdout, input), input.as_slice()));
    assert!(std::ptr::eq(values.feed(IoStream::Stdout, input), input.as_slice()));
}

#[test]
fn only_a_live_prefix_is_held_back() {
    let mut redactor = redactor(&["secret"], &[]);
    assert_eq!(redactor.feed(IoStream::Stdout, b"password: "), b"password: ");
    assert_eq!(redactor.feed(IoStream::Stdout, b"user sec"), b"user ");
    assert_eq!(redactor.idle(IoStream::Stdout), b"");
    assert_eq!(redactor.feed(IoStream::Stderr, b"ret"), b"ret");
    assert_eq!(redactor.feed(IoStream::Stdout, b"tion\n"), b"section\n");
    assert_eq!(redactor.feed(IoStream::Stdout, b"sec"), b"");
    assert_eq!(redactor.feed(IoStream::Stdout, b"ret!"), b"***!");
    assert_eq!(redactor.feed(IoStream::Stdout, b"secre"), b"");
    assert_eq!(redactor.finish(IoStream::Stdout), b"secre");
    assert_eq!(redactor.masked(), 1);
}

#[test]
fn with_patterns_the_unfinished_line_waits_until_idle() {
    let mut redactor = redactor(&[], &["tok-[0-9]+"]);
    assert_eq!(redactor.feed(IoStream::Stdout, b"one\ntwo tok-1"), b"one\n");
    assert_eq!(redactor.feed(IoStream::Stdout, b"2\r50%"), b"two ***\r");
    assert_eq!(redactor.idle(IoStream::Stdout), b"50%");
    assert_eq!(redactor.finish(IoStream::Stdout), b"");
}

#[test]
fn patterns_are_found_in_lines_longer_than_the_window() {
    let token = format!("tok-{}", "7".repeat(1000));
    let line = format!("{}{token}{}", "x ".repeat(5000), " y".repeat(5000));
    let expected = line.replace(&token, "***");
    assert_eq!(masked(&mut redactor(&[], &["tok-[0-9]+"]), &line), expected);
}

#[test]
fn values_are_added_while_the_step_runs() {
    let mut redactor = redactor(&[], &[]);
    assert!(redactor.is_transparent());
    assert_eq!(redactor.feed(IoStream::Stdout, b"first-secret "), b"first-secret ");
    redactor.add([b"first-secret".to_vec()]);
    assert_eq!(redactor.feed(IoStream::Stdout, b"first-secret second-"), b"*** second-");
    redactor.add([b"other-secret".to_vec()]);
    assert_eq!(redactor.feed(IoStream::Stdout, b"first-secret"), b"***");
    assert_eq!(redactor.feed(IoStream::Stdout, b" other-"), b" ");
    redactor.add([b"third-secret".to_vec()]);
    assert_eq!(redactor.feed(IoStream::Stdout, b"secret"), b"***");
}

#[test]
fn many_values_are_masked_too() {
    let values: Vec<Vec<u8>> =
        (0..500).map(|number| format!("secret-number-{number}!").into_bytes()).collect();
    let mut redactor = Redactor::new(values, &[]).unwrap();
    assert_eq!(
        masked(&mut redactor, "a secret-number-499! b secret-number-500! c"),
        "a *** b secret-number-500! c"
    );
}

#[test]
fn tokens() {
    let github = "ghp_0123456789abcdefghijklmnopqrstuvwxyz";
    let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N";
    let key = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----";
    let table = [
        (format!("token={github}\n"), "token=***\n".to_owned()),
        (format!("x{github}"), format!("x{github}")),
        ("ghp_short".to_owned(), "ghp_short".to_owned()),
        (format!("Bearer {jwt}\n"), "Bearer ***\n".to_owned()),
        (format!("a\n{key}\nb\n"), "a\n***\nb\n".to_owned()),
        (
            "-----BEGIN CERTIFICATE-----\nMIID".to_owned(),
            "-----BEGIN CERTIFICATE-----\nMIID".to_owned(),
        ),
        ("-----BEGIN PRIVATE KEY-----\nMIIEvQ\n".to_owned(), "***".to_owned()),
        ("id AKIAIOSFODNN7EXAMPLE.".to_owned(), "id ***.".to_owned()),
        ("AKIAIOSFODNN7EXAMPLEX".to_owned(), "AKIAIOSFODNN7EXAMPLEX".to_owned()),
        ("-------------------- 5%".to_owned(), "-------------------- 5%".to_owned()),
        (
            "hf_hub_download eyJust.another sk-learn".to_owned(),
            "hf_hub_download eyJust.another sk-learn".to_owned(),
        ),
    ];
    for (input, expected) in table {
        assert_eq!(masked(&mut redactor(&[], &[]).with_tokens(), &input), expected);
    }
}

#[test]
fn a_bad_pattern_is_named() {
    let error = Redactor::new([], &["a(b".to_owned()]).unwrap_err();
    assert_eq!(error.to_string(), r#"read the pattern "a(b""#);
}
