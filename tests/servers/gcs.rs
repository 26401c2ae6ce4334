//! gcp-storage-emulator: takes the requests that `object_store` sends to Google Cloud Storage.
//!
//! It ignores preconditions, so exactly-once names are proved with the other two stores.

use std::sync::LazyLock;

use super::{Remote, Server, answers, free_port, loopback, request, tool};

const BUCKET: &str = "steplog-tests";

/// The store, started at first use.
pub(crate) fn remote() -> Remote {
    static RUNNING: LazyLock<(Server, Remote)> = LazyLock::new(start);
    RUNNING.1.clone()
}

fn start() -> (Server, Remote) {
    let port = free_port();
    let address = loopback(port);
    let server = Server::start(
        "gcp-storage-emulator",
        |_| {
            vec![
                tool("gcp-storage-emulator").display().to_string(),
                "start".into(),
                "--host=127.0.0.1".into(),
                format!("--port={port}"),
                "--in-memory".into(),
            ]
        },
        || answers(address, "/").is_some_and(|status| status.contains(" 200 ")),
    );
    let body = format!("{{\"name\":\"{BUCKET}\"}}");
    let created = request(
        address,
        &format!(
            "POST /storage/v1/b?project=test HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    );
    assert!(created.as_ref().is_some_and(|status| status.contains(" 200 ")), "{created:?}");
    let account = format!(
        "{{\"gcs_base_url\":\"http://{address}\",\"disable_oauth\":true,\"client_email\":\"\",\
         \"private_key\":\"\",\"private_key_id\":\"\"}}"
    );
    let remote = Remote {
        bucket: format!("gs://{BUCKET}"),
        options: format!("service_account_key = '{account}'\nallow_http = \"true\"\n"),
        flavor: "gcs",
        address,
        rclone: format!(":gcs,anonymous=true,endpoint='http://{address}/storage/v1/':{BUCKET}"),
    };
    (server, remote)
}
