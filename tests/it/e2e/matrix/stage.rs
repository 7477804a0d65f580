//! A server, and an agent in one sandbox as one user, with a tofu that lets a configuration do in the fetch step what
//! only a program could.
//!
//! Rule: the agent's own things belong to its user and to nobody else; the test reads the server with an
//! administrator's token, as a person would.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use support::canary::Canary;
use support::child::{Child, Finished, command, random_hex, run};
use support::require;
use support::search::Search;
use tempfile::TempDir;

use super::attacker::Attacker;
use crate::e2e::shelf::Shelf;
use crate::e2e::world::{Setup, USER, World};
use crate::e2e::{script, write};

/// Where a program tells expressions the path that none of them can find: among the modules, where a fetch step may write.
pub(super) const TOLD: &str = ".terraform/modules/told";

/// A shell's words that tell it.
pub(super) const TELLS: &str =
    "mkdir -p .terraform/modules && printf %s \"$TF_CLI_CONFIG_FILE\" > .terraform/modules/told\n";

/// The user that owns nothing.
const NOBODY: u32 = 65534;

/// As whom the agent runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum User {
    Root,
    /// Whoever runs the tests, or if that is root, [`NOBODY`].
    Ordinary,
}

/// How a credential comes to tofu.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Delivery {
    Broker,
    Helper,
    File,
}

impl Delivery {
    pub(super) const ALL: [Self; 3] = [Self::Broker, Self::Helper, Self::File];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Helper => "helper",
            Self::File => "file",
        }
    }
}

/// Everything of one sandbox and user.
pub(super) struct Stage {
    pub(super) world: World,
    pub(super) sandbox: &'static str,
    pub(super) user: User,
    pub(super) attacker: Attacker,
    pub(super) canary: Canary,
    /// A sensitive value of the configuration.
    pub(super) value: Canary,
    /// The agent's: `bin`, `state`, `runs`, `home`.
    pub(super) place: TempDir,
    pub(super) memory: TempDir,
    agent: Option<Child>,
    /// Reached by the broker, and directly.
    far: Shelf,
    near: Shelf,
}

impl Stage {
    /// `None`, said aloud, where it cannot be had.
    pub(super) fn start(sandbox: &'static str, user: User) -> Option<Self> {
        Self::start_with(sandbox, user, |_| Vec::new())
    }

