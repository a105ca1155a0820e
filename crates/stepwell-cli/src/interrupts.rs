//! Ctrl-C and SIGTERM, from the first moment on; and what must not end the process.

use tokio::sync::mpsc;

/// Each Ctrl-C and each SIGTERM of this process, also those that come while nobody waits for one.
pub(crate) struct Interrupts(mpsc::UnboundedReceiver<()>);

impl Interrupts {
    /// Listens from now on. Where it cannot, such a signal ends the process as kill -9 does, and the next start goes on
    /// all the same.
    pub(crate) fn listen() -> Self {
        let (told, heard) = mpsc::unbounded_channel();
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            // The handlers are there when this returns, and not when a task first runs.
            for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
                if let Ok(mut signals) = signal(kind) {
                    let told = told.clone();
                    tokio::spawn(
                        async move { while signals.recv().await.is_some() && told.send(()).is_ok() {} },
                    );
                }
            }
        }
        #[cfg(not(unix))]
        tokio::spawn(async move { while tokio::signal::ctrl_c().await.is_ok() && told.send(()).is_ok() {} });
        Self(heard)
    }
    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

/// A file that may not grow is an error that is told and survived; by itself the signal for it would kill the process.
pub(crate) fn outlive_file_size_limit() {
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    {
        use tokio::signal::unix::{SignalKind, signal};
        const SIGXFSZ: i32 = 25;
        // Once there is a handler, it stays; nobody needs to hear of it.
        drop(signal(SignalKind::from_raw(SIGXFSZ)));
    }
}
