//! The time since the machine started, which all its processes share and which goes on while it sleeps.

use std::time::Duration;

/// The time since the machine started.
///
/// Heartbeats are compared between processes, so the monotonic clock of one of them would not do; and a laptop that
/// slept
/// must find its sessions stale when it wakes. This clock says nothing about the time of day, and no job sees it.
pub(crate) fn elapsed() -> Duration {
    #[cfg(target_os = "linux")]
    let id = rustix::time::ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let id = rustix::time::ClockId::Monotonic;
    let now = rustix::time::clock_gettime(id);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or(0))
}
