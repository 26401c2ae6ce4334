//! `packaging/kubernetes`, run by Podman.
//!
//! Podman knows pods and their volumes but neither sidecars among init containers nor probes: the test does
//! what a kubelet does about those, on the same containers. A `DaemonSet` is its pod; claims are folders of
//! the sandbox, so that what comes there can be read.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::{Value, json};

use super::podman::Podman;
use super::{attempt, succeed, yaml};
use crate::support::sandbox::{LOCAL, Sandbox, finish, tool};
use crate::support::{project, wait};

/// Of the pod, where its kubelet keeps something of it.
const POD_UID: &str = "0190b5f5-7777";

/// A pod of an example, made but not started.
struct Pod<'a> {
    podman: &'a Podman<'a>,
    name: String,
    spec: Value,
}

/// Where the store is that the claim `logs` stands for.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::with_stack(&LOCAL.replace("/store", "/logs"));
    for folder in ["logs", "pods", "spool"] {
        fs::create_dir(sandbox.path(folder)).unwrap();
    }
    // For the user of the pods.
    fs::set_permissions(sandbox.path("logs"), fs::Permissions::from_mode(0o777)).unwrap();
    sandbox
}

fn podman(sandbox: &Sandbox) -> Podman<'_> {
    let podman = Podman::new(sandbox);
    for image in ["steplog", "step"] {
        podman.complete(image);
    }
    podman
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

fn name(value: &Value) -> &str {
    value["name"].as_str().unwrap()
}

impl<'a> Pod<'a> {
    /// The pod of an example.
    fn create(sandbox: &Sandbox, podman: &'a Podman<'a>, file: &str) -> Self {
        Self::changed(sandbox, podman, file, |_| {})
    }

    /// The pod of an example with something changed in its containers.
    fn changed(
        sandbox: &Sandbox,
        podman: &'a Podman<'a>,
        file: &str,
        change: impl Fn(&mut Value),
    ) -> Self {
        let mut documents = yaml(&format!("packaging/kubernetes/{file}"));
        let workload = documents.pop().unwrap();
        let mut pod = match workload["kind"].as_str().unwrap() {
            "DaemonSet" => json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": { "name": workload["metadata"]["name"] },
                "spec": workload["spec"]["template"]["spec"],
            }),
            _ => workload,
        };
        let spec = pod["spec"].clone();
        let mut containers: Vec<Value> =
            [list(&spec, "initContainers"), list(&spec, "containers")].concat();
        let mut files = Vec::new();
        for container in &mut containers {
            let image = format!("{}-here", container["image"].as_str().unwrap());
            container["image"] = image.into();
            container["imagePullPolicy"] = "Never".into();
            // Of processor time this machine may have no groups.
            let memory = container["resources"]["limits"]["memory"].clone();
            container["resources"] = json!({ "limits": { "memory": memory } });
            for probe in ["restartPolicy", "startupProbe", "livenessProbe"] {
                container.as_object_mut().unwrap().remove(probe);
            }
            if let Some(variables) = container["env"].as_array_mut() {
                variables.retain(|it| it["valueFrom"]["fieldRef"]["fieldPath"] != "spec.nodeName");
            }
            // A kubelet gives each of them such a file.
            let termination = format!("termination-{}", name(container));
            let file = format!("kubelet/pods/{POD_UID}/containers/{}/0", name(container));
            let file = sandbox.path(&file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, "").unwrap();
            let mounts = container["volumeMounts"].as_array_mut().unwrap();
            mounts.push(json!({ "name": termination, "mountPath": "/dev/termination-log" }));
            files.push(json!({
                "name": termination, "hostPath": { "path": file, "type": "File" },
            }));
            change(container);
        }
        pod["spec"]["containers"] = containers.into();
        pod["spec"].as_object_mut().unwrap().remove("initContainers");
        for volume in pod["spec"]["volumes"].as_array_mut().unwrap() {
            let here = |folder: &str| json!({ "path": sandbox.path(folder), "type": "Directory" });
            if volume["persistentVolumeClaim"]["claimName"] == "logs" {
                *volume = json!({ "name": "logs", "hostPath": here("logs") });
            } else if !volume["hostPath"].is_null() {
                volume["hostPath"] = here(name(volume));
            }
        }
        pod["spec"]["volumes"].as_array_mut().unwrap().append(&mut files);
        let name = name(&pod["metadata"]).to_owned();
        documents.push(pod);
        let text: Vec<String> = documents.iter().map(Value::to_string).collect();
        let file = sandbox.path("pod.yaml");
        fs::write(&file, text.join("\n---\n")).unwrap();
        let mut play = podman.podman(&["kube", "play", "--network=none", "--start=false"]);
        succeed(play.arg(file));
        Self { podman, name, spec }
    }

    /// `podman BEFORE CONTAINER AFTER`.
    fn podman(&self, before: &[&str], container: &str, after: &[&str]) -> Command {
        let container = format!("{}-{container}", self.name);
        self.podman.podman(&[before, &[&container], after].concat())
    }

    /// Starts the containers as a kubelet does: init containers to their end one by one, sidecars until
    /// their probe is content, the others at last.
    fn start(&self) -> &Self {
        for container in list(&self.spec, "initContainers") {
            let name = name(container);
            succeed(&mut self.podman(&["start"], name, &[]));
            if container["restartPolicy"] == "Always" {
                let probe = list(&container["startupProbe"]["exec"], "command");
                let probe: Vec<&str> = probe.iter().map(|word| word.as_str().unwrap()).collect();
                wait::until_true("the sidecar's probe", || {
                    attempt(&mut self.podman(&["exec"], name, &probe)).code == Some(0)
                });
            } else {
                assert_eq!(succeed(&mut self.podman(&["wait"], name, &[])), "0", "{name}");
            }
        }
        for container in list(&self.spec, "containers") {
            succeed(&mut self.podman(&["start"], name(container), &[]));
        }
        self
    }

    /// Waits for the step; then ends the sidecar as a kubelet does. Gives both exit codes.
    fn end(&self) -> (String, String) {
        let step = succeed(&mut self.podman(&["wait"], "train", &[]));
        let grace = self.spec["terminationGracePeriodSeconds"].as_u64().unwrap();
        succeed(&mut self.podman(&["stop", &format!("--time={grace}")], "steplog", &[]));
        (step, succeed(&mut self.podman(&["wait"], "steplog", &[])))
    }

    /// How the step ended, by `steplog ls`.
    fn listed(sandbox: &Sandbox) -> Value {
        let listed = sandbox.call(["ls", "train", "-o", "json"]).expect(0).text();
        serde_json::from_str(listed.lines().next().unwrap()).unwrap()
    }
}

