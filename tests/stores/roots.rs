//! A machine without a single root certificate, as a container made `FROM scratch` is: what is not encrypted
//! works, what is says what to do.

use std::process::Command;

use crate::servers::stand_in::{Reply, StandIn};
use crate::servers::tls::{Certificates, Clients, Tls};
use crate::servers::{nobody, seaweed};
use crate::support::sandbox::{Sandbox, finish};

/// The variables are looked at before, and instead of, the places where a system keeps them.
fn without_roots(mut command: Command) -> Command {
    command.env("SSL_CERT_FILE", "/dev/null").env("SSL_CERT_DIR", "/not/there");
    command
}

fn steplog(sandbox: &Sandbox, line: &str) -> Command {
    without_roots(sandbox.steplog(line.split(' ')))
}

/// Log stores at `base`, and the artifact store `remote`.
fn sandbox(base: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let stores = [
        ("hook", "http", ""),
        ("collector", "otel", ""),
        ("grpc", "otel", "protocol = 'grpc'\n"),
        ("search", "elasticsearch", ""),
    ];
    let stores: String = stores
        .iter()
        .map(|(name, flavor, keys)| {
            format!("[log_stores.{name}]\nflavor = '{flavor}'\nendpoint = '{base}'\n{keys}")
        })
        .collect();
    sandbox.write_stack(&format!(
        "active = 's'\n[stacks.s]\nartifact_store = 'remote'\nlog_stores = ['search', 'kept']\n\
         {stores}\
         [artifact_stores.remote]\nflavor = 's3'\nuri = 's3://bucket/prefix'\nendpoint = '{base}'\n\
         region = 'here'\naccess_key_id = 'me'\nsecret_access_key = '${{env:HOME}}'\n\
         allow_http = true\n[log_stores.kept]\nflavor = 'artifact'\n"
    ));
    sandbox
}

fn server() -> StandIn {
    StandIn::start(|_| Reply::text(200, ""))
}

#[test]
fn what_is_not_encrypted_works() {
    let server = server();
    let hook = sandbox(&format!("http://{}", server.address));
    finish(&mut steplog(&hook, "log-store test hook")).expect(0);
    // There is nobody, which is all that is wrong.
    let nobody = sandbox(&format!("http://{}", nobody()));
    for line in ["log-store test collector", "log-store test grpc", "artifact-store test remote"] {
        let said = finish(&mut steplog(&nobody, line)).expect(7).errors();
        assert!(said.contains("refused") && !said.contains("certificate"), "{line}: {said}");
    }
    let remote = seaweed::remote();
    let sandbox = Sandbox::with_stack(&remote.stack("without-roots", ""));
    finish(&mut without_roots(sandbox.wrap("r", ["echo", "hello"]))).expect(0);
    assert!(sandbox.spooled().is_empty(), "{}", sandbox.ship_said());
    let read = finish(&mut steplog(&sandbox, "logs r -o raw")).expect(0);
    assert_eq!(read.text(), "hello\n");
}

#[test]
fn what_is_encrypted_says_what_to_do() {
    let (server, certificates) = (server(), Certificates::new());
    let tls = Tls::before(server.address, &certificates, Clients::Anybody, &[]);
    let sandbox = sandbox(&format!("https://localhost:{}", tls.address.port()));
    for line in [
        "log-store test hook",
        "log-store test collector",
        "log-store test grpc",
        "log-store test search",
        "logs r",
        "artifact-store test remote",
        "logs r --log-store kept",
        "ls --log-store kept",
    ] {
        let said = finish(&mut steplog(&sandbox, line)).expect(7).errors();
        for words in ["the package ca-certificates", "$SSL_CERT_FILE"] {
            assert!(said.contains(words), "{line}: no {words:?} in {said}");
        }
    }
    // And that helps.
    let mut command = sandbox.steplog(["log-store", "test", "hook"]);
    finish(command.env("SSL_CERT_FILE", certificates.path("ca.pem"))).expect(0);
}
