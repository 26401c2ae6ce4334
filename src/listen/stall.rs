//! A connection whose client has to take what it has asked for: one that takes nothing for too long is ended, and
//! with it what was held for it.
//!
//! Apart from serving, which knows nothing of time but how a connection begins.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// The connection.
pub(super) struct Stall<S> {
    stream: S,
    most: Duration,
    /// Since the client takes nothing.
    since: Option<Pin<Box<Sleep>>>,
}

impl<S> Stall<S> {
    /// One that may take nothing for so long.
    pub(super) fn new(stream: S, most: Duration) -> Self {
        Self { stream, most, since: None }
    }

    fn judge<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.since = None;
            return written;
        }
        let most = self.most;
        let since = self.since.get_or_insert_with(|| Box::pin(sleep(most)));
        match since.as_mut().poll(context) {
            Poll::Ready(()) => {
                since.as_mut().reset(Instant::now() + most);
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stall<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stall<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.judge(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.judge(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = Pin::new(&mut self.stream).poll_shutdown(context);
        self.judge(context, closed)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[test]
    fn who_takes_nothing_is_given_up_and_who_is_slow_is_not() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (one, _other) = tokio::io::duplex(16);
            let mut stalling = Stall::new(one, Duration::from_millis(50));
            let error = stalling.write_all(&[0; 64]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            let (one, mut other) = tokio::io::duplex(16);
            let mut slow = Stall::new(one, Duration::from_secs(60));
            let reading = tokio::spawn(async move {
                let mut all = Vec::new();
                other.read_to_end(&mut all).await.map(|_| all.len())
            });
            slow.write_all(&[0; 64]).await.unwrap();
            drop(slow);
            assert_eq!(reading.await.unwrap().unwrap(), 64);
        });
    }
}
