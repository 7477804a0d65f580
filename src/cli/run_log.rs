//! A run's log on its way to stdout.
//!
//! Rule: it is read from where we stand, so a broken connection or a restarted server loses nothing and shows nothing
//! twice. A claim that begins anew has a log of its own, which is read from its beginning.

use std::time::Duration;

use serde::Serialize;

use super::error::CommandError;
use super::harmless::Harmless;
use super::screen::Screen;
use super::session::Session;
use crate::client::{Client, ClientError};
use crate::clock::BootInstant;
use crate::protocol::id::RunId;
use crate::protocol::run::Phase;

/// How long a server may be away before the following ends.
const PATIENCE: Duration = Duration::from_mins(5);
/// Between two tries while it is away.
const PAUSE: Duration = Duration::from_secs(1);

/// A phase's log, as data.
#[derive(Debug, Serialize)]
struct WholeLog {
    phase: Phase,
    /// The claim whose log it is.
    epoch: i64,
    /// Whether the phase has ended, so that nothing more comes.
    complete: bool,
    text: String,
}

/// Writes the logs of these phases as far as they are; as JSON where that is wanted.
pub(super) async fn write_logs(run: RunId, phases: &[Phase], session: &Session) -> Result<(), CommandError> {
    if !session.screen.json {
        for &phase in phases {
            write_log(run, phase, session).await?;
        }
        return Ok(());
    }
    let mut logs = Vec::new();
    for &phase in phases {
        let log = whole(run, phase, session).await?;
        logs.extend(Some(log).filter(|log| log.epoch > 0));
    }
    session.screen.json(&logs)
}

/// What there is of a log now.
async fn whole(run: RunId, phase: Phase, session: &Session) -> Result<WholeLog, CommandError> {
    let (mut bytes, mut offset, mut epoch) = (Vec::new(), 0, 0);
    loop {
        let mut part = session.client.run_log(run, phase, offset, None).await?;
        let before = std::mem::replace(&mut epoch, part.epoch);
        if before != epoch && offset > 0 {
            // Another claim's log than the one that was read so far.
            bytes.clear();
            offset = 0;
            continue;
        }
        while let Some(chunk) = part.bytes.chunk().await? {
            bytes.extend_from_slice(&chunk);
        }
        if part.complete || part.next_offset == offset {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            return Ok(WholeLog { phase, epoch: part.epoch, complete: part.complete, text });
        }
        offset = part.next_offset;
    }
}

/// Writes a phase's log as far as it is.
pub(super) async fn write_log(run: RunId, phase: Phase, session: &Session) -> Result<(), CommandError> {
    Log::new(session, run, phase).finish().await.map(|_| ())
}

/// Repeats `call` while the server is away, at most [`PATIENCE`].
pub(super) async fn patiently<T>(
    client: &Client,
    screen: Screen,
    call: impl AsyncFn(&Client) -> Result<T, ClientError>,
) -> Result<T, CommandError> {
    let end = BootInstant::now().after(PATIENCE);
    let mut told = false;
    loop {
        match call(client).await {
            Err(error) if error.is_retryable() && !end.remaining().is_zero() => {
                if !told {
                    screen.note(format_args!("{error}; trying again, the run goes on"));
                    told = true;
                }
                tokio::time::sleep(error.retry_after().unwrap_or(PAUSE)).await;
            }
            other => return Ok(other?),
        }
    }
}

/// A phase's log, on its way to stdout.
pub(super) struct Log {
    client: Client,
    screen: Screen,
    run: RunId,
    pub(super) phase: Phase,
    offset: u64,
    /// The claim whose log it is; 0 before there is one.
    epoch: i64,
    pub(super) complete: bool,
    harmless: Harmless,
}

impl Log {
    /// Nothing of it has been read.
    pub(super) fn new(session: &Session, run: RunId, phase: Phase) -> Self {
        let (client, screen) = (session.client.clone(), session.screen);
        let harmless = Harmless::new(screen.log_colours());
        Self { client, screen, run, phase, offset: 0, epoch: 0, complete: false, harmless }
    }

    /// Writes what is there, or what comes within `wait`. Not cancel safe: keep the future until it is done.
    pub(super) async fn read(mut self, wait: Option<Duration>) -> Result<Self, CommandError> {
        let (run, phase, offset) = (self.run, self.phase, self.offset);
        let client = self.client.clone();
        let part = patiently(&client, self.screen, async |client| client.run_log(run, phase, offset, wait).await);
        let mut part = part.await?;
        if self.is_another(part.epoch)? {
            return Ok(self);
        }
        loop {
            match part.bytes.chunk().await {
                Ok(Some(chunk)) => {
                    self.offset += chunk.len() as u64;
                    self.write(&chunk)?;
                }
                Ok(None) => {
                    self.offset = part.next_offset;
                    self.complete = part.complete;
                    if self.complete {
                        self.end()?;
                    }
                    return Ok(self);
                }
                // The next read goes on behind what was written.
                Err(error) if error.is_retryable() => return Ok(self),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Writes what is there now, and then does not wait for more.
    pub(super) async fn finish(mut self) -> Result<Self, CommandError> {
        while !self.complete {
            let before = self.offset;
            self = self.read(None).await?;
            if self.offset == before {
                break;
            }
        }
        self.end()?;
        Ok(self)
    }

    /// Whether that is another claim's log than the one that was read so far; then it has to be read from 0.
    fn is_another(&mut self, epoch: i64) -> Result<bool, CommandError> {
        let before = std::mem::replace(&mut self.epoch, epoch);
        if before == epoch || self.offset == 0 {
            return Ok(false);
        }
        self.end()?;
        self.screen.note(format_args!("\nthe {} has begun anew, by another claim", self.phase));
        (self.offset, self.complete) = (0, false);
        Ok(true)
    }

    fn write(&mut self, chunk: &[u8]) -> Result<(), CommandError> {
        let text = self.harmless.piece(chunk);
        self.screen.log(&text)
    }

    /// What comes next on the screen is not the log's.
    fn end(&mut self) -> Result<(), CommandError> {
        let text = self.harmless.end();
        self.screen.log(&text)
    }
}
