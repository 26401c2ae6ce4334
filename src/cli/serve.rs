//! `steplog serve`: the API and the page.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::watch;

use super::reading::{self, Failure, STORE_FAILED};
use super::wrap::{chain, say};
use crate::capture::process::{Signal, Signals};
use crate::listen::Address;
use crate::server::{self, Server};
use crate::stack;
use crate::stores::Reading;

/// Serve an HTTP API over the log stores of the stack, and a page that shows logs
///
/// The page is at the address that is printed, the API at /api/v1 below it. TERM and INT stop it;
/// HUP has it read its certificate and its tokens again.
///
/// Exit codes: 0 it was stopped; 2 usage, or the stack file is wrong; 7 it could not start.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where to listen: an address and a port, or unix: and a path [default: 127.0.0.1:7300, or what [server] of the
    /// stack file says]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<Address>,
    /// The log store to read from where none is named: by default the first of the stack that can be read
    #[arg(long, value_name = "NAME")]
    log_store: Option<String>,
    /// The stack file
    #[arg(long, value_name = "FILE")]
    stack: Option<PathBuf>,
    /// Show the page in a browser
    #[arg(long)]
    open: bool,
    /// Print the OpenAPI document of the API instead
    #[arg(long)]
    openapi: bool,
}

pub(super) fn run(args: &Args) -> ExitCode {
    if args.openapi {
        super::stack::print(&server::document());
        return ExitCode::SUCCESS;
    }
    reading::end(serve(args))
}

fn serve(args: &Args) -> Result<u8, Failure> {
    super::ship::give_memory_back();
    let failed = |what: &str, error: &dyn std::error::Error| Failure {
        code: STORE_FAILED,
        message: format!("{what}: {}", chain(error)),
    };
    let (first, others) = stores(args)?;
    let mut settings = stack::load(args.stack.as_deref()).map_err(Failure::usage)?.server;
    if let Some(address) = &args.listen {
        settings.endpoint.address = address.clone();
    }
    let secure = settings.endpoint.tls.is_some();
    let name = first.name.clone();
    let server = Server::new(settings, first, others);
    let server = server.map_err(|error| Failure::usage(chain(&error)))?;
    server.warnings().into_iter().for_each(say);
    let server = Arc::new(server);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| failed("start threads", &error))?;
    let (stop, stopped) = watch::channel(false);
    obey_signals(Arc::clone(&server), stop).map_err(|error| failed("catch signals", &error))?;
    let socket = server.bind().map_err(|error| failed("listen", &error))?;
    let address = socket.address();
    let url = match &address {
        Some(Address::Tcp(address)) if secure => format!("https://{address}/"),
        Some(Address::Tcp(address)) => format!("http://{address}/"),
        Some(Address::Unix(path)) => format!("unix:{}", path.display()),
        None => "a socket without a name".to_owned(),
    };
    say(format!("serving log store {name} at {url}"));
    if args.open {
        open(&url);
    }
    let served = runtime.block_on(server.run(socket, stopped));
    if let Some(Address::Unix(path)) = address {
        // Nobody connects in vain to a socket that has no server.
        drop(std::fs::remove_file(path));
    }
    served.map_err(|error| failed("serve", &error))?;
    Ok(0)
}

/// Shows the page to whoever has called, if there is a browser.
fn open(url: &str) {
    use std::process::{Command, Stdio};
    let mut command = Command::new("xdg-open");
    command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if let Err(error) = command.spawn() {
        say(format!("open a browser with xdg-open: {error}; the page is at {url}"));
    }
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

/// TERM and INT stop the server, HUP has it read its files again.
fn obey_signals(server: Arc<Server>, stop: watch::Sender<bool>) -> std::io::Result<()> {
    let mut signals = Signals::catch_only(&[Signal::TERM, Signal::INT, Signal::HUP])?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        loop {
            let mut ready = [PollFd::new(signals.descriptor(), PollFlags::POLLIN)];
            if poll(&mut ready, PollTimeout::NONE).is_err() {
                continue;
            }
            for signal in signals.take() {
                if signal != Signal::HUP {
                    stop.send_replace(true);
                    return;
                }
                match server.reload() {
                    Ok(()) => say("certificate and tokens are read again"),
                    Err(error) => say(format!("nothing is changed: {}", chain(&error))),
                }
            }
        }
    })?;
    Ok(())
}
