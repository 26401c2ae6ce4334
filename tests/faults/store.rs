//! The artifact store misbehaves: a proxy in front of a real one does it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::all_there;
use crate::servers::proxy::{Action, Proxy, Seen};
use crate::servers::{nobody, seaweed};
use crate::support::lines::assert_same;
use crate::support::paced::Paced;
use crate::support::sandbox::{LOCAL, Sandbox, finish, in_small_pieces};

const QUICK: &str = "[ship]\nretry_initial = \"5ms\"\nretry_max = \"50ms\"\ntimeout = \"2s\"\n";

/// A run whose first `count` PUTs meet with `action`: everything must arrive within the run.
#[track_caller]
fn survives(run: &str, count: usize, action: Action) -> Proxy {
    let remote = seaweed::remote();
    let proxy = Proxy::to(remote.address);
    let stack = remote.through(proxy.address).stack(run, QUICK);
    let sandbox = Sandbox::with_stack(&in_small_pieces(&stack));
    let forces_a_retry = !matches!(action, Action::Delay(_) | Action::Throttle(..));
    proxy.puts(count, action);
    let (input, said) = Paced::start(&sandbox, run, 5000, 5).succeed();
    assert_eq!(said, "", "{}", sandbox.ship_said());
    all_there(&sandbox, run, &input);
    assert!(sandbox.spooled().is_empty());
    let met = proxy.faults();
    assert!(met == count || (met > 0 && !forces_a_retry), "{met} faults met, not {count}");
    proxy
}

#[test]
fn answers_500() {
    survives("answers-500", 7, Action::status(500));
}

#[test]
fn answers_503() {
    survives("answers-503", 7, Action::status(503));
}

#[test]
fn answers_429_and_says_when_to_come_back() {
    survives("answers-429", 3, Action::answer(429, "Retry-After: 1\r\n", ""));
}

#[test]
fn answers_slow_down_as_s3_does() {
    let body = "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>Reduce your request \
                rate.</Message></Error>";
    survives("slow-down", 5, Action::answer(503, "", body));
}

#[test]
fn closes_the_connection() {
    survives("closes", 7, Action::Drop);
}

#[test]
fn cuts_the_request_in_the_middle_of_its_body() {
    survives("cuts-request", 7, Action::CutRequest(900));
}

#[test]
fn takes_the_object_and_loses_the_answer() {
    let proxy = survives("loses-answer", 7, Action::SwallowAnswer);
    // Each is sent again under the same name with as many bytes.
    let seen = proxy.seen();
    for lost in seen.iter().filter(|seen| matches!(seen.action, Action::SwallowAnswer)) {
        let same = |other: &&Seen| {
            (&other.path, other.body_bytes) == (&lost.path, lost.body_bytes)
                && other.method == lost.method
        };
        assert!(seen.iter().filter(same).count() >= 2, "{lost:?}");
    }
}

#[test]
fn takes_the_object_and_cuts_the_answer() {
    survives("cuts-answer", 7, Action::CutAnswer(30));
}

#[test]
fn takes_the_object_and_half_closes() {
    survives("half-closes", 7, Action::HalfClose);
}

#[test]
fn is_slow() {
    survives("slow", 20, Action::Delay(Duration::from_millis(300)));
}

#[test]
fn is_a_trickle() {
    survives("trickle", 4, Action::Throttle(512, Duration::from_millis(5)));
}

#[test]
fn is_too_slow_for_a_chunk_within_the_timeout() {
    const PIECE: usize = 256;
    const PAUSE: Duration = Duration::from_millis(20);
    const TIMEOUT: Duration = Duration::from_millis(250);
    let remote = seaweed::remote();
    let proxy = Proxy::to(remote.address);
    let more = format!("{}lowest_rate = \"1 KiB\"\n", QUICK.replace("2s", "250ms"));
    let stack = remote.through(proxy.address).stack("too-slow", &more);
    let sandbox = Sandbox::with_stack(&in_small_pieces(&stack));
    proxy.puts(usize::MAX, Action::Throttle(PIECE, PAUSE));
    let (input, said) = Paced::start(&sandbox, "too-slow", 2000, 1).succeed();
    assert_eq!(said, "", "{}", sandbox.ship_said());
    all_there(&sandbox, "too-slow", &input);
    let largest = proxy.seen().iter().map(|seen| seen.body_bytes).max().unwrap();
    assert!(PAUSE * (largest / PIECE) as u32 > 2 * TIMEOUT, "{largest} bytes are too few");
}

#[test]
fn never_answers_until_the_request_times_out() {
    survives("hangs", 2, Action::Hang);
}

#[test]
fn a_service_that_takes_records_never_answers_every_other_request() {
    let proxy = Proxy::double(Action::status(200));
    let mut hangs = false;
    proxy.script(move |_| {
        hangs = !hangs;
        if hangs { Action::Hang } else { Action::status(200) }
    });
    let stack = LOCAL.replace("artifact_store =", "log_stores = [\"url\"]\nartifact_store =");
    let url =
        format!("[log_stores.url]\nflavor = \"http\"\nendpoint = \"http://{}/\"\n", proxy.address);
    let sandbox = Sandbox::with_stack(&format!("{stack}{url}{}", QUICK.replace("2s", "250ms")));
    let (_, said) = Paced::start(&sandbox, "hangs", 100, 1).succeed();
    assert_eq!(said, "", "{}", sandbox.ship_said());
    assert!(sandbox.spooled().is_empty());
    // The start, the lines and the end, each twice.
    assert_eq!(proxy.seen().len(), 6);
}