#[test]
fn the_examples_are_what_kubernetes_takes() {
    for file in ["wrapped", "fifo", "daemonset"] {
        // The first version in which sidecars are on by default, and one of today.
        for version in ["1.29", "1.37"] {
            let mut validate = Command::new(tool("kubernetes-validate"));
            validate.args(["--strict", "--quiet", "--kubernetes-version", version]);
            let path = project(&format!("packaging/kubernetes/{file}.yaml"));
            assert_eq!(succeed(validate.arg(path)), "");
        }
    }
}

#[test]
fn a_wrapped_step_spools_in_the_pod_and_the_sidecar_delivers() {
    let sandbox = sandbox();
    let podman = podman(&sandbox);
    let pod = Pod::create(&sandbox, &podman, "wrapped.yaml");
    assert_eq!(pod.start().end(), ("3".to_owned(), "0".to_owned()));
    let mut lines: Vec<_> = sandbox
        .records("train/train")
        .iter()
        .map(|record| format!("{} {}", record["iostream"], record["message"]))
        .collect();
    lines.sort();
    assert_eq!(lines, [r#""stderr" "almost""#, r#""stdout" "training""#]);
    let listed = Pod::listed(&sandbox);
    assert_eq!(listed["status"], "failed", "{listed}");
    sandbox.verify("train");
}

#[test]
fn where_there_are_no_native_sidecars_the_agent_ends_by_itself() {
    let sandbox = sandbox();
    let podman = podman(&sandbox);
    let pod = Pod::changed(&sandbox, &podman, "wrapped.yaml", |container| {
        if name(container) == "steplog" {
            container["args"] = json!(["agent", "--until-done"]);
        }
    });
    pod.start();
    assert_eq!(succeed(&mut pod.podman(&["wait"], "steplog", &[])), "0");
    assert_eq!(sandbox.records("train/train").len(), 2);
    sandbox.verify("train");
}

#[test]
fn of_a_step_that_is_killed_for_want_of_memory_the_sidecar_delivers_everything_and_says_so() {
    let sandbox = sandbox();
    let podman = podman(&sandbox);
    // It never finds a line end, and so keeps everything.
    let step = "i=0; while [ $i -lt 500 ]; do echo $i; i=$((i+1)); done; exec tail /dev/zero";
    let pod = Pod::changed(&sandbox, &podman, "wrapped.yaml", |container| {
        if name(container) == "train" {
            container["args"] = json!(["sh", "-c", step]);
        }
    });
    assert_eq!(pod.start().end(), ("137".to_owned(), "0".to_owned()));
    let expected: String = (0..500).map(|number| format!("{number}\n")).collect();
    assert_eq!(String::from_utf8(sandbox.raw("train/train")).unwrap(), expected);
    let listed = sandbox.call(["ls", "train"]).expect(0).text();
    assert!(listed.contains("failed (SIGKILL, OOMKilled)"), "{listed}");
    sandbox.verify("train");
}

#[test]
fn of_a_wrapped_step_whose_container_is_killed_the_sidecar_delivers_everything() {
    let sandbox = sandbox();
    let podman = podman(&sandbox);
    let step = "i=0; while [ $i -lt 500 ]; do echo $i; i=$((i+1)); done; exec sleep 1000";
    let pod = Pod::changed(&sandbox, &podman, "wrapped.yaml", |container| {
        if name(container) == "train" {
            container["args"] = json!(["sh", "-c", step]);
        }
    });
    pod.start();
    wait::until_true("the step to say all", || {
        attempt(&mut pod.podman(&["logs"], "train", &[])).text().contains("\n499\n")
    });
    // As the kernel does where the container is over its limit: all of it, at once.
    succeed(&mut pod.podman(&["kill", "--signal=KILL"], "train", &[]));
    assert_eq!(pod.end(), ("137".to_owned(), "0".to_owned()));
    let expected: String = (0..500).map(|number| format!("{number}\n")).collect();
    assert_eq!(String::from_utf8(sandbox.raw("train/train")).unwrap(), expected);
    let listed = Pod::listed(&sandbox);
    assert_eq!(listed["status"], "interrupted", "{listed}");
    sandbox.verify("train");
}

#[test]
fn a_step_that_cannot_be_wrapped_logs_to_a_fifo_that_the_sidecar_reads() {
    let sandbox = sandbox();
    let podman = podman(&sandbox);
    let pod = Pod::create(&sandbox, &podman, "fifo.yaml");
    assert_eq!(pod.start().end(), ("3".to_owned(), "0".to_owned()));
    assert_eq!(sandbox.raw("train/train"), b"training\n");
    let listed = Pod::listed(&sandbox);
    assert_eq!(listed["status"], "failed", "{listed}");
    sandbox.verify("train");
}

#[test]
fn an_agent_on_the_node_reads_what_the_node_keeps_of_each_container() {
    let sandbox = sandbox();
    let podman = podman(&sandbox);
    let pod = Pod::create(&sandbox, &podman, "daemonset.yaml");
    // What the kubelet's runtime would keep of the agent itself.
    let own = sandbox.path(&format!("pods/default_steplog-node-x_{POD_UID}/steplog/0.log"));
    fs::create_dir_all(own.parent().unwrap()).unwrap();
    fs::write(&own, "2026-11-25T10:11:12.1Z stderr F steplog: agent is ready\n").unwrap();
    pod.start();
    // Podman's log files have the node's format.
    for (pod, container, script) in [
        ("train-7", "trainer", "echo training; echo almost >&2"),
        ("load-1", "loader", "printf 'no line end'"),
    ] {
        let folder = sandbox.path(&format!("pods/default_{pod}_0190b5f5-1111/{container}"));
        fs::create_dir_all(&folder).unwrap();
        let log = format!("--log-opt=path={}", folder.join("0.log").display());
        let options = ["run", "--network=none", "--log-driver=k8s-file", &log, "--entrypoint=sh"];
        finish(podman.podman(&options).args(["localhost/step-here", "-c", script])).expect(0);
    }
    wait::until_true("the logs of both pods", || {
        let read = |run: &str| sandbox.call(["logs", run, "-o", "raw"]).text().len();
        read("train-7/trainer") == 16 && read("load-1/loader") >= 11
    });
    succeed(&mut pod.podman(&["stop", "--time=60"], "steplog", &[]));
    let records = sandbox.records("train-7/trainer");
    let streams: Vec<_> = records.iter().map(|record| &record["iostream"]).collect();
    assert_eq!(streams, ["stdout", "stderr"]);
    sandbox.verify("train-7");
    sandbox.verify("load-1");
    // Of itself it keeps nothing, or each line would make another.
    sandbox.call(["logs", "steplog-node-x"]).expect(3);
}
