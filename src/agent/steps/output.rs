//! What a step writes: into the log as it comes, and the little of it that is looked at here.
//!
//! Rule: it is redacted first of all, each stream for itself, so that nothing else ever has it as it was written.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::agent::log::Log;

/// Bytes of the end that are kept, for hint and message.
const TAIL_BYTES: usize = 32 * 1024;
/// Bytes of the beginning of standard error that are kept: problems with the CLI configuration come first.
const HEAD_BYTES: usize = 16 * 1024;
/// Characters of tofu's own error that go into the failure's message.
const MESSAGE_CHARACTERS: usize = 2000;
/// Characters of the line that says what was downloaded last.
const LINE_CHARACTERS: usize = 300;
/// How long a stream says nothing until what the redactor holds is given out where that is safe.
const QUIET: Duration = Duration::from_millis(150);

/// How long the output of a step is read on of which somebody lives.
pub(super) const SURVIVORS: Duration = Duration::from_secs(2);

/// What is kept of a step's output.
#[derive(Default)]
pub(super) struct Kept {
    tail: Mutex<Vec<u8>>,
    stderr_head: Mutex<Vec<u8>>,
}

impl Kept {
    fn keep(&self, bytes: &[u8], is_stderr: bool) {
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.extend_from_slice(bytes);
        // Cut seldom, so that a long output is not moved for every piece of it.
        if tail.len() > 2 * TAIL_BYTES {
            let cut = tail.len() - TAIL_BYTES;
            tail.drain(..cut);
        }
        if is_stderr {
            let mut head = self.stderr_head.lock().unwrap_or_else(PoisonError::into_inner);
            let room = HEAD_BYTES.saturating_sub(head.len());
            head.extend(bytes.iter().take(room));
        }
    }

    /// The tail and the head of standard error.
    pub(super) fn into_texts(self) -> (String, String) {
        let text = |bytes: Mutex<Vec<u8>>| {
            String::from_utf8_lossy(&bytes.into_inner().unwrap_or_else(PoisonError::into_inner)).into_owned()
        };
        (text(self.tail), text(self.stderr_head))
    }
}

/// Reads to the end.
pub(super) async fn pump(mut output: impl AsyncRead + Unpin, log: &Log, kept: &Kept, is_stderr: bool) {
    let mut redactor = log.redactions().stream();
    let (mut buffer, mut clean) = (vec![0; 16 * 1024], Vec::new());
    let mut is_quiet = true;
    loop {
        let read = read(&mut output, &mut buffer, !is_quiet && redactor.held() > 0).await;
        is_quiet = read.is_none();
        match read {
            None => redactor.flush_ready(&mut clean),
            Some(Ok(length)) if length > 0 => redactor.write(buffer.get(..length).unwrap_or_default(), &mut clean),
            Some(end) => {
                if let Err(error) = end {
                    tracing::warn!(%error, "a step's output could not be read");
                }
                redactor.finish(&mut clean);
                pass(&mut clean, log, kept, is_stderr).await;
                return;
            }
        }
        pass(&mut clean, log, kept, is_stderr).await;
    }
}

/// Follows a step while its output is read to the end, which comes when nobody has it open any more. Somebody whom the
/// kernel does not let die never closes it: where `is_dead` does not say that all are dead, no more than [`SURVIVORS`] is
/// waited, and the rest is lost.
pub(super) async fn read_beside<T>(
    pumps: impl Future<Output = ()>,
    step: impl Future<Output = T>,
    is_dead: impl Fn(&T) -> bool,
) -> T {
    tokio::pin!(pumps, step);
    let mut all_is_read = false;
    let ended = loop {
        tokio::select! {
            ended = &mut step => break ended,
            () = &mut pumps, if !all_is_read => all_is_read = true,
        }
    };
    if !all_is_read {
        if is_dead(&ended) {
            pumps.await;
        } else if tokio::time::timeout(SURVIVORS, pumps).await.is_err() {
            tracing::warn!("a process that does not die holds the step's output, which is not read on");
        }
    }
    ended
}

/// Reads some; with `soon`, `None` when nothing comes for a while.
async fn read(output: &mut (impl AsyncRead + Unpin), buffer: &mut [u8], soon: bool) -> Option<io::Result<usize>> {
    if soon { tokio::time::timeout(QUIET, output.read(buffer)).await.ok() } else { Some(output.read(buffer).await) }
}

async fn pass(clean: &mut Vec<u8>, log: &Log, kept: &Kept, is_stderr: bool) {
    if !clean.is_empty() {
        kept.keep(clean, is_stderr);
        log.write(clean).await;
        clean.clear();
    }
}

/// tofu's own error out of what it wrote: without colours and frame, from the first `Error:` on.
pub(super) fn error_of(tail: &str, otherwise: &str) -> String {
    let plain = without_colours(tail);
    let lines = plain.lines().map(|line| line.trim_start_matches(['│', '╷', '╵', ' ']).trim_end());
    let from_error: Vec<&str> = lines.skip_while(|line| !line.starts_with("Error: ")).collect();
    let text = from_error.join("\n").split("\n\n\n").next().unwrap_or_default().trim().to_owned();
    if text.is_empty() { otherwise.to_owned() } else { text.chars().take(MESSAGE_CHARACTERS).collect() }
}

