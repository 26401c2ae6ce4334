//! Records as NDJSON or as a JSON array. Does no I/O.

use super::config::BodyFormat;
use crate::record::Writer;
use crate::stores::json::{Constant, RecordJson};
use crate::stores::records::{Around, Format};
use crate::stores::view::View;

pub(super) struct Encode {
    json: RecordJson,
    format: BodyFormat,
}

impl Encode {
    pub(super) fn new(writer: &Writer, format: BodyFormat) -> Self {
        Self { json: RecordJson::new("timestamp", &Constant::of(writer)), format }
    }
}

impl Format for Encode {
    fn record(&mut self, view: &View<'_>, out: &mut Vec<u8>) {
        self.json.record(view, out);
    }

    fn separator(&self) -> &'static [u8] {
        match self.format {
            BodyFormat::Ndjson => b"\n",
            BodyFormat::Json => b",",
        }
    }

    fn around(&self, _records: &[u8]) -> Around {
        match self.format {
            BodyFormat::Ndjson => Around { head: Vec::new(), tail: b"\n".to_vec() },
            BodyFormat::Json => Around { head: b"[".to_vec(), tail: b"]".to_vec() },
        }
    }
}
