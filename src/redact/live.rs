//! From a pattern to the pattern of its beginnings.
//!
//! Apart because it is a small piece of theory: a regular expression that matches, at the end of a
//! text, every suffix that more text could turn into a match. With it an unfinished line is held
//! back from the leftmost such suffix on, and not at all when there is none. It may match more
//! than it must (borders such as `\b` are left out, repeats counted loosely), never less.

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::hir::{Class, ClassBytes, ClassBytesRange, Hir, HirKind, Literal, Repetition};

/// Deeper patterns (a part for each letter) are held back by the line instead.
const MAX_DEPTH: u32 = 500;

/// What matches a beginning of one of the patterns at the end of a text. `None` when that cannot
/// be built; then the whole unfinished line has to be held back.
pub(super) fn beginnings(patterns: &[Hir]) -> Option<Regex> {
    let any = Hir::alternation(patterns.iter().map(beginning).collect());
    RegexBuilder::new(&format!("(?:{any})\\z")).nest_limit(MAX_DEPTH).build().ok()
}

/// All beginnings of what `hir` matches, nothing and the whole included.
fn beginning(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Hir::empty(),
        HirKind::Literal(Literal(bytes)) => sequence(bytes.iter().map(|&b| Hir::literal([b]))),
        HirKind::Class(_) if is_one_byte(hir) => optional(hir.clone()),
        HirKind::Class(_) => optional(Hir::alternation(vec![hir.clone(), begun_character()])),
        HirKind::Capture(capture) => beginning(&capture.sub),
        HirKind::Alternation(parts) => Hir::alternation(parts.iter().map(beginning).collect()),
        HirKind::Concat(parts) => sequence(parts.iter().cloned()),
        HirKind::Repetition(repetition) => {
            let some = Hir::repetition(Repetition { min: 0, ..repetition.clone() });
            if is_one_byte(&repetition.sub) {
                some
            } else {
                Hir::concat(vec![some, beginning(&repetition.sub)])
            }
        }
    }
}

/// For parts a, b, c: the beginnings of a, or a and the beginnings of b, or a and b and those of c.
fn sequence(parts: impl DoubleEndedIterator<Item = Hir>) -> Hir {
    parts.rev().fold(Hir::empty(), |behind, part| {
        let further = Hir::concat(vec![without_looks(&part), behind]);
        if is_one_byte(&part) {
            optional(further)
        } else {
            Hir::alternation(vec![further, beginning(&part)])
        }
    })
}

/// A border may hold once more bytes are there, so it is taken to hold.
fn without_looks(hir: &Hir) -> Hir {
    if hir.properties().look_set().is_empty() {
        return hir.clone();
    }
    let all = |parts: &[Hir]| parts.iter().map(without_looks).collect();
    match hir.kind() {
        HirKind::Look(_) => Hir::empty(),
        HirKind::Capture(capture) => without_looks(&capture.sub),
        HirKind::Alternation(parts) => Hir::alternation(all(parts)),
        HirKind::Concat(parts) => Hir::concat(all(parts)),
        HirKind::Repetition(repetition) => {
            let sub = Box::new(without_looks(&repetition.sub));
            Hir::repetition(Repetition { sub, ..repetition.clone() })
        }
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) => hir.clone(),
    }
}

/// Of a character outside ASCII, the first bytes may be there without the last.
fn begun_character() -> Hir {
    let bytes = |from, to| {
        let range = ClassBytesRange::new(from, to);
        Hir::class(Class::Bytes(ClassBytes::new([range])))
    };
    let sub = Box::new(bytes(0x80, 0xBF));
    let further = Hir::repetition(Repetition { min: 0, max: Some(2), greedy: true, sub });
    Hir::concat(vec![bytes(0xC2, 0xF4), further])
}

fn optional(hir: Hir) -> Hir {
    let sub = Box::new(hir);
    Hir::repetition(Repetition { min: 0, max: Some(1), greedy: true, sub })
}

fn is_one_byte(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Literal(Literal(bytes)) => bytes.len() == 1,
        HirKind::Class(Class::Bytes(_)) => true,
        HirKind::Class(Class::Unicode(class)) => class.maximum_len() == Some(1),
        _ => false,
    }
}
