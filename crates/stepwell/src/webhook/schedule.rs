//! When a delivery is tried again.

use std::time::Duration;

/// The pauses between attempts. With the first attempt, which does not wait, these are ten in a little over three days.
pub(super) const PAUSES: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(2),
    Duration::from_hours(5),
    Duration::from_hours(10),
    Duration::from_hours(14),
    Duration::from_hours(20),
    Duration::from_hours(24),
];
/// The longest that a receiver may ask us to wait.
pub(super) const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);

/// The longest that a receiver which asked for time is spared by deliveries that have not been tried yet.
pub(super) const HOLD_MAX: Duration = Duration::from_hours(1);

/// How long to wait after this many attempts, the last of which failed: the schedule's pause, a fifth shorter or longer
/// by chance so that deliveries which failed together do not come back together, and no less than the receiver asked.
pub(super) fn pause_after(attempts: u32, jitter: f64, retry_after: Option<Duration>) -> Duration {
    let nth = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX).min(PAUSES.len() - 1);
    let pause = PAUSES[nth].mul_f64(0.8 + 0.4 * jitter.clamp(0.0, 1.0));
    retry_after.map_or(pause, |asked| pause.max(asked.min(RETRY_AFTER_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_is_the_one_that_is_documented() {
        let pauses: Vec<u64> = (1..=9).map(|nth| pause_after(nth, 0.5, None).as_secs()).collect();
        assert_eq!(pauses, [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]);
        assert_eq!(pause_after(99, 0.5, None), Duration::from_hours(24), "the last one is repeated");
    }

    #[test]
    fn jitter_stays_within_a_fifth() {
        for (jitter, millis) in [(0.0, 4_000), (1.0, 6_000), (-7.0, 4_000), (7.0, 6_000)] {
            assert_eq!(pause_after(1, jitter, None).as_millis(), millis);
        }
    }

    #[test]
    fn a_receiver_may_ask_for_more_time_but_not_for_less_and_not_for_ever() {
        let after = |asked| pause_after(2, 0.5, Some(asked));
        assert_eq!(after(Duration::from_secs(1)), Duration::from_mins(5));
        assert_eq!(after(Duration::from_mins(10)), Duration::from_mins(10));
        assert_eq!(after(Duration::from_hours(9_999)), Duration::from_hours(24));
    }
}
