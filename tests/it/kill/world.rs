//! One server with one agent after the other, on which they are killed.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;
use nigari::client::{Client, ClientOptions, TokenSource};
use nigari::protocol::api::{NewRegistryIntegration, NewRun, NewWorkspace, Run};
use nigari::protocol::id::{ConfigurationId, RunId};
use nigari::protocol::run::RunKind;
use nigari::sandbox::Sandbox;
use nigari::secret::Secret;
use support::canary::Canary;
use support::child::Child;
use support::nigari::{Programs, Stack};
use support::search::Search;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::SOON;
use super::processes::{self, Process, Role};

/// Of what people want applied, and of what is only looked at.
const WORKSPACE: &str = "looked-at";

/// Secret roots, below the stack's.
const ROOTS: [&str; 2] = ["one", "two"];

/// What takes the place of tofu.
const STUB: &str = include_str!("tofu.sh");

/// How long an apply usually takes, in seconds.
pub(super) const QUICK: &str = "0.1";

/// How often things are looked at while they are waited for: a look at all processes of a host costs milliseconds.
pub(super) const LOOK: Duration = Duration::from_millis(20);

/// How long the server waits for an agent that is dead.
const LEASE: &str = "60s";

/// No step is slow.
pub(super) const NOTHING: &str = "nothing";

/// Where everybody may write. What a run has there is kept or removed by nobody.
const SHARED: [&str; 4] = ["/tmp", "/var/tmp", "/dev/shm", "/run"];

/// Where and how an agent is to die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trap<'a> {
    pub(super) point: &'a str,
    pub(super) stops: bool,
}

/// What a trap is that nobody walks into.
pub(super) const NONE: Trap<'static> = Trap { point: "none", stops: false };

pub(super) struct World {
    pub(super) stack: Stack,
    place: TempDir,
    runtime: Runtime,
    client: Client,
    canary: Canary,
    pub(super) sandbox: Sandbox,
    /// Agents take turns with two secret roots, so that each finds what is left in that of another.
    turn: Cell<usize>,
    begun: SystemTime,
    /// Of the workspace that is only looked at.
    looked_at: ConfigurationId,
    count: u32,
}

