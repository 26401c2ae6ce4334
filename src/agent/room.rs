//! How many streams an input may have: one that finds too many must not keep the others from theirs.
//!
//! Apart from [`inputs`](super::inputs), which opens them: here is only the rule. It ends nothing that is open.

use super::inputs::{Inputs, State};
use super::intake::Intake;
use super::{Input, Kind};

impl Inputs {
    /// Whether this input may have one more stream. What is kept for the others, while they have less, it may not
    /// take.
    pub(super) fn has_room(&self, input: &Input, intake: &Intake) -> bool {
        let (most, open) = (self.settings.max_inputs, intake.len());
        if open >= most || intake.len_of(&input.name) < self.kept_for(input) {
            return open < most;
        }
        let others = self.all.values().filter(|other| other.input.name != input.name);
        let lacking = |other: &State| {
            self.kept_for(&other.input).saturating_sub(intake.len_of(&other.input.name))
        };
        open + others.map(lacking).sum::<usize>() < most
    }

    /// Streams that an input can always have: a hundredth of all, of all inputs together not more than half.
    fn kept_for(&self, input: &Input) -> usize {
        match input.kind {
            Kind::Fifo | Kind::Stdin => 1,
            _ => {
                let most = self.settings.max_inputs;
                (most / 100).min(most / (2 * (self.all.len() + 1))).max(1)
            }
        }
    }

    pub(super) fn too_many(&self, state: &mut State, intake: &Intake) {
        let (most, open) = (self.settings.max_inputs, intake.len());
        let (largest, count) = intake.largest().unwrap_or_default();
        self.failed(
            state,
            &format_args!(
                "no room for more streams: {open} are open and {} are kept for other inputs ([agent] max_inputs is \
                 {most}); input {largest} has {count}: narrow its path, or raise max_inputs",
                most.saturating_sub(open)
            ),
        );
    }
}
