//! An answer on its way: in pieces, so that what a slow client has not taken is one piece and not all of it, and
//! counted as one that is being answered until the last piece is taken.
//!
//! A connection that takes nothing is ended in `listen`. Over HTTP/2 a connection may be well while one of its answers
//! stands still: that is ended here.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::{Body as _, Frame, SizeHint};
use tokio::sync::watch;
use tokio::time::timeout;

/// Bytes of a piece, at the most.
const PIECE: usize = 32 << 10;

/// The body of an answer.
pub(super) struct Held<P> {
    sending: Slot<P>,
    /// The client has yet to come for the next piece.
    waits: watch::Sender<bool>,
}

type Slot<P> = Arc<Mutex<Option<Sending<P>>>>;

/// What is let go when a client does not come.
struct Sending<P> {
    body: Body,
    /// Of what was too large for a piece, what is left.
    rest: Bytes,
    _permit: P,
}

/// Why a body ends before its end.
#[derive(Debug, thiserror::Error)]
#[error("the client has taken nothing of its answer for too long")]
struct GivenUp;

impl<P: Send + Unpin + 'static> Held<P> {
    /// With what counts it, if anything does. Given up when its client does not come for a piece within `most`.
    pub(super) fn new(body: Body, permit: P, most: Duration) -> Self {
        let sending = Sending { body, rest: Bytes::new(), _permit: permit };
        let sending = Arc::new(Mutex::new(Some(sending)));
        let (waits, waiting) = watch::channel(true);
        drop(tokio::spawn(look_after(Arc::downgrade(&sending), waiting, most)));
        Self { sending, waits }
    }
}

/// Ends with the body, or lets go of what is in it.
async fn look_after<P>(
    sending: Weak<Mutex<Option<Sending<P>>>>,
    mut waits: watch::Receiver<bool>,
    most: Duration,
) {
    while waits.wait_for(|waits| *waits).await.is_ok() {
        match timeout(most, waits.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            Err(_) => {
                if let Some(sending) = sending.upgrade() {
                    drop(lock(&sending).take());
                }
                return;
            }
        }
    }
}

fn lock<P>(sending: &Mutex<Option<Sending<P>>>) -> MutexGuard<'_, Option<Sending<P>>> {
    sending.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<P> Sending<P> {
    fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                other => return Poll::Ready(other),
            }
        }
        // A copy: a part would keep all that it is a part of.
        let piece = Bytes::copy_from_slice(&self.rest.split_to(self.rest.len().min(PIECE)));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

impl<P: Unpin> hyper::body::Body for Held<P> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.waits.send_replace(false);
        let polled = match &mut *lock(&self.sending) {
            Some(sending) => sending.poll(context),
            None => return Poll::Ready(Some(Err(axum::Error::new(GivenUp)))),
        };
        self.waits.send_replace(polled.is_ready());
        polled
    }

    fn is_end_stream(&self) -> bool {
        lock(&self.sending)
            .as_ref()
            .is_some_and(|sending| sending.rest.is_empty() && sending.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let sending = lock(&self.sending);
        let Some(sending) = sending.as_ref() else { return SizeHint::default() };
        let (inner, rest) = (sending.body.size_hint(), sending.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http_body_util::BodyExt as _;
    use tokio::sync::{OwnedSemaphorePermit, Semaphore};

    use super::*;

    fn held(bytes: usize, permits: &Arc<Semaphore>) -> Held<OwnedSemaphorePermit> {
        let permit = Arc::clone(permits).try_acquire_owned().unwrap();
        Held::new(Body::from(vec![7; bytes]), permit, Duration::from_millis(50))
    }

    #[test]
    fn a_client_that_does_not_come_is_given_up() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let permits = Arc::new(Semaphore::new(1));
            let mut body = held(3 * PIECE, &permits);
            let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
            assert_eq!(first.len(), PIECE);
            assert_eq!(body.size_hint().exact(), Some(2 * PIECE as u64));
            assert_eq!(permits.available_permits(), 0);
            let again = permits.acquire().await.unwrap();
            assert!(body.frame().await.unwrap().is_err());
            drop(again);
            let whole = held(3 * PIECE + 1, &permits).collect().await.unwrap().to_bytes();
            assert_eq!(whole.len(), 3 * PIECE + 1);
            assert_eq!(permits.available_permits(), 1);
        });
    }
}
