//! Receipts that the server does not have when their phase is over.
//!
//! Rule: each is told until the server has it or will never take it. Its note stays until then, so that what an agent
//! could not tell any more is left to the one that comes after it.

use std::time::Duration;

use super::receipt_note::Owed;
use super::session::Session;
use crate::protocol::Timestamp;
use crate::protocol::agent::Receipt;

/// How long one round of tries takes.
const PATIENCE: Duration = Duration::from_mins(30);

/// Between the first two rounds; then twice as long each time, up to one round.
const PAUSE: Duration = Duration::from_secs(10);

/// Tells what an earlier agent owes; `now` is when what was open is known to be over.
pub(super) async fn tell_owed(session: &Session, owed: &Owed, now: Timestamp) {
    if let Some(receipt) = owed.receipt(now) {
        tell(session, owed, &receipt).await;
    } else {
        tracing::error!(run = %owed.run, epoch = owed.epoch, "the note of a receipt cannot be read");
        owed.note.remove();
    }
}

/// Tells it, however long that takes.
pub(super) async fn tell(session: &Session, owed: &Owed, receipt: &Receipt) {
    let Owed { run, epoch, phase, note } = owed;
    let server = session.client.leased_run(*run, *epoch);
    let mut pause = PAUSE;
    loop {
        match session.persist(PATIENCE, || server.late_receipt(*phase, receipt)).await {
            Ok(()) => {
                tracing::warn!(%run, epoch, "a receipt was sent after the end of its phase");
                break;
            }
            // Also what stands in front of the server answers, with any status.
            Err(error) if error.is_retryable() => {
                tracing::warn!(%run, epoch, %error, "a receipt could not be sent yet; it is tried on");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PATIENCE);
            }
            Err(error) if matches!(error.status(), Some(404 | 409 | 413 | 422)) => {
                tracing::error!(%run, epoch, %error, "the server does not take a receipt");
                break;
            }
            Err(error) => {
                tracing::warn!(%run, epoch, %error, "a receipt could not be sent; the next start tries again");
                return;
            }
        }
    }
    note.remove();
}
