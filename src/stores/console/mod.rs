//! The `console` flavor: records to standard error, as text for people or as JSON.
//!
//! For looking at what ship delivers, and for services whose output somebody collects already. Under
//! `steplog run` ship's standard error is the file `ship.log` in the spool's folder. What is written
//! cannot be taken back: a request that is made again is there twice. Cannot be read back.

pub(crate) mod config;
mod encode;

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

pub use self::config::Config;
use super::records::compress::Compression;
use super::records::{Format, Limits, Reply, Request, SendError, Service};
use crate::record::Writer;

/// Somewhere that text is written to.
pub(crate) struct Console {
    config: Config,
    to: Arc<Mutex<dyn Write + Send>>,
}

impl Console {
    /// On standard error.
    pub(crate) fn open(config: Config) -> Arc<dyn Service> {
        Arc::new(Self { config, to: Arc::new(Mutex::new(io::stderr())) })
    }
}

impl Service for Console {
    fn limits(&self) -> Limits {
        Limits {
            records: 1000,
            bytes: 1 << 20,
            record_bytes: usize::MAX,
            age: Duration::from_millis(100),
            timeout: None,
            // In the order of the lines.
            concurrency: 1,
            compression: Compression::None,
        }
    }

    fn format(&self, writer: &Writer) -> Box<dyn Format> {
        encode::format(writer, self.config.format)
    }

    fn send(&self, request: Request) -> BoxFuture<'_, Result<Reply, SendError>> {
        let to = Arc::clone(&self.to);
        async move {
            // A terminal that is stopped, or a pipe that nobody reads, takes its time.
            let write = move || {
                let mut to = to.lock().unwrap_or_else(PoisonError::into_inner);
                to.write_all(&request.body).and_then(|()| to.flush())
            };
            let written = tokio::task::spawn_blocking(write).await.map_err(io::Error::other);
            written.and_then(|written| written).map(|()| Reply::Taken).map_err(|error| {
                let message = format!("failed to write to standard error: {error}");
                SendError::Retry { message, after: None }
            })
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Broken;

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn send(to: Arc<Mutex<dyn Write + Send>>) -> Result<Reply, SendError> {
        let console = Console { config: Config::default(), to };
        let body = b"hello\n".as_slice().into();
        let request = Request { body, records: 1, id: "id".to_owned() };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(console.send(request))
    }

    #[test]
    fn what_is_sent_is_written_and_a_failure_may_pass() {
        let written = Arc::new(Mutex::new(Vec::new()));
        assert_eq!(send(Arc::clone(&written) as _), Ok(Reply::Taken));
        assert_eq!(*written.lock().unwrap(), b"hello\n");
        let error = send(Arc::new(Mutex::new(Broken))).unwrap_err();
        assert!(matches!(error, SendError::Retry { .. }), "{error:?}");
    }
}
