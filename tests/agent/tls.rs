//! Servers of the agent where other machines could connect: TLS, tokens, and their renewal.
//!
//! Clients are the official SDK and curl; certificates are openssl's.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use super::{QUICK, Running, sandbox, write_stack};
use crate::servers::free_port;
use crate::servers::tls::Certificates;
use crate::support::project;
use crate::support::sandbox::{LOCAL, Output, Sandbox, finish, tool};
use crate::support::wait;

const TOKEN: &str = "s3cret-of-the-test";

/// A sandbox whose agent listens everywhere with both servers.
fn secure(otlp: u16, http: u16) -> Sandbox {
    let sandbox = sandbox("");
    let agent = format!(
        "[agent]\nhttp = \"0.0.0.0:{http}\"\nhttp_tls_certificate = \"{{sandbox}}/server.pem\"\n\
         http_tls_key = \"{{sandbox}}/server.key\"\nhttp_token_file = \"{{sandbox}}/token\"\n"
    );
    let input = format!(
        "[[inputs]]\nname = \"sdk\"\nkind = \"otlp\"\nlisten = \"0.0.0.0:{otlp}\"\n\
         tls_certificate = \"{{sandbox}}/server.pem\"\ntls_key = \"{{sandbox}}/server.key\"\n\
         token_file = \"{{sandbox}}/token\"\n"
    );
    sandbox.write_stack(&format!("{LOCAL}{}{input}", QUICK.replace("[agent]\n", &agent)));
    sandbox
}

fn put(sandbox: &Sandbox, certificates: &Certificates) {
    for name in ["server.pem", "server.key"] {
        fs::copy(certificates.path(name), sandbox.path(name)).unwrap();
    }
    private(sandbox, "token", TOKEN);
}

fn private(sandbox: &Sandbox, name: &str, text: &str) {
    fs::write(sandbox.path(name), text).unwrap();
    fs::set_permissions(sandbox.path(name), Permissions::from_mode(0o600)).unwrap();
}

/// The status, HTTP's version and the body, as curl has them; 0 if there was no answer.
fn curl(sandbox: &Sandbox, certificates: &Certificates, url: &str, token: Option<&str>) -> String {
    let mut command = sandbox.command("curl");
    command.args(["--silent", "--max-time", "20", "--http2", "--cacert"]);
    command.arg(certificates.path("ca.pem"));
    command.args(["--write-out", "%{http_code} %{http_version}"]);
    if let Some(token) = token {
        command.args(["--header", &format!("Authorization: Bearer {token}")]);
    }
    finish(command.arg(url)).text()
}

fn sdk(sandbox: &Sandbox, arguments: &[&str]) -> Output {
    let mut command = sandbox.command(tool("python"));
    command.arg(project("tests/steps/otlp.py")).args(arguments);
    finish(&mut command)
}

#[test]
fn the_official_sdk_sends_over_tls_with_the_token_and_not_without() {
    let (otlp, http) = (free_port(), free_port());
    let (sandbox, certificates) = (secure(otlp, http), Certificates::new());
    put(&sandbox, &certificates);
    let agent = Running::start(&sandbox);
    let endpoint = format!("localhost:{otlp}");
    let authority = certificates.path("ca.pem").display().to_string();
    for protocol in ["http", "grpc"] {
        let sent = sdk(&sandbox, &[protocol, &endpoint, "60", TOKEN, &authority]).expect(0);
        assert_eq!(sent.text(), "SUCCESS\nSUCCESS\n", "{protocol}: {}", sent.errors());
        let refused = sdk(&sandbox, &[protocol, &endpoint, "1", "another", &authority]).expect(0);
        assert_eq!(refused.text(), "FAILURE\n", "{protocol}");
    }
    // Without TLS nothing is taken, whatever the token.
    let plain = sdk(&sandbox, &["http", &endpoint, "1", TOKEN]).expect(0);
    assert_eq!(plain.text(), "FAILURE\n");
    assert_eq!(agent.said().matches("others may read").count(), 0, "{}", agent.said());
    let output = agent.stop().expect(0);
    assert!(!output.errors().contains(TOKEN));
    for protocol in ["http", "grpc"] {
        assert_eq!(sandbox.records(&format!("run-{protocol}/train")).len(), 60);
    }
}

