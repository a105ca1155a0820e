//! When a failed phase runs again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits;

/// How often a phase is tried, and how long it waits in between.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    attempts: u32,
    #[serde(flatten)]
    backoff: Backoff,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "backoff")]
enum Backoff {
    /// Full jitter: between nothing and first × 2ⁿ, so that many jobs which failed together do not come back together.
    Exponential { first_ms: u64, longest_ms: u64 },
    /// Exactly these delays, the last one repeated. Whoever writes a list means it.
    Listed { delays_ms: Vec<u64> },
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.min(limits::DELAY_MAX).as_millis()).unwrap_or(u64::MAX)
}

impl Retry {
    /// One try, and no more.
    #[must_use]
    pub const fn never() -> Self {
        Self { attempts: 1, backoff: Backoff::Exponential { first_ms: 0, longest_ms: 0 } }
    }
    /// Up to `attempts` tries in all, waiting up to 1 s, 2 s, 4 s, … and never more than an hour.
    #[must_use]
    pub const fn exponential(attempts: u32) -> Self {
        Self { attempts, backoff: Backoff::Exponential { first_ms: 1_000, longest_ms: 3_600_000 } }
    }
    /// Up to `attempts` tries in all, with exactly this delay in between.
    #[must_use]
    pub fn fixed(attempts: u32, delay: Duration) -> Self {
        Self { attempts, backoff: Backoff::Listed { delays_ms: vec![millis(delay)] } }
    }
    /// One try more than there are delays, waiting exactly these.
    #[must_use]
    pub fn delays(delays: impl IntoIterator<Item = Duration>) -> Self {
        let delays_ms: Vec<u64> = delays.into_iter().map(millis).collect();
        let attempts = u32::try_from(delays_ms.len()).unwrap_or(u32::MAX).saturating_add(1);
        Self { attempts, backoff: Backoff::Listed { delays_ms } }
    }
    /// The upper bound of the first delay. Of no effect on [`fixed`](Self::fixed) and [`delays`](Self::delays).
    #[must_use]
    pub fn starting_at(mut self, first: Duration) -> Self {
        if let Backoff::Exponential { first_ms, .. } = &mut self.backoff {
            *first_ms = millis(first);
        }
        self
    }
    /// The longest delay. Of no effect on [`fixed`](Self::fixed) and [`delays`](Self::delays).
    #[must_use]
    pub fn capped_at(mut self, longest: Duration) -> Self {
        if let Backoff::Exponential { longest_ms, .. } = &mut self.backoff {
            *longest_ms = millis(longest);
        }
        self
    }

    /// The same pauses, with so many tries in all.
    #[must_use]
    pub const fn in_all(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// How many tries there are in all, at least one and at most [`limits::TRIES_MAX`].
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts.clamp(1, limits::TRIES_MAX)
    }
    /// The delay after this many failures (1 after the first).
    ///
    /// `jitter` is between 0 and 1; 1 gives the upper bound.
    #[must_use]
    pub fn delay_after(&self, failures: u32, jitter: f64) -> Duration {
        let nth = failures.saturating_sub(1);
        let delay_ms = match &self.backoff {
            Backoff::Exponential { first_ms, longest_ms } => {
                let bound = exponential(*first_ms, *longest_ms, nth);
                (bound as f64 * jitter.clamp(0.0, 1.0)) as u64
            }
            Backoff::Listed { delays_ms } => {
                let nth = usize::try_from(nth).unwrap_or(usize::MAX);
                delays_ms.get(nth).or(delays_ms.last()).copied().unwrap_or(0)
            }
        };
        Duration::from_millis(delay_ms)
    }
}

impl Default for Retry {
    /// Five tries, exponential.
    fn default() -> Self {
        Self::exponential(5)
    }
}

fn exponential(first_ms: u64, longest_ms: u64, nth: u32) -> u64 {
    let factor = 1_u64.checked_shl(nth).unwrap_or(u64::MAX);
    first_ms.saturating_mul(factor).min(longest_ms)
}

/// The pause before a job whose worker died runs again: none after the first crash in a row, then growing.
#[must_use]
pub fn crash_delay(crashes: u32, jitter: f64) -> Duration {
    if crashes <= 1 {
        return Duration::ZERO;
    }
    let bound = exponential(millis(limits::CRASH_DELAY_FIRST), millis(limits::CRASH_DELAY_MAX), crashes - 2);
    Duration::from_millis((bound as f64 * jitter.clamp(0.0, 1.0)) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn exponential_doubles_up_to_its_cap() {
        let retry = Retry::exponential(10).starting_at(seconds(10)).capped_at(seconds(60));
        let delays: Vec<u64> = (1..6).map(|failures| retry.delay_after(failures, 1.0).as_secs()).collect();
        assert_eq!(delays, [10, 20, 40, 60, 60]);
        assert_eq!(retry.delay_after(2, 0.5), seconds(10));
        assert_eq!(retry.delay_after(200, 1.0), seconds(60));
    }

    #[test]
    fn a_list_is_taken_as_it_is() {
        let retry = Retry::delays([seconds(1), seconds(5)]);
        assert_eq!(retry.attempts(), 3);
        assert_eq!([1, 2, 9].map(|n| retry.delay_after(n, 0.0).as_secs()), [1, 5, 5]);
        assert_eq!(Retry::fixed(4, seconds(3)).delay_after(2, 0.1), seconds(3));
        assert_eq!(Retry::never().attempts(), 1);
    }

    #[test]
    fn the_first_crash_does_not_wait() {
        assert_eq!(crash_delay(1, 1.0), Duration::ZERO);
        assert_eq!([2, 3, 4].map(|n| crash_delay(n, 1.0).as_secs()), [1, 2, 4]);
        assert_eq!(crash_delay(u32::MAX, 1.0), limits::CRASH_DELAY_MAX);
    }

    proptest! {
        #[test]
        fn jitter_never_leaves_its_bounds(failures in 0_u32..5_000, jitter in -1.0_f64..2.0) {
            let retry = Retry::exponential(5);
            let bound = retry.delay_after(failures, 1.0);
            prop_assert!(bound <= Duration::from_hours(1));
            prop_assert!(retry.delay_after(failures, jitter) <= bound);
        }

        #[test]
        fn a_policy_survives_storage(
            attempts in 1_u32..50,
            first in 0_u64..100_000,
            delays in proptest::collection::vec(0_u64..1_000_000, 0..5),
        ) {
            for retry in [
                Retry::exponential(attempts).starting_at(Duration::from_millis(first)),
                Retry::delays(delays.iter().copied().map(Duration::from_millis)),
            ] {
                let text = serde_json::to_string(&retry).unwrap();
                prop_assert_eq!(serde_json::from_str::<Retry>(&text).unwrap(), retry);
            }
        }
    }
}
