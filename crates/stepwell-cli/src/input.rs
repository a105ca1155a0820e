//! What comes in over standard input, on a thread of its own: nobody who waits for it keeps Ctrl-C from being heard.

use std::io::{self, Read};

use tokio::sync::oneshot;

/// One line.
pub(crate) async fn line() -> io::Result<String> {
    read(|text| io::stdin().read_line(text)).await
}

/// Everything to the end.
pub(crate) async fn all() -> io::Result<String> {
    read(|text| io::stdin().lock().read_to_string(text)).await
}

async fn read(from: impl FnOnce(&mut String) -> io::Result<usize> + Send + 'static) -> io::Result<String> {
    let (told, heard) = oneshot::channel();
    // One that never ends keeps nobody: it ends with the process.
    std::thread::Builder::new().name("stepwell-input".into()).spawn(move || {
        let mut text = String::new();
        let done = from(&mut text).map(|_| text);
        // Whoever waited may have gone.
        drop(told.send(done));
    })?;
    heard.await.map_err(io::Error::other)?
}
