//! An agent that can be killed: this test program, started again.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nigari::process::{Child, CommandLine, spawn};
use nigari::sandbox::{Launch, Launcher, adopt_orphans};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;

/// Names the file with the [`Plan`].
const PLAN: &str = "NIGARI_TEST_AGENT_PLAN";

/// What the agent process is to do.
#[derive(Serialize, Deserialize)]
struct Plan {
    launch: Launch,
    /// The program of the launcher.
    nigari: PathBuf,
    /// Where it writes the process's number when the step runs.
    started: PathBuf,
    /// Where it writes how the step ended.
    ended: PathBuf,
}

/// The user that owns nothing.
pub(super) const NOBODY: u32 = 65534;

const SETPRIV: &str = "/usr/bin/setpriv";

/// Makes a user namespace in which nobody may make another one, and gives up every capability.
const WITHOUT_NAMESPACES: &str = "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all \
                                  --inh-caps=-all --ambient-caps=-all -- \"$@\"";

/// As whom the agent is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum User {
    /// Whoever runs the tests.
    Ours,
    /// [`NOBODY`].
    Nobody,
}

/// Starts an agent process that runs `launch`. Files `started` and `ended` appear in `directory`.
pub(super) fn start(launch: Launch, directory: &Path) -> Child {
    let line = line(&[], &std::env::current_exe().unwrap());
    spawn_planned(line, launch, directory, env!("CARGO_BIN_EXE_nigari").into())
}

/// The same under the user [`NOBODY`], with programs that this user can read.
pub(super) fn start_as_nobody(launch: Launch, directory: &Path, programs: &Programs) -> Child {
    spawn_planned(line(&AS_NOBODY, &programs.test), launch, directory, programs.nigari.clone())
}

/// The same where the kernel refuses namespaces.
pub(super) fn start_without_namespaces(launch: Launch, directory: &Path) -> Child {
    let words = ["/usr/bin/unshare", "--user", "--map-root-user", "--", "/bin/sh", "-c", WITHOUT_NAMESPACES, "sh"];
    let line = line(&words, &std::env::current_exe().unwrap());
    spawn_planned(line, launch, directory, env!("CARGO_BIN_EXE_nigari").into())
}

/// A root whose only `/proc` is partly masked, as systemd's `ProtectKernelTunables=` and `ProtectKernelLogs=` do it.
const MASKED: &str = "set -e; PATH=/usr/sbin:/usr/bin:/sbin:/bin; new=$1; shift; mkdir -p $new; mount --make-rprivate /; mount --rbind / $new; \
                      umount -R $new/proc; mount -t proc -o nosuid,nodev,noexec proc $new/proc; \
                      mount --bind $new/proc/sys $new/proc/sys; mount -o remount,bind,ro $new/proc/sys; \
                      mount --bind /dev/null $new/proc/kmsg; $WHOLE mkdir $new$new/old; cd $new; pivot_root . .$new/old; \
                      umount -l $new/old; cd /; exec \"$@\"";

/// As our unit does it: a whole one besides, where only root gets.
const WHOLE: &str = "mkdir -m 0700 $new$new/closed; mkdir $new$new/closed/proc; mount -t proc -o \
                     ro,nosuid,nodev,noexec proc $new$new/closed/proc; ";

/// As [`start_as_nobody`], on a host that masks parts of `/proc`, with a whole one besides or not.
pub(super) fn start_masked(launch: Launch, directory: &Path, programs: &Programs, has_whole: bool) -> Child {
    let script = MASKED.replace("$WHOLE ", if has_whole { WHOLE } else { "" });
    let root = directory.join("root").display().to_string();
    let words = ["/usr/bin/unshare", "--mount", "--", "/bin/sh", "-c", &script, "sh", &root];
    let line = line(&[&words[..], &AS_NOBODY].concat(), &programs.test);
    spawn_planned(line, launch, directory, programs.nigari.clone())
}

/// A `/proc` in which nobody finds what he may not trace, as our unit's `ProtectProc=invisible` makes it.
const INVISIBLE: &str = "set -e; mount --make-rprivate /; mount -t proc -o hidepid=invisible proc /proc; exec \"$@\"";

