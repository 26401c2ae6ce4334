//! From the write of a line to its appearance in `steplog logs -f`.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::measure;
use crate::support::sandbox::Sandbox;
use crate::support::wait;
use crate::table::{Table, milliseconds};
use crate::{Group, Sizes};

/// Prints the time, a line at a time, at odd distances.
const STEP: &str = "
import sys, time
time.sleep(1)
for n in range(int(sys.argv[1])):
    print(time.time_ns(), flush=True)
    time.sleep(0.037 + 0.013 * (n % 5))
";

/// On the local artifact store.
pub(crate) fn latency(sizes: Sizes) -> Group {
    let mut table = Table::new("Live: from write to `logs -f`", &["lines", "p50", "p99", "most"]);
    let sandbox = Sandbox::local("");
    let count = sizes.live.to_string();
    let mut step = sandbox
        .wrap("live", ["python3", "-c", STEP, &count])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait::until_true("the run to be there", || sandbox.call(["ls", "live"]).code == Some(0));
    let mut follow = sandbox
        .steplog(["logs", "live", "-f", "-o", "raw"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut seen = Vec::new();
    for line in BufReader::new(follow.stdout.take().unwrap()).lines() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let written = Duration::from_nanos(line.unwrap().parse().unwrap());
        seen.push(now.saturating_sub(written));
    }
    assert!(follow.wait().unwrap().success());
    assert!(step.wait().unwrap().success());
    assert_eq!(seen.len(), sizes.live);
    table.row([
        count,
        milliseconds(measure::quantile(seen.clone(), 0.5)),
        milliseconds(measure::quantile(seen.clone(), 0.99)),
        milliseconds(measure::quantile(seen, 1.0)),
    ]);
    table
}
