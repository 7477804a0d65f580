//! An agent that can be killed: this test program, started again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nigari::process::{Child, CommandLine, capture, spawn};
use nigari::sandbox::{Launch, adopt_orphans};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt as _;

use super::launcher;

/// Names the file with the [`Plan`].
const PLAN: &str = "NIGARI_TEST_AGENT_PLAN";

/// What the agent process is to do.
#[derive(Serialize, Deserialize)]
struct Plan {
    launch: Launch,
    /// Where it writes the process's number when the step runs.
    started: PathBuf,
    /// Where it writes how the step ended.
    ended: PathBuf,
}

/// The user that owns nothing.
pub(super) const NOBODY: u32 = 65534;

const SETPRIV: &str = "/usr/bin/setpriv";

/// Starts an agent process that runs `launch`. Files `started` and `ended` appear in `directory`.
pub(super) fn start(launch: Launch, directory: &Path) -> Child {
    let mut line = CommandLine::new(std::env::current_exe().unwrap());
    line.arguments = TEST.map(Into::into).into();
    spawn_planned(line, launch, directory)
}

/// The same under the user [`NOBODY`].
pub(super) fn start_as_nobody(launch: Launch, directory: &Path) -> Child {
    let mut line = as_nobody();
    line.arguments.push(std::env::current_exe().unwrap().into());
    line.arguments.extend(TEST.map(Into::into));
    spawn_planned(line, launch, directory)
}

/// Whether that is possible here.
pub(super) fn can_start_as_nobody() -> bool {
    let mut line = as_nobody();
    line.arguments.extend(["/usr/bin/test".into(), "-x".into(), env!("CARGO_BIN_EXE_nigari").into()]);
    rustix::process::geteuid().is_root()
        && capture(&line, Duration::from_secs(20), 0).is_ok_and(|captured| captured.exit.is_success())
}

const TEST: [&str; 2] = ["sandbox::agent_process::an_agent_does_what_its_plan_says", "--exact"];

fn as_nobody() -> CommandLine {
    let mut line = CommandLine::new(SETPRIV);
    line.arguments = ["--reuid=65534", "--regid=65534", "--clear-groups", "--"].map(Into::into).into();
    line
}

fn spawn_planned(mut line: CommandLine, launch: Launch, directory: &Path) -> Child {
    let plan = Plan { launch, started: directory.join("started"), ended: directory.join("ended") };
    let file = directory.join("plan.json");
    std::fs::write(&file, serde_json::to_vec(&plan).unwrap()).unwrap();
    line.environment = vec![(PLAN.into(), file.into())];
    spawn(line.command().unwrap()).unwrap()
}

/// Writes under another name first, so that whoever sees the file sees all of it.
fn publish(path: &Path, text: &str) {
    let unfinished = path.with_extension("unfinished");
    std::fs::write(&unfinished, text).unwrap();
    std::fs::rename(&unfinished, path).unwrap();
}

#[tokio::test]
async fn an_agent_does_what_its_plan_says() {
    // Without a plan this is an ordinary run of the tests, and there is no agent to be.
    let Some(file) = std::env::var_os(PLAN) else { return };
    let plan: Plan = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    adopt_orphans().unwrap();
    // A child that is none of the launcher's business: its status must stay its own.
    let mut other = CommandLine::new("/bin/sh");
    other.arguments = vec!["-c".into(), "sleep 0.1; exit 42".into()];
    let other = spawn(other.command().unwrap()).unwrap();
    let mut step = launcher().start(plan.launch).await.unwrap();
    publish(&plan.started, &step.process_id().to_string());
    for mut output in [step.stdout(), step.stderr()].into_iter().flatten() {
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while output.read(&mut buffer).await.is_ok_and(|count| count > 0) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
    }
    let end = step.wait().await;
    let other = tokio::task::spawn_blocking(|| other.wait()).await.unwrap().unwrap();
    publish(&plan.ended, &format!("{end:?} other: {other}"));
}
