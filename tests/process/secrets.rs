//! Secrets are masked before disk and tee, also those that become known late.

use steplog::record::IoStream;

use super::{captured, exit_record, sandbox, wrapped};
use crate::support::sandbox::finish;

#[test]
fn secrets_of_the_environment_are_masked_everywhere() {
    let sandbox = sandbox();
    let mut command = wrapped(
        &sandbox,
        &[],
        &["sh", "-c", "echo token $DEPLOY_TOKEN end; echo $DEPLOY_TOKEN >&2"],
    );
    let output = finish(command.env("DEPLOY_TOKEN", "s3cr3t-value-42")).expect(0);
    assert_eq!(output.text(), "token *** end\n");
    assert_eq!(output.errors(), "***\n");
    assert_eq!(captured(&sandbox, IoStream::Stdout), "token *** end\n");
    assert_eq!(exit_record(&sandbox).masked, 2);
}

#[test]
fn a_secret_added_at_run_time_is_masked_from_then_on() {
    let sandbox = sandbox();
    let steplog = env!("CARGO_BIN_EXE_steplog");
    let script = format!(
        "echo fresh-secret-1; for n in 1 2 3 4 5 6 7 8 9; do \
         echo fresh-secret-$n | {steplog} redact add; echo \"$n: fresh-secret-$n\"; done"
    );
    let output = finish(&mut wrapped(&sandbox, &[], &["sh", "-c", &script])).expect(0);
    let expected = super::numbers(1..10).replace('\n', ": ***\n");
    assert_eq!(output.text(), format!("fresh-secret-1\n{expected}"));
    assert_eq!(captured(&sandbox, IoStream::Stdout), output.text());
}

#[test]
fn nested_writers_all_learn_it() {
    let sandbox = sandbox();
    let steplog = env!("CARGO_BIN_EXE_steplog");
    let inner = format!("echo inner-secret | {steplog} redact add");
    let script =
        format!("{steplog} run --on-undelivered=ignore -- sh -c '{inner}'; echo inner-secret");
    let output = finish(&mut wrapped(&sandbox, &[], &["sh", "-c", &script])).expect(0);
    assert_eq!(output.text(), "***\n");
}

#[test]
fn what_cannot_be_masked_is_said() {
    let sandbox = sandbox();
    let steplog = env!("CARGO_BIN_EXE_steplog");
    let script =
        format!("printf 'abc\\nlong-enough\\n' | {steplog} redact add; echo $? long-enough");
    let output = finish(&mut wrapped(&sandbox, &[], &["sh", "-c", &script])).expect(0);
    assert_eq!(output.text(), "1 ***\n");
    assert!(output.errors().contains("1 of 2 are shorter than 6 bytes"), "{}", output.errors());
    let output = finish(&mut sandbox.steplog(["redact", "add"])).expect(2);
    assert!(output.errors().contains("within a step"), "{}", output.errors());
}
