//! Which commits are lost, and how.

use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash, Hasher},
};

/// What becomes of a commit that is lost. The client sees the same in all cases: its connection ends after it has sent
/// `COMMIT` and before it has been answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The server never hears of it, and rolls back.
    Request,
    /// The server commits, and its answer never arrives.
    Answer,
    /// The server hears of it only when the client is long gone, and has perhaps come back to ask.
    Late,
}

/// What has happened so far. A proof looks at it to know that it has shown something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Connections that were let through.
    pub connections: u64,
    /// Commits that clients have sent.
    pub commits: u64,
    /// Commits that the server never heard of.
    pub requests_lost: u64,
    /// Commits that the server has made and the client was never told of.
    pub answers_lost: u64,
    /// Commits that reached the server after the client was cut off.
    pub late: u64,
}

/// What is lost from now on.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    /// These first, one commit each.
    next: VecDeque<Loss>,
    per_mille: u64,
    seed: u64,
    drawn: u64,
}

impl Losses {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    pub(crate) fn add(&mut self, loss: Loss) {
        self.next.push_back(loss);
    }

    pub(crate) fn at_rate(&mut self, per_mille: u64) {
        self.per_mille = per_mille;
    }

    pub(crate) fn none(&mut self) {
        self.next.clear();
        self.per_mille = 0;
    }

    /// What becomes of the next commit.
    pub(crate) fn draw(&mut self) -> Option<Loss> {
        if let Some(loss) = self.next.pop_front() {
            return Some(loss);
        }
        if self.per_mille == 0 || self.below(1_000) >= self.per_mille {
            return None;
        }
        Some([Loss::Request, Loss::Answer, Loss::Late][self.below(3) as usize])
    }

    /// A number below `end` that the seed and the count of those before it decide.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.drawn += 1;
        // Without keys of its own, the hash is the same in every run.
        let mut hasher = DefaultHasher::new();
        (self.seed, self.drawn).hash(&mut hasher);
        hasher.finish() % end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(seed: u64) -> Vec<Option<Loss>> {
        let mut losses = Losses::new(seed);
        losses.at_rate(300);
        (0..1_000).map(|_| losses.draw()).collect()
    }

    #[test]
    fn a_seed_decides_and_every_kind_of_loss_occurs() {
        let drawn = draws(1);
        assert_eq!(drawn, draws(1));
        assert_ne!(drawn, draws(2));
        for loss in [Loss::Request, Loss::Answer, Loss::Late] {
            assert!(drawn.iter().filter(|drawn| **drawn == Some(loss)).count() > 50, "{loss:?}");
        }
        assert!(drawn.iter().filter(|drawn| drawn.is_none()).count() > 600);
    }

    #[test]
    fn what_was_asked_for_comes_first_and_once() {
        let mut losses = Losses::new(1);
        losses.add(Loss::Answer);
        assert_eq!((losses.draw(), losses.draw()), (Some(Loss::Answer), None));
    }
}
