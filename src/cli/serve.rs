//! `steplog serve`: the API and the page.

use std::path::PathBuf;
use std::process::ExitCode;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::watch;

use super::reading::{self, Failure, STORE_FAILED};
use super::wrap::{chain, say};
use crate::capture::process::{Signal, Signals};
use crate::server::{self, Server};
use crate::stack;
use crate::stores::Reading;

/// Serve an HTTP API over the log stores of the stack, and a page that shows logs
///
/// The page is at the address that is printed, the API at /api/v1 below it. TERM and INT stop it.
///
/// Exit codes: 0 it was stopped; 2 usage, or the stack file is wrong; 7 it could not start.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where to listen: an address and a port, or unix: and a path
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7300")]
    listen: std::net::SocketAddr,
    /// The log store to read from where none is named: by default the first of the stack that can be read
    #[arg(long, value_name = "NAME")]
    log_store: Option<String>,
    /// The stack file
    #[arg(long, value_name = "FILE")]
    stack: Option<PathBuf>,
    /// Print the OpenAPI document of the API instead
    #[arg(long)]
    openapi: bool,
}

pub(super) fn run(args: &Args) -> ExitCode {
    if args.openapi {
        print!("{}", server::document());
        return ExitCode::SUCCESS;
    }
    reading::end(serve(args))
}

fn serve(args: &Args) -> Result<u8, Failure> {
    let failed = |what: &str, error: &dyn std::error::Error| Failure {
        code: STORE_FAILED,
        message: format!("{what}: {}", chain(error)),
    };
    let (first, others) = stores(args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| failed("start threads", &error))?;
    let (stop, stopped) = watch::channel(false);
    stop_at_signals(stop).map_err(|error| failed("catch signals", &error))?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(args.listen).await;
        let what = format!("listen at {}", args.listen);
        let listener = listener.map_err(|error| failed(&what, &error))?;
        let address = listener.local_addr().map_err(|error| failed(&what, &error))?;
        say(format!("serving log store {} at http://{address}/", first.name));
        let server = Server::new(first, others);
        server.run(listener, stopped).await.map_err(|error| failed("serve", &error))
    })?;
    Ok(0)
}

/// All log stores of the stack that can be read, the one that is asked for first.
fn stores(args: &Args) -> Result<(server::Store, Vec<server::Store>), Failure> {
    let first = reading::Access::open(args.stack.as_deref(), args.log_store.as_deref())?.name;
    let stack = stack::load(args.stack.as_deref()).map_err(Failure::usage)?;
    let mut all: Vec<server::Store> = Vec::new();
    for store in stack.log_stores {
        let flavor = store.config.flavor().to_owned();
        if let Ok(Reading::Here(reader)) = store.config.reading() {
            all.push(server::Store { name: store.name, flavor, reader });
        }
    }
    let at = all.iter().position(|store| store.name == first);
    let at = at.ok_or_else(|| Failure::usage(format!("log store {first} cannot be read")))?;
    let first = all.remove(at);
    Ok((first, all))
}

/// Sends `true` when the process is told to end.
fn stop_at_signals(stop: watch::Sender<bool>) -> std::io::Result<()> {
    let mut signals = Signals::catch_only(&[Signal::TERM, Signal::INT])?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        loop {
            let ready = poll(
                &mut [PollFd::new(signals.descriptor(), PollFlags::POLLIN)],
                PollTimeout::NONE,
            );
            if ready.is_ok() && signals.take().next().is_some() {
                stop.send_replace(true);
                return;
            }
        }
    })?;
    Ok(())
}