/// The run ends with the step's code although nothing was delivered; then the store is well.
fn left_behind(run: &str, action: Option<&Action>) -> String {
    let remote = seaweed::remote();
    let proxy = Proxy::to(remote.address);
    let address = match action {
        Some(action) => {
            let action = action.clone();
            proxy.script(move |_| action.clone());
            proxy.address
        }
        None => nobody(),
    };
    let more = format!("{QUICK}deadline = \"500ms\"\n");
    let sandbox = Sandbox::with_stack(&remote.through(address).stack(run, &more));
    let (input, said) = Paced::start(&sandbox, run, 3000, 3).succeed();
    assert!(said.contains("steplog ship"), "it says how to deliver the rest: {said}");
    assert_eq!(sandbox.spooled().len(), 1, "the spool keeps it");
    sandbox.write_stack(&remote.stack(run, &more));
    sandbox.call(["ship", "--all"]).expect(0);
    all_there(&sandbox, run, &input);
    assert!(sandbox.spooled().is_empty());
    said
}

#[test]
fn nobody_listens() {
    left_behind("nobody", None);
}

#[test]
fn is_down_all_the_time() {
    left_behind("down", Some(&Action::Drop));
}

#[test]
fn answers_503_all_the_time() {
    let said = left_behind("always-503", Some(&Action::status(503)));
    assert!(said.contains("503"), "it says why: {said}");
}

#[test]
fn refuses_the_credentials() {
    let body = "<?xml version=\"1.0\"?><Error><Code>InvalidAccessKeyId</Code><Message>The key does \
                not exist.</Message></Error>";
    let said = left_behind("refused", Some(&Action::answer(403, "", body)));
    assert!(said.contains("InvalidAccessKeyId") || said.contains("403"), "it says why: {said}");
}

#[test]
fn wrong_credentials_are_never_shown_as_no_logs() {
    let remote = seaweed::remote();
    let stack = remote.stack("wrong", "").replace("steplogtestsecret", "not-the-secret-at-all");
    let sandbox = Sandbox::with_stack(&stack);
    let output = sandbox.call(["logs", "run"]);
    assert!(!output.errors().contains("not-the-secret-at-all"), "{}", output.errors());
    let said = output.expect(4).errors();
    assert_eq!(said.matches("SignatureDoesNotMatch").count(), 1, "it says so once: {said}");
    assert!(!said.contains("list-type"), "a query may hold a signature: {said}");
}

#[test]
fn reading_survives_a_store_that_falters() {
    let remote = seaweed::remote();
    let proxy = Proxy::to(remote.address);
    let sandbox = Sandbox::with_stack(&remote.through(proxy.address).stack("falters", QUICK));
    let (input, _) = Paced::start(&sandbox, "falters", 3000, 3).succeed();
    for action in [Action::status(503), Action::Drop, Action::CutAnswer(400)] {
        let mut left = 2;
        let fault = action.clone();
        proxy.script(move |_| {
            if left > 0 {
                left -= 1;
                return fault.clone();
            }
            Action::Pass
        });
        all_there(&sandbox, "falters", &input);
    }
}

#[test]
fn a_bit_flips_in_what_the_store_keeps() {
    for codec in ["zstd", "gzip"] {
        let stack = LOCAL.replace("flavor =", &format!("codec = \"{codec}\"\nflavor ="));
        let sandbox = Sandbox::with_stack(&in_small_pieces(&stack));
        let (input, _) = Paced::start(&sandbox, "run", 2000, 1).succeed();
        let mut segments = Vec::new();
        files(&sandbox.store(), &mut segments);
        segments.retain(|path| path.parent().unwrap().ends_with("seg"));
        let mut bytes = fs::read(&segments[0]).unwrap();
        // In the middle of the first frame: of 32 KiB of lines, some KiB.
        bytes[1500] ^= 1;
        fs::write(&segments[0], bytes).unwrap();
        let output = sandbox.call(["logs", "run", "-o", "raw"]).expect(5);
        assert!(output.errors().contains("damaged"), "{codec}: {}", output.errors());
        let behind = input.find(output.text().lines().next().unwrap()).unwrap();
        assert!(behind > 0 && behind < input.len() / 2);
        assert_same(codec, &input.as_bytes()[behind..], &output.stdout);
    }
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            files(&entry.path(), found);
        } else {
            found.push(entry.path());
        }
    }
}

#[test]
fn the_exit_code_on_undelivered_is_the_users_choice() {
    for (choice, code) in [("warn", 0), ("ignore", 0), ("fail", 1)] {
        let more = format!("{QUICK}deadline = \"100ms\"\n");
        let remote = seaweed::remote().through(nobody());
        let sandbox = Sandbox::with_stack(&remote.stack("choice", &more));
        let option = format!("--on-undelivered={choice}");
        let output = finish(&mut sandbox.steplog(["run", &option, "--", "echo", "hello"]));
        let failed = output.code != Some(0);
        assert_eq!(failed, code != 0, "{choice}: {:?}", output.code);
        assert_eq!(output.text(), "hello\n");
    }
}
