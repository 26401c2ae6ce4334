//! The Protocol Buffers wire format, as much of it as the messages of OTLP and Loki need: written where
//! it is composed once or rarely, and read.
//!
//! ```text
//! field = tag (number << 3 | type) as varint, then by type:
//!   0 varint     1 eight bytes, little-endian     2 length as varint, bytes     5 four bytes
//! ```
//!
//! Apart so that the stores and the agent speak of messages and not of bits. What a store writes per line
//! is its own. As an iterator, [`Fields`] stop at what is malformed; [`Fields::field`] tells of it.
//! Unknown fields are for the caller to pass over.

/// Bytes of a value as varint: seven bits each.
#[inline]
pub(crate) const fn varint_len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Appends a varint.
#[inline]
pub(crate) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a field of type 2: text, bytes, or a message that is encoded already.
pub(crate) fn bytes(out: &mut Vec<u8>, number: u8, value: &[u8]) {
    out.push(number << 3 | 2);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Appends a field that is a message, encoded by `encode`.
pub(crate) fn message(out: &mut Vec<u8>, number: u8, encode: impl FnOnce(&mut Vec<u8>)) {
    let mut inside = Vec::new();
    encode(&mut inside);
    bytes(out, number, &inside);
}

/// Appends a field of type 0.
pub(crate) fn number(out: &mut Vec<u8>, number: u8, value: u64) {
    out.push(number << 3);
    varint(out, value);
}

/// Appends a field of type 1.
pub(crate) fn fixed64(out: &mut Vec<u8>, number: u8, value: u64) {
    out.push(number << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a field of type 5.
pub(crate) fn fixed32(out: &mut Vec<u8>, number: u8, value: u32) {
    out.push(number << 3 | 5);
    out.extend_from_slice(&value.to_le_bytes());
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

impl<'a> Value<'a> {
    /// Type 2, or nothing.
    pub(crate) fn bytes(self) -> &'a [u8] {
        if let Self::Bytes(bytes) = self { bytes } else { &[] }
    }

    /// Type 2 as text.
    pub(crate) fn text(self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }

    /// Any of the numbers, or 0.
    pub(crate) fn number(self) -> u64 {
        match self {
            Self::Varint(value) | Self::Fixed64(value) => value,
            Self::Fixed32(value) => value.into(),
            Self::Bytes(_) => 0,
        }
    }
}

/// The fields of an encoded message, in the order in which they stand there.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

/// The bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a protobuf message")]
pub(crate) struct Malformed;

impl<'a> Fields<'a> {
    /// The next field; `None` at the end of the message.
    pub(crate) fn field(&mut self) -> Result<Option<(u64, Value<'a>)>, Malformed> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let field = self.parse();
        if field.is_none() {
            // What follows would be read from the middle of something.
            self.0 = &[];
        }
        field.map(Some).ok_or(Malformed)
    }

    fn parse(&mut self) -> Option<(u64, Value<'a>)> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.take(4)?.try_into().ok()?)),
            _ => return None,
        };
        Some((tag >> 3, value))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.0.split_off_first()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: u64) -> Option<&'a [u8]> {
        self.0.split_off(..usize::try_from(length).ok()?)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.field().ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(value in any::<u64>(), shift in 0..64_u32, text in ".{0,300}") {
            let value = value >> shift;
            let mut out = Vec::new();
            varint(&mut out, value);
            prop_assert_eq!(out.len(), varint_len(value));
            out.clear();
            number(&mut out, 3, value);
            fixed64(&mut out, 1, value);
            bytes(&mut out, 5, text.as_bytes());
            fixed32(&mut out, 8, value as u32);
            let fields: Vec<_> = Fields(&out).collect();
            prop_assert_eq!(fields, [
                (3, Value::Varint(value)),
                (1, Value::Fixed64(value)),
                (5, Value::Bytes(text.as_bytes())),
                (8, Value::Fixed32(value as u32)),
            ]);
        }

        #[test]
        fn anything_can_be_read(noise in proptest::collection::vec(any::<u8>(), 0..200)) {
            Fields(&noise).for_each(|(_, value)| {
                value.text();
            });
            let mut fields = Fields(&noise);
            while let Ok(Some(_)) = fields.field() {}
            prop_assert_eq!(fields.field(), Ok(None));
        }
    }
}
