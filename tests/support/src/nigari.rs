//! nigari itself: server and agent as processes, and any command with its output.
//!
//! Rule: only what a person could do too. The program's path is given, commands are typed as in the README, and the
//! environment of each process is empty but for what is named here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::canary::Canary;
use crate::child::{Child, Finished, command, run, run_with_input, tail, variable};
use crate::failure::{During as _, Failure, Outcome};
use crate::leftovers;
use crate::search::Search;

/// How long the server may take until it has written its address.
const START: Duration = Duration::from_secs(30);

/// Where the programs are.
#[derive(Debug, Clone)]
pub struct Programs {
    /// nigari: in integration tests `env!("CARGO_BIN_EXE_nigari")`.
    pub nigari: PathBuf,
    /// tofu, which the agent starts.
    pub tofu: PathBuf,
}

/// A server on SQLite and an agent, both on this machine. Dropping it stops both and removes the secret directory.
#[derive(Debug)]
pub struct Stack {
    programs: Programs,
    directory: PathBuf,
    secret_root: Option<TempDir>,
    url: String,
    server: Option<Child>,
    agent: Option<Child>,
}

impl Stack {
    /// Starts both with all their files in `directory`, which is the caller's.
    pub fn start(programs: Programs, directory: &Path) -> Outcome<Self> {
        let mut stack = Self::server_only(programs, directory)?;
        stack.start_agent(&[])?;
        Ok(stack)
    }

    /// Starts the server alone.
    pub fn server_only(programs: Programs, directory: &Path) -> Outcome<Self> {
        for name in ["home", "server", "agent", "runs"] {
            let path = directory.join(name);
            fs::create_dir_all(&path).during(path.display())?;
        }
        let secret_root = leftovers::directory_in(Path::new("/dev/shm")).ok();
        let (directory, url) = (directory.to_owned(), String::new());
        let mut stack = Self { programs, directory, secret_root, url, server: None, agent: None };
        stack.start_server(&[])?;
        Ok(stack)
    }

    /// Starts the server, again on the same port if it has run before, with more arguments.
    pub fn start_server(&mut self, more: &[&str]) -> Outcome<()> {
        let state = self.directory.join("server");
        let address = state.join("address");
        let listen = self
            .url
            .rsplit_once(':')
            .map_or("127.0.0.1:0".to_owned(), |(_, port)| format!("127.0.0.1:{}", port.trim_end_matches('/')));
        let _ = fs::remove_file(&address);
        let mut server = self.plain_command();
        server.args(["server", "start", "--listen", &listen, "--state-dir"]).arg(&state).args(more);
        let child = Child::start("server", server, &self.directory.join("server.log"))?;
        self.url = first_line(&address, self.server.insert(child))?;
        Ok(())
    }

    /// Starts the agent with more arguments.
    pub fn start_agent(&mut self, more: &[&str]) -> Outcome<()> {
        let mut agent = self.plain_command();
        agent.args(["agent", "start", "--join-token-file"]).arg(self.directory.join("server/join.token"));
        let ours = [
            ("--server", Some(PathBuf::from(&self.url))),
            ("--state-dir", Some(self.directory.join("agent"))),
            ("--run-root", Some(self.run_root())),
            ("--tofu", Some(self.programs.tofu.clone())),
            ("--secret-root", self.secret_root().map(ToOwned::to_owned)),
        ];
        for (flag, value) in ours {
            // What the caller says takes the place of ours: no flag may be given twice.
            if let Some(value) = value.filter(|_| !more.contains(&flag)) {
                agent.arg(flag).arg(value);
            }
        }
        agent.args(more);
        if !more.contains(&"--sandbox") {
            agent.args(self.sandbox()?);
        }
        self.agent = Some(Child::start("agent", agent, &self.directory.join("agent.log"))?);
        Ok(())
    }

