//! Records as JSON, written by hand: what most flavors send, and all that is hot about it.
//!
//! ```text
//! record    a View as the JSON of Record, with what is constant composed once
//! stamp     RFC 3339 times of which most are the same second
//! escape    the inside of a string
//! ```
//!
//! Apart from the flavors so that the record has one JSON form, whatever stands around it. Per line
//! there is no allocation, no lock, no clock call. Does no I/O.

mod escape;
mod record;
mod stamp;

use serde::Serialize;

pub(crate) use self::escape::escape;
pub(crate) use self::record::{Constant, RecordJson};
pub(crate) use self::stamp::Stamp;
use super::view::{Field, View};

/// Appends `,"name":value`.
pub(crate) fn field<T: Serialize + ?Sized>(out: &mut Vec<u8>, name: &str, value: &T) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    // Writing JSON of these types into memory does not fail.
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.extend_from_slice(b"null");
    }
}

/// Appends `,"name":value` for each field that most lines do not have.
pub(crate) fn rare_fields(view: &View<'_>, out: &mut Vec<u8>) {
    view.rare_fields(|name, value| rare_field(name, value, out));
}

/// Appends `,"name":value`.
pub(crate) fn rare_field(name: &str, value: Field<'_>, out: &mut Vec<u8>) {
    match value {
        Field::Text(text) => {
            out.extend_from_slice(b",\"");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":\"");
            escape(text.as_bytes(), out);
            out.push(b'"');
        }
        Field::Number(number) => field(out, name, &number),
        Field::Flag(flag) => field(out, name, &flag),
        Field::Gap(gap) => field(out, name, gap),
        Field::Object(object) => field(out, name, object),
    }
}
