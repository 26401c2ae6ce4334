//! TLS and proxies: a front that ends TLS stands before the server, or a proxy that steplog is told
//! of by the usual variables.

use super::{BATCH, Bench, Doubles, Subject, assert_arrived};
use crate::servers::nobody;
use crate::servers::proxy::Proxy;
use crate::servers::tls::{Certificates, Clients, Tls};
use crate::support::lines;
use crate::support::sandbox::{Output, finish};

/// A subject behind TLS.
struct Set<S> {
    subject: S,
    certificates: Certificates,
    tls: Tls,
}

impl<S: Subject> Set<S> {
    fn new(clients: Clients) -> Self {
        let (subject, certificates) = (S::start(), Certificates::new());
        let tls = Tls::before(subject.address(), &certificates, clients, S::PROTOCOLS);
        Self { subject, certificates, tls }
    }

    fn bench(&self, files: &[(&str, &str)]) -> Bench {
        self.bench_at(&format!("https://localhost:{}", self.tls.address.port()), files)
    }

    fn bench_at(&self, base: &str, files: &[(&str, &str)]) -> Bench {
        let line = |(key, file): &(&str, &str)| {
            format!("{key} = \"{}\"\n", self.certificates.path(file).display())
        };
        Bench::with(&self.subject.keys(base), &files.iter().map(line).collect::<String>())
    }
}

const CA: (&str, &str) = ("certificate_file", "ca.pem");
const CLIENT: [(&str, &str); 2] =
    [("client_certificate_file", "client.pem"), ("client_key_file", "client.key")];

pub(crate) fn a_private_ca_is_trusted_when_it_is_named<S: Subject>() {
    let set = Set::<S>::new(Clients::Anybody);
    let text = lines::numbered(2 * BATCH);
    set.bench(&[CA]).deliver("private-ca", text.as_bytes());
    assert_arrived(&set.subject, "private-ca", text.as_bytes(), Doubles::Never);
}

pub(crate) fn a_private_ca_is_not_trusted_otherwise<S: Subject>() {
    let set = Set::<S>::new(Clients::Anybody);
    left_behind(&set, set.bench(&[]), "unknown-ca", &["certificate"]);
}

pub(crate) fn a_client_certificate_is_shown<S: Subject>() {
    let set = Set::<S>::new(Clients::WithCertificate);
    let bench = set.bench(&[&[CA], &CLIENT[..]].concat());
    bench.deliver("client-certificate", b"hello\n");
    assert_arrived(&set.subject, "client-certificate", b"hello\n", Doubles::Never);
}

pub(crate) fn without_its_client_certificate_it_is_refused<S: Subject>() {
    let set = Set::<S>::new(Clients::WithCertificate);
    left_behind(&set, set.bench(&[CA]), "no-client-certificate", &[]);
}

/// Nothing gets through, the spool keeps it, and it is said why.
#[track_caller]
fn left_behind<S: Subject>(set: &Set<S>, mut bench: Bench, run: &str, words: &[&str]) {
    bench.set("deadline", "3s");
    let said = bench.print(run, b"hello\n").expect(0).errors();
    for word in words.iter().chain(&["log store it"]) {
        assert!(said.contains(word), "{word:?} is not said: {said}");
    }
    assert_eq!(bench.sandbox.spooled().len(), 1, "the spool keeps it");
    assert!(set.subject.stored(run).is_empty());
}

fn print_with(bench: &Bench, run: &str, variables: &[(&str, String)]) -> Output {
    let mut command = bench.sandbox.wrap(run, ["echo", "hello"]);
    for (name, value) in variables {
        command.env(name, value);
    }
    finish(&mut command)
}

/// The endpoint's host does not exist: only the proxy can know where it is.
pub(crate) fn the_proxy_variable_is_heeded<S: Subject>() {
    let subject = S::start();
    let proxy = Proxy::to(subject.address());
    let bench = Bench::new(&subject.keys("http://logs.invalid:80"));
    let variables = [("HTTP_PROXY", format!("http://{}", proxy.address))];
    let output = print_with(&bench, "proxy", &variables).expect(0);
    assert_eq!(output.errors(), "", "{}", bench.sandbox.ship_said());
    assert_arrived(&subject, "proxy", b"hello\n", Doubles::Never);
    assert!(proxy.seen().iter().all(|seen| seen.path.starts_with("http://logs.invalid")));
}

pub(crate) fn https_goes_through_a_proxy<S: Subject>() {
    let set = Set::<S>::new(Clients::Anybody);
    let proxy = Proxy::to(set.tls.address);
    let bench = set.bench_at("https://logs.invalid:443", &[CA]);
    let variables = [("HTTPS_PROXY", format!("http://{}", proxy.address))];
    let output = print_with(&bench, "https-proxy", &variables).expect(0);
    assert_eq!(output.errors(), "", "{}", bench.sandbox.ship_said());
    assert_arrived(&set.subject, "https-proxy", b"hello\n", Doubles::Never);
    assert!(!proxy.seen().is_empty());
    assert!(proxy.seen().iter().all(|seen| seen.head.starts_with("CONNECT logs.invalid:443 ")));
}

pub(crate) fn no_proxy_is_heeded<S: Subject>() {
    let subject = S::start();
    let bench = Bench::new(&subject.keys(&format!("http://{}", subject.address())));
    let variables = [
        ("HTTP_PROXY", format!("http://{}", nobody())),
        ("ALL_PROXY", format!("http://{}", nobody())),
        ("NO_PROXY", "localhost,127.0.0.1".to_owned()),
    ];
    let output = print_with(&bench, "no-proxy", &variables).expect(0);
    assert_eq!(output.errors(), "", "{}", bench.sandbox.ship_said());
    assert_arrived(&subject, "no-proxy", b"hello\n", Doubles::Never);
}
