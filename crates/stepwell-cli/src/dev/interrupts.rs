//! Ctrl-C, from the first moment on.

use tokio::sync::mpsc;

/// Each Ctrl-C of this process, also those that come while nobody waits for one.
pub(super) struct Interrupts(mpsc::UnboundedReceiver<()>);

impl Interrupts {
    pub(super) fn listen() -> Self {
        let (told, heard) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            // Without a handler, Ctrl-C ends the process as kill -9 does, and the next start goes on all the same.
            while tokio::signal::ctrl_c().await.is_ok() && told.send(()).is_ok() {}
        });
        Self(heard)
    }
    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}
