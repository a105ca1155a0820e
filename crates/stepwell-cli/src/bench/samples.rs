//! How long things took.

use std::time::Duration;

use serde_json::{Value, json};

/// How long each of several things took.
#[derive(Debug, Default)]
pub(super) struct Samples(Vec<Duration>);

impl Samples {
    pub(super) fn add(&mut self, took: Duration) {
        self.0.push(took);
    }
    pub(super) fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
    /// The time within which this share of them was done.
    pub(super) fn within(&self, per_cent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1);
        let rank = (sorted.len() * per_cent).div_ceil(100).saturating_sub(1);
        sorted.get(rank.min(last)).copied().unwrap_or_default()
    }
    pub(super) fn to_json(&self) -> Value {
        let micros = |per_cent| u64::try_from(self.within(per_cent).as_micros()).unwrap_or(u64::MAX);
        json!({ "p50Us": micros(50), "p99Us": micros(99), "maxUs": micros(100), "samples": self.len() })
    }
    pub(super) fn words(&self) -> String {
        format!("half within {}, 99 % within {}", ms(self.within(50)), ms(self.within(99)))
    }
}

fn ms(took: Duration) -> String {
    format!("{:.2} ms", took.as_secs_f64() * 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_counted_from_the_fastest() {
        let mut samples = Samples::default();
        assert_eq!(samples.within(50), Duration::ZERO);
        for n in (1..=200).rev() {
            samples.add(Duration::from_micros(n));
        }
        let micros = [1, 50, 99, 100].map(|per_cent| samples.within(per_cent).as_micros());
        assert_eq!(micros, [2, 100, 198, 200]);
        assert_eq!(samples.words(), "half within 0.10 ms, 99 % within 0.20 ms");
    }
}
