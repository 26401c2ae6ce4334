//! Podman, with the image of `packaging/Containerfile` and a step's image made as `packaging/README.md` says.

use std::fs;
use std::process::Command;

use super::{attempt, succeed};
use crate::support::sandbox::Sandbox;
use crate::support::{project, wait};

/// No limits but those of the machine: a container may not have more than it.
const CONTAINERS: &str = r#"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
pids_limit = 0
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
"#;

/// A step's image, as `packaging/README.md` makes it.
const STEP: &str = r#"
FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
COPY --from=localhost/steplog /steplog /usr/local/bin/steplog
ENV PATH=/usr/local/bin:/bin
ENTRYPOINT ["steplog", "run", "--"]
"#;

/// Both images, in a storage of their own in the sandbox.
pub(super) struct Podman<'a> {
    sandbox: &'a Sandbox,
    /// The pieces of the C library.
    libraries: Vec<String>,
}

impl<'a> Podman<'a> {
    pub(super) fn new(sandbox: &'a Sandbox) -> Self {
        let context = sandbox.path("context");
        fs::create_dir(&context).unwrap();
        fs::write(sandbox.path("containers.conf"), CONTAINERS).unwrap();
        fs::write(context.join("Containerfile"), STEP).unwrap();
        let program = env!("CARGO_BIN_EXE_steplog");
        succeed(Command::new("strip").arg("-o").arg(context.join("steplog")).arg(program));
        fs::copy("/bin/busybox", context.join("busybox")).unwrap();
        // `NAME => PATH (ADDRESS)`, and the loader as `PATH (ADDRESS)`.
        let listed = succeed(Command::new("ldd").arg(program));
        let libraries = listed
            .split_whitespace()
            .filter(|word| word.starts_with('/'))
            .map(str::to_owned)
            .collect();
        let podman = Self { sandbox, libraries };
        let images = [
            ("steplog", project("packaging/Containerfile")),
            ("step", context.join("Containerfile")),
        ];
        for (tag, file) in images {
            let mut build = podman.podman(&["build", "--network=none", "--quiet", "--tag", tag]);
            succeed(build.arg("--format=docker").arg("--file").arg(file).arg(&context));
        }
        podman
    }

    /// `podman ARGUMENTS`, in this storage.
    pub(super) fn podman(&self, arguments: &[&str]) -> Command {
        let mut command = self.sandbox.command("podman");
        command.env("CONTAINERS_CONF", self.sandbox.path("containers.conf"));
        command.arg("--root").arg(self.sandbox.path("podman/root"));
        command.arg("--runroot").arg(self.sandbox.path("podman/run")).args(arguments);
        command
    }

    /// Options that put the C library into a container.
    pub(super) fn libraries(&self) -> Vec<String> {
        self.libraries.iter().map(|path| format!("--volume={path}:{path}:ro")).collect()
    }

    /// `NAME-here`: the image with the C library in it, for where there are no options.
    pub(super) fn complete(&self, name: &str) {
        let context = self.sandbox.path("context");
        let mut text = format!("FROM localhost/{name}\n");
        for path in &self.libraries {
            let file = path.trim_start_matches('/').replace('/', "-");
            fs::copy(path, context.join(&file)).unwrap();
            text += &format!("COPY {file} {path}\n");
        }
        let file = self.sandbox.path("Containerfile");
        fs::write(&file, text).unwrap();
        let tag = format!("{name}-here");
        let mut build = self.podman(&["build", "--network=none", "--quiet", "--tag", &tag]);
        succeed(build.arg("--file").arg(file).arg(&context));
    }

    /// `podman run OPTIONS IMAGE ARGUMENTS`, with the sandbox's store and stack file.
    pub(super) fn run(&self, options: &[&str], image: &str, arguments: &[&str]) -> Command {
        let path = |relative| self.sandbox.path(relative).display().to_string();
        let mut command = self.podman(&["run", "--network=none"]);
        command
            .args(self.libraries())
            .arg(format!("--volume={}:/etc/steplog:ro", path("container")))
            .arg(format!("--volume={}:/store", path("store")))
            .args(["--env=STEPLOG_PIPELINE_RUN_ID=r", "--env=STEPLOG_STEP_ID=s"])
            .args(options)
            .arg(format!("localhost/{image}"))
            .args(arguments);
        command
    }

    /// The spool on a volume that outlives the container.
    pub(super) fn spool(&self) -> String {
        format!("--volume={}:/spool", self.sandbox.spool().display())
    }

    /// Waits until the container has printed this.
    pub(super) fn printed(&self, container: &str, wanted: &str) {
        wait::until_true(&format!("{container} to print {wanted}"), || {
            attempt(&mut self.podman(&["logs", container])).text().contains(wanted)
        });
    }
}

impl Drop for Podman<'_> {
    fn drop(&mut self) {
        // No panic on the way out of another.
        self.podman(&["rm", "--all", "--force", "--time=0"]).output().ok();
    }
}
