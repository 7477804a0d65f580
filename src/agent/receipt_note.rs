//! What the receipt of a phase would say so far, for the agent that comes after this one.
//!
//! Rule: it is there before a credential can be on this host, and goes when the server has the receipt. It lies in the
//! state directory, which steps do not see, and there is no secret in it.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};
use serde::{Deserialize, Serialize};

use super::host::make_private;
use super::needles;
use super::private::create_anew;
use crate::protocol::Timestamp;
use crate::protocol::agent::{Receipt, ReceiptEnd};
use crate::protocol::id::RunId;
use crate::protocol::run::Phase;
use crate::redact::Redactions;

/// Where the notes are, below the state directory.
const DIRECTORY: &str = "receipts";

/// What a note is called until all of it is written.
const UNWRITTEN: &str = ".new";

/// Longest note that is read, in bytes: more than the server takes.
const LONGEST: u64 = 8 << 20;

/// What a sweep has looked at when it says so.
const SWEPT_BY: &str = "the agent had died; the next one saw that no launcher of the run was alive, wiped the secret \
                        directories of this host that nobody held, and looked again";

/// What became of a broker that was open, as the receipt has it.
const BROKER_DIED: &str = "the agent died during the step, and with it the broker, which alone had the credentials";

/// The note of one phase, under one claim.
#[derive(Debug)]
pub(crate) struct ReceiptNote {
    path: PathBuf,
}

/// What is in it.
#[derive(Debug, Serialize, Deserialize)]
struct Content {
    /// Whether credentials can still be there.
    is_open: bool,
    receipt: Receipt,
}

impl ReceiptNote {
    pub(crate) fn of(state_directory: &Path, run: RunId, epoch: i64, phase: Phase) -> Self {
        Self { path: state_directory.join(DIRECTORY).join(format!("{run}.{epoch}.{}", phase.word())) }
    }

    /// Credentials can be there from now on, or still: what there would be to say if the agent died.
    pub(crate) fn open(&self, receipt: &Receipt, redactions: &Redactions) -> io::Result<()> {
        self.write(true, receipt, redactions)
    }

    /// They are gone; the server does not have the receipt yet.
    pub(crate) fn close(&self, receipt: &Receipt, redactions: &Redactions) -> io::Result<()> {
        self.write(false, receipt, redactions)
    }

    fn write(&self, is_open: bool, receipt: &Receipt, redactions: &Redactions) -> io::Result<()> {
        let mut receipt = receipt.clone();
        needles::hide_in_receipt(&mut receipt, redactions);
        let text = serde_json::to_vec(&Content { is_open, receipt })?;
        self.path.parent().map_or(Ok(()), make_private)?;
        let mut new = self.path.clone().into_os_string();
        new.push(UNWRITTEN);
        // As a whole: an agent that dies here must leave the one that there was.
        let mut file = create_anew(Path::new(&new))?;
        file.write_all(&text)?;
        // The first has to outlast a power loss; later ones only say more.
        if !self.path.exists() {
            file.sync_all()?;
        }
        fs::rename(&new, &self.path)
    }

    /// The server has it, or there is nothing to tell.
    pub(crate) fn remove(&self) {
        if let Err(error) = fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "the note of a receipt could not be removed");
        }
    }
}

/// A receipt that an earlier agent owes the server.
#[derive(Debug)]
pub(crate) struct Owed {
    pub(crate) run: RunId,
    pub(crate) epoch: i64,
    pub(crate) phase: Phase,
    pub(crate) note: ReceiptNote,
}

/// Every note that is there.
pub(crate) fn owed(state_directory: &Path) -> Vec<Owed> {
    let Ok(entries) = fs::read_dir(state_directory.join(DIRECTORY)) else { return Vec::new() };
    entries.flatten().filter_map(|entry| owed_by(&entry.path())).collect()
}

fn owed_by(path: &Path) -> Option<Owed> {
    let name = path.file_name()?.to_str()?;
    let note = ReceiptNote { path: path.to_owned() };
    if name.ends_with(UNWRITTEN) {
        note.remove();
        return None;
    }
    let (rest, phase) = name.rsplit_once('.')?;
    let (run, epoch) = rest.split_once('.')?;
    Some(Owed { run: run.parse().ok()?, epoch: epoch.parse().ok()?, phase: phase.parse().ok()?, note })
}

impl Owed {
    /// The receipt, if there is one: what was open is over, because a sweep has looked. It may have been sooner than
    /// `now`, which is when it was seen.
    pub(crate) fn receipt(&self, now: Timestamp) -> Option<Receipt> {
        let Content { is_open, mut receipt } = read(&self.note.path)?;
        if is_open && receipt.end == ReceiptEnd::Swept {
            receipt.stay.ended_at = now;
            receipt.wiped = true;
            SWEPT_BY.clone_into(&mut receipt.verified_by);
        }
        if let Some(whole_run) = receipt.whole_run.as_mut().filter(|_| is_open) {
            whole_run.stay.ended_at = now;
            whole_run.stay.uncounted = true;
            whole_run.stay.notes.push(BROKER_DIED.to_owned());
        }
        Some(receipt)
    }
}

