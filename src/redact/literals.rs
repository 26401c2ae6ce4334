//! The search for known values in a stream.
//!
//! Apart from the patterns because it is exact and has its own search, made for what redaction
//! meets: hundreds of literals (each value has many forms), nearly no match, and a need to know at
//! each read's end which suffix may still become a match. It does not know lines.
//!
//! Of every literal the first [`MIN_SECRET`] = 6 bytes hold four overlapping groups of three bytes,
//! at offsets 0 to 3. One of them falls on a multiple of 4 in the text. So it is enough to look at
//! the group at every fourth byte and ask a small table, by a hash, at which offsets some literal
//! has it: four independent look-ups for 16 bytes, whatever the number of literals. What passes is
//! asked once more by its first 6 bytes, and then found, or not, by binary search in the sorted
//! literals, which gives both the longest literal there and whether a longer one is still live.

use super::{End, MASK, Output, Place, encode, wipe};

/// Values shorter than this, in bytes, are not masked.
pub const MIN_SECRET: usize = 6;

/// Bytes of text that a group look-up stands for.
const STRIDE: usize = 4;
/// Bytes of text looked at together.
const BLOCK: usize = 4 * STRIDE;

/// A set of literals.
#[derive(Default)]
pub(super) struct Literals {
    /// In order, without doubles.
    sorted: Vec<Literal>,
    tables: Option<Tables>,
}

struct Literal {
    bytes: Box<[u8]>,
    /// The longest other literal that this one begins with.
    within: Option<usize>,
}

struct Tables {
    /// By the hash of three bytes: bit d is set when a literal has them at offset d.
    groups: Box<[u8; 1 << 16]>,
    /// By the hash of six bytes: whether a literal begins with them.
    heads: Box<[bool; 1 << 16]>,
    /// Whether a literal begins with this byte.
    firsts: [bool; 1 << 8],
}

/// What the search found first.
enum Found {
    Literal {
        start: usize,
        end: usize,
    },
    /// From here to the end, the text may become a literal.
    Live {
        start: usize,
    },
    Nothing,
}

impl Literals {
    /// These literals and all forms of the values; and how many of the values were long enough.
    pub(super) fn with(&self, values: impl IntoIterator<Item = Vec<u8>>) -> (Self, usize) {
        let mut taken = 0;
        let mut all: Vec<Box<[u8]>> = self.sorted.iter().map(|l| l.bytes.clone()).collect();
        for mut value in values {
            taken += usize::from(value.trim_ascii().len() >= MIN_SECRET);
            encode::forms(&value, |form| {
                if form.len() >= MIN_SECRET {
                    all.push(form.into());
                }
            });
            wipe(&mut value);
        }
        all.sort_unstable();
        all.dedup();
        (Self::from_sorted(all), taken)
    }

    fn from_sorted(all: Vec<Box<[u8]>>) -> Self {
        let mut sorted: Vec<Literal> = Vec::with_capacity(all.len());
        let mut tables = None;
        for bytes in all {
            tables.get_or_insert_with(Tables::new).add(&bytes);
            // What a literal begins with sorts before it, and so does all that begins with that.
            let mut within = sorted.len().checked_sub(1);
            while let Some(index) = within {
                let Some(other) = sorted.get(index) else { break };
                if bytes.starts_with(&other.bytes) {
                    break;
                }
                within = other.within;
            }
            sorted.push(Literal { bytes, within });
        }
        Self { sorted, tables }
    }

    pub(super) fn len(&self) -> usize {
        self.sorted.len()
    }

    /// The leftmost start in `text[from..]` at which a literal is, or may come to be.
    fn find(&self, text: &[u8], from: usize, end: End) -> Found {
        let Some(tables) = &self.tables else { return Found::Nothing };
        let rest = text.get(from..).unwrap_or_default();
        let (blocks, _) = rest.as_chunks::<BLOCK>();
        for (index, block) in blocks.iter().enumerate() {
            let hits = tables.hits(block);
            if hits == [0; BLOCK / STRIDE] {
                continue;
            }
            for (lane, hit) in hits.into_iter().enumerate() {
                for offset in (0..STRIDE).rev().filter(|offset| hit >> offset & 1 == 1) {
                    let start = (index * BLOCK + lane * STRIDE).checked_sub(offset);
                    if let Some(start) = start
                        && let Some(found) = self.at(tables, rest, start, end)
                    {
                        return found.moved(from);
                    }
                }
            }
        }
        // The starts whose group lies behind the last whole block.
        for start in (blocks.len() * BLOCK).saturating_sub(STRIDE - 1)..rest.len() {
            if let Some(found) = self.at(tables, rest, start, end) {
                return found.moved(from);
            }
        }
        Found::Nothing
    }

    /// What begins right at `start`.
    fn at(&self, tables: &Tables, text: &[u8], start: usize, end: End) -> Option<Found> {
        let text = text.get(start..)?;
        if !tables.begins(text) {
            return None;
        }
        let after = self.sorted.partition_point(|literal| *literal.bytes <= *text);
        if end == End::Open && self.sorted.get(after).is_some_and(|l| l.bytes.starts_with(text)) {
            return Some(Found::Live { start });
        }
        let mut candidate = after.checked_sub(1);
        while let Some(literal) = candidate.and_then(|index| self.sorted.get(index)) {
            if text.starts_with(&literal.bytes) {
                return Some(Found::Literal { start, end: start + literal.bytes.len() });
            }
            candidate = literal.within;
        }
        None
    }
}

