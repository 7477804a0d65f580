//! Follows one launcher from its start to its end.
//!
//! Rule: the launcher is believed only as far as it spoke. Whatever it did not say when it is gone, the agent does:
//! kill the orphans, wipe, verify.

use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::{Order, StepEnd, StepError, Wipe, Wiper};
use crate::process::{Child, ExitReason, tree};
use crate::sandbox::channel::{Incoming, encode};
use crate::sandbox::orphans;
use crate::sandbox::protocol::{Exited, LONGEST_TO_AGENT, LONGEST_TO_LAUNCHER, Refusal, Sandbox, ToAgent, ToLauncher};
use crate::sandbox::secret_root::{RootProblem, open_root};
use crate::sandbox::wipe::wipe;

/// What ends a step whose launcher was killed: its process has asked the kernel to die with its parent.
const KILLED: ExitReason = ExitReason::Signal(9);

/// How long a launcher may take for what it has to do at once, or after its graces: begin, obey, end after its last word,
/// take what it is told, and be dead when it was killed. All of its own patience with what does not die, and more. One
/// that is stopped, hangs, or wipes for longer is killed then, and the rest is done here.
const OBEDIENCE: Duration = Duration::from_mins(1);

/// How long what is below a launcher that does not die may take to be gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often it is looked whether a launcher still lives, which its socket tells sooner as a rule.
const LOOK_AFTER_IT: Duration = Duration::from_secs(2);

/// How long what a dead launcher has said may take to be read: somebody that it was about to start may hold its socket.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// One launcher, and what it said.
pub(super) struct Driver {
    child: Child,
    socket: UnixStream,
    /// Root and name of the secret directory.
    secret: Option<(PathBuf, String)>,
    sandbox: Sandbox,
}

/// What the launcher said before it was gone.
#[derive(Default)]
struct Said {
    is_started: bool,
    /// Nothing, for longer than it had to begin.
    has_hung: bool,
    refused: Option<Refusal>,
    exited: Option<Exited>,
    wiped: Option<Result<(), String>>,
}

impl Driver {
    pub(super) fn new(child: Child, socket: UnixStream, secret: Option<(PathBuf, String)>, sandbox: Sandbox) -> Self {
        Self { child, socket, secret, sandbox }
    }

    /// Sends the launch, carries orders, and tells how it ended. A receiver of `started` or `ended` that is gone is no
    /// error: the sender of `orders` is gone as well then, which kills the step.
    pub(super) async fn run(
        self,
        launch: Zeroizing<Vec<u8>>,
        mut orders: mpsc::UnboundedReceiver<Order>,
        started: oneshot::Sender<(i32, bool)>,
        ended: oneshot::Sender<Result<StepEnd, StepError>>,
    ) {
        let (mut read, mut write) = self.socket.into_split();
        let mut said = Said::default();
        let mut started = Some(started);
        // A launcher that dies while it is written to is seen below as one that says nothing more.
        let _ = within(Some(OBEDIENCE), write.write_all(&launch)).await;
        drop(launch);
        failpoint!("agent.launch.sent");
        let mut incoming = Incoming::default();
        let (mut has_owner, mut is_dead) = (true, false);
        let mut looks = tokio::time::interval(LOOK_AFTER_IT);
        let mut due = Due::to_begin();
        // What it has said comes first: an agent that stood still meanwhile would kill one that has begun.
        loop {
            let mut buffer = vec![0; incoming.missing()];
            tokio::select! {
                biased;
                got = within(is_dead.then_some(LAST_WORDS), read.read(&mut buffer)) => {
                    let bytes = match got {
                        Some(Ok(count)) if count > 0 => buffer.get(..count).unwrap_or_default(),
                        _ => break,
                    };
                    match incoming.take(bytes, LONGEST_TO_AGENT) {
                        Ok(Some(message)) => {
                            due.hear(&message);
                            if let ToAgent::Started { pid, has_processes } = message {
                                let _ = started.take().map(|started| started.send((pid, has_processes)));
                            }
                            said.hear(message);
                        }
                        Ok(None) => {}
                        Err(_) => break,
                    }
                }
                order = orders.recv(), if has_owner => {
                    has_owner = order.is_some();
                    due.order(order.unwrap_or(Order::Kill));
                    say(&mut write, order.unwrap_or(Order::Kill)).await;
                }
                // Not only by its socket: somebody else may hold its end.
                _ = looks.tick(), if !is_dead => is_dead = self.child.wait_ended(Some(Duration::ZERO)).unwrap_or(false),
                () = at(due.at), if !is_dead => {
                    tracing::warn!("a launcher does not do what it was told, and is killed");
                    said.has_hung = !said.is_started;
                    // One that cannot be signalled has ended.
                    let _ = self.child.signal(rustix::process::Signal::KILL);
                    break;
                }
            }
        }
        failpoint!("agent.launcher.silent");
        drop((read, write, started));
        let _ = ended.send(conclude(self.child, said, self.secret, self.sandbox).await);
    }
}

