//! What every flavor must do when nothing goes wrong, and when ship or the server goes away.

use std::time::Duration;

use serde_json::Value;

use super::{BATCH, Bench, Doubles, Subject, assert_arrived, settled};
use crate::support::sandbox::finish;
use crate::support::{lines, step, wait};

pub(crate) fn prints_nothing<S: Subject>() {
    let subject = S::start();
    let bench = Bench::of(&subject);
    bench.deliver("prints-nothing", b"");
    assert_arrived(&subject, "prints-nothing", b"", Doubles::Never);
}

pub(crate) fn prints_one_line<S: Subject>() {
    let subject = S::start();
    let bench = Bench::of(&subject);
    bench.deliver("prints-one-line", b"hello\n");
    let end = assert_arrived(&subject, "prints-one-line", b"hello\n", Doubles::Never);
    assert_eq!(end["end"]["exit"]["code"], 0);
    let stored = settled(&subject, "prints-one-line");
    let record = &stored.iter().find(|stored| stored.event.is_none()).unwrap().record;
    assert_eq!(record["iostream"], "stdout");
    for (field, value) in [("pipeline_run_id", "prints-one-line"), ("step_id", "train")] {
        assert_eq!(record[field], value);
    }
}

pub(crate) fn prints_more_than_one_request_holds<S: Subject>() {
    let subject = S::start();
    let bench = Bench::of(&subject);
    let text = lines::numbered(5 * BATCH + 7);
    bench.deliver("prints-more", text.as_bytes());
    assert_arrived(&subject, "prints-more", text.as_bytes(), Doubles::Never);
}

/// The artifact store of the same stack gets every record too and is what they are compared with,
/// field by field.
pub(crate) fn prints_every_kind_of_line<S: Subject>() {
    let subject = S::start();
    let small = "[capture]\nmax_line_bytes = \"4 KiB\"\nblock_bytes = \"8 KiB\"\n";
    let bench = Bench::of(&subject).copied(small);
    let run = "prints-every-kind";
    let kinds = step("kinds.py").display().to_string();
    let output = finish(&mut bench.sandbox.wrap(run, ["python3", &kinds])).expect(0);
    assert_eq!(output.errors(), "", "{}", bench.sandbox.ship_said());
    let expected = bench.sandbox.records_with(run, &["--log-store", "copy"]);
    assert!(expected.len() > 20, "{} records", expected.len());
    let mut stored = settled(&subject, run);
    stored.retain(|stored| stored.event.is_none());
    stored.sort_by_key(|stored| stored.seq);
    assert_eq!(stored.len(), expected.len());
    for (stored, expected) in stored.iter().zip(&expected) {
        for (field, value) in expected.as_object().unwrap() {
            assert_eq!(&stored.record[field], value, "{field} of {expected}");
        }
        // Nothing is made up either.
        for field in ["raw", "bytes", "eol", "part", "parts", "line", "group", "progress", "level"]
        {
            let absent = matches!(&stored.record[field], Value::Null | Value::Bool(false));
            assert_eq!(absent, expected[field].is_null(), "{field} of {expected}");
        }
    }
}

pub(crate) fn fails<S: Subject>() {
    let subject = S::start();
    let bench = Bench::of(&subject);
    let script = "echo before; exit 3";
    finish(&mut bench.sandbox.wrap("fails", ["sh", "-c", script])).expect(3);
    bench.all_delivered();
    let end = assert_arrived(&subject, "fails", b"before\n", Doubles::Never);
    assert_eq!(end["end"]["exit"]["code"], 3);
}

pub(crate) fn ship_is_killed_again_and_again<S: Subject>() {
    let subject = S::start();
    let bench = Bench::of(&subject);
    let (run, kills) = ("ship-killed", 8);
    let mut step = bench.paced(run, 20_000, kills);
    let mut last = 0;
    let mut moment = 0x5EED_u64;
    for _ in 0..kills {
        let ship = wait::until("a new ship process", || {
            bench.sandbox.processes("ship").into_iter().find(|ship| ship.pid != last)
        });
        step.more();
        step.printed();
        // The moment is what varies here; nothing waits for it to be long enough.
        moment = moment.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        std::thread::sleep(Duration::from_micros((moment >> 33) % 150_000));
        ship.kill();
        last = ship.pid;
    }
    let (input, output) = step.finish();
    output.expect(0);
    bench.all_delivered();
    assert_arrived(&subject, run, input.as_bytes(), Doubles::Allowed);
}

pub(crate) fn the_server_restarts_in_the_middle<S: Subject>() {
    let mut subject = S::start_alone();
    let bench = Bench::of(&subject);
    let run = "server-restarts";
    let mut step = bench.paced(run, 6000, 3);
    step.more();
    step.printed();
    wait::until_true("something to arrive", || !subject.stored(run).is_empty());
    subject.stop();
    step.more();
    step.printed();
    subject.restart();
    let (input, output) = step.finish();
    assert_eq!(output.expect(0).errors(), "", "{}", bench.sandbox.ship_said());
    bench.all_delivered();
    // What was under way when it stopped may have been taken without an answer.
    assert_arrived(&subject, run, input.as_bytes(), Doubles::Allowed);
}

pub(crate) fn the_server_is_away_to_the_end<S: Subject>() {
    let mut subject = S::start_alone();
    let mut bench = Bench::of(&subject);
    subject.stop();
    bench.set("deadline", "300ms");
    let text = lines::numbered(3000);
    let said = bench.print("server-away", text.as_bytes()).expect(0).errors();
    assert!(
        said.contains("steplog ship ") && said.contains("log store it"),
        "says what to do: {said}"
    );
    assert_eq!(bench.sandbox.spooled().len(), 1, "the spool keeps it");
    subject.restart();
    bench.sandbox.call(["ship", "--all"]).expect(0);
    bench.all_delivered();
    assert_arrived(&subject, "server-away", text.as_bytes(), Doubles::Never);
}
