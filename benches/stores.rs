//! What each log store costs: the whole way of the lines to a service that takes all of them, at
//! once or after 200 ms.

use std::time::Duration;

use crate::measure::{self, Cost, Input};
use crate::null::{Null, Says};
use crate::support::sandbox::{LOCAL, Sandbox};
use crate::table::{Table, mebibytes, milliseconds, none, ratio};
use crate::{Group, Sizes, write};

/// A flavor with some of its keys.
pub(crate) struct Flavor {
    pub(crate) name: &'static str,
    /// Of its table in the stack file; `{endpoint}` is where the service is.
    pub(crate) keys: &'static str,
    says: Says,
}

const JSON: &str = "application/json";
const PROTOBUF: Says = Says::Http(200, "application/x-protobuf", "");
const OTEL_JSON: Says = Says::Http(200, JSON, "{}");
const PLAIN: Says = Says::Http(200, "text/plain", "");
const LOKI: Says = Says::Http(204, "text/plain", "");
const SPLUNK: Says = Says::Http(200, JSON, r#"{"text":"Success","code":0}"#);
const DATADOG: Says = Says::Http(202, JSON, "{}");
const BULK: Says =
    Says::Http(200, JSON, r#"{"errors":false,"items":[],"acknowledged":true,"status":200}"#);

/// Each flavor, without compression and as it is without a word about it.
pub(crate) const FLAVORS: [Flavor; 18] = [
    Flavor {
        name: "otel, protobuf",
        keys: "flavor = 'otel'\nendpoint = '{endpoint}'\ncompression = 'none'",
        says: PROTOBUF,
    },
    Flavor {
        name: "otel, protobuf, gzip",
        keys: "flavor = 'otel'\nendpoint = '{endpoint}'",
        says: PROTOBUF,
    },
    Flavor {
        name: "otel, protobuf, zstd",
        keys: "flavor = 'otel'\nendpoint = '{endpoint}'\ncompression = 'zstd'",
        says: PROTOBUF,
    },
    Flavor {
        name: "otel, gRPC",
        keys: "flavor = 'otel'\nprotocol = 'grpc'\nendpoint = '{endpoint}'\ncompression = 'none'",
        says: Says::Grpc,
    },
    Flavor {
        name: "otel, gRPC, gzip",
        keys: "flavor = 'otel'\nprotocol = 'grpc'\nendpoint = '{endpoint}'",
        says: Says::Grpc,
    },
    Flavor {
        name: "otel, JSON",
        keys: "flavor = 'otel'\nprotocol = 'http/json'\nendpoint = '{endpoint}'\ncompression = 'none'",
        says: OTEL_JSON,
    },
    Flavor {
        name: "otel, JSON, gzip",
        keys: "flavor = 'otel'\nprotocol = 'http/json'\nendpoint = '{endpoint}'",
        says: OTEL_JSON,
    },
    Flavor {
        name: "datadog",
        keys: "flavor = 'datadog'\napi_key = 'k'\nendpoint = '{endpoint}/api/v2/logs'\ncompression = 'none'",
        says: DATADOG,
    },
    Flavor {
        name: "datadog, gzip",
        keys: "flavor = 'datadog'\napi_key = 'k'\nendpoint = '{endpoint}/api/v2/logs'",
        says: DATADOG,
    },
    Flavor {
        name: "elasticsearch",
        keys: "flavor = 'elasticsearch'\nendpoint = '{endpoint}'\ncompression = 'none'",
        says: BULK,
    },
    Flavor {
        name: "elasticsearch, gzip",
        keys: "flavor = 'elasticsearch'\nendpoint = '{endpoint}'",
        says: BULK,
    },
    Flavor {
        name: "splunk",
        keys: "flavor = 'splunk'\nendpoint = '{endpoint}'\ntoken = 't'\ncompression = 'none'",
        says: SPLUNK,
    },
    Flavor {
        name: "splunk, gzip",
        keys: "flavor = 'splunk'\nendpoint = '{endpoint}'\ntoken = 't'",
        says: SPLUNK,
    },
    Flavor {
        name: "loki, protobuf, snappy",
        keys: "flavor = 'loki'\nendpoint = '{endpoint}'",
        says: LOKI,
    },
    Flavor { name: "http, NDJSON", keys: "flavor = 'http'\nendpoint = '{endpoint}'", says: PLAIN },
    Flavor {
        name: "http, NDJSON, gzip",
        keys: "flavor = 'http'\nendpoint = '{endpoint}'\ncompression = 'gzip'",
        says: PLAIN,
    },
    Flavor {
        name: "http, NDJSON, zstd",
        keys: "flavor = 'http'\nendpoint = '{endpoint}'\ncompression = 'zstd'",
        says: PLAIN,
    },
    Flavor { name: "console, JSON", keys: "flavor = 'console'\nformat = 'json'", says: PLAIN },
];

/// The least that a program of one's own can do.
const PROGRAM: &str = r#"
import json, sys
read, out = sys.stdin.buffer, sys.stdout
for line in iter(read.readline, b""):
    message = json.loads(line)
    answer = {"type": "ack", "id": message["id"]}
    if message["type"] == "describe":
        answer = {"type": "description", "id": message["id"], "protocol": 1, "name": "null", "version": "1"}
        answer["config"] = {"type": "object", "properties": {}}
    for _ in range(message.get("records", 0)):
        read.readline()
    out.write(json.dumps(answer) + "\n")
    out.flush()
"#;

/// The whole way through each flavor.
pub(crate) fn each(input: &Input, sizes: Sizes) -> Group {
    let slow = "records/s at 200 ms";
    let mut table = Table::new(
        &format!("{} records to a service that keeps nothing", input.lines),
        &["", "wall", "records/s", "CPU", "× artifact", "ship", "requests", "bytes a record", slow],
    );
    let yardstick = measure::median_cost(sizes.repetitions.min(3), || {
        measure::cost(&mut write::wrapped(&Sandbox::local(""), input, "run", None), None)
    });
    let sandbox = Sandbox::local("");
    let peaks = measure::peaks(&sandbox, &mut write::wrapped(&sandbox, input, "run", None));
    let stored = write::bytes_below(&sandbox.store());
    table.row([
        "artifact, local, zstd".to_owned(),
        milliseconds(yardstick.wall),
        rate(input, yardstick),
        milliseconds(yardstick.cpu),
        "1.00".to_owned(),
        mebibytes(peaks["ship"].resident),
        none(),
        format!("{:.1}", stored as f64 / input.lines as f64),
        none(),
    ]);
    for Flavor { name, keys, says } in &FLAVORS {
        let is_remote = keys.contains("{endpoint}");
        let server = Null::start(*says, Duration::ZERO);
        let keys_there = keys.replace("{endpoint}", &format!("http://{}", server.address));
        let cost = measure::median_cost(sizes.repetitions.min(3), || run(input, &keys_there));
        let before = server.taken();
        let sandbox = Sandbox::with_stack(&stack(&keys_there));
        let peaks = measure::peaks(&sandbox, &mut write::wrapped(&sandbox, input, "run", None));
        let after = server.taken();
        let (requests, bytes) = (after.0 - before.0, after.1 - before.1);
        assert_eq!(requests > 0, is_remote, "{name}");
        let late = is_remote.then(|| {
            let server = Null::start(*says, Duration::from_millis(200));
            run(input, &keys.replace("{endpoint}", &format!("http://{}", server.address)))
        });
        table.row([
            (*name).to_owned(),
            milliseconds(cost.wall),
            rate(input, cost),
            milliseconds(cost.cpu),
            ratio(cost.cpu, yardstick.cpu),
            mebibytes(peaks["ship"].resident),
            if is_remote { requests.to_string() } else { none() },
            if is_remote { format!("{:.1}", bytes as f64 / input.lines as f64) } else { none() },
            late.map_or_else(none, |cost| rate(input, cost)),
        ]);
    }
    let program = input.scratch().join("null.py");
    std::fs::write(&program, PROGRAM).unwrap();
    let register = |sandbox: &Sandbox| {
        let program = program.to_str().unwrap();
        let command = ["log-store", "flavor", "register", "null", "--command", "python3", program];
        sandbox.call(command).expect(0);
    };
    let keys = "flavor = 'null'";
    let cost = measure::median_cost(sizes.repetitions.min(3), || {
        let sandbox = Sandbox::with_stack(&stack("flavor = 'console'"));
        register(&sandbox);
        let file = sandbox.path("config/steplog/stack.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace("flavor = 'console'", keys)).unwrap();
        measure::cost(&mut write::wrapped(&sandbox, input, "run", None), None)
    });
    table.row([
        "a program (Python), its own time in it".to_owned(),
        milliseconds(cost.wall),
        rate(input, cost),
        milliseconds(cost.cpu),
        ratio(cost.cpu, yardstick.cpu),
        none(),
        none(),
        none(),
        none(),
    ]);
    table
}

fn run(input: &Input, keys: &str) -> Cost {
    let sandbox = Sandbox::with_stack(&stack(keys));
    measure::cost(&mut write::wrapped(&sandbox, input, "run", None), None)
}

/// One log store besides the artifact store, which then takes no log.
fn stack(keys: &str) -> String {
    let named = LOCAL.replace("[stacks.test]", "[stacks.test]\nlog_stores = ['it']");
    assert_ne!(named, LOCAL);
    format!("{named}\n[log_stores.it]\n{keys}\n")
}

fn rate(input: &Input, cost: Cost) -> String {
    format!("{:.0}", input.lines as f64 / cost.wall.as_secs_f64())
}
