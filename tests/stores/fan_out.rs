//! Several log stores on one stack: each goes at its own pace, and the spool keeps what the slowest lacks.

use std::time::Duration;

use super::conformance::{Doubles, Subject, assert_arrived};
use super::http::Http;
use crate::servers::nobody;
use crate::servers::proxy::{Action, Proxy};
use crate::support::sandbox::{Output, Sandbox, finish};
use crate::support::{lines, wait};

/// A stack with the artifact store, a hook that works at `live`, and one at `other`.
fn sandbox(live: &str, other: &str, ship: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let hook = |name, base: &str| {
        format!(
            "[log_stores.{name}]\nflavor = \"http\"\nendpoint = \"{base}/ingest\"\n\
             max_export_batch_size = 100\nschedule_delay_millis = 20\ncompression = \"gzip\"\n"
        )
    };
    sandbox.write_stack(&format!(
        "active = \"test\"\n[stacks.test]\nartifact_store = \"here\"\n\
         log_stores = [\"objects\", \"live\", \"other\"]\n\
         [artifact_stores.here]\nflavor = \"local\"\npath = \"{{sandbox}}/store\"\n\
         [log_stores.objects]\nflavor = \"artifact\"\n{}{}\
         [spool]\ndir = \"{{sandbox}}/spool\"\n\
         [ship]\nretry_initial = \"5ms\"\nretry_max = \"50ms\"\ndead_letter = \"{{sandbox}}/dead\"\n{ship}",
        hook("live", live),
        hook("other", other)
    ));
    sandbox
}

fn base(address: std::net::SocketAddr) -> String {
    format!("http://{address}")
}

fn print(sandbox: &Sandbox, run: &str, text: &str) -> Output {
    let input = sandbox.path("input");
    std::fs::write(&input, text).unwrap();
    finish(&mut sandbox.wrap(run, ["cat".to_owned(), input.display().to_string()]))
}

/// The dead one holds back neither the artifact store nor the live one; `run` says which it is.
#[test]
fn one_of_three_is_dead() {
    let live = Http::start();
    let mut back = Http::start();
    let address = back.address();
    back.stop();
    let sandbox = sandbox(&base(live.address()), &base(address), "deadline = \"5s\"\n");
    let text = lines::numbered(3000);
    let said = print(&sandbox, "one-is-dead", &text).expect(0).errors();
    assert!(said.contains("log store other: "), "says which: {said}");
    assert!(!said.contains("log store live") && !said.contains("log store objects"), "{said}");
    assert_arrived(&live, "one-is-dead", text.as_bytes(), Doubles::Never);
    let [spool] = sandbox.spooled().try_into().unwrap();
    let names = ["checkpoint", "checkpoint.0", "checkpoint.1"];
    let all = names.iter().filter_map(|name| std::fs::read_to_string(spool.join(name)).ok());
    let last = all.max_by_key(|text| text.split(' ').next()?.parse::<u64>().ok()).unwrap();
    let (_, checkpoint) = last.split_once('\n').unwrap();
    let mut checkpoint = serde_json::Deserializer::from_str(checkpoint).into_iter();
    let checkpoint: serde_json::Value = checkpoint.next().unwrap().unwrap();
    let finished = |store: &str| checkpoint["stores"][store]["finished"].as_bool();
    assert_eq!(
        ["objects", "live", "other"].map(finished),
        [Some(true), Some(true), Some(false)],
        "{checkpoint}"
    );
    back.restart();
    sandbox.call(["ship", "--all"]).expect(0);
    assert!(sandbox.spooled().is_empty());
    assert_arrived(&back, "one-is-dead", text.as_bytes(), Doubles::Never);
    // The others were not sent anything again.
    assert_arrived(&live, "one-is-dead", text.as_bytes(), Doubles::Never);
}

/// The others have everything while the slow one has hardly begun, and it gets everything in the end.
#[test]
fn one_of_three_is_slow() {
    let (live, slow) = (Http::start(), Http::start());
    let proxy = Proxy::to(slow.address());
    proxy.script(|_| Action::Delay(Duration::from_millis(300)));
    let sandbox = sandbox(&base(live.address()), &base(proxy.address), "deadline = \"60s\"\n");
    let text = lines::numbered(3000);
    let input = sandbox.path("input");
    std::fs::write(&input, &text).unwrap();
    let script = format!("cat {}; read -r _", input.display());
    let mut child = sandbox
        .wrap("one-is-slow", ["sh", "-c", &script])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let has =
        |server: &Http| server.stored("one-is-slow").iter().filter(|it| it.event.is_none()).count();
    wait::until_true("the live one to have all lines", || has(&live) == 3000);
    assert!(has(&slow) < 3000, "it was as fast as the live one");
    drop(child.stdin.take());
    crate::support::sandbox::collect(child).expect(1);
    assert!(sandbox.spooled().is_empty(), "{}", sandbox.ship_said());
    for server in [&live, &slow] {
        assert_arrived(server, "one-is-slow", text.as_bytes(), Doubles::Never);
    }
    assert_eq!(sandbox.raw("one-is-slow"), text.as_bytes());
}

/// Nobody listens anywhere: each store is named.
#[test]
fn all_but_the_artifact_store_are_dead() {
    let dead = [nobody(), nobody()].map(base);
    let sandbox = sandbox(&dead[0], &dead[1], "deadline = \"2s\"\n");
    let text = lines::numbered(100);
    let said = print(&sandbox, "two-are-dead", &text).expect(0).errors();
    for store in ["log store live: ", "log store other: "] {
        assert!(said.contains(store), "{store} is not said: {said}");
    }
    assert_eq!(sandbox.raw("two-are-dead"), text.as_bytes());
}
