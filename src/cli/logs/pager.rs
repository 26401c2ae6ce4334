//! The pager: started, fed, waited for, and left alone with Ctrl-C while it has the screen.
//!
//! Apart from what is printed, for that is the same without one.

use std::io::{self, Write};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use signal_hook::consts::{SIGINT, SIGQUIT};
use signal_hook::flag;

/// A pager that has the screen.
pub(super) struct Pager {
    stdin: ChildStdin,
    waiter: JoinHandle<()>,
}

impl Pager {
    /// The pager of whoever calls, if there is one to be had.
    pub(super) fn start() -> Option<Self> {
        let mut command = Command::new("sh");
        command.arg("-c").arg(command_line(std::env::var("PAGER").ok())?);
        if std::env::var_os("LESS").is_none() {
            // Colours; leave at once if all fits; leave the text on the screen.
            command.env("LESS", "RFX");
        }
        let mut child = command.stdin(Stdio::piped()).spawn().ok()?;
        let stdin = child.stdin.take()?;
        let gone = Arc::new(AtomicBool::new(false));
        // The terminal sends these to both. To the pager they mean "stop what you are doing"; if we
        // died of them it would be left behind, with the shell reading the same keys.
        for signal in [SIGINT, SIGQUIT] {
            flag::register_conditional_default(signal, Arc::clone(&gone)).ok()?;
        }
        let waiter = std::thread::spawn(move || {
            drop(child.wait());
            gone.store(true, Ordering::SeqCst);
        });
        Some(Self { stdin, waiter })
    }

    /// Waits until its user has seen enough.
    pub(super) fn wait(self) {
        drop(self.stdin);
        drop(self.waiter.join());
    }
}

impl Write for Pager {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stdin.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stdin.flush()
    }
}

/// What a shell is to run; nothing if no pager is wanted, or none is there.
fn command_line(named: Option<String>) -> Option<String> {
    match named {
        Some(name) if name.trim().is_empty() || name == "cat" => None,
        Some(name) => Some(name),
        // Without `exec` a shell would stand between; without `less` there is nothing to page with.
        None => on_path("less").then(|| "exec less".to_owned()),
    }
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
