//! Reading by hand: what a query must give, whatever store it is asked of, and any lines and
//! queries to try that with.

use std::ops::ControlFlow;
use std::sync::Arc;

use proptest::prelude::*;

use super::filter::Filter;
use super::join::Joining;
use super::pattern::{Patterns, Syntax};
use super::pipeline::{Item, Pipeline};
use super::store::{Direction, Event, LogReader, Request};
use super::testing::{Spec, time};
use crate::record::{IoStream, Level, Nanos};

/// What a test asks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query {
    pub(crate) filter: Filter,
    pub(crate) direction: Direction,
    pub(crate) limit: Option<u64>,
}

/// Lines as stream and `seq`, and what was wrong.
pub(crate) type Answer = (Vec<(u32, u64)>, Vec<String>);

/// Asks a store.
pub(crate) async fn ask(reader: &dyn LogReader, run: &str, query: &Query) -> Answer {
    let streams = reader.streams(run, None, &[]).await.unwrap();
    let request = Request {
        filter: query.filter.clone(),
        direction: query.direction,
        about: query.limit,
        ..Request::default()
    };
    let mut lines = reader.open(&streams, request);
    let filter = Arc::new(query.filter.clone());
    let mut pipeline = Pipeline::new(filter, query.direction, Joining::Off, query.limit);
    let (mut seen, mut troubles) = (Vec::new(), Vec::new());
    let mut sink = |item: Item<'_>| {
        let line = item.line().unwrap();
        seen.push((line.stream, line.seq));
        ControlFlow::Continue(())
    };
    loop {
        match lines.next().await.unwrap() {
            Event::Lines(slice) => {
                if pipeline.push(&slice, &mut sink).is_break() {
                    break;
                }
            }
            Event::Trouble(trouble) => troubles.push(trouble.what),
            Event::End => {
                let _done = pipeline.finish(&mut sink);
                break;
            }
            Event::Idle | Event::Ended(..) => panic!("only when following"),
        }
    }
    (seen, troubles)
}

/// The same by hand.
pub(crate) fn model(writers: &[Vec<Spec>], query: &Query) -> Vec<(u32, u64)> {
    let mut all = Vec::new();
    for (stream, specs) in (0_u32..).zip(writers) {
        for (seq, spec) in (0_u64..).zip(specs) {
            let when = spec.time.unwrap_or_else(|| time(seq));
            let filter = &query.filter;
            // A group is as serious as its first line, if that is in scope.
            let head = spec.group.filter(|group| {
                let when = specs[*group as usize].time.unwrap();
                filter.iostream.is_none_or(|only| only == specs[*group as usize].iostream)
                    && filter.since.is_none_or(|since| when >= since)
                    && *group >= filter.from_seq
            });
            let head = head.and_then(|group| specs[group as usize].level);
            let keep = filter.iostream.is_none_or(|only| only == spec.iostream)
                && filter.since.is_none_or(|since| when >= since)
                && filter.until.is_none_or(|until| when < until)
                && seq >= filter.from_seq
                && filter.to_seq.is_none_or(|to| seq < to)
                && filter.level.is_none_or(|least| spec.level.max(head) >= Some(least))
                && filter.text.as_ref().is_none_or(|it| it.matches(spec.text.as_bytes()))
                && filter.exclude.as_ref().is_none_or(|it| !it.matches(spec.text.as_bytes()));
            if keep {
                all.push((when, stream, seq));
            }
        }
    }
    all.sort_unstable();
    if query.direction == Direction::Backward {
        all.reverse();
    }
    let limit = query.limit.unwrap_or(u64::MAX) as usize;
    all.into_iter().take(limit).map(|(_, stream, seq)| (stream, seq)).collect()
}

/// Lines of a step.
pub(crate) fn specs() -> impl Strategy<Value = Vec<Spec>> {
    let line = (
        prop_oneof!["[ab]{1,2} \"x\"?", "[a-c]{0,3}", Just("é\u{1b}[1m\ta".to_owned())],
        proptest::option::weighted(0.2, 0..6_usize),
        proptest::bool::weighted(0.3),
        0..3_i64,
        proptest::bool::weighted(0.3),
    );
    proptest::collection::vec(line, 0..60).prop_map(|lines| {
        let mut now = time(0).0;
        let mut group = None;
        let mut specs = Vec::new();
        for (seq, (text, level, err, wait, grouped)) in (0_u64..).zip(lines) {
            now += wait;
            let level = level.map(|level| Level::ALL[level]);
            // A group starts with a line that has a level and goes on while chance says so.
            group = if grouped { group.or(level.map(|_| seq)) } else { None };
            specs.push(Spec {
                level,
                iostream: if err { IoStream::Stderr } else { IoStream::Stdout },
                time: Some(Nanos(now)),
                group,
                ..Spec::text(&text)
            });
        }
        specs
    })
}

/// Any question.
pub(crate) fn query() -> impl Strategy<Value = Query> {
    let scope = (
        proptest::option::of(any::<bool>()),
        proptest::option::of(0..60_i64),
        proptest::option::of(20..90_i64),
        prop_oneof![Just(0), 0..30_u64],
        proptest::option::of(20..60_u64),
    );
    let conditions = (
        proptest::option::of(0..6_usize),
        proptest::option::of(prop_oneof![Just("a"), Just("a \""), Just("^b"), Just("zzz")]),
        proptest::option::weighted(0.3, Just("c")),
    );
    (scope, conditions, any::<bool>(), proptest::option::of(0..9_u64)).prop_map(
        |((stderr, since, until, from_seq, to_seq), (level, text, exclude), backward, limit)| {
            let patterns = |text: &str| Patterns::new([text], Syntax::default()).unwrap();
            let filter = Filter {
                iostream: stderr.map(|it| if it { IoStream::Stderr } else { IoStream::Stdout }),
                since: since.map(|it| Nanos(time(0).0 + it)),
                until: until.map(|it| Nanos(time(0).0 + it)),
                from_seq,
                to_seq,
                no_progress: false,
                level: level.map(|level| Level::ALL[level]),
                text: text.map(patterns),
                exclude: exclude.map(patterns),
                context: (0, 0),
            };
            let direction = if backward { Direction::Backward } else { Direction::Forward };
            Query { filter, direction, limit }
        },
    )
}