    /// The flags of an agent on a host that allows no namespaces and has sockets that agents do not leave in reach of
    /// runs unasked; none elsewhere. Looked at once in a process.
    pub fn sandbox(&self) -> Outcome<&'static [&'static str]> {
        static LOOKED: OnceLock<bool> = OnceLock::new();
        if LOOKED.get().is_none() {
            // Another thread may have been faster, with the same answer.
            let _ = LOOKED.set(self.has_open_sockets()?);
        }
        Ok(if LOOKED.get() == Some(&true) { &["--sandbox", "process"] } else { &[] })
    }

    fn has_open_sockets(&self) -> Outcome<bool> {
        let tofu = self.programs.tofu.display().to_string();
        // It ends with 1 for whatever is not as an agent needs it: the agent itself says so better.
        let said = self.run(&["doctor", "--json", "--tofu", &tofu])?;
        let findings: Value = serde_json::from_str(&said.out).during("what doctor says")?;
        let fails = |finding: &Value| finding["subject"] == "sockets" && finding["verdict"] == "fail";
        Ok(findings.as_array().is_some_and(|findings| findings.iter().any(fails)))
    }

    /// Where the programs are.
    pub fn programs(&self) -> &Programs {
        &self.programs
    }

    /// The server's URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Everything that server and agent keep, but for the secret directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where the agent's run directories are.
    pub fn run_root(&self) -> PathBuf {
        self.directory.join("runs")
    }

    /// The directory on tmpfs below which the agent puts secrets; `None` when there is no `/dev/shm`.
    pub fn secret_root(&self) -> Option<&Path> {
        self.secret_root.as_ref().map(TempDir::path)
    }

    /// The file with the first administrator's token.
    pub fn token_file(&self) -> PathBuf {
        self.directory.join("server/admin.token")
    }

    /// The server's process, to signal it or read its log; `None` before it was started or after it was stopped.
    pub fn server(&mut self) -> Option<&mut Child> {
        self.server.as_mut()
    }

    /// The agent's process.
    pub fn agent(&mut self) -> Option<&mut Child> {
        self.agent.as_mut()
    }

    /// A command of nigari, told where the server and the administrator's token are.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.plain_command();
        command.args(arguments).env("NIGARI_SERVER", &self.url).env("NIGARI_TOKEN_FILE", self.token_file());
        command
    }

    /// Runs a command of nigari to its end, whatever its exit code.
    pub fn run(&self, arguments: &[&str]) -> Outcome<Finished> {
        run(self.command(arguments))
    }

    /// Like [`Stack::run`], with something on stdin: a secret, mostly.
    pub fn run_with_input(&self, arguments: &[&str], input: &str) -> Outcome<Finished> {
        run_with_input(self.command(arguments), input.as_bytes())
    }

    /// What a command with `--json` says.
    ///
    /// # Errors
    /// When its exit code is not 0 or it says something else.
    pub fn json(&self, arguments: &[&str]) -> Outcome<Value> {
        let said = self.run(arguments)?.succeeded().during(arguments.join(" "))?.out;
        serde_json::from_str(&said).during(format_args!("{}: no JSON: {said}", arguments.join(" ")))
    }

    /// Searches all files, the secret directory, and server and agent themselves.
    pub fn search(&self, canaries: &[Canary]) -> Search {
        let mut search = Search::new(canaries);
        search.directory(&self.directory);
        if let Some(secret_root) = self.secret_root() {
            search.directory(secret_root);
        }
        for child in [&self.server, &self.agent].into_iter().flatten() {
            search.process(child.pid());
        }
        search
    }

    /// Leaves server and agent running for good; gives their process ids and the secret directory.
    pub fn keep(mut self) -> Outcome<(Vec<u32>, Option<PathBuf>)> {
        let children = [self.server.take(), self.agent.take()].into_iter().flatten();
        let processes = children.map(Child::keep).collect();
        Ok((processes, self.secret_root.take().map(leftovers::keep).transpose()?))
    }

    /// Stops the agent, then the server; each as systemd would.
    pub fn stop(&mut self) -> Outcome<()> {
        let children = [self.agent.take(), self.server.take()];
        children.into_iter().flatten().try_for_each(|mut child| child.stop().map(drop))
    }

    fn plain_command(&self) -> Command {
        let mut command = command(&self.programs.nigari);
        command.env_clear().env("HOME", self.directory.join("home"));
        // A coverage or backtrace run has to reach the processes as well.
        for name in ["PATH", "RUST_BACKTRACE", "LLVM_PROFILE_FILE"] {
            if let Some(value) = variable(name) {
                command.env(name, value);
            }
        }
        command
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // The agent first, so that it can still report.
        let _ = self.stop();
    }
}

/// Waits for a file that the server writes when it listens.
fn first_line(path: &Path, server: &mut Child) -> Outcome<String> {
    let begun = Instant::now();
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        if let Some((line, _)) = text.split_once('\n') {
            return Ok(line.trim().to_owned());
        }
        let ended = server.ended()?;
        if ended.is_some() || begun.elapsed() > START {
            let log = server.log();
            return Err(Failure::new(format!("the server does not listen ({ended:?}):\n{}", tail(&log))));
        }
        thread::sleep(Duration::from_millis(5));
    }
}