impl World {
    pub(super) fn new(program: &Path, sandbox: Sandbox) -> Self {
        let place = tempfile::Builder::new().prefix("nigari-kill-").tempdir().unwrap();
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let begun = fs::metadata(place.path()).unwrap().modified().unwrap();
        let tofu = place.path().join("tofu");
        fs::write(&tofu, STUB).unwrap();
        fs::set_permissions(&tofu, fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["trap", "temporary"] {
            fs::create_dir(place.path().join(name)).unwrap();
        }
        let programs = Programs { nigari: program.to_owned(), tofu };
        let mut stack = Stack::server_only(programs, &place.path().join("stack")).unwrap();
        stack.server().unwrap().stop().unwrap();
        stack.start_server(&["--lease", LEASE]).unwrap();
        let token = Secret::from(fs::read_to_string(stack.token_file()).unwrap().trim());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        nigari::tls::install_provider();
        let address = stack.url().parse().unwrap();
        let client = Client::new(address, TokenSource::fixed(token), ClientOptions::default()).unwrap();
        let canary = Canary::new("reader");
        let integration = NewRegistryIntegration {
            name: "demo".to_owned(),
            url: "https://registry.invalid".to_owned(),
            username: canary.user.clone(),
            secret: Secret::from(canary.password.as_str()),
            export_credentials: true,
            permit_file: true,
            permit_whole_run: false,
            ca_pem: None,
        };
        runtime.block_on(client.create_registry_integration(&integration)).unwrap();
        let looked_at = runtime.block_on(workspace(&client, WORKSPACE, (QUICK, NOTHING)));
        for root in ROOTS {
            fs::create_dir(stack.secret_root().unwrap().join(root)).unwrap();
        }
        let turn = Cell::new(0);
        Self { stack, place, runtime, client, canary, sandbox, turn, begun, looked_at, count: 0 }
    }

    /// The directory that all of this world's processes name.
    pub(super) fn mark(&self) -> &Path {
        self.place.path()
    }

    /// Both roots are in it.
    fn secret_roots(&self) -> PathBuf {
        self.stack.secret_root().unwrap().to_owned()
    }

    /// Of the agent that was started last.
    fn last_root(&self) -> PathBuf {
        self.secret_roots().join(ROOTS[self.turn.get() % ROOTS.len()])
    }

    /// Starts an agent that may walk into a trap.
    pub(super) fn start_agent(&self, trap: Trap<'_>) -> Child {
        self.turn.set(self.turn.get() + 1);
        let directory = self.stack.directory();
        let mut command = self.stack.command(&["agent", "start", "--step-grace", "10s", "--apply-grace", "30s"]);
        let paths = [
            ("--join-token-file", directory.join("server/join.token")),
            ("--state-dir", directory.join("agent")),
            ("--run-root", self.stack.run_root()),
            ("--tofu", self.stack.programs().tofu.clone()),
            ("--secret-root", self.last_root()),
        ];
        for (flag, path) in paths {
            command.arg(flag).arg(path);
        }
        // The broker has nothing on a file system; it is looked at where it has points of its own.
        let delivery = if trap.point.starts_with("agent.broker") { "auto" } else { "file" };
        command.args(["--delivery", delivery, "--sandbox", self.sandbox.name()]);
        command.env("TMPDIR", self.mark().join("temporary"));
        let action = if trap.stops { "stop" } else { "die" };
        command.arg0(format!("nigari@{}@{action}@{}", trap.point, self.mark().join("trap").display()));
        // Only what this agent says: what earlier ones have said was searched.
        let _ = fs::remove_file(self.log_file());
        Child::start("agent", command, &self.log_file()).unwrap()
    }

    fn log_file(&self) -> PathBuf {
        self.mark().join("agent.log")
    }

    /// From now on the trap closes, once.
    pub(super) fn arm(&self) {
        let _ = fs::remove_file(self.mark().join("trap/reached"));
        fs::write(self.mark().join("trap/armed"), "").unwrap();
    }

    /// The trap does not close any more.
    pub(super) fn disarm(&self) {
        let _ = fs::remove_file(self.mark().join("trap/armed"));
    }

    /// Whether somebody walked into it.
    pub(super) fn has_reached(&self) -> bool {
        self.mark().join("trap/reached").exists()
    }

    /// Makes a run of a plan alone.
    pub(super) fn look(&self) -> RunId {
        self.create(WORKSPACE, self.looked_at, RunKind::Plan, None)
    }

    /// Makes a run that is to be applied, in a workspace of its own; gives that as well. Its apply takes
    /// `apply` seconds, and its step `slow` much longer.
    pub(super) fn change(&mut self, auto_apply: bool, apply: &str, slow: &str) -> (String, RunId) {
        self.count += 1;
        let name = format!("changed-{}", self.count);
        let configuration = self.runtime.block_on(workspace(&self.client, &name, (apply, slow)));
        let run = self.create(&name, configuration, RunKind::Apply, Some(auto_apply));
        (name, run)
    }

    fn create(
        &self,
        workspace: &str,
        configuration: ConfigurationId,
        kind: RunKind,
        auto_apply: Option<bool>,
    ) -> RunId {
        let new = NewRun { configuration, kind, auto_apply, message: String::new() };
        self.runtime.block_on(self.client.create_run(workspace, &new)).unwrap().id
    }

    pub(super) fn run(&self, run: RunId) -> Run {
        self.runtime.block_on(self.client.run(run)).unwrap()
    }

    /// Whatever waits for approval gets it; one that does not wait any more is no error.
    pub(super) fn approve(&self, run: RunId) {
        let _ = self.runtime.block_on(self.client.approve_run(run, &nigari::protocol::api::Approval::default()));
    }

    /// One that has ended meanwhile is no error.
    pub(super) fn cancel(&self, run: RunId) {
        let _ = self.runtime.block_on(self.client.cancel_run(run, &nigari::protocol::api::Cancellation::default()));
    }

    /// The workspace's state, as text.
    pub(super) fn state(&self, workspace: &str) -> Option<String> {
        let state = self.runtime.block_on(self.client.state(workspace)).unwrap();
        state.map(|state| String::from_utf8_lossy(&state).into_owned())
    }

    pub(super) fn processes(&self) -> Vec<Process> {
        processes::of(self.mark())
    }

    pub(super) fn alive(&self, role: Role) -> Vec<Process> {
        self.processes().into_iter().filter(|process| process.role == role).collect()
    }

    /// Where the canary is, of everything that a run, its launchers or the agent can write.
    pub(super) fn canaries(&self) -> Vec<String> {
        let mut search = self.search_disks();
        search.directory(&self.secret_roots());
        told(&search)
    }

    /// The same without what is there to hold secrets.
    pub(super) fn canaries_on_disks(&self) -> Vec<String> {
        told(&self.search_disks())
    }

    fn search_disks(&self) -> Search {
        let directory = self.stack.directory();
        let names = ["agent", "runs", "home"].map(|name| directory.join(name));
        let own = [self.mark().join("temporary"), self.mark().join("trap")];
        let mut search = Search::new(std::slice::from_ref(&self.canary));
        names.iter().chain(&own).for_each(|path| search.directory(path));
        search.file(&self.log_file());
        for entry in SHARED.into_iter().filter_map(|path| fs::read_dir(path).ok()).flatten().flatten() {
            // Nothing of ours is older, and what is in another test's directory is that test's.
            let is_new =
                |found: &fs::Metadata| found.is_file() && found.modified().is_ok_and(|made| made >= self.begun);
            if entry.metadata().is_ok_and(|found| is_new(&found)) {
                search.file(&entry.path());
            }
        }
        search
    }

    /// The same of everything that this world has, its server too, and of what everybody can write.
    pub(super) fn all_canaries(&self) -> Vec<String> {
        let mut search = Search::new(std::slice::from_ref(&self.canary));
        for path in [self.mark(), Path::new("/dev/shm")] {
            search.directory(path);
        }
        told(&search)
    }

    /// What is in run root and secret root.
    pub(super) fn left(&self) -> Vec<PathBuf> {
        let below = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
        let roots = below(&self.secret_roots()).flat_map(|root| below(&root).collect::<Vec<_>>());
        let secrets = roots.flat_map(|root| below(&root).collect::<Vec<_>>());
        below(&self.stack.run_root()).chain(secrets).collect()
    }

    /// What a dead agent could have left: a secret directory in its own root, which is not the next one's, and a run
    /// directory that nobody holds.
    pub(super) fn leave(&self) {
        use std::os::unix::fs::DirBuilderExt as _;
        let make = |path: &Path| fs::DirBuilder::new().mode(0o700).recursive(true).create(path).unwrap();
        let user = rustix::process::geteuid().as_raw();
        let secrets = self.last_root().join(format!("nigari-{user}")).join("left/docker");
        make(&secrets);
        fs::write(secrets.join("config.json"), &self.canary.password).unwrap();
        let run = self.stack.run_root().join(RunId::generate().to_string());
        make(&run.join("configuration/a/b"));
        fs::write(run.join("configuration/errored.tfstate"), "{}").unwrap();
    }

    /// The end of what agents have said, for a failure.
    pub(super) fn log(&self) -> String {
        support::child::tail(&support::child::read_text(&self.log_file()))
    }

    /// Waits until `is_so`; gives how long that took.
    pub(super) fn wait(&self, what: &str, mut is_so: impl FnMut() -> bool) -> Duration {
        let begun = Instant::now();
        while !is_so() {
            if begun.elapsed() > SOON {
                let (left, alive) = (self.left(), self.processes());
                panic!("{what}: in vain; left {left:?}, alive {alive:?}\n{}", self.log());
            }
            std::thread::sleep(LOOK);
        }
        begun.elapsed()
    }
}

fn told(search: &Search) -> Vec<String> {
    search.hits().iter().map(|hit| format!("{} ({})", hit.place, hit.form)).collect()
}

/// Makes a workspace with one configuration, in which files tell the stand-in how long an apply takes and which step is
/// slow.
async fn workspace(client: &Client, name: &str, (apply, slow): (&str, &str)) -> ConfigurationId {
    client.create_workspace(&NewWorkspace { name: name.to_owned(), ..NewWorkspace::default() }).await.unwrap();
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let slow = format!("{slow}\n");
    for (file, content) in [("main.tf", "output \"x\" {\n  value = 1\n}\n"), ("seconds", apply), ("slow", &slow)] {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, file, content.as_bytes()).unwrap();
    }
    let packed = archive.into_inner().unwrap().finish().unwrap();
    client.upload_configuration(name, "", packed).await.unwrap().id
}
