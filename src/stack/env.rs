//! What the stack file's resolution asks of the world around it: variables, folders, user.
//!
//! A value that is handed in, so that tests state their own world and leave the process's
//! environment alone. Reads no file but the list of users, and creates no folder.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

/// Where a service keeps its state when systemd does not say (`StateDirectory=`).
const SERVICE_STATE: &str = "/var/lib/steplog";

/// The world as resolution sees it.
#[derive(Clone)]
pub struct Env {
    variables: BTreeMap<OsString, OsString>,
    user: u32,
    /// From the list of users, asked only where `HOME` says nothing.
    home_of: fn(u32) -> Option<PathBuf>,
    current: Option<PathBuf>,
    /// Read when neither the command line, the environment nor the user's folder names a file.
    pub(super) system_file: PathBuf,
}

impl Env {
    /// This process's.
    pub fn process() -> Self {
        Self {
            variables: std::env::vars_os().collect(),
            user: nix::unistd::geteuid().as_raw(),
            home_of: |user| home_in(&std::fs::read_to_string("/etc/passwd").ok()?, user),
            current: std::env::current_dir().ok(),
            system_file: PathBuf::from("/etc/steplog/stack.toml"),
        }
    }

    /// One of its own, for tests: these variables, this user, and nothing of the machine.
    pub fn given<const N: usize>(user: u32, variables: [(&str, &str); N]) -> Self {
        Self {
            variables: variables.map(|(name, value)| (name.into(), value.into())).into(),
            user,
            home_of: |_| None,
            current: Some(PathBuf::from("/")),
            // Can neither be read nor written.
            system_file: PathBuf::from("/dev/null/stack.toml"),
        }
    }

    /// A variable; one that is empty counts as not set.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(OsStr::new(name)).filter(|value| !value.is_empty()).map(|value| &**value)
    }

    /// `path`, made absolute by the current directory.
    pub fn absolute(&self, path: &Path) -> PathBuf {
        match &self.current {
            Some(current) => current.join(path),
            None => path.to_owned(),
        }
    }

    /// A path of the stack file that lies in `folder`: `~/` is the user's home, and what is
    /// relative starts at the file, so that it means the same wherever steplog is called.
    pub(crate) fn path(&self, written: &str, folder: &Path) -> PathBuf {
        match (written.strip_prefix("~/"), self.home()) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => folder.join(written),
        }
    }

    /// The stack files that are looked for when none is named, first one first.
    pub fn stack_files(&self) -> Vec<PathBuf> {
        let user = self.user_folder("XDG_CONFIG_HOME", ".config").map(|it| it.join("stack.toml"));
        user.into_iter().chain([self.system_file.clone()]).collect()
    }

    /// The root of the built-in artifact store.
    pub fn data(&self) -> PathBuf {
        self.folder("XDG_DATA_HOME", ".local/share", "")
    }

    /// Where spools lie unless the stack file says so.
    pub fn spool(&self) -> PathBuf {
        self.folder("XDG_STATE_HOME", ".local/state", "spool")
    }

    /// Where records go that a log store refuses for good, unless the stack file says so.
    pub fn dead_letter(&self) -> PathBuf {
        self.folder("XDG_STATE_HOME", ".local/state", "dead-letter")
    }

    /// The user's home, if there is one to speak of.
    pub fn home(&self) -> Option<PathBuf> {
        self.get("HOME")
            .map(PathBuf::from)
            .or_else(|| if self.user == 0 { None } else { (self.home_of)(self.user) })
            // Containers with an arbitrary user say `/`, Debian's system users `/nonexistent`.
            .filter(|home| home.is_absolute() && !home.starts_with("/nonexistent"))
            .filter(|home| self.user == 0 || home != Path::new("/"))
    }

    /// Service, then user, then root without a home, then a folder for temporary files: that
    /// loses logs at a reboot, but keeps them until then where there is no other place.
    fn folder(&self, xdg: &str, below_home: &str, part: &str) -> PathBuf {
        let base = if let Some(state) = self.service_state() {
            state
        } else if let Some(folder) = self.user_folder(xdg, below_home) {
            folder
        } else if self.user == 0 {
            PathBuf::from(SERVICE_STATE)
        } else {
            let temporary = self.get("TMPDIR").map_or(Path::new("/tmp"), Path::new);
            temporary.join(format!("steplog-{}", self.user))
        };
        if part.is_empty() { base } else { base.join(part) }
    }

    /// systemd names one folder or several; an application's own unit has one of its own name.
    fn service_state(&self) -> Option<PathBuf> {
        let listed = self.get("STATE_DIRECTORY")?;
        let first = std::env::split_paths(listed).find(|path| path.is_absolute())?;
        Some(if first.ends_with("steplog") { first } else { first.join("steplog") })
    }

    fn user_folder(&self, xdg: &str, below_home: &str) -> Option<PathBuf> {
        let named = self.get(xdg).map(PathBuf::from).filter(|path| path.is_absolute());
        Some(named.or_else(|| Some(self.home()?.join(below_home)))?.join("steplog"))
    }
}

