//! Everything that is no registry of this run: passed through as it comes.
//!
//! Rule: counted, untouched, and cut once nothing has passed in either direction for a while.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Notify;
use tokio_util::io::InspectReader;

use super::record::Record;

/// One connection that is passed through.
pub(super) struct Tunnel {
    /// `host:port`.
    pub(super) host: String,
    pub(super) record: Arc<Record>,
    /// How long nothing may pass.
    pub(super) silence: Duration,
}

impl Tunnel {
    /// Passes bytes in both directions until both are done.
    pub(super) async fn pass(
        &self,
        child: impl AsyncRead + AsyncWrite + Unpin,
        outside: impl AsyncRead + AsyncWrite + Unpin,
    ) -> io::Result<()> {
        let moved = Notify::new();
        let (child_reads, mut child_writes) = tokio::io::split(child);
        let (outside_reads, mut outside_writes) = tokio::io::split(outside);
        let mut child_reads = InspectReader::new(child_reads, |_: &[u8]| moved.notify_one());
        let mut outside_reads = InspectReader::new(outside_reads, |bytes: &[u8]| {
            self.record.passed_bytes(&self.host, bytes.len());
            moved.notify_one();
        });
        let up = async {
            tokio::io::copy(&mut child_reads, &mut outside_writes).await?;
            outside_writes.shutdown().await
        };
        let down = async {
            tokio::io::copy(&mut outside_reads, &mut child_writes).await?;
            child_writes.shutdown().await
        };
        // Whoever takes nothing any more stops the other's reading too.
        let stands_still = async { while tokio::time::timeout(self.silence, moved.notified()).await.is_ok() {} };
        tokio::select! {
            ended = async { tokio::try_join!(up, down) } => ended.map(drop),
            () = stands_still => {
                let seconds = self.silence.as_secs();
                self.record.fault(format!("`{}`: the connection was cut after {seconds} s of silence", self.host));
                Err(io::ErrorKind::TimedOut.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::{Record, Tunnel};

    fn tunnel() -> (Tunnel, Arc<Record>) {
        let record = Arc::new(Record::default());
        record.connection("h:443");
        (Tunnel { host: "h:443".into(), record: Arc::clone(&record), silence: Duration::from_secs(5) }, record)
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_byte_is_cut_and_told() {
        let ((tunnel, record), (child, _step), (outside, mut host)) = (tunnel(), duplex(64), duplex(64));
        let passing = tunnel.pass(child, outside);
        let drops = async {
            // As long as something comes it goes on.
            for _ in 0..4 {
                tokio::time::sleep(Duration::from_secs(4)).await;
                host.write_all(b"x").await.unwrap();
            }
        };
        let (ended, ()) = tokio::join!(passing, drops);
        assert_eq!(ended.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
        let seen = record.take();
        assert_eq!(seen.faults, ["`h:443`: the connection was cut after 5 s of silence"]);
        assert_eq!(seen.used[0].bytes, Some(4));
    }

    #[tokio::test(start_paused = true)]
    async fn a_child_that_takes_nothing_does_not_hold_a_connection_either() {
        let ((tunnel, record), (child, _step), (outside, mut host)) = (tunnel(), duplex(64), duplex(64));
        let flood = async { while host.write_all(&[0; 64]).await.is_ok() {} };
        let (ended, ()) = tokio::join!(tunnel.pass(child, outside), flood);
        assert!(ended.is_err() && record.take().faults.len() == 1);
    }

    #[tokio::test(start_paused = true)]
    async fn both_directions_end_by_themselves() {
        let ((tunnel, record), (child, mut step), (outside, mut host)) = (tunnel(), duplex(64), duplex(64));
        let talk = async {
            step.write_all(b"ask").await.unwrap();
            step.shutdown().await.unwrap();
            let mut asked = String::new();
            host.read_to_string(&mut asked).await.unwrap();
            host.write_all(b"answer").await.unwrap();
            host.shutdown().await.unwrap();
            let mut answered = String::new();
            step.read_to_string(&mut answered).await.unwrap();
            (asked, answered)
        };
        let (ended, said) = tokio::join!(tunnel.pass(child, outside), talk);
        assert!(ended.is_ok() && record.take().faults.is_empty());
        assert_eq!(said, ("ask".into(), "answer".into()));
    }
}
