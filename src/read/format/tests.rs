//! One table a form: lines in, bytes out.

use std::ops::ControlFlow;
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::super::filter::Filter;
use super::super::join::Joining;
use super::super::page::Slice;
use super::super::pipeline::Pipeline;
use super::super::store::Direction;
use super::super::testing::{self, Spec};
use super::*;

fn text() -> Text {
    Text {
        cleaning: Cleaning::default(),
        colours: false,
        clock: None,
        labels: Vec::new(),
        all_progress: false,
    }
}

fn show(specs: &[Spec], form: Form, joining: Joining) -> String {
    let page = Filter::default().select(testing::ndjson(specs), 0);
    let slice = Slice::all(Arc::new(page));
    let filter = Arc::new(Filter::default());
    let mut pipeline = Pipeline::new(filter, Direction::Forward, joining, None);
    let mut formatter = Formatter::new(form);
    let mut out = Vec::new();
    let mut sink = |item: Item<'_>| {
        formatter.append(&item, &mut out);
        ControlFlow::Continue(())
    };
    let _all = pipeline.push(&slice, &mut sink);
    let _all = pipeline.finish(&mut sink);
    formatter.finish(&mut out);
    String::from_utf8(out).unwrap().replace('\x1b', "␛").replace('\r', "␍")
}

fn parts() -> Vec<Spec> {
    let part = |text: &str, part, last| Spec {
        part: Some((1, part, last)),
        eol: if last { None } else { Some(String::new()) },
        ..Spec::text(text)
    };
    vec![
        Spec::text("before"),
        part("Continue? ", 1, false),
        Spec { iostream: crate::record::IoStream::Stderr, ..Spec::text("note") },
        part("yes", 2, true),
        Spec { eol: Some("\r\n".into()), ..Spec::text("after") },
        Spec { eol: Some(String::new()), ..Spec::text("no end") },
    ]
}

#[test]
fn parts_are_one_line() {
    insta::assert_snapshot!(show(&parts(), Form::Text(text()), Joining::InPlace), @"
    before
    Continue? yes
    note
    after
    no end
    ");
}

#[test]
fn live_parts_are_shown_as_they_come() {
    insta::assert_snapshot!(show(&parts(), Form::Text(text()), Joining::Off), @"
    before
    Continue? 
    note
    yes
    after
    no end
    ");
    let mut lines = parts();
    lines.remove(2);
    insta::assert_snapshot!(show(&lines, Form::Text(text()), Joining::Off), @"
    before
    Continue? yes
    after
    no end
    ");
}

#[test]
fn raw_is_what_was_written() {
    let raw = show(&parts(), Form::Raw, Joining::Off);
    assert_eq!(raw, "before\nContinue? note\nyes\nafter␍\nno end");
}

#[test]
fn json_is_the_records() {
    insta::assert_snapshot!(show(&parts()[..1], Form::Json, Joining::Off), @r#"{"timestamp":"2026-11-23T06:44:00.000000000Z","seq":0,"iostream":"stdout","message":"before","pipeline_run_id":"run","step_id":"step","attempt":1,"source":"step"}"#);
}

fn bar() -> Vec<Spec> {
    vec![Spec { progress: true, ..Spec::text("\r  0%\r 50%\r100%") }, Spec::text("done")]
}

#[test]
fn progress_bars_are_shown_as_they_ended_or_all() {
    insta::assert_snapshot!(show(&bar(), Form::Text(text()), Joining::Off), @"
    100%
    done
    ");
    let all = Text { all_progress: true, ..text() };
    insta::assert_snapshot!(show(&bar(), Form::Text(all), Joining::Off), @"
      0%
     50%
    100%
    done
    ");
}

#[test]
fn a_live_bar_is_drawn_over_itself_on_a_terminal() {
    let part = |text: &str, part, last| Spec {
        part: Some((0, part, last)),
        progress: true,
        ..Spec::text(text)
    };
    let lines = [part("\r 1%", 1, false), part("\r 2%\r 3%", 2, false), part("\r 4%", 3, true)];
    let terminal = Text { cleaning: Cleaning { colours: false, terminal: true }, ..text() };
    insta::assert_snapshot!(show(&lines, Form::Text(terminal), Joining::Off), @" 1%␍␛[K 3%␍␛[K 4%");
    insta::assert_snapshot!(show(&lines, Form::Text(text()), Joining::Off), @"
     1%
     3%
     4%
    ");
}

#[test]
fn live_bars_below_each_other_are_drawn_over_themselves_on_a_terminal() {
    let part = |text: &str, part, last| Spec {
        part: Some((0, part, last)),
        progress: true,
        ..Spec::text(text)
    };
    let lines = [
        part("\rin 1\x1b[A\rout 1", 1, false),
        part("\n\rin 2\x1b[A", 2, false),
        part("\n\rin 3\x1b[A\rout 2", 3, true),
    ];
    let terminal = Text { cleaning: Cleaning { colours: false, terminal: true }, ..text() };
    insta::assert_snapshot!(show(&lines, Form::Text(terminal), Joining::Off), @"
    out 1
    in 1␍␛[K␛[A␍␛[Kout 1
    in 2␍␛[K␛[A␍␛[Kout 2
    in 3
    ");
    insta::assert_snapshot!(show(&lines, Form::Text(text()), Joining::InPlace), @"
    out 2
    in 3
    ");
}

#[test]
fn colours_labels_and_times() {
    let lines = [
        Spec::text("plain"),
        Spec { level: Some(Level::Warning), ..Spec::text("look") },
        Spec { level: Some(Level::Error), ..Spec::text("bad") },
        Spec { level: Some(Level::Error), ..Spec::text("\x1b[32mown") },
    ];
    let clock = Clock::new(clock::Style::Relative, TimeZone::UTC, testing::time(0));
    let coloured = Text {
        cleaning: Cleaning { colours: true, terminal: true },
        colours: true,
        clock: Some(clock),
        labels: vec!["train".into()],
        all_progress: false,
    };
    insta::assert_snapshot!(show(&lines, Form::Text(coloured), Joining::Off), @"
    ␛[36mtrain | ␛[0m␛[2m    +0.000s␛[0m plain
    ␛[36mtrain | ␛[0m␛[2m    +1.000s␛[0m ␛[33mlook␛[0m
    ␛[36mtrain | ␛[0m␛[2m    +2.000s␛[0m ␛[31mbad␛[0m
    ␛[36mtrain | ␛[0m␛[2m    +3.000s␛[0m ␛[32mown␛[0m
    ");
}
