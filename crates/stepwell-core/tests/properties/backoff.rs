//! How long a failed phase, and the job of a dead worker, wait.

use std::time::Duration;

use proptest::prelude::*;
use stepwell_core::{Retry, limits, retry::crash_delay};

proptest! {
    #[test]
    fn exponential_delays_grow_up_to_their_cap(
        first_ms in 0..10_000_000_u64,
        longest_ms in 0..10_000_000_u64,
        failures in 1..200_u32,
        jitter in 0.0..1.0_f64,
    ) {
        let (first, longest) = (Duration::from_millis(first_ms), Duration::from_millis(longest_ms));
        let retry = Retry::exponential(5).starting_at(first).capped_at(longest);
        let bound = retry.delay_after(failures, 1.0);
        prop_assert!(retry.delay_after(failures, jitter) <= bound);
        prop_assert!(bound <= longest);
        prop_assert!(bound <= retry.delay_after(failures + 1, 1.0));
        prop_assert_eq!(retry.delay_after(failures, 0.0), Duration::ZERO);
        prop_assert_eq!(retry.delay_after(1, 1.0), first.min(longest));
        if failures < 20 {
            let doubled = first * (1 << (failures - 1));
            prop_assert_eq!(bound, doubled.min(longest));
        }
    }

    #[test]
    fn listed_delays_are_taken_as_they_are(
        delays_ms in prop::collection::vec(0..10_000_000_u64, 1..10),
        failures in 1..50_usize,
        jitter in any::<f64>(),
    ) {
        let delays: Vec<Duration> = delays_ms.into_iter().map(Duration::from_millis).collect();
        let retry = Retry::delays(delays.clone());
        let expected = delays[(failures - 1).min(delays.len() - 1)];
        prop_assert_eq!(retry.delay_after(u32::try_from(failures).unwrap(), jitter), expected);
        prop_assert_eq!(retry.attempts() as usize, delays.len() + 1);
    }

    #[test]
    fn no_number_breaks_a_delay(attempts: u32, failures: u32, jitter: f64, delay in any::<Duration>()) {
        let retries = [
            Retry::exponential(attempts).starting_at(delay),
            Retry::fixed(attempts, delay),
            Retry::delays([delay]),
            Retry::never(),
        ];
        for retry in retries {
            prop_assert!(retry.delay_after(failures, jitter) <= limits::DELAY_MAX);
            prop_assert!((1..=limits::TRIES_MAX).contains(&retry.attempts()));
        }
    }

    #[test]
    fn a_first_crash_does_not_wait_and_no_crash_waits_too_long(crashes: u32, jitter: f64) {
        let delay = crash_delay(crashes, jitter);
        prop_assert!(delay <= limits::CRASH_DELAY_MAX);
        prop_assert!(crashes > 1 || delay.is_zero());
        prop_assert!(crash_delay(crashes, 1.0) <= crash_delay(crashes.saturating_add(1), 1.0));
    }
}
