//! The lines of several writers: what opens one of them.

use std::time::Duration;

use super::Reader;
use super::source::{self, Source};
use crate::read::sources::{Open, Plan};
use crate::read::store::{Direction, Stream};
use crate::record::Nanos;

/// A reader, as the one who reads several writers sees it.
pub(super) struct Writers(pub(super) Reader);

impl Open for Writers {
    type Source = Source;

    fn source(&self, stream: &Stream, plan: Plan) -> Source {
        let Self(reader) = self;
        let plan = source::Plan {
            stream: plan.number,
            prefix: Reader::prefix(stream),
            running: !stream.status.is_final() && stream.status.is_sound(),
            direction: plan.direction,
            from_chunk: plan.mark.unwrap_or(0),
            follow: plan.follow,
            ahead: reader.ahead(plan.about, &plan.filter),
            lines: match plan.about {
                // Who wants few lines holds few, unless they are few among many.
                Some(lines) if !plan.filter.has_conditions() => lines,
                _ => u64::MAX,
            },
            filter: plan.filter,
            end: reader.known_end(stream),
        };
        Source::new(reader.client().clone(), plan)
    }

    fn bound(&self, stream: &Stream, direction: Direction) -> Option<Nanos> {
        let end = self.0.known_end(stream)?;
        match direction {
            Direction::Forward => end.segments.first().map(|segment| segment.first_time),
            Direction::Backward => end.segments.last().map(|segment| segment.last_time),
        }
    }

    fn cadence(&self, age: Duration) -> Duration {
        self.0.client().cadence(age)
    }
}