    /// The same, with more arguments of the agent.
    pub(super) fn start_with(
        sandbox: &'static str,
        user: User,
        more: impl FnOnce(&Self) -> Vec<String>,
    ) -> Option<Self> {
        let is_root = rustix::process::geteuid().is_root();
        if user == User::Root && !require::root() {
            return None;
        }
        for program in ["perl", "bash"] {
            require::program(program)?;
        }
        if is_root && user == User::Ordinary {
            require::program("setpriv")?;
        }
        let (canary, value) = (Canary::new(USER), Canary::of(&format!("sensitive-{}", random_hex(10))));
        let canaries = vec![canary.clone(), value.clone()];
        let world = World::with(Setup { without_agent: true, canaries, ..Setup::default() })?;
        let (far, near) = (Shelf::start_far(&canary.password)?, Shelf::start(&canary.password)?);
        let place = tempfile::tempdir().unwrap();
        let memory = tempfile::Builder::new().prefix("nigari-test-").tempdir_in("/dev/shm").unwrap();
        let mut stage = Self {
            world,
            sandbox,
            user,
            attacker: Attacker::start(),
            canary,
            value,
            place,
            memory,
            agent: None,
            far,
            near,
        };
        stage.furnish();
        let more = more(&stage);
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        stage.start_agent(&more).then_some(stage)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// Programs that every user can start, and directories of the agent's own.
    fn furnish(&self) {
        fs::set_permissions(self.place.path(), Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(self.path("bin")).unwrap();
        let programs = self.world.stack.programs();
        for (original, copy) in [(&programs.nigari, "nigari"), (&programs.tofu, "real-tofu")] {
            let copy = self.path("bin").join(copy);
            if fs::hard_link(original, &copy).is_err() {
                fs::copy(original, &copy).unwrap();
            }
        }
        let real = self.path("bin/real-tofu").display().to_string();
        // In the fetch step it does first what the configuration says: what a program could do that tofu starts there.
        // What stood in the configuration for that step alone is gone after it, or tofu would see other sources.
        let first = "if [ \"$1\" = get ] && [ -f fetch.sh ]; then . ./fetch.sh; fi\nif [ \"$1\" = init ]; then rm -f expressions.tf; fi";
        script(&self.path("bin/tofu"), &format!("{first}\nexec '{real}' \"$@\""));
        let tofu = fs::read_to_string(self.path("bin/tofu")).unwrap().replace("#!/bin/sh", "#!/bin/bash");
        write(&self.path("bin/tofu"), &tofu);
        for name in ["state", "runs", "home", "elsewhere"] {
            fs::create_dir(self.path(name)).unwrap();
            self.give(&self.path(name), 0o700);
        }
        let token = fs::read(self.world.stack.directory().join("server/join.token")).unwrap();
        fs::write(self.path("join.token"), token).unwrap();
        self.give(&self.path("join.token"), 0o600);
        self.give(self.memory.path(), 0o700);
    }

    fn give(&self, path: &Path, mode: u32) {
        if self.is_nobody() {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    /// Whether the agent is somebody else than this test.
    fn is_nobody(&self) -> bool {
        self.user == User::Ordinary && rustix::process::geteuid().is_root()
    }

    /// A program as the agent's user, outside of any sandbox.
    fn as_user(&self, program: &Path) -> std::process::Command {
        if !self.is_nobody() {
            return command(program);
        }
        let mut setpriv = command("setpriv");
        setpriv.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(program);
        setpriv
    }

    /// Starts the agent; `false`, said aloud, where the host does not allow the sandbox.
    pub(super) fn start_agent(&mut self, more: &[&str]) -> bool {
        let usual = self.world.stack.command(&["agent", "start", "--name", "matrix"]);
        let mut agent = self.as_user(&self.path("bin/nigari"));
        agent.args(usual.get_args()).env_clear();
        agent.envs(usual.get_envs().filter_map(|(name, value)| Some((name, value?))));
        agent.env("HOME", self.path("home"));
        let memory = self.memory.path().to_owned();
        let ours = [
            ("--join-token-file", self.path("join.token")),
            ("--state-dir", self.path("state")),
            ("--run-root", self.path("runs")),
            ("--secret-root", memory),
            ("--tofu", self.path("bin/tofu")),
            ("--read-paths", self.path("bin")),
        ];
        for (flag, value) in ours.into_iter().filter(|(flag, _)| !more.contains(flag)) {
            agent.arg(flag).arg(value);
        }
        agent.args(["--sandbox", self.sandbox]).args(more);
        let mut child = Child::start("agent", agent, &self.path("agent.log")).unwrap();
        let begun = Instant::now();
        let before = child.log().matches("session opened").count();
        while child.log().matches("session opened").count() <= before {
            if child.ended().unwrap().is_some() {
                let log = child.log();
                assert!(log.contains("`namespace`"), "{log}");
                require::missing(&format!("the sandbox `{}` as {:?}", self.sandbox, self.user));
                return false;
            }
            assert!(begun.elapsed() < Duration::from_secs(90), "{}", child.log());
            thread::sleep(Duration::from_millis(10));
        }
        self.agent = Some(child);
        true
    }

    /// The agent's process.
    pub(super) fn agent(&mut self) -> &mut Child {
        self.agent.as_mut().unwrap()
    }

    /// From now on runs get the credential in this way and no other; gives the module's source.
    pub(super) fn deliver(&self, delivery: Delivery) -> String {
        for name in ["far", "near"] {
            let _ = self.world.types(&["registry", "remove", name, "--yes"]);
        }
        let name = if delivery == Delivery::Broker { "far" } else { "near" };
        let registry = self.shelf(delivery);
        registry.add(&self.world, name, &["--export", "--permit-file"]).succeeded().unwrap();
        let name = delivery.name();
        self.world.ends(&["workspace", "create", name, "--delivery", name], 0);
        registry.main()
    }

    /// The registry of a delivery.
    pub(super) fn shelf(&self, delivery: Delivery) -> &Shelf {
        if delivery == Delivery::Broker { &self.far } else { &self.near }
    }

    /// A directory with these files.
    pub(super) fn configuration(&self, files: &[(&str, String)]) -> PathBuf {
        let directory = self.world.path(&format!("configuration-{}", random_hex(4)));
        for (name, text) in files {
            write(&directory.join(name), text);
        }
        let told = format!("locals {{\n  told = try(file(\"{TOLD}\"), \"/none\")\n}}\n");
        write(&directory.join("told.tf"), &told);
        directory
    }

    /// Applies without asking; gives what was said.
    pub(super) fn apply(&self, directory: &Path, workspace: &str) -> Finished {
        let directory = directory.display().to_string();
        self.world.types(&["apply", &directory, "-w", workspace, "--create", "--auto-approve"])
    }

    /// What another process of the agent's user, outside of any sandbox, can have of the running fetch step.
    pub(super) fn look_from_outside(&self) -> impl Fn() -> Vec<u8> + Send + 'static {
        const LOOK: &str = "for at in $(grep -la \"TF_CLI_CONFIG_FILE=$0\" /proc/[0-9]*/environ); do at=${at%/environ}\n  tr '\\0' '\\n' < \
                            $at/environ; ls -l $at/fd\n  cli=$(tr '\\0' '\\n' < $at/environ | sed -n 's/^TF_CLI_CONFIG_FILE=//p')\n  \
                            cat $at/root$cli\n  for named in $(grep -o '\"/[^\"]*\"' $at/root$cli | tr -d '\"'); do cat \
                            $at/root$named; done\ndone 2>/dev/null\necho looked";
        let mut sh = self.as_user(Path::new("/bin/sh"));
        sh.args(["-c", LOOK]).arg(self.memory.path()).env_clear().env("PATH", "/usr/bin:/bin");
        let words: Vec<_> = sh.get_args().map(ToOwned::to_owned).collect();
        let program = sh.get_program().to_owned();
        move || {
            let mut look = command(&program);
            look.args(&words).env_clear().env("PATH", "/usr/bin:/bin");
            run(look).unwrap().out.into_bytes()
        }
    }

    /// What is below the agent's directories for runs and secrets now.
    fn left(&self) -> Vec<PathBuf> {
        let below = |path: &Path| -> Vec<PathBuf> {
            fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
        };
        let secrets = below(self.memory.path()).iter().flat_map(|root| below(root)).collect::<Vec<_>>();
        below(&self.path("runs")).into_iter().chain(secrets).collect()
    }

    /// Waits until nothing of any run is left on the host.
    pub(super) fn wait_for_wipe(&self) {
        let begun = Instant::now();
        while !self.left().is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(90), "left on the host: {:?}", self.left());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Searches everything that the agent keeps and says.
    pub(super) fn search(&self) {
        let mut search = Search::new(&[self.canary.clone(), self.value.clone()]);
        for name in ["state", "runs", "home", "elsewhere"] {
            search.directory(&self.path(name));
        }
        search.directory(self.memory.path());
        search.file(&self.path("agent.log"));
        search.verdict().unwrap();
    }
}