/// The last download that tofu began, without colours, and no more of the line than a message needs.
pub(super) fn last_download(tail: &str) -> Option<String> {
    let plain = without_colours(tail);
    let last = plain.lines().rev().map(str::trim).find(|line| line.starts_with("Downloading "))?;
    Some(last.chars().take(LINE_CHARACTERS).collect())
}

/// Takes out `ESC [ … letter`.
fn without_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\u{1b}' {
            plain.push(character);
            continue;
        }
        // Only the sequences that tofu writes: `ESC [`, parameters, one letter.
        for follower in characters.by_ref() {
            if follower.is_ascii_alphabetic() {
                break;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncWriteExt as _;

    use super::{Kept, LINE_CHARACTERS, SURVIVORS, TAIL_BYTES, error_of, last_download, pump, read_beside};
    use crate::agent::log::{self, Log, LogSink, Pace, SinkError};
    use crate::redact::{Needles, Redactions};
    use crate::secret::Secret;

    /// Keeps nothing: what is looked at is what is kept of the output.
    struct Nowhere;

    impl LogSink for Nowhere {
        async fn append(&self, offset: u64, bytes: bytes::Bytes) -> Result<u64, SinkError> {
            Ok(offset + u64::try_from(bytes.len()).unwrap())
        }
    }

    fn log() -> Log {
        let (redactions, mut needles) = (Redactions::new(), Needles::new());
        needles.secret(&Secret::from("hunter22"));
        redactions.add(needles);
        log::open(Nowhere, Pace::default()).0.without(&redactions)
    }

    fn told(kept: &Kept) -> String {
        String::from_utf8(kept.tail.lock().unwrap().clone()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn output_is_read_to_its_end_unless_somebody_lives_who_holds_it() {
        let (mut said, stdout) = tokio::io::duplex(64);
        let (log, kept) = (log(), Kept::default());
        let later = async {
            tokio::time::sleep(10 * SURVIVORS).await;
            said.write_all(b"the last word").await.unwrap();
            drop(said);
        };
        let read = read_beside(pump(stdout, &log, &kept, false), async { 7 }, |_| true);
        assert_eq!(tokio::join!(read, later).0, 7);
        assert_eq!(kept.into_texts().0, "the last word");
        let (_held, stdout) = tokio::io::duplex(64);
        let kept = Kept::default();
        let begun = tokio::time::Instant::now();
        assert_eq!(read_beside(pump(stdout, &log, &kept, false), async { 7 }, |_| false).await, 7);
        assert!(begun.elapsed() < 2 * SURVIVORS);
    }

    #[tokio::test(start_paused = true)]
    async fn each_stream_is_redacted_for_itself_and_a_quiet_line_is_not_waited_for() {
        let (log, kept) = (log(), Kept::default());
        let ((mut out, out_end), (mut err, err_end)) = (tokio::io::duplex(64), tokio::io::duplex(64));
        let write = async {
            out.write_all(b"out: hunt").await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
            err.write_all(b"err: hunt").await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
            // Four bytes of it are there: that is no accident any more.
            assert_eq!(told(&kept), "out: err: ");
            out.write_all(b"er22\n").await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
            err.write_all(b"ing all oh").await.unwrap();
            tokio::time::sleep(Duration::from_millis(190)).await;
            assert_eq!(told(&kept), "out: err: (redacted)\nhunting all oh");
            err.write_all(b"unter22").await.unwrap();
            drop((out, err));
        };
        tokio::join!(pump(out_end, &log, &kept, false), pump(err_end, &log, &kept, true), write);
        assert_eq!(kept.into_texts().1, "err: hunting all oh(redacted)");
    }

    #[test]
    fn tofus_error_is_told_without_its_frame() {
        let tail = "Initializing modules...\n\u{1b}[31m╷\u{1b}[0m\n│ \u{1b}[1m\u{1b}[31mError: \u{1b}[0mFailed to \
                    download module\n│ \n│   on main.tf line 2:\n│ no credentials\n╵\n";
        let message = error_of(tail, "otherwise");
        assert!(message.starts_with("Error: Failed to download module\n"), "{message}");
        assert!(message.ends_with("no credentials") && !message.contains(['│', '\u{1b}']), "{message}");
    }

    #[test]
    fn without_an_error_of_tofus_the_exit_speaks() {
        assert_eq!(error_of("all is well\n", "tofu ended with exit code 1"), "tofu ended with exit code 1");
    }

    #[test]
    fn the_last_download_is_found_behind_what_came_later() {
        let tail =
            "Downloading oci://a/b for a...\n- a in x\n\u{1b}[1mDownloading oci://c/d for c...\u{1b}[0m\n\nInterrupt\n";
        assert_eq!(last_download(tail).unwrap(), "Downloading oci://c/d for c...");
        assert!(last_download("Initializing\n").is_none());
        assert_eq!(last_download(&format!("Downloading {}", "a".repeat(1000))).unwrap().len(), LINE_CHARACTERS);
    }

    #[test]
    fn only_the_end_is_kept() {
        let kept = Kept::default();
        for _ in 0..10 {
            kept.keep(&vec![b'x'; TAIL_BYTES], false);
        }
        kept.keep(b"the end", true);
        let (tail, head) = kept.into_texts();
        assert!(tail.len() <= 2 * TAIL_BYTES + 7 && tail.ends_with("the end"));
        assert_eq!(head, "the end");
    }
}
