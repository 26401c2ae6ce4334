//! SeaweedFS: a real distributed store that speaks S3, with atomic conditional puts.

use std::fs;
use std::sync::LazyLock;

use super::{Remote, Server, answers, free_port, loopback, rclone, tool, try_rclone};
use crate::support::wait;

const KEY: &str = "steplogtestkey";
const SECRET: &str = "steplogtestsecret";
const BUCKET: &str = "steplog-tests";

/// The store, started at first use.
pub(crate) fn remote() -> Remote {
    static RUNNING: LazyLock<(Server, Remote)> = LazyLock::new(start);
    RUNNING.1.clone()
}

fn start() -> (Server, Remote) {
    let [master, volume, filer, port] = [(); 4].map(|()| free_port());
    let address = loopback(port);
    let server = Server::start(
        "SeaweedFS",
        |folder| {
            let users = serde_json::json!({"identities": [{
                "name": "tests",
                "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
                "actions": ["Admin", "Read", "Write", "List", "Tagging"],
            }]});
            let users_file = folder.path().join("s3.json");
            fs::write(&users_file, users.to_string()).unwrap();
            let data = folder.path().join("data");
            fs::create_dir(&data).unwrap();
            vec![
                tool("weed").display().to_string(),
                "server".into(),
                format!("-dir={}", data.display()),
                "-ip=127.0.0.1".into(),
                "-ip.bind=127.0.0.1".into(),
                format!("-master.port={master}"),
                format!("-volume.port={volume}"),
                "-filer".into(),
                format!("-filer.port={filer}"),
                "-volume.max=20".into(),
                "-master.volumeSizeLimitMB=128".into(),
                "-s3".into(),
                format!("-s3.port={port}"),
                "-s3.port.iceberg=0".into(),
                "-s3.port.lance=0".into(),
                format!("-s3.config={}", users_file.display()),
            ]
        },
        // 403: it answers, and knows its users.
        || answers(address, "/").is_some_and(|status| status.contains(" 403 ")),
    );
    let rclone_remote = format!(
        ":s3,provider=Other,access_key_id={KEY},secret_access_key={SECRET},region=us-east-1,\
         force_path_style=true,endpoint='http://{address}':{BUCKET}"
    );
    rclone(&["mkdir", &rclone_remote]);
    // The first write waits for volumes to be there; the tests' own need not.
    let probe = server.folder().join("probe");
    fs::write(&probe, "probe").unwrap();
    let (from, to) = (probe.display().to_string(), format!("{rclone_remote}/probe"));
    wait::until_true("SeaweedFS to take writes", || try_rclone(&["copyto", &from, &to]));
    let remote = Remote {
        bucket: format!("s3://{BUCKET}"),
        options: format!(
            "endpoint = \"http://{address}\"\nregion = \"us-east-1\"\nallow_http = \"true\"\n\
             access_key_id = \"{KEY}\"\nsecret_access_key = \"{SECRET}\"\n"
        ),
        flavor: "s3",
        address,
        rclone: rclone_remote,
    };
    (server, remote)
}