fn read(path: &Path) -> Option<Content> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(open(path, flags, Mode::empty()).ok()?);
    let mut text = Vec::new();
    let is_plain = file.metadata().ok()?.is_file();
    is_plain.then(|| file.take(LONGEST).read_to_end(&mut text).ok())??;
    serde_json::from_slice(&text).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::{ReceiptNote, owed};
    use crate::clock::Clock;
    use crate::delivery::Pending;
    use crate::protocol::agent::{ReceiptEnd, Stay, WholeRun};
    use crate::protocol::delivery::DeliveryChoice;
    use crate::protocol::id::RunId;
    use crate::protocol::run::{Phase, Step};
    use crate::redact::{Needles, Redactions};
    use crate::sandbox::Sandbox;
    use crate::secret::Secret;

    fn note(state: &Path, phase: Phase) -> (RunId, ReceiptNote) {
        let run = RunId::generate();
        (run, ReceiptNote::of(state, run, 7, phase))
    }

    fn asked() -> Pending {
        Pending::asked(DeliveryChoice::Auto, &Clock::new())
    }

    #[test]
    fn what_was_open_when_the_agent_died_is_told_as_swept_and_what_was_closed_as_it_was() {
        let state = tempfile::tempdir().unwrap();
        let redactions = Redactions::new();
        let (run, note) = note(state.path(), Phase::Plan);
        let pending = asked();
        note.open(&pending.swept(Sandbox::Process), &redactions).unwrap();
        let left = owed(state.path());
        assert_eq!((left.len(), left[0].run, left[0].epoch, left[0].phase), (1, run, 7, Phase::Plan));
        let receipt = left[0].receipt(i64::MAX).unwrap();
        assert_eq!((receipt.end, receipt.wiped, receipt.stay.ended_at), (ReceiptEnd::Swept, true, i64::MAX));
        assert!(receipt.verified_by.contains("looked again"), "{}", receipt.verified_by);
        assert!(!receipt.stay.uncounted, "no step was lent anything that could have been counted");
        let closed = pending.unused(Sandbox::Process, &Clock::new());
        note.close(&closed, &redactions).unwrap();
        let receipt = owed(state.path())[0].receipt(i64::MAX).unwrap();
        assert_eq!((receipt.end, receipt.stay.ended_at), (ReceiptEnd::NeverBegan, closed.stay.ended_at));
        assert_eq!((receipt.verified_by, receipt.stay.uncounted), (closed.verified_by, false));
        note.remove();
        assert!(owed(state.path()).is_empty());
    }

    #[test]
    fn of_a_broker_that_was_open_after_the_fetch_step_both_ends_are_told() {
        let state = tempfile::tempdir().unwrap();
        let (_, note) = note(state.path(), Phase::Plan);
        let mut receipt = asked().unused(Sandbox::Namespace, &Clock::new());
        receipt.end = ReceiptEnd::StepOver;
        let ended_at = receipt.stay.ended_at;
        receipt.whole_run = Some(WholeRun { until: Step::Plan, stay: Stay::default() });
        note.open(&receipt, &Redactions::new()).unwrap();
        let told = owed(state.path())[0].receipt(i64::MAX).unwrap();
        assert_eq!((told.end, told.stay.ended_at), (ReceiptEnd::StepOver, ended_at), "the fetch step's own");
        let later = told.whole_run.unwrap().stay;
        assert!(later.ended_at == i64::MAX && later.notes[0].contains("the agent died"), "{later:?}");
        assert_eq!((told.stay.uncounted, later.uncounted), (false, true));
    }

    #[test]
    fn a_note_is_ours_alone_has_no_secret_and_is_there_as_a_whole_or_not_at_all() {
        let state = tempfile::tempdir().unwrap();
        let (_, note) = note(state.path(), Phase::Apply);
        let (redactions, mut needles) = (Redactions::new(), Needles::new());
        needles.login("robot", &Secret::from("hunter22"));
        redactions.add(needles);
        let mut receipt = asked().swept(Sandbox::Process);
        receipt.stay.notes.push("it was hunter22".to_owned());
        note.open(&receipt, &redactions).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&note.path), mode(note.path.parent().unwrap())), (0o600, 0o700));
        assert!(!fs::read_to_string(&note.path).unwrap().contains("hunter22"));
        // Half written, a stranger, and a link: none of them is owed.
        let beside = |name: &str| note.path.parent().unwrap().join(name);
        fs::write(beside("run-x.1.apply.new"), "{").unwrap();
        fs::write(beside("x"), "{}").unwrap();
        assert_eq!(owed(state.path()).len(), 1);
        assert!(!beside("run-x.1.apply.new").exists());
        fs::rename(&note.path, beside("target")).unwrap();
        std::os::unix::fs::symlink(beside("target"), &note.path).unwrap();
        assert!(owed(state.path())[0].receipt(1).is_none());
    }
}
