//! Where children are started, heard and waited for.

use std::sync::{Mutex, PoisonError};

use stepwell_core::{Error, Result};
use tokio::runtime::{Builder, Handle};

/// The thread, once there is one. It stays for as long as the process does: the kernel kills a child when the thread
/// that started it ends.
static THREAD: Mutex<Option<Handle>> = Mutex::new(None);

/// The runtime on which all children of this process are started.
pub(super) fn handle() -> Result<Handle> {
    let mut thread = THREAD.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*thread {
        return Ok(handle.clone());
    }
    let failed = |error| Error::storage("start the thread of the child processes", error);
    let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let handle = runtime.handle().clone();
    let run = move || runtime.block_on(std::future::pending::<()>());
    std::thread::Builder::new().name("stepwell-process".into()).spawn(run).map_err(failed)?;
    *thread = Some(handle.clone());
    Ok(handle)
}
