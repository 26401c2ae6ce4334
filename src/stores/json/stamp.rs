//! RFC 3339 times with nanoseconds, most of which share their second with the one before.
//!
//! Lines of one read have one time, and most reads one second: the date is written once a second.

use crate::record::Nanos;

/// `2026-11-23T06:44:00.000000001Z`
const LENGTH: usize = 30;
const NANOS_AT: usize = 20;

/// Writes times.
#[derive(Debug)]
pub(crate) struct Stamp {
    text: [u8; LENGTH],
    time: Option<Nanos>,
    second: Option<i64>,
}

impl Stamp {
    /// Has written none yet.
    pub(crate) fn new() -> Self {
        Self { text: [b'0'; LENGTH], time: None, second: None }
    }

    /// The text for this time.
    #[inline]
    pub(crate) fn text(&mut self, time: Nanos) -> &[u8; LENGTH] {
        if self.time != Some(time) {
            self.write(time);
        }
        &self.text
    }

    fn write(&mut self, time: Nanos) {
        self.time = Some(time);
        let (second, mut nanos) =
            (time.0.div_euclid(1_000_000_000), time.0.rem_euclid(1_000_000_000));
        if self.second != Some(second) {
            self.second = Some(second);
            for (to, from) in self.text.iter_mut().zip(time.to_rfc3339().as_bytes()) {
                *to = *from;
            }
            return;
        }
        let digits = self.text.get_mut(NANOS_AT..NANOS_AT + 9).unwrap_or_default();
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (nanos % 10) as u8;
            nanos /= 10;
        }
    }
}