/// Never, without a time.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// `None` when the limit was over first.
async fn within<T>(limit: Option<Duration>, wanted: impl Future<Output = T>) -> Option<T> {
    match limit {
        Some(limit) => tokio::time::timeout(limit, wanted).await.ok(),
        None => Some(wanted.await),
    }
}

impl Order {
    /// After how long it must have ended the step; an interrupt need not.
    fn longest(self) -> Option<Duration> {
        match self {
            Self::Interrupt => None,
            Self::Cancel(grace) => Some(grace.first + grace.second + OBEDIENCE),
            Self::Kill => Some(OBEDIENCE),
        }
    }
}

/// By when a launcher must have done what it has to do.
struct Due {
    at: Option<Instant>,
    was_ordered: bool,
}

impl Due {
    fn to_begin() -> Self {
        Self { at: Some(Instant::now() + OBEDIENCE), was_ordered: false }
    }

    fn order(&mut self, order: Order) {
        if let Some(limit) = order.longest() {
            // As the launcher does, which begins anew as well.
            *self = Self { at: Some(Instant::now() + limit), was_ordered: true };
        }
    }

    fn hear(&mut self, message: &ToAgent) {
        match message {
            ToAgent::Started { .. } => self.at = self.at.filter(|_| self.was_ordered),
            // It has nothing left to do.
            ToAgent::Refused(_) | ToAgent::Exited(_) => self.at = Some(Instant::now() + OBEDIENCE),
            ToAgent::Wiped(_) => {}
        }
    }
}

impl Said {
    fn hear(&mut self, message: ToAgent) {
        match message {
            ToAgent::Started { .. } => self.is_started = true,
            ToAgent::Refused(refusal) => self.refused = Some(refusal),
            ToAgent::Exited(exited) => self.exited = Some(exited),
            ToAgent::Wiped(wiped) => self.wiped = Some(wiped),
        }
    }
}

/// An order that cannot be written goes to a launcher that is gone, and its end comes next.
async fn say(write: &mut OwnedWriteHalf, order: Order) {
    let message = match order {
        Order::Interrupt => ToLauncher::Interrupt,
        Order::Cancel(grace) => ToLauncher::Cancel(grace),
        Order::Kill => ToLauncher::Kill,
    };
    if let Ok(frame) = encode(&message, LONGEST_TO_LAUNCHER) {
        let _ = within(Some(OBEDIENCE), write.write_all(&frame)).await;
    }
}

async fn conclude(
    child: Child,
    mut said: Said,
    secret: Option<(PathBuf, String)>,
    sandbox: Sandbox,
) -> Result<StepEnd, StepError> {
    let was_heard = said.exited.is_some() || said.refused.is_some();
    if !was_heard {
        // It closed its socket without a word: dead already, or of no use any more.
        let _ = child.signal(rustix::process::Signal::KILL);
    }
    let clean_up = move || -> (io::Result<()>, tree::Killed) {
        // First without reaping, because reaping holds the lock that other steps need.
        let ended = match child.wait_ended(Some(OBEDIENCE)) {
            Ok(true) => orphans::reap_launcher(child).map(drop),
            // The kernel does not let it die. It stays known as a launcher, and what is below it stays below it.
            Ok(false) => {
                let below = tree::kill_descendants(child.pid(), PATIENCE);
                return (Ok(()), tree::Killed { survivors: below.survivors.saturating_add(1), ..below });
            }
            Err(error) => Err(error),
        };
        (ended, orphans::kill_orphans(!was_heard))
    };
    let Ok((ended, orphaned)) = tokio::task::spawn_blocking(clean_up).await else {
        return Err(StepError::Abandoned);
    };
    failpoint!("agent.launcher.reaped");
    let said_survivors = said.exited.map_or(0, |exited| exited.survivors);
    let life =
        Life { survivors: said_survivors + orphaned.survivors, launcher: ended.map_err(|error| error.to_string()) };
    let exit = said.exited.map(|exited| exited.exit);
    // A refusal is the launcher's last word: without a word about a wipe before it, nothing was made.
    let secret = secret.filter(|_| said.refused.is_none() || said.wiped.is_some());
    let wiped = match (secret, sandbox, said.wiped.take()) {
        (None, _, _) => None,
        (Some((root, name)), Sandbox::Namespace, None) => Some(judge(Wiper::Kernel, &life, root.join(name), exit)?),
        (Some((root, name)), _, by_launcher) => {
            let by = wiped(by_launcher, (&root, &name), exit)?;
            Some(judge(by, &life, root.join(name), exit)?)
        }
    };
    failpoint!("agent.wipe.judged");
    life.launcher.map_err(|detail| StepError::Channel { detail })?;
    end_of(said, tree::Killed { survivors: life.survivors, ..orphaned }, wiped)
}

