//! Numbers from a seed.

/// A sequence of numbers that its seed decides: SplitMix64, which is all that a test needs.
#[derive(Clone, Debug, Default)]
pub struct Chance(u64);

impl Chance {
    /// The sequence of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }
    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
    /// A number below this one; zero if there is none.
    pub const fn below(&mut self, end: u64) -> u64 {
        match self.next().checked_rem(end) {
            Some(number) => number,
            None => 0,
        }
    }
    /// True in so many of a thousand cases.
    pub const fn per_mille(&mut self, rate: u64) -> bool {
        self.below(1_000) < rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_and_seeds_differ() {
        let draw = |seed| {
            std::iter::repeat_with({
                let mut chance = Chance::new(seed);
                move || chance.below(100)
            })
        };
        assert!(draw(1).take(50).eq(draw(1).take(50)));
        assert!(!draw(1).take(50).eq(draw(2).take(50)));
        let mut chance = Chance::new(3);
        let hits = (0..10_000).filter(|_| chance.per_mille(250)).count();
        assert!((2_000..3_000).contains(&hits), "{hits}");
        assert_eq!(chance.below(0), 0);
    }
}
