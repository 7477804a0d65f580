//! The agent's end of the credential helper's socket.
//!
//! Rule: it exists from just before the step until the step is over; then its credentials are dropped and its directory
//! is gone. Who asks before the step's process is known waits; strangers get a line and are counted.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use zeroize::Zeroizing;

use super::answers::Answers;
use super::asker::{Process, Stranger, check};
use super::exchange::{GET, LONGEST_QUESTION, SOCKET, failed};
use crate::delivery::{Beside, Witnessed};
use crate::sandbox::{FileId, OwnProgram};

/// How long one asker may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Askers at the same time; more have to wait. tofu asks one by one.
const MOST: usize = 32;

/// The socket in its directory, and what is answered on it.
#[derive(Debug)]
pub(super) struct Socket {
    directory: PathBuf,
    shared: Arc<Shared>,
    /// The step's process, once it runs.
    tofu: watch::Sender<Option<Arc<Process>>>,
    task: JoinHandle<()>,
    /// Held until the step is over.
    _program: Arc<OwnProgram>,
}

/// What all askers come to.
#[derive(Debug)]
struct Shared {
    program: FileId,
    answers: Mutex<Option<Answers>>,
    refused: Mutex<BTreeMap<Stranger, u64>>,
}

impl Socket {
    /// Makes the directory, which must be new, and listens in it. Needs a runtime.
    pub(super) fn open(directory: &Path, answers: Answers, program: Arc<OwnProgram>) -> io::Result<Self> {
        DirBuilder::new().mode(0o700).create(directory)?;
        let shared = Shared { program: program.file(), answers: Mutex::new(Some(answers)), refused: Mutex::default() };
        let (shared, (tofu, known)) = (Arc::new(shared), watch::channel(None));
        let listening = bind(directory).inspect_err(|_| drop(fs::remove_dir_all(directory)))?;
        let task = tokio::spawn(serve(listening, Arc::clone(&shared), known));
        Ok(Self { directory: directory.to_owned(), shared, tofu, task, _program: program })
    }
}

impl Beside for Socket {
    fn started(&mut self, process: i32) {
        // One that has ended already asks for nothing.
        self.tofu.send_replace(Process::open(process).map(Arc::new));
    }

    fn close(mut self: Box<Self>) -> Pin<Box<dyn Future<Output = Witnessed> + Send>> {
        Box::pin(async move {
            self.task.abort();
            // Ended by the abort: there is nothing to hear.
            let _ = (&mut self.task).await;
            self.shared.close()
        })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.task.abort();
        if let Err(error) = fs::remove_dir_all(&self.directory) {
            tracing::warn!(path = %self.directory.display(), %error, "the credential helper's directory could not be removed");
        }
    }
}

impl Shared {
    fn answer(&self, asked: &str) -> Zeroizing<Vec<u8>> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.as_mut().map_or_else(|| failed("the fetch step is over"), |answers| answers.answer(asked))
    }

    fn refuse(&self, stranger: Stranger) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner).entry(stranger).or_default() += 1;
    }

    fn close(&self) -> Witnessed {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (used, mut notes) = answers.map(Answers::close).unwrap_or_default();
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let note = |(stranger, count): (&Stranger, &u64)| {
            format!("the credential helper's socket refused {stranger} ({count} times)")
        };
        notes.extend(refused.iter().map(note));
        Witnessed { used, notes, ..Witnessed::default() }
    }
}

/// Binds the socket, for this user alone. By a descriptor, because the kernel takes only short paths (unix(7)).
fn bind(directory: &Path) -> io::Result<UnixListener> {
    let opened = File::open(directory)?;
    let listener = UnixListener::bind(format!("/proc/self/fd/{}/{SOCKET}", opened.as_raw_fd()))?;
    fs::set_permissions(directory.join(SOCKET), fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

type Known = watch::Receiver<Option<Arc<Process>>>;

async fn serve(listener: UnixListener, shared: Arc<Shared>, tofu: Known) {
    let mut askers = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if askers.len() < MOST => match accepted {
                Ok((asker, _)) => {
                    let (shared, tofu) = (Arc::clone(&shared), tofu.clone());
                    askers.spawn(async move {
                        // One that does not ask in time is left alone.
                        let _ = tokio::time::timeout(PATIENCE, serve_one(asker, &shared, tofu)).await;
                    });
                }
                // No descriptor left, say: not for long.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            },
            Some(_) = askers.join_next() => {}
        }
    }
}

async fn serve_one(mut asker: UnixStream, shared: &Shared, mut tofu: Known) -> io::Result<()> {
    let process = Process::of_peer(&asker, asker.peer_cred()?.pid().unwrap_or_default());
    let question = question(&mut asker).await?;
    let known = tofu.wait_for(Option::is_some).await.ok().and_then(|tofu| tofu.clone());
    let Some(tofu) = known else { return Ok(()) };
    // Looked at after the question, so that it is the asker's process that waits for the answer.
    let checked = process.as_ref().ok_or(Stranger::Gone).and_then(|asker| check(asker, &tofu, shared.program));
    let answer = match (checked, question.as_deref().and_then(|line| line.strip_prefix(GET))) {
        (Err(stranger), _) => {
            shared.refuse(stranger);
            failed("nigari answers its own credential helper alone, started by the tofu of this run's fetch step")
        }
        (Ok(()), None) => failed("nigari does not understand the question"),
        (Ok(()), Some(host)) => shared.answer(host),
    };
    asker.write_all(&answer).await?;
    asker.shutdown().await
}

/// One line, without its end; `None` if it is too long or no text.
async fn question(asker: &mut UnixStream) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    while bytes.len() < LONGEST_QUESTION {
        let mut piece = [0; 256];
        let count = asker.read(&mut piece).await?;
        bytes.extend_from_slice(piece.get(..count).unwrap_or_default());
        if count == 0 || bytes.contains(&b'\n') {
            let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
            return Ok(String::from_utf8(line.to_vec()).ok());
        }
    }
    Ok(None)
}
