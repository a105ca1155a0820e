//! Ctrl-C and SIGTERM, from the first moment on.

use tokio::sync::mpsc;

/// Each Ctrl-C and each SIGTERM of this process, also those that come while nobody waits for one.
pub(crate) struct Interrupts(mpsc::UnboundedReceiver<()>);

impl Interrupts {
    pub(crate) fn listen() -> Self {
        let (told, heard) = mpsc::unbounded_channel();
        #[cfg(unix)]
        if let Ok(mut terminated) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        {
            let told = told.clone();
            tokio::spawn(async move { while terminated.recv().await.is_some() && told.send(()).is_ok() {} });
        }
        tokio::spawn(async move {
            // Without a handler, Ctrl-C ends the process as kill -9 does, and the next start goes on all the same.
            while tokio::signal::ctrl_c().await.is_ok() && told.send(()).is_ok() {}
        });
        Self(heard)
    }
    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}
