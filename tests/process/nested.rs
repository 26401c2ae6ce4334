//! steplog within steplog: the same run, told apart, and no loop.

use steplog::record::Writer;
use steplog::spool::read_meta;

use super::sandbox;
use crate::support::sandbox::finish;

#[test]
fn an_inner_writer_joins_the_run_of_the_outer() {
    let sandbox = sandbox();
    let steplog = env!("CARGO_BIN_EXE_steplog");
    let script = format!(
        "echo outer; {steplog} run --on-undelivered=ignore -- echo inner; \
         {steplog} run --on-undelivered=ignore --step=other -- echo other"
    );
    let mut command =
        sandbox.steplog(["run", "--on-undelivered=ignore", "--", "sh", "-c", &script]);
    let output = finish(&mut command).expect(0);
    assert_eq!(output.text(), "outer\ninner\nother\n");
    assert_eq!(
        output.errors().lines().count(),
        1,
        "only the outer has to name a run: {}",
        output.errors()
    );
    let mut writers: Vec<Writer> =
        sandbox.spooled().iter().map(|dir| read_meta(dir).unwrap().writer).collect();
    writers.sort_by_key(|writer| writer.started);
    let [outer, inner, other] = writers.as_slice() else { panic!("{writers:?}") };
    let place = |writer: &Writer| format!("{} {}", writer.origin.step_id, writer.origin.source);
    assert_eq!(place(outer), "sh step");
    assert_eq!(place(inner), "sh nested");
    assert_eq!(place(other), "other step");
    for nested in [inner, other] {
        assert_eq!(nested.origin.pipeline_run_id, outer.origin.pipeline_run_id);
        assert_eq!(nested.attributes["steplog.parent_writer"], outer.id.to_string());
    }
}

#[test]
fn the_writer_says_what_the_step_is() {
    let sandbox = sandbox();
    let mut command =
        sandbox.steplog(["run", "--on-undelivered=ignore", "--run=a", "--step=b", "--attempt=3"]);
    command.args(["--source=hook:x", "--attribute=team=vision", "--", "sh", "-c"]);
    let script = "echo $$; echo $STEPLOG_PIPELINE_RUN_ID $STEPLOG_STEP_ID $STEPLOG_ATTEMPT";
    let output = finish(command.arg(script)).expect(0);
    let text = output.text();
    let (pid, told) = text.split_once('\n').unwrap();
    assert_eq!(told, "a b 3\n");
    let writer = read_meta(&sandbox.spooled()[0]).unwrap().writer;
    assert_eq!(writer.origin.attempt, 3);
    assert_eq!(writer.origin.source, "hook:x");
    assert_eq!(writer.attributes["team"], "vision");
    assert_eq!(writer.attributes["process.pid"], pid);
    assert_eq!(writer.attributes["process.executable.name"], "sh");
    assert!(writer.attributes.contains_key("host.name"));
}
