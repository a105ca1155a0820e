//! Counts how often this process really asks the kernel to make a file durable.
//!
//! A pragma says what was asked for; this says what happened. SQLite is linked statically into the subjects that use
//! it, so the two functions below take the place of libc's in its code.
use std::{
    ffi::c_int,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

static SYNCS: AtomicU64 = AtomicU64::new(0);

pub(crate) fn count() -> u64 {
    SYNCS.load(Relaxed)
}

#[unsafe(no_mangle)]
extern "C" fn fsync(fd: c_int) -> c_int {
    sync(libc::SYS_fsync, fd)
}

#[unsafe(no_mangle)]
extern "C" fn fdatasync(fd: c_int) -> c_int {
    sync(libc::SYS_fdatasync, fd)
}

fn sync(call: libc::c_long, fd: c_int) -> c_int {
    SYNCS.fetch_add(1, Relaxed);
    // SAFETY: both calls take one descriptor and touch no memory; `errno` is set as the caller expects.
    c_int::try_from(unsafe { libc::syscall(call, fd) }).unwrap_or(-1)
}
