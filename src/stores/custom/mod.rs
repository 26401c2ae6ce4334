//! Flavors of the user's own: a program in any language that speaks a line protocol on its standard
//! input and output. The protocol is told to its authors in `docs/custom-flavor.md`.
//!
//! ```text
//! protocol   what is said, as JSON
//! process    the program: started when it is needed, answers given to whoever asked, ended
//! encode     records, as http sends them
//! fetch      records back
//! ```
//!
//! The program is trusted with the records and with the values of its own table, which it gets on its
//! standard input and never as arguments. It is not trusted to work: every answer has a deadline, lines are
//! limited, and whatever breaks the protocol ends the program; what it had not answered is sent again to
//! the next one. Starting it again is left to `ship`, which waits between tries as it does for any store.

pub mod config;
pub(crate) mod declared;
mod encode;
mod fetch;
mod process;
mod protocol;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

pub use self::config::{Config, Registered};
pub use self::declared::DeclaredKey;
use self::process::Program;
use self::protocol::{Answer, Description};
use super::records::config::Batching;
use super::records::{Format, Limits, Rejected, Reply, Request, SendError, Service};
use crate::record::Writer;

/// A try may take so much longer than the program's answer.
const MARGIN: Duration = Duration::from_secs(5);

/// A program that keeps logs.
pub(crate) struct Custom {
    config: Config,
    program: Program,
}

impl Custom {
    /// Starts nothing yet.
    pub(crate) fn open(config: Config) -> Arc<Self> {
        Arc::new(Self { program: Program::new(config.clone()), config })
    }

    /// What a program says of itself; starts it and ends it.
    pub(crate) async fn describe(
        command: Vec<String>,
        name: &str,
    ) -> Result<Description, SendError> {
        let flavor = Registered { name: name.to_owned(), command, can_fetch: false, keys: None };
        let config = Config {
            log_store: String::new(),
            flavor,
            values: config::Values::default(),
            batching: Batching::usual(config::BOUNDS),
        };
        Program::new(config).describe().await
    }

    async fn write(&self, request: Request) -> Result<Reply, SendError> {
        let answer = self.program.write(&request).await?;
        match answer {
            Answer::Ack { rejected, again, retry_after_ms, .. } => {
                let in_request = |position: &usize| *position < request.records;
                if !rejected.iter().map(|it| &it.position).chain(&again).all(in_request) {
                    return Err(self.program.broke("it answered for records that were not sent"));
                }
                if rejected.is_empty() && again.is_empty() {
                    return Ok(Reply::Taken);
                }
                let rejected = rejected
                    .into_iter()
                    .map(|it| Rejected { position: it.position, reason: it.reason })
                    .collect();
                let after = retry_after_ms.map(Duration::from_millis);
                Ok(Reply::Partly { rejected, again, after })
            }
            other => Err(self.program.unexpected("write", &other)),
        }
    }
}

impl Service for Custom {
    fn limits(&self) -> Limits {
        // The program's own deadline comes first: a program that hangs is ended by it.
        let timeout = Some(self.program.answer() + MARGIN);
        Limits { timeout, ..self.config.batching.limits(usize::MAX) }
    }

    fn format(&self, writer: &Writer) -> Box<dyn Format> {
        Box::new(encode::Encode::new(writer))
    }

    fn send(&self, request: Request) -> BoxFuture<'_, Result<Reply, SendError>> {
        self.write(request).boxed()
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), SendError>> {
        self.program.flush().boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.program.shut_down().boxed()
    }
}
