//! A phase's log at the server.

use bytes::Bytes;

use super::claim::Lease;
use super::log::{LogSink, SinkError};
use crate::client::LeasedRun;
use crate::protocol::run::Phase;

/// Where the log of one phase goes.
pub(crate) struct PhaseLog {
    server: LeasedRun,
    phase: Phase,
}

/// The log of a phase of the claimed run.
pub(crate) fn of(lease: &Lease, phase: Phase) -> PhaseLog {
    PhaseLog { server: lease.server.clone(), phase }
}

impl LogSink for PhaseLog {
    async fn append(&self, offset: u64, bytes: Bytes) -> Result<u64, SinkError> {
        let end = offset + u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        match self.server.append_log(self.phase, offset, bytes).await {
            Ok(next) if next == end => Ok(next),
            Ok(next) => Err(SinkError::Offset(next)),
            // The agent opens a new session by itself; until then its token may be the old one.
            Err(error) if error.is_retryable() || error.status() == Some(401) => {
                Err(SinkError::Away(error.to_string()))
            }
            Err(error) => Err(SinkError::Refused(error.to_string())),
        }
    }
}
