//! Azurite: Microsoft's own emulator of Azure Blob Storage.

use std::sync::LazyLock;

use super::{Remote, Server, answers, free_port, loopback, rclone};
use crate::support::sandbox::node_tool;

// The account that every Azurite has; public documentation names it.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
const CONTAINER: &str = "steplog-tests";

/// The store, started at first use.
pub(crate) fn remote() -> Remote {
    static RUNNING: LazyLock<(Server, Remote)> = LazyLock::new(start);
    RUNNING.1.clone()
}

fn start() -> (Server, Remote) {
    let port = free_port();
    let address = loopback(port);
    let server = Server::start(
        "Azurite",
        |_| {
            vec![
                node_tool("azurite-blob").display().to_string(),
                "--skipApiVersionCheck".into(),
                "--disableTelemetry".into(),
                "--blobHost".into(),
                "127.0.0.1".into(),
                "--blobPort".into(),
                port.to_string(),
                "--inMemoryPersistence".into(),
            ]
        },
        || answers(address, "/").is_some(),
    );
    let endpoint = format!("http://{address}/{ACCOUNT}");
    let rclone_remote =
        format!(":azureblob,account={ACCOUNT},key='{KEY}',endpoint='{endpoint}':{CONTAINER}");
    rclone(&["mkdir", &rclone_remote]);
    let remote = Remote {
        bucket: format!("az://{CONTAINER}"),
        options: format!(
            "account_name = \"{ACCOUNT}\"\naccount_key = \"{KEY}\"\nendpoint = \"{endpoint}\"\n\
             allow_http = \"true\"\n"
        ),
        flavor: "azure",
        address,
        rclone: rclone_remote,
    };
    (server, remote)
}
