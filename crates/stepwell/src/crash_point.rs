//! Where a test lets the whole process be killed: a named place, and how often it is passed before that.

/// Passes a place. Without the feature `crash-points` nothing happens.
#[cfg(not(feature = "crash-points"))]
pub(crate) fn pass(_: &str) {}

/// Passes a place, and kills the process if the environment says so: `STEPWELL_CRASH_POINT=before-send:3` lets it pass
/// twice.
#[cfg(feature = "crash-points")]
pub(crate) fn pass(name: &str) {
    use std::sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    };

    static PLAN: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);
    let plan = PLAN.get_or_init(|| {
        let plan = std::env::var("STEPWELL_CRASH_POINT").ok()?;
        let (name, nth) = plan.rsplit_once(':')?;
        Some((name.to_owned(), nth.parse().ok()?))
    });
    if let Some((place, nth)) = plan
        && place == name
        && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *nth
    {
        let me = rustix::process::getpid();
        // As by `kill -9`: nothing is flushed, closed or told.
        rustix::process::kill_process(me, rustix::process::Signal::KILL).ok();
        std::process::abort();
    }
}
