//! TLS in front of a server without, and the certificates for it: a private CA, a server's, a
//! client's. Made by openssl for each test, used by Python's ssl: neither is what steplog is built on.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{Server, free_port, loopback};
use crate::support::project;

/// A private CA, and what it has signed.
pub(crate) struct Certificates {
    folder: TempDir,
}

impl Certificates {
    /// Makes them. The server's is for `localhost`, `127.0.0.1` and `logs.invalid`.
    pub(crate) fn new() -> Self {
        let made = Self { folder: tempfile::tempdir().unwrap() };
        let folder = made.folder.path();
        let names = "subjectAltName=DNS:localhost,DNS:logs.invalid,IP:127.0.0.1";
        openssl(
            folder,
            "req -x509 -out ca.pem -keyout ca.key -subj /CN=private",
            &["basicConstraints=critical,CA:TRUE"],
        );
        for (name, subject, extensions) in [
            ("server", "/CN=localhost", names),
            ("client", "/CN=steplog", "extendedKeyUsage=clientAuth"),
        ] {
            let request = format!(
                "req -x509 -CA ca.pem -CAkey ca.key -out {name}.pem -keyout {name}.key -subj {subject}"
            );
            openssl(folder, &request, &[extensions, "basicConstraints=critical,CA:FALSE"]);
        }
        made
    }

    /// A file: `ca.pem`, `server.pem`, `server.key`, `client.pem`, `client.key`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn openssl(folder: &Path, arguments: &str, extensions: &[&str]) {
    let mut command = Command::new("openssl");
    command.current_dir(folder).args(arguments.split(' '));
    command.args("-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -days 30".split(' '));
    for extension in extensions {
        command.args(["-addext", extension]);
    }
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "openssl {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Whether clients must show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clients {
    Anybody,
    WithCertificate,
}

/// A running front.
pub(crate) struct Tls {
    pub(crate) address: SocketAddr,
    _server: Server,
}

impl Tls {
    /// In front of `upstream`, with the server's certificate. Speaks HTTP/1.1, and HTTP/2 too if
    /// `protocols` has `h2`.
    pub(crate) fn before(
        upstream: SocketAddr,
        certificates: &Certificates,
        clients: Clients,
        protocols: &[&str],
    ) -> Self {
        let address = loopback(free_port());
        let mut command = vec![
            "python3".to_owned(),
            project("tests/servers/tls.py").display().to_string(),
            address.port().to_string(),
            upstream.port().to_string(),
        ];
        let mut files = vec!["server.pem", "server.key"];
        if clients == Clients::WithCertificate {
            files.push("ca.pem");
        }
        command.extend(files.into_iter().map(|name| certificates.path(name).display().to_string()));
        if protocols.contains(&"h2") {
            command.push("--h2".to_owned());
        }
        let server =
            Server::start("TLS front", |_| command, || TcpStream::connect(address).is_ok());
        Self { address, _server: server }
    }
}
