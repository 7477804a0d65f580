//! The sandbox with real processes: what a step gets, how it ends, and what is left when somebody dies.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod agent_process;
mod death;
mod ending;
mod hidden;
mod namespace;
mod nested;
mod probes;
mod racer;
mod secrets;
mod steps;
mod survivors;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nigari::sandbox::{
    Environment, Launch, Launcher, Limits, Sandbox, SecretFile, SecretRoot, Step, StepEnd, StepError, View,
    WhenAgentDies,
};
use nigari::secret::Secret;
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;

/// What a secret file holds here.
const CANARY: &str = "canary-7f3a9c";

/// How long anything may take that should happen at once, on a machine that does other things too.
const SOON: Duration = Duration::from_secs(5);

/// A place for one step: run directory on disk, secret root in memory, and a mark that each of its processes carries.
struct Place {
    run: TempDir,
    memory: TempDir,
    mark: String,
    sandbox: Sandbox,
}

impl Place {
    /// For tests of what only the sandbox `process` has, or of what the host has.
    fn new() -> Self {
        Self::of(Sandbox::Process)
    }

    /// One in each sandbox that this host allows.
    fn each() -> Vec<Self> {
        let mut places = vec![Self::of(Sandbox::Process)];
        if has_namespaces() {
            places.push(Self::of(Sandbox::Namespace));
        }
        places
    }

    fn of(sandbox: Sandbox) -> Self {
        let run = tempfile::tempdir().unwrap();
        let memory = tempfile::Builder::new().prefix("nigari-test-").tempdir_in("/dev/shm").unwrap();
        Self { run, memory, mark: format!("mark-{}", uuid::Uuid::new_v4().simple()), sandbox }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.run.path().join(name)
    }

    fn secret_root(&self) -> SecretRoot {
        SecretRoot::choose(&[self.memory.path().to_owned()], false).unwrap()
    }

    /// `script` in a shell, without secrets.
    fn shell(&self, script: &str) -> Launch {
        let mut environment = Environment::new();
        environment.set("PATH", "/usr/local/bin:/usr/bin:/bin").unwrap();
        environment.set("MARK", self.mark.as_str()).unwrap();
        Launch {
            sandbox: self.sandbox,
            view: View { writable: vec![self.run.path().to_owned()], has_processes: true, ..View::default() },
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            environment,
            working_directory: self.run.path().to_owned(),
            lock_directories: vec![self.run.path().to_owned()],
            secret_directory: None,
            when_agent_dies: WhenAgentDies::Kill,
            limits: Limits::default(),
        }
    }

    /// `script` in a shell, with a secret file `docker/config.json`; `$SECRETS` names the directory.
    fn shell_with_secret(&self, script: &str) -> Launch {
        let mut launch = self.shell(script);
        let file = SecretFile { path: "docker/config.json".into(), content: Secret::from(CANARY) };
        let directory = self.secret_root().directory(vec![file]);
        launch.environment.set("SECRETS", directory.path().display().to_string()).unwrap();
        launch.secret_directory = Some(directory);
        launch
    }

    /// Makes the place another user's, who is to run `launch`.
    fn given_to_nobody(&self, mut launch: Launch) -> Launch {
        fs::set_permissions(self.memory.path(), fs::Permissions::from_mode(0o700)).unwrap();
        for directory in [self.run.path(), self.memory.path()] {
            chown(directory, Some(agent_process::NOBODY), Some(agent_process::NOBODY)).unwrap();
        }
        if let Some(secret) = &mut launch.secret_directory {
            // The root was made for this test's user.
            self.memory.path().clone_into(&mut secret.root);
            launch.environment.set("SECRETS", secret.path().display().to_string()).unwrap();
        }
        launch
    }

    /// Everything that is below the secret root now.
    fn secrets_left(&self) -> Vec<PathBuf> {
        let root = self.secret_root();
        fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    /// Living processes that carry this place's mark.
    fn alive(&self) -> Vec<i32> {
        let mut alive = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // A zombie's environment is empty.
            let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
            if environment.windows(self.mark.len()).any(|window| window == self.mark.as_bytes()) {
                alive.push(pid);
            }
        }
        alive
    }
}

/// Whether this host lets us make namespaces; says it when not.
pub(crate) fn has_namespaces() -> bool {
    static HAS: std::sync::LazyLock<bool> = std::sync::LazyLock::new(|| {
        let probe = std::thread::spawn(|| {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async { run(Place::of(Sandbox::Namespace).shell("exit 0")).await.map(|ran| ran.end.exit) })
        });
        let probed = probe.join().unwrap();
        if let Err(error) = &probed {
            support::require::missing(&format!("namespaces ({error})"));
        }
        probed.is_ok()
    });
    *HAS
}

fn launcher() -> Launcher {
    Launcher::with_program(Path::new(env!("CARGO_BIN_EXE_nigari"))).unwrap()
}

/// Everything that a step wrote, and its end.
struct Ran {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    end: StepEnd,
}

impl Ran {
    fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).unwrap()
    }
}

async fn run(launch: Launch) -> Result<Ran, StepError> {
    let step = launcher().start(launch).await?;
    follow(step).await
}

async fn follow(mut step: Step) -> Result<Ran, StepError> {
    let (mut out, mut err) = (step.stdout().unwrap(), step.stderr().unwrap());
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let (read_out, read_err) = tokio::join!(out.read_to_end(&mut stdout), err.read_to_end(&mut stderr));
    read_out.unwrap();
    read_err.unwrap();
    Ok(Ran { stdout, stderr, end: step.wait().await? })
}

/// Waits until `is_true`, at most a minute; for what will happen, however slow the machine is.
fn wait_until(what: &str, mut is_true: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_true() {
        assert!(begun.elapsed() < Duration::from_mins(1), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// How often loops go round: `NIGARI_LOOPS`, or `usual`.
fn loops(usual: u32) -> u32 {
    std::env::var_os("NIGARI_LOOPS").and_then(|loops| loops.to_str()?.parse().ok()).unwrap_or(usual)
}
