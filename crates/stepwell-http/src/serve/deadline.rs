//! A connection that does not wait for ever for its reader.
//!
//! When a client stops reading, the response that is on its way is not asked for more, and so no deadline of its own
//! ever passes. What is asked, again and again, is the socket: so the deadline is here.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// Bytes that must get through within the time, once the reader has fallen behind. A reader that takes a byte now and
/// then is as bad as one that takes none.
const PROGRESS_MIN: usize = 4 << 10;

/// A stream whose writes fail once its reader has taken too little for too long.
pub(super) struct Deadline<S> {
    stream: S,
    patience: Duration,
    /// Since when the reader is behind, and what it has taken since.
    behind: Option<(Pin<Box<Sleep>>, usize)>,
}

impl<S> Deadline<S> {
    pub(super) fn new(stream: S, patience: Duration) -> Self {
        Self { stream, patience, behind: None }
    }

    /// Looks at the outcome of a write: whether the reader has fallen behind, is still, or was for too long.
    fn judge(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match outcome {
            Poll::Ready(Ok(n)) => {
                if let Some((_, taken)) = &mut self.behind {
                    *taken += n;
                    if *taken >= PROGRESS_MIN {
                        self.behind = None;
                    }
                }
                outcome
            }
            Poll::Ready(Err(_)) => outcome,
            Poll::Pending => {
                let patience = self.patience;
                let (end, _) = self.behind.get_or_insert_with(|| (Box::pin(sleep(patience)), 0));
                match end.as_mut().poll(cx) {
                    Poll::Ready(()) => {
                        let text = "the reader has taken too little for too long";
                        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, text)))
                    }
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Deadline<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Deadline<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.judge(cx, outcome)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.judge(cx, outcome)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_stops_is_cut_and_one_that_pauses_is_not() {
        let (near, mut far) = tokio::io::duplex(1 << 10);
        let mut near = Deadline::new(near, PATIENCE);
        let write = near.write_all(&[7; 64 << 10]);
        let read = async {
            for _ in 0..8 {
                tokio::time::sleep(PATIENCE / 2).await;
                far.read_exact(&mut [0; 8 << 10]).await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(write, read);
        written.unwrap();

        let cut = near.write_all(&[7; 64 << 10]).await.unwrap_err();
        assert_eq!(cut.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_a_byte_now_and_then_is_cut_as_well() {
        let (near, mut far) = tokio::io::duplex(1 << 10);
        let mut near = Deadline::new(near, PATIENCE);
        let trickle = async {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                far.read_exact(&mut [0; 1]).await.unwrap();
            }
        };
        tokio::select! {
            written = near.write_all(&[7; 64 << 10]) => {
                assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
            }
            () = trickle => unreachable!("it goes on for ever"),
        }
    }
}