fn end_of(said: Said, left: tree::Killed, wiped: Option<Wipe>) -> Result<StepEnd, StepError> {
    let end = |exit| StepEnd {
        exit,
        out_of_memory: false,
        launcher_lost: false,
        leftovers: left.killed,
        survivors: left.survivors,
        wiped,
    };
    match (said.refused, said.exited) {
        (Some(refusal), _) => Err(refusal.into()),
        (None, Some(exited)) => Ok(StepEnd {
            out_of_memory: exited.out_of_memory,
            leftovers: exited.leftovers + left.killed,
            ..end(exited.exit)
        }),
        (None, None) if said.is_started => Ok(StepEnd { launcher_lost: true, ..end(KILLED) }),
        (None, None) if said.has_hung => Err(StepError::LauncherHung { seconds: OBEDIENCE.as_secs() }),
        (None, None) => Err(StepError::LauncherLost),
    }
}

/// What may still live of a step.
struct Life {
    survivors: u32,
    /// Whether the launcher itself is gone for certain.
    launcher: Result<(), String>,
}

/// Who wiped the secret directory. The launcher's word is checked by a look of our own.
fn wiped(
    said: Option<Result<(), String>>,
    (root, name): (&Path, &str),
    exit: Option<ExitReason>,
) -> Result<Wiper, StepError> {
    let directory = root.join(name);
    let by = match said {
        Some(Ok(())) => Wiper::Launcher,
        Some(Err(_)) | None => Wiper::Agent,
    };
    let mine = match by {
        Wiper::Launcher | Wiper::Kernel => Ok(()),
        Wiper::Agent => wipe_here(root, name),
    };
    // The launcher held the directory open and could follow it; if it failed, an empty place proves nothing.
    let detail = match (said, mine, is_gone(&directory)) {
        (Some(Err(detail)), _, _) | (_, Err(detail), _) => detail,
        (_, Ok(()), false) => "it is still there after it was removed".to_owned(),
        (_, Ok(()), true) => return Ok(by),
    };
    Err(StepError::WipeUnverified { directory, detail, exit })
}

/// A wipe counts only when nobody is left who could hold what was there: in an open file, in memory, or, in the sandbox
/// `namespace`, in a directory that the sandbox alone has.
fn judge(by: Wiper, life: &Life, directory: PathBuf, exit: Option<ExitReason>) -> Result<Wipe, StepError> {
    let detail = match &life.launcher {
        Err(detail) => format!("its launcher cannot be waited for: {detail}"),
        Ok(()) if life.survivors > 0 => {
            format!("the kernel does not let {} process(es) die that could use them", life.survivors)
        }
        Ok(()) => return Ok(Wipe { by }),
    };
    Err(StepError::WipeUnverified { directory, detail, exit })
}

fn wipe_here(root: &Path, name: &str) -> Result<(), String> {
    match open_root(root, true) {
        Ok(root) => wipe(root.as_fd(), name, None).map_err(|error| error.to_string()),
        Err(RootProblem::Open(error)) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(problem) => Err(problem.to_string()),
    }
}

