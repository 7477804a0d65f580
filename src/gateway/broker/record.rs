//! What the broker saw, for the receipt.
//!
//! Rule: bounded, whatever a configuration makes a step ask for; no secret ever gets in here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use crate::protocol::agent::RegistryUse;

/// Hosts, pulled manifests and sentences that are kept, of each kind.
const MOST: usize = 200;
/// Characters of a sentence.
const LONGEST: usize = 1000;

/// What was seen of a step.
#[derive(Debug, Default)]
pub struct Seen {
    /// Every host.
    pub used: Vec<RegistryUse>,
    /// `host/repository@digest` of each manifest that was pulled.
    pub pulled: Vec<String>,
    /// What people should know.
    pub notes: Vec<String>,
    /// What went wrong between here and the registries, in sentences; the step may have failed because of it.
    pub faults: Vec<String>,
}

/// Written by every connection.
#[derive(Debug, Default)]
pub(super) struct Record(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    registries: BTreeMap<String, Use>,
    passed: BTreeMap<String, Use>,
    beyond: u64,
    pulled: Listed,
    notes: Listed,
    faults: Listed,
}

/// Texts, each once, and how many came when there was no more room: a repeat of one of those is counted again.
#[derive(Debug, Default)]
struct Listed {
    texts: Vec<String>,
    beyond: u64,
}

#[derive(Debug, Default)]
struct Use {
    integrations: BTreeSet<String>,
    requests: u64,
    bytes: u64,
}

impl Record {
    /// One request to a registry host.
    pub(super) fn request(&self, host: &str) {
        self.registry(host, |used| used.requests += 1);
    }

    /// A credential was shown, be it that it was taken or refused.
    pub(super) fn shown(&self, host: &str, integration: &str) {
        self.registry(host, |used| {
            used.integrations.insert(integration.to_owned());
        });
    }

    /// Bytes of a body came.
    pub(super) fn bytes(&self, host: &str, bytes: usize) {
        self.registry(host, |used| used.bytes += bytes as u64);
    }

    /// One connection was passed through.
    pub(super) fn connection(&self, host: &str) {
        let mut inner = self.lock();
        if inner.passed.len() >= MOST && !inner.passed.contains_key(host) {
            inner.beyond += 1;
            return;
        }
        inner.passed.entry(host.to_owned()).or_default().requests += 1;
    }

    /// Bytes came through it.
    pub(super) fn passed_bytes(&self, host: &str, bytes: usize) {
        if let Some(used) = self.lock().passed.get_mut(host) {
            used.bytes += bytes as u64;
        }
    }

    /// A manifest was pulled.
    pub(super) fn pulled(&self, text: String) {
        self.lock().pulled.add(text);
    }

    /// People should know.
    pub(super) fn note(&self, text: String) {
        self.lock().notes.add(shortened(text));
    }

    /// Something went wrong. The agent's own log gets what the list gets: each text once, and not without bounds.
    pub(super) fn fault(&self, text: String) {
        let text = shortened(text);
        if self.lock().faults.add(text.clone()) {
            tracing::info!(fault = text, "the broker could not serve a request");
        }
    }

    /// All of it, at the end.
    pub(super) fn take(&self) -> Seen {
        let Inner { registries, passed, beyond, pulled, notes, faults } = std::mem::take(&mut *self.lock());
        let (more_pulls, more_faults) = (pulled.beyond, faults.beyond);
        let mut notes = notes.told("notes");
        if !passed.is_empty() {
            let hosts: Vec<&str> = passed.keys().map(String::as_str).collect();
            notes.push(format!("passed through without a look inside: {}", hosts.join(", ")));
        }
        if beyond > 0 {
            notes.push(format!("{beyond} more connections went to hosts that are not listed: there were too many"));
        }
        if more_pulls > 0 {
            notes.push(format!("{more_pulls} more pulls are not in the list of what was pulled: it ends after {MOST}"));
        }
        if more_faults > 0 {
            tracing::info!(more_faults, "the broker could not serve more requests than it has told of");
        }
        let used = registries.into_iter().chain(passed).map(|(host, used)| used.told(host)).collect();
        Seen { used, pulled: pulled.texts, notes, faults: faults.told("faults") }
    }

    fn registry(&self, host: &str, change: impl FnOnce(&mut Use)) {
        change(self.lock().registries.entry(host.to_owned()).or_default());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Use {
    fn told(self, host: String) -> RegistryUse {
        let integrations = self.integrations.into_iter().collect();
        RegistryUse { host, integrations, requests: self.requests, bytes: Some(self.bytes) }
    }
}

impl Listed {
    /// Gives whether it is a new one that had room.
    fn add(&mut self, text: String) -> bool {
        if self.texts.contains(&text) {
            return false;
        }
        let has_room = self.texts.len() < MOST;
        if has_room {
            self.texts.push(text);
        } else {
            self.beyond = self.beyond.saturating_add(1);
        }
        has_room
    }

    /// The texts, and a last one about those that had no room.
    fn told(mut self, what: &str) -> Vec<String> {
        if self.beyond > 0 {
            self.texts.push(format!("{} more {what} are not listed: there were too many", self.beyond));
        }
        self.texts
    }
}

fn shortened(mut text: String) -> String {
    if let Some((at, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(at);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, MOST, Record};

    #[test]
    fn a_step_that_asks_for_very_much_leaves_a_bounded_record() {
        let record = Record::default();
        for number in 0..MOST + 50 {
            record.connection(&format!("h{number}.example:443"));
            record.passed_bytes(&format!("h{number}.example:443"), 1);
            record.pulled(format!("r/x@sha256:{number}"));
            record.pulled("r/x@sha256:0".to_owned());
            record.fault(format!("f{number}"));
            record.note(format!("n{number}"));
        }
        record.fault("f0".to_owned());
        record.request("ghcr.io");
        record.shown("ghcr.io", "ours");
        record.bytes("ghcr.io", 7);
        let seen = record.take();
        assert_eq!((seen.used.len(), seen.pulled.len()), (MOST + 1, MOST));
        assert_eq!((seen.faults.len(), seen.notes.len()), (MOST + 1, MOST + 4));
        let ghcr = seen.used.iter().find(|used| used.host == "ghcr.io").unwrap();
        assert_eq!((ghcr.requests, ghcr.bytes, ghcr.integrations.as_slice()), (1, Some(7), &["ours".to_owned()][..]));
        assert_eq!(seen.faults[MOST], "50 more faults are not listed: there were too many");
        for (note, start) in seen.notes[MOST..].iter().zip([
            "50 more notes are not listed",
            "passed through",
            "50 more connections",
            "50 more pulls are not in the list of what was pulled",
        ]) {
            assert!(note.starts_with(start), "{:?}", &seen.notes[MOST..]);
        }
    }

    #[test]
    fn a_sentence_is_cut_where_it_gets_too_long() {
        let record = Record::default();
        record.fault("ä".repeat(LONGEST * 3));
        record.note("ä".repeat(LONGEST));
        let seen = record.take();
        assert_eq!((seen.faults[0].chars().count(), seen.notes[0].chars().count()), (LONGEST + 1, LONGEST));
    }
}
