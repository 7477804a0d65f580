//! What the broker saw, for the receipt.
//!
//! Rule: bounded, whatever a configuration makes a step ask for; no secret ever gets in here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use crate::protocol::agent::RegistryUse;

/// Hosts, pulled manifests and sentences that are kept, of each kind.
const MOST: usize = 200;

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
    pulled: Vec<String>,
    notes: Vec<String>,
    faults: Vec<String>,
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

    /// A credential was shown for a request.
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
        self.passed(host, |used| used.requests += 1);
    }

    /// Bytes came through it.
    pub(super) fn passed_bytes(&self, host: &str, bytes: usize) {
        self.passed(host, |used| used.bytes += bytes as u64);
    }

    /// A manifest was pulled.
    pub(super) fn pulled(&self, text: String) {
        add(&mut self.lock().pulled, text);
    }

    /// People should know.
    pub(super) fn note(&self, text: String) {
        add(&mut self.lock().notes, text);
    }

    /// Something went wrong.
    pub(super) fn fault(&self, text: String) {
        tracing::info!(fault = text, "the broker could not serve a request");
        add(&mut self.lock().faults, text);
    }

    /// All of it, at the end.
    pub(super) fn take(&self) -> Seen {
        let Inner { registries, passed, beyond, pulled, mut notes, faults } = std::mem::take(&mut *self.lock());
        if !passed.is_empty() {
            let hosts: Vec<&str> = passed.keys().map(String::as_str).collect();
            notes.push(format!("passed through without a look inside: {}", hosts.join(", ")));
        }
        if beyond > 0 {
            notes.push(format!("{beyond} more connections went to hosts that are not listed: there were too many"));
        }
        let used = registries.into_iter().chain(passed).map(|(host, used)| used.told(host)).collect();
        Seen { used, pulled, notes, faults }
    }

    fn registry(&self, host: &str, change: impl FnOnce(&mut Use)) {
        change(self.lock().registries.entry(host.to_owned()).or_default());
    }

    fn passed(&self, host: &str, change: impl FnOnce(&mut Use)) {
        let mut inner = self.lock();
        if inner.passed.len() >= MOST && !inner.passed.contains_key(host) {
            inner.beyond += 1;
            return;
        }
        change(inner.passed.entry(host.to_owned()).or_default());
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

/// Each text once, and only so many.
fn add(list: &mut Vec<String>, text: String) {
    if list.len() < MOST && !list.contains(&text) {
        list.push(text);
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, Record};

    #[test]
    fn a_step_that_asks_for_very_much_leaves_a_bounded_record() {
        let record = Record::default();
        for number in 0..MOST + 50 {
            record.connection(&format!("h{number}.example:443"));
            record.pulled(format!("r/x@sha256:{number}"));
            record.pulled("r/x@sha256:0".to_owned());
            record.fault(format!("f{number}"));
        }
        record.request("ghcr.io");
        record.shown("ghcr.io", "ours");
        record.bytes("ghcr.io", 7);
        let seen = record.take();
        assert_eq!((seen.used.len(), seen.pulled.len(), seen.faults.len()), (MOST + 1, MOST, MOST));
        let ghcr = seen.used.iter().find(|used| used.host == "ghcr.io").unwrap();
        assert_eq!((ghcr.requests, ghcr.bytes, ghcr.integrations.as_slice()), (1, Some(7), &["ours".to_owned()][..]));
        assert!(
            seen.notes[0].starts_with("passed through") && seen.notes[1].starts_with("50 more"),
            "{:?}",
            seen.notes
        );
    }
}
