//! Two clocks: one that all processes of the machine share, and one that counts this process's work.
use std::{mem::MaybeUninit, time::Duration};

/// Nanoseconds on the machine's monotonic clock: comparable between processes, unlike `Instant`.
#[must_use]
pub fn monotonic_ns() -> u64 {
    u64::try_from(read(libc::CLOCK_MONOTONIC).as_nanos()).unwrap_or(u64::MAX)
}

/// Processor time used by this process so far, all threads together.
pub(crate) fn cpu_time() -> Duration {
    read(libc::CLOCK_PROCESS_CPUTIME_ID)
}

fn read(clock: libc::clockid_t) -> Duration {
    let mut time = MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: the pointer is valid for the call, and zeroes are a valid `timespec` should the call fail.
    let time = unsafe {
        libc::clock_gettime(clock, time.as_mut_ptr());
        time.assume_init()
    };
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