/// As [`start_as_nobody`], on a host that hides processes.
pub(super) fn start_hidden(launch: Launch, directory: &Path, programs: &Programs) -> Child {
    let words = ["/usr/bin/unshare", "--mount", "--", "/bin/sh", "-c", INVISIBLE, "sh"];
    let line = line(&[&words[..], &AS_NOBODY].concat(), &programs.test);
    spawn_planned(line, launch, directory, programs.nigari.clone())
}

/// Which users a test can be here; says it when it is one only.
pub(super) fn users() -> Vec<User> {
    if rustix::process::geteuid().is_root() && Path::new(SETPRIV).exists() {
        return vec![User::Ours, User::Nobody];
    }
    support::require::missing("root and setpriv, to be another user");
    vec![User::Ours]
}

/// A command line as `user`.
pub(super) fn line_as(user: User, program: &Path) -> CommandLine {
    line(if user == User::Nobody { &AS_NOBODY } else { &[] }, program)
}

const TEST: [&str; 2] = ["sandbox::agent_process::an_agent_does_what_its_plan_says", "--exact"];

const AS_NOBODY: [&str; 5] = [SETPRIV, "--reuid=65534", "--regid=65534", "--clear-groups", "--"];

fn line(before: &[&str], program: &Path) -> CommandLine {
    let (first, rest) = before.split_first().map_or((program, &[][..]), |(first, rest)| (Path::new(first), rest));
    let mut line = CommandLine::new(first);
    line.arguments = rest.iter().map(Into::into).collect();
    if !before.is_empty() {
        line.arguments.push(program.into());
    }
    line
}

/// Copies of our programs that every user can execute, wherever the checkout is.
pub(super) struct Programs {
    test: PathBuf,
    nigari: PathBuf,
    _place: TempDir,
}

impl Programs {
    pub(super) fn make() -> Self {
        let place = tempfile::tempdir().unwrap();
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let (test, nigari) = (place.path().join("test"), place.path().join("nigari"));
        let originals = [std::env::current_exe().unwrap(), env!("CARGO_BIN_EXE_nigari").into()];
        for (original, copy) in originals.iter().zip([&test, &nigari]) {
            if fs::hard_link(original, copy).is_err() {
                fs::copy(original, copy).unwrap();
            }
        }
        Self { test, nigari, _place: place }
    }

    /// This test program.
    pub(super) fn test(&self) -> &Path {
        &self.test
    }

    /// nigari.
    pub(super) fn nigari(&self) -> &Path {
        &self.nigari
    }
}

fn spawn_planned(mut line: CommandLine, launch: Launch, directory: &Path, nigari: PathBuf) -> Child {
    line.arguments.extend(TEST.map(Into::into));
    let plan = Plan { launch, nigari, started: directory.join("started"), ended: directory.join("ended") };
    let file = directory.join("plan.json");
    fs::write(&file, serde_json::to_vec(&plan).unwrap()).unwrap();
    line.environment = vec![(PLAN.into(), file.into()), ("PATH".into(), "/usr/bin:/bin".into())];
    spawn(line.command().unwrap()).unwrap()
}

/// Writes under another name first, so that whoever sees the file sees all of it.
fn publish(path: &Path, text: &str) {
    let unfinished = path.with_extension("unfinished");
    fs::write(&unfinished, text).unwrap();
    fs::rename(&unfinished, path).unwrap();
}

#[tokio::test]
async fn an_agent_does_what_its_plan_says() {
    // Without a plan this is an ordinary run of the tests, and there is no agent to be.
    let Some(file) = std::env::var_os(PLAN) else { return };
    let plan: Plan = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    adopt_orphans().unwrap();
    // A child that is none of the launcher's business: its status must stay its own.
    let mut other = CommandLine::new("/bin/sh");
    other.arguments = vec!["-c".into(), "sleep 0.1; exit 42".into()];
    let other = spawn(other.command().unwrap()).unwrap();
    let launcher = Launcher::with_program(&plan.nigari).unwrap();
    let mut step = match launcher.start(plan.launch).await {
        Ok(step) => step,
        Err(error) => return publish(&plan.ended, &format!("no start: {error}")),
    };
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
