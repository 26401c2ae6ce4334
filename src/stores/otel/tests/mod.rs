//! What the flavor writes, where it sends it, and what it makes of answers.

mod answers;
mod encoding;
mod keys;

use serde_json::{Map, Value};

use super::json::Json;
use super::model::Constant;
use super::protobuf::Protobuf;
use crate::record::{IoStream, Level, Nanos, Writer};
use crate::stores::view::{Rare, View};

/// A line as others want it written.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) time: Nanos,
    pub(crate) level: Option<Level>,
    pub(crate) iostream: IoStream,
    pub(crate) message: String,
    pub(crate) attributes: Map<String, Value>,
}

/// The requests that these lines of a writer become: protobuf and JSON. For whoever reads such.
pub(crate) fn requests(writer: &Writer, lines: &[Sent]) -> [Vec<u8>; 2] {
    let constant = Constant::new(writer, &encoding::config());
    let rare: Vec<Rare<'_>> = lines
        .iter()
        .map(|line| Rare { attributes: Some(&line.attributes), ..Rare::default() })
        .collect();
    let views: Vec<View<'_>> = lines
        .iter()
        .zip(&rare)
        .zip(0..)
        .map(|((line, rare), seq)| View {
            time: line.time,
            seq,
            level: line.level,
            iostream: line.iostream,
            message: &line.message,
            rare: Some(rare),
        })
        .collect();
    let views: Vec<&View<'_>> = views.iter().collect();
    [
        encoding::request(&mut Protobuf::new(&constant), &views),
        encoding::request(&mut Json::new(&constant), &views),
    ]
}