fn is_gone(path: &Path) -> bool {
    matches!(std::fs::symlink_metadata(path), Err(error) if error.kind() == io::ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::{Path, PathBuf};
    use std::process::Stdio;
    use std::time::Duration;

    use tokio::sync::{mpsc, oneshot};
    use zeroize::Zeroizing;

    use super::{Driver, Life, Order, StepEnd, StepError, Wiper, judge};
    use crate::process::{CommandLine, ExitReason, spawn};
    use crate::sandbox::channel::encode;
    use crate::sandbox::protocol::{Exited, LONGEST_TO_AGENT, Sandbox, ToAgent};

    /// Follows a program in the launcher's place, which has said this and says no more, with these orders.
    async fn follow(program: &Path, said: &[ToAgent], given: &[Order]) -> Result<StepEnd, StepError> {
        let (socket, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        for message in said {
            theirs.write_all(&encode(message, LONGEST_TO_AGENT).unwrap()).unwrap();
        }
        let mut command = CommandLine::new(program).command().unwrap();
        command.stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs))).stdout(Stdio::null());
        let child = spawn(command).unwrap();
        socket.set_nonblocking(true).unwrap();
        let socket = tokio::net::UnixStream::from_std(socket).unwrap();
        let (orders, received) = mpsc::unbounded_channel();
        for order in given {
            orders.send(*order).unwrap();
        }
        let (started, _is_started) = oneshot::channel();
        let (ended, end) = oneshot::channel();
        let driver = Driver::new(child, socket, None, Sandbox::Process);
        driver.run(Zeroizing::default(), received, started, ended).await;
        drop(orders);
        end.await.unwrap()
    }

    /// Goes on for as long as its socket is open.
    const DEAF: &str = "/bin/cat";

    const STARTED: ToAgent = ToAgent::Started { pid: 1, has_processes: true };

    #[tokio::test(start_paused = true)]
    async fn a_launcher_that_does_not_obey_is_killed_and_one_that_was_told_nothing_is_not() {
        let killed = follow(Path::new(DEAF), &[STARTED], &[Order::Interrupt, Order::Kill]).await.unwrap();
        assert!(killed.launcher_lost && killed.exit == ExitReason::Signal(9), "{killed:?}");
        let left_alone = follow(Path::new(DEAF), &[STARTED], &[Order::Interrupt]);
        assert!(tokio::time::timeout(Duration::from_hours(1), left_alone).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_launcher_that_does_not_begin_is_killed_whatever_it_was_told() {
        for given in [&[][..], &[Order::Interrupt], &[Order::Kill]] {
            let killed = follow(Path::new(DEAF), &[], given).await;
            assert!(matches!(killed, Err(StepError::LauncherHung { seconds: 60 })), "{killed:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_launcher_that_goes_on_after_its_last_word_is_killed() {
        let exited = Exited { exit: ExitReason::Code(3), out_of_memory: false, leftovers: 0, survivors: 0 };
        let ended = follow(Path::new(DEAF), &[STARTED, ToAgent::Exited(exited)], &[]).await.unwrap();
        assert!(!ended.launcher_lost && ended.exit == ExitReason::Code(3), "{ended:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_launcher_whose_socket_somebody_else_holds_is_seen_to_have_ended() {
        let home = tempfile::tempdir().unwrap();
        let program = home.path().join("launcher");
        std::fs::write(&program, "#!/bin/sh\nexec 3<&0\nsleep 20 &\n").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
        let begun = std::time::Instant::now();
        assert!(follow(&program, &[STARTED], &[]).await.unwrap().launcher_lost);
        assert!(begun.elapsed() < Duration::from_secs(15), "it was waited for whoever holds the socket");
    }

    #[test]
    fn a_wipe_is_not_verified_while_somebody_lives_who_could_have_read_what_was_there() {
        for by in [Wiper::Launcher, Wiper::Agent, Wiper::Kernel] {
            let told = |survivors, launcher: Result<(), String>| {
                judge(by, &Life { survivors, launcher }, PathBuf::from("/dev/shm/nigari-0/x"), None)
            };
            assert_eq!(told(0, Ok(())).unwrap().by, by);
            for left in [told(1, Ok(())), told(0, Err("interrupted".to_owned()))] {
                let Err(StepError::WipeUnverified { directory, .. }) = left else { panic!("{left:?}") };
                assert_eq!(directory, PathBuf::from("/dev/shm/nigari-0/x"));
            }
        }
    }
}
