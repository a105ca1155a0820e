//! Whether jobs wait for the store, and how far the webhooks step back for them.
//!
//! Telling the world of ends shares the store's one writer, and the machine, with the jobs themselves. While claims of
//! jobs come back full one upon the other, the webhooks take a small share of the time. What they have to tell stays
//! in the log meanwhile, where it costs nothing; once it has waited long, they take as much as the jobs.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use stepwell_core::time::Stopwatch;
use tokio::sync::Notify;

/// How long a full claim is a sign that more jobs wait: if nothing held them up, the next claim came sooner.
const SIGN: Duration = Duration::from_millis(50);
/// How many times as long as they worked the webhooks rest while jobs wait.
const REST: u32 = 32;
/// The longest rest: one slow look says little.
const REST_MAX: Duration = Duration::from_millis(500);
/// After how long nothing waits for jobs any more.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the claims of jobs tell about how much waits.
pub(super) struct Pressure {
    clock: Stopwatch,
    /// When a claim was last filled, in microseconds of the clock; zero if the last one was not.
    filled_at: AtomicU64,
    /// Woken when a claim was not filled after one that was.
    eased: Notify,
}

impl Default for Pressure {
    fn default() -> Self {
        Self { clock: Stopwatch::start(), filled_at: AtomicU64::new(0), eased: Notify::new() }
    }
}

impl Pressure {
    /// A claim of jobs has brought as many as it could, or fewer.
    pub(super) fn note(&self, filled: bool) {
        let filled_at = if filled { self.now().max(1) } else { 0 };
        let before = self.filled_at.swap(filled_at, Ordering::Relaxed);
        if before > 0 && !filled {
            self.eased.notify_waiters();
        }
    }

    /// Lets jobs go first, after something worked for so long on what has waited for so long.
    pub(super) async fn rest(&self, worked: Duration, waited: Duration) {
        let eased = self.eased.notified();
        let filled_at = self.filled_at.load(Ordering::Relaxed);
        if filled_at == 0 {
            return;
        }
        let since_filled = Duration::from_micros(self.now().saturating_sub(filled_at));
        let rest = rest_for(worked, waited, since_filled);
        if !rest.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                () = eased => {}
            }
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

fn rest_for(worked: Duration, waited: Duration, since_filled: Duration) -> Duration {
    match since_filled > SIGN {
        true => Duration::ZERO,
        false if waited > PATIENCE => worked.min(REST_MAX),
        false => worked.saturating_mul(REST).min(REST_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Duration = Duration::from_millis(1);

    #[test]
    fn while_jobs_wait_the_webhooks_take_a_small_share_of_the_time_but_for_what_has_waited_long() {
        assert_eq!(rest_for(MOMENT, Duration::ZERO, MOMENT), MOMENT * REST);
        assert_eq!(rest_for(Duration::from_secs(9), Duration::ZERO, MOMENT), REST_MAX);
        assert_eq!(rest_for(MOMENT, PATIENCE + MOMENT, MOMENT), MOMENT, "as much as the jobs");
        assert_eq!(rest_for(MOMENT, Duration::ZERO, SIGN + MOMENT), Duration::ZERO, "the sign is old");
    }

    #[tokio::test(start_paused = true)]
    async fn a_rest_ends_with_the_pressure() {
        let pressure = Pressure::default();
        let begun = tokio::time::Instant::now();
        pressure.rest(REST_MAX, Duration::ZERO).await;
        assert_eq!(begun.elapsed(), Duration::ZERO, "nothing waits");
        pressure.note(true);
        tokio::join!(pressure.rest(REST_MAX, Duration::ZERO), async {
            tokio::task::yield_now().await;
            pressure.note(false);
        });
        assert_eq!(begun.elapsed(), Duration::ZERO, "nothing waits any more");
        pressure.note(true);
        pressure.rest(REST_MAX, Duration::ZERO).await;
        assert_eq!(begun.elapsed(), REST_MAX);
    }
}