impl Drop for Literals {
    fn drop(&mut self) {
        for literal in &mut self.sorted {
            wipe(&mut literal.bytes);
        }
    }
}

impl Found {
    fn moved(self, by: usize) -> Self {
        match self {
            Self::Literal { start, end } => Self::Literal { start: start + by, end: end + by },
            Self::Live { start } => Self::Live { start: start + by },
            Self::Nothing => Self::Nothing,
        }
    }
}

impl Tables {
    fn new() -> Self {
        Self { groups: zeroed(), heads: zeroed(), firsts: [false; 1 << 8] }
    }

    fn add(&mut self, literal: &[u8]) {
        for (offset, group) in literal.windows(3).take(STRIDE).enumerate() {
            if let &[a, b, c] = group
                && let Some(entry) = self.groups.get_mut(hash_group([a, b, c, 0]))
            {
                *entry |= 1 << offset;
            }
        }
        if let Some(head) = literal.first_chunk()
            && let Some(entry) = self.heads.get_mut(hash_head(*head))
        {
            *entry = true;
        }
        if let Some(&first) = literal.first()
            && let Some(entry) = self.firsts.get_mut(usize::from(first))
        {
            *entry = true;
        }
    }

    #[inline]
    fn hits(&self, block: &[u8; BLOCK]) -> [u8; BLOCK / STRIDE] {
        let (groups, _) = block.as_chunks::<STRIDE>();
        let mut hits = [0; BLOCK / STRIDE];
        for (hit, group) in hits.iter_mut().zip(groups) {
            *hit = self.groups.get(hash_group(*group)).copied().unwrap_or(0);
        }
        hits
    }

    /// Whether a literal may begin as the text does; wrong only in saying yes.
    fn begins(&self, text: &[u8]) -> bool {
        match (text.first_chunk(), text.first()) {
            (Some(head), _) => self.heads.get(hash_head(*head)) == Some(&true),
            (None, Some(&first)) => self.firsts.get(usize::from(first)) == Some(&true),
            (None, None) => false,
        }
    }
}

/// A large array that never lies on the stack.
#[allow(clippy::unnecessary_box_returns, reason = "the box is the point")]
fn zeroed<T: Copy + Default, const N: usize>() -> Box<[T; N]> {
    // The length is right by construction.
    vec![T::default(); N].try_into().unwrap_or_else(|_| unreachable!())
}

/// Of the first three bytes; the fourth is there because four are read at once.
#[inline]
fn hash_group(bytes: [u8; STRIDE]) -> usize {
    let group = u32::from_le_bytes(bytes) << 8;
    (group.wrapping_mul(0x9E37_79B1) >> 16) as usize
}

fn hash_head(bytes: [u8; MIN_SECRET]) -> usize {
    let head = bytes.iter().fold(0, |head, &byte| head << 8 | u64::from(byte));
    (head.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48) as usize
}

/// What one stream holds back for the sake of the literals: less than the longest of them.
#[derive(Default)]
pub(super) struct LiteralStage {
    held: Vec<u8>,
}

impl LiteralStage {
    pub(super) fn pending(&self) -> usize {
        self.held.len()
    }

    pub(super) fn step<'a>(
        &mut self,
        literals: &Literals,
        input: &'a [u8],
        buffer: &'a mut Vec<u8>,
        end: End,
    ) -> Output<'a> {
        buffer.clear();
        if self.held.is_empty() {
            match literals.find(input, 0, end) {
                Found::Nothing => return Output { bytes: input, place: Place::Input, masked: 0 },
                Found::Live { start } => {
                    let (free, live) = input.split_at_checked(start).unwrap_or((input, &[]));
                    self.held.extend_from_slice(live);
                    return Output { bytes: free, place: Place::Input, masked: 0 };
                }
                Found::Literal { .. } => {}
            }
        }
        buffer.extend_from_slice(&self.held);
        buffer.extend_from_slice(input);
        wipe(&mut self.held);
        self.held.clear();
        let masked = self.mask(literals, buffer, end);
        Output { bytes: buffer, place: Place::Literals, masked }
    }

    /// Masks in place: the mask is shorter than any literal.
    fn mask(&mut self, literals: &Literals, text: &mut Vec<u8>, end: End) -> u64 {
        let mut masked = 0;
        let (mut read, mut written) = (0, 0);
        loop {
            let found = literals.find(text, read, end);
            let free = match found {
                Found::Literal { start, .. } | Found::Live { start } => start,
                Found::Nothing => text.len(),
            };
            text.copy_within(read..free, written);
            written += free - read;
            match found {
                Found::Literal { end, .. } => {
                    let place = text.get_mut(written..).and_then(|t| t.split_at_mut_checked(3));
                    if let Some((place, _)) = place {
                        place.copy_from_slice(MASK);
                    }
                    written += MASK.len();
                    read = end;
                    masked += 1;
                }
                Found::Live { start } => {
                    self.held.extend_from_slice(text.get(start..).unwrap_or_default());
                    break;
                }
                Found::Nothing => break,
            }
        }
        text.truncate(written);
        masked
    }
}

impl Drop for LiteralStage {
    fn drop(&mut self) {
        wipe(&mut self.held);
    }
}