/// A user's home in the words of passwd(5).
///
/// Not by getpwuid(3): in a static binary that loads whatever modules nsswitch.conf names, and dies of
/// some (`systemd`) before the step has begun. Users who are known in other ways have a `HOME`.
fn home_in(passwd: &str, user: u32) -> Option<PathBuf> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':').skip(2);
        let is_it = fields.next()?.parse() == Ok(user);
        fields.nth(2).filter(|home| is_it && !home.is_empty()).map(PathBuf::from)
    })
}

/// Shows no value: variables hold secrets.
impl fmt::Debug for Env {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Env")
            .field("variables", &self.variables.keys().collect::<Vec<_>>())
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check<const N: usize>(user: u32, variables: [(&str, &str); N], data: &str, spool: &str) {
        let env = Env::given(user, variables);
        assert_eq!((env.data(), env.spool()), (PathBuf::from(data), PathBuf::from(spool)));
    }

    #[test]
    fn folders() {
        let home = ("HOME", "/home/ada");
        check(
            1000,
            [home],
            "/home/ada/.local/share/steplog",
            "/home/ada/.local/state/steplog/spool",
        );
        check(
            1000,
            [home, ("XDG_DATA_HOME", "/d"), ("XDG_STATE_HOME", "/s")],
            "/d/steplog",
            "/s/steplog/spool",
        );
        check(
            1000,
            [home, ("XDG_DATA_HOME", "relative"), ("XDG_STATE_HOME", "")],
            "/home/ada/.local/share/steplog",
            "/home/ada/.local/state/steplog/spool",
        );
        check(
            0,
            [("HOME", "/home/super")],
            "/home/super/.local/share/steplog",
            "/home/super/.local/state/steplog/spool",
        );
        check(0, [], "/var/lib/steplog", "/var/lib/steplog/spool");
        check(
            0,
            [("HOME", "/home/super"), ("STATE_DIRECTORY", "/var/lib/steplog:/var/lib/more")],
            "/var/lib/steplog",
            "/var/lib/steplog/spool",
        );
        check(
            7,
            [("STATE_DIRECTORY", "/var/lib/app")],
            "/var/lib/app/steplog",
            "/var/lib/app/steplog/spool",
        );
        check(1000, [], "/tmp/steplog-1000", "/tmp/steplog-1000/spool");
        check(
            1000,
            [("HOME", "/"), ("TMPDIR", "/scratch")],
            "/scratch/steplog-1000",
            "/scratch/steplog-1000/spool",
        );
        check(65534, [("HOME", "/nonexistent")], "/tmp/steplog-65534", "/tmp/steplog-65534/spool");
    }

    #[test]
    fn the_home_of_a_user() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\n# no user\n+::::::\n\
                      ada:x:1000:7:Ada, L.:/home/ada:/bin/sh\nbare:x:8:8::\nnone:x:9:9:::/bin/sh\n";
        for (user, home) in [(0, Some("/root")), (1000, Some("/home/ada")), (8, None), (9, None)] {
            assert_eq!(home_in(passwd, user), home.map(PathBuf::from), "{user}");
        }
        assert_eq!(home_in(passwd, 7), None);
    }

    #[test]
    fn the_users_file_comes_before_the_systems() {
        let env = Env::given(1000, [("HOME", "/home/ada")]);
        let files = env.stack_files();
        assert_eq!(files[0], Path::new("/home/ada/.config/steplog/stack.toml"));
        assert_eq!(files[1], env.system_file);
    }

    #[test]
    fn debug_shows_no_value() {
        let shown = format!("{:?}", Env::given(0, [("TOKEN", "hunter2")]));
        assert!(shown.contains("TOKEN") && !shown.contains("hunter2"), "{shown}");
    }
}
