//! Who may see what: tokens, a proxy's word, TLS, and names that lead nowhere.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use nix::sys::signal::Signal;

use super::client::{Serving, items};
use crate::servers::tls::Certificates;
use crate::support::sandbox::{Sandbox, finish};
use crate::support::wait;

const TOKEN: &str = "s3cret-of-the-test";

fn private(sandbox: &Sandbox, name: &str, text: &str) {
    fs::write(sandbox.path(name), text).unwrap();
    fs::set_permissions(sandbox.path(name), Permissions::from_mode(0o600)).unwrap();
}

/// Two runs.
fn sandbox(server: &str) -> Sandbox {
    let sandbox = Sandbox::local(&format!("[server]\n{server}"));
    for run in ["nightly-1", "release-1"] {
        finish(&mut sandbox.wrap(run, ["echo", run])).expect(0);
    }
    sandbox
}

fn runs(serving: &Serving, token: &str) -> Vec<String> {
    let answer = serving.get_with("runs", &[("authorization", token)]).json();
    items(&answer).iter().map(|it| it["pipeline_run_id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_token_sees_what_it_is_for_and_is_told_so() {
    let sandbox = sandbox("token_file = \"{sandbox}/tokens\"\n");
    private(
        &sandbox,
        "tokens",
        &format!(
            "[[tokens]]\nname = \"all\"\ntoken = \"{TOKEN}\"\n\
             [[tokens]]\nname = \"night\"\ntoken = \"night\"\nruns = [\"nightly-*\"]\n"
        ),
    );
    let serving = Serving::new(&sandbox);
    let (all, night) = (format!("Bearer {TOKEN}"), "Bearer night");
    assert_eq!(runs(&serving, &all), ["release-1", "nightly-1"]);
    assert_eq!(runs(&serving, night), ["nightly-1"]);
    let no = serving.get("runs");
    no.problem(401, "a token is needed", "#token=");
    assert_eq!(no.header("www-authenticate"), Some("Bearer"));
    serving.get_with("runs", &[("authorization", "Bearer x")]).problem(401, "not known", "");
    serving.get_with("runs", &[("authorization", "Basic eDp5")]).problem(401, "is needed", "");
    for path in ["", "/logs", "/lines", "/logs/stream", "/raw", "/density", "/search?grep=a"] {
        let path = format!("runs/release-1{path}");
        let refused = serving.get_with(&path, &[("authorization", night)]);
        refused.problem(403, "you may not see run release-1", "");
        // What is not there is refused as well: nobody learns which runs there are.
        let other = path.replace("release-1", "release-2");
        serving.get_with(&other, &[("authorization", night)]).problem(403, "you may not see", "");
    }
    serving.get_with("zenml/logs/release-1/train/entries", &[("authorization", night)]).problem(
        403,
        "you may not see",
        "",
    );
    let latest = serving.get_with("runs/@latest", &[("authorization", night)]).json();
    assert_eq!(latest["pipeline_run_id"], "nightly-1");
    // The page has nothing to hide, and life is asked by who has no token.
    assert_eq!(serving.ask("GET /", &[]).status, 200);
    assert_eq!(serving.get("healthz").status, 200);
    assert!(!serving.said().contains(TOKEN), "{}", serving.said());

    private(&sandbox, "tokens", "another\n");
    serving.signal(Signal::SIGHUP);
    wait::until_true("the new token to count", || {
        serving.get_with("runs", &[("authorization", "Bearer another")]).status == 200
    });
    assert_eq!(serving.get_with("runs", &[("authorization", &all)]).status, 401);
    private(&sandbox, "tokens", "[[tokens]]\n");
    serving.signal(Signal::SIGHUP);
    wait::until_true("it to be said", || serving.said().contains("nothing is changed"));
    assert_eq!(serving.get_with("runs", &[("authorization", "Bearer another")]).status, 200);
}

#[test]
fn a_proxy_on_a_socket_says_who_asks() {
    let sandbox = sandbox(
        "listen = \"unix:{sandbox}/serve.sock\"\nidentity_header = \"X-User\"\n\
         token_file = \"{sandbox}/users\"\n",
    );
    private(
        &sandbox,
        "users",
        "[[users]]\nname = \"ada\"\n[[users]]\nname = \"night\"\nruns = [\"nightly-*\"]\n",
    );
    let serving = Serving::with(&sandbox, &[]);
    let as_user =
        |user: &str| serving.get_with("runs", &[("x-user", user), ("host", "logs.example")]);
    assert_eq!(items(&as_user("ada").json()).len(), 2);
    assert_eq!(items(&as_user("night").json()).len(), 1);
    as_user("eve").problem(403, "may see nothing", "");
    serving.get("runs").problem(401, "has not said who asks", "");
    let socket = sandbox.path("serve.sock");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o660);
    assert_eq!(serving.stop(), Some(0));
    assert!(!socket.exists());
}

#[test]
fn other_machines_need_tls_and_a_token() {
    let sandbox = sandbox("");
    let refused = sandbox.call(["serve", "--listen", "0.0.0.0:0"]).expect(2).errors();
    assert!(refused.contains("which needs TLS and a token"), "{refused}");

    let certificates = Certificates::new();
    for name in ["server.pem", "server.key"] {
        fs::copy(certificates.path(name), sandbox.path(name)).unwrap();
    }
    private(&sandbox, "token", TOKEN);
    sandbox.write_stack(&format!(
        "{}[server]\ntls_certificate = \"{{sandbox}}/server.pem\"\n\
         tls_key = \"{{sandbox}}/server.key\"\ntoken_file = \"{{sandbox}}/token\"\n",
        crate::support::sandbox::LOCAL
    ));
    let serving = Serving::with(&sandbox, &["--listen", "0.0.0.0:0"]);
    let curl = |path: &str, token: Option<&str>| {
        let mut command = sandbox.command("curl");
        command.args(["--silent", "--max-time", "20", "--http2", "--cacert"]);
        command.arg(certificates.path("ca.pem"));
        command.args(["--write-out", " %{http_code} %{http_version}"]);
        if let Some(token) = token {
            command.args(["--header", &format!("Authorization: Bearer {token}")]);
        }
        let port = serving.address().port();
        finish(command.arg(format!("https://localhost:{port}{path}"))).text()
    };
    assert!(curl("/api/v1/runs", Some(TOKEN)).ends_with("\"before\":null} 200 2"));
    assert!(curl("/api/v1/runs", None).ends_with(" 401 2"));
    assert!(curl("/", None).ends_with(" 200 2"));
    let follow = "/api/v1/runs/nightly-1/logs/stream?linger=0";
    let followed = curl(follow, Some(TOKEN));
    assert!(followed.contains("event: end\ndata: {\"status\":\"succeeded\"}"), "{followed}");
}

#[test]
fn names_that_somebody_makes_up_lead_nowhere() {
    let sandbox = sandbox("hosts = [\"logs.example\"]\n");
    let serving = Serving::new(&sandbox);
    for host in ["evil.example", "localhost.evil.example:80"] {
        serving.get_with("runs", &[("host", host)]).problem(
            403,
            "is not called",
            "hosts of [server]",
        );
    }
    for host in ["127.0.0.1:7300", "logs.example"] {
        assert_eq!(serving.get_with("runs", &[("host", host)]).status, 200);
    }
    let foreign = [("host", "localhost"), ("origin", "https://evil.example")];
    serving.get_with("runs", &foreign).problem(403, "other servers", "");
    let own = [("host", "localhost:1"), ("origin", "http://localhost:1")];
    assert_eq!(serving.get_with("runs", &own).status, 200);
}
