//! Records as NDJSON. Does no I/O.

use crate::record::Writer;
use crate::stores::json::{Constant, RecordJson};
use crate::stores::records::Format;
use crate::stores::view::View;

pub(super) struct Encode(RecordJson);

impl Encode {
    pub(super) fn new(writer: &Writer) -> Self {
        Self(RecordJson::new("timestamp", &Constant::of(writer)))
    }
}

impl Format for Encode {
    fn record(&mut self, view: &View<'_>, out: &mut Vec<u8>) {
        self.0.record(view, out);
        out.push(b'\n');
    }
}