#[test]
fn numbers_need_tls_and_the_token_but_life_only_tls() {
    let (otlp, http) = (free_port(), free_port());
    let (sandbox, certificates) = (secure(otlp, http), Certificates::new());
    put(&sandbox, &certificates);
    let agent = Running::start(&sandbox);
    let ask = |scheme: &str, path: &str, token: Option<&str>| {
        curl(&sandbox, &certificates, &format!("{scheme}://localhost:{http}/{path}"), token)
    };
    assert_eq!(ask("https", "healthz", None), "ok\n200 2");
    for path in ["readyz", "metrics", "elsewhere"] {
        let refused = ask("https", path, None);
        assert!(refused.ends_with("401 2"), "{refused}");
        let refused = ask("https", path, Some("another"));
        assert!(refused.ends_with("401 2"), "{refused}");
    }
    assert_eq!(ask("https", "readyz", Some(TOKEN)), "ready\n200 2");
    let metrics = ask("https", "metrics", Some(TOKEN));
    assert!(metrics.contains("steplog_input_up{input=\"sdk\",kind=\"otlp\"} 1\n"), "{metrics}");
    let plain = ask("http", "metrics", Some(TOKEN));
    assert_eq!(plain, "this port has TLS: use https\n400 1.1");
    // Whoever has another root does not trust it.
    let stranger = Certificates::new();
    let url = format!("https://localhost:{http}/healthz");
    assert_eq!(curl(&sandbox, &stranger, &url, None), "000 0");
    agent.stop().expect(0);
}

#[test]
fn a_reload_brings_the_new_certificate_and_token_and_keeps_the_old_where_they_are_wrong() {
    let (otlp, http) = (free_port(), free_port());
    let (sandbox, first) = (secure(otlp, http), Certificates::new());
    put(&sandbox, &first);
    let agent = Running::start(&sandbox);
    let url = format!("https://localhost:{http}/readyz");
    assert_eq!(curl(&sandbox, &first, &url, Some(TOKEN)), "ready\n200 2");
    let second = Certificates::new();
    put(&sandbox, &second);
    private(&sandbox, "token", "renewed");
    sandbox.call(["agent", "--reload"]).expect(0);
    assert_eq!(curl(&sandbox, &first, &url, Some("renewed")), "000 0");
    assert!(curl(&sandbox, &second, &url, Some(TOKEN)).ends_with("401 2"));
    assert_eq!(curl(&sandbox, &second, &url, Some("renewed")), "ready\n200 2");
    // A key of another certificate.
    fs::copy(first.path("server.key"), sandbox.path("server.key")).unwrap();
    fs::set_permissions(sandbox.path("server.key"), Permissions::from_mode(0o644)).unwrap();
    sandbox.call(["agent", "--reload"]).expect(0);
    wait::until_true("the agent to say it", || agent.said().contains("goes on with what it had"));
    assert_eq!(curl(&sandbox, &second, &url, Some("renewed")), "ready\n200 2");
    // What others may read is used, and said.
    fs::copy(second.path("server.key"), sandbox.path("server.key")).unwrap();
    fs::set_permissions(sandbox.path("server.key"), Permissions::from_mode(0o644)).unwrap();
    sandbox.call(["agent", "--reload"]).expect(0);
    wait::until_true("the warning", || agent.said().contains("others may read"));
    assert_eq!(curl(&sandbox, &second, &url, Some("renewed")), "ready\n200 2");
    agent.stop().expect(0);
}

#[test]
fn nothing_listens_where_others_connect_without_both() {
    let sandbox = sandbox("");
    for (keys, missing) in [
        ("", "TLS and a token"),
        ("token = \"x\"\n", "TLS"),
        ("tls_certificate = \"/c\"\ntls_key = \"/k\"\n", "a token"),
    ] {
        let input = format!(
            "[[inputs]]\nname = \"sdk\"\nkind = \"otlp\"\nlisten = \"0.0.0.0:4318\"\n{keys}"
        );
        write_stack(&sandbox, &input);
        let refused = sandbox.call(["agent"]).expect(2);
        let what =
            format!("0.0.0.0:4318 can be reached from other machines, which needs {missing}:");
        assert!(refused.errors().contains(&what), "{}", refused.errors());
        assert!(refused.errors().contains("the keys are tls_certificate, tls_key and token_file"));
    }
    let half = "[[inputs]]\nname = \"sdk\"\nkind = \"otlp\"\ntls_certificate = \"/c\"\n";
    write_stack(&sandbox, half);
    let refused = sandbox.call(["agent"]).expect(2);
    assert!(refused.errors().contains("inputs.tls_key: missing"), "{}", refused.errors());
    // A reference that is not followed is a token all the same.
    let reference = "[[inputs]]\nname = \"sdk\"\nkind = \"otlp\"\nlisten = \"0.0.0.0:4318\"\n\
                     tls_certificate = \"/c\"\ntls_key = \"/k\"\ntoken = \"${env:SENT}\"\n";
    write_stack(&sandbox, reference);
    let edit = ["log-store", "register", "a", "-f", "http", "--endpoint=http://127.0.0.1:1/"];
    sandbox.call(edit).expect(0);
}
