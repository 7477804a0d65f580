//! What the credential helper answers to which host, and what was asked.
//!
//! Rule: by host alone, because tofu sends no path. Where several credentials are for one host, only the one for the
//! whole host can be meant; without one, nobody's is given.

use std::collections::{BTreeMap, BTreeSet};

use zeroize::Zeroizing;

use super::exchange::{NOT_FOUND, failed, found};
use super::meant::{Meant, meant, several};
use crate::delivery::NamedHosts;
use crate::protocol::agent::{RegistryCredential, RegistryUse};
use crate::protocol::registry_address::RegistryAddress;

/// What there is for one host.
#[derive(Debug)]
enum Entry {
    One(RegistryCredential),
    /// Names of the integrations, each for a path of its own. Their credentials are given to nobody, so they are gone.
    Several(Vec<String>),
}

/// The credentials of one fetch step, by host.
#[derive(Debug)]
pub(super) struct Answers {
    entries: BTreeMap<String, Entry>,
    sources: NamedHosts,
    /// How often each host's credential was given.
    given: BTreeMap<String, u64>,
    notes: BTreeSet<String>,
}

impl Answers {
    pub(super) fn new(credentials: Vec<RegistryCredential>, sources: &NamedHosts) -> Self {
        let mut by_host: BTreeMap<String, Vec<RegistryCredential>> = BTreeMap::new();
        for credential in credentials {
            by_host.entry(credential.address.host().to_owned()).or_default().push(credential);
        }
        let entries = by_host.into_iter().filter_map(|(host, of_host)| Some((host, entry(of_host)?))).collect();
        Self { entries, sources: sources.clone(), given: BTreeMap::new(), notes: BTreeSet::new() }
    }

    /// The answer to a host as it is asked for: `https://host[:port]` by tofu, `host[:port]` by others.
    pub(super) fn answer(&mut self, asked: &str) -> Zeroizing<Vec<u8>> {
        let Some((host, entry)) =
            asked.trim().parse::<RegistryAddress>().ok().and_then(|address| self.entries.get_key_value(address.host()))
        else {
            return failed(NOT_FOUND);
        };
        if !self.sources.may_be_asked(host) {
            self.notes.insert(format!("the credential for {host}, which no module source names, was not given"));
            return failed(&format!("no module source of this run names {host}, so its credential is not given"));
        }
        match entry {
            Entry::Several(names) => {
                let why = several(host, names);
                self.notes.insert(format!("{host} was asked for, but {why}"));
                failed(&why)
            }
            Entry::One(credential) => {
                if !self.sources.names(host) {
                    self.notes.insert(format!(
                        "the credential for {host} was given although no module source of the configuration itself \
                         names that host"
                    ));
                }
                *self.given.entry(host.clone()).or_default() += 1;
                found(asked.trim(), &credential.username, &credential.secret)
            }
        }
    }

    /// What was given, and what people should know of it. The credentials end here.
    pub(super) fn close(self) -> (Vec<RegistryUse>, Vec<String>) {
        let name = |host: &String| match self.entries.get(host) {
            Some(Entry::One(credential)) => vec![credential.name.clone()],
            Some(Entry::Several(_)) | None => Vec::new(),
        };
        let of = |(host, &requests): (&String, &u64)| RegistryUse {
            host: host.clone(),
            integrations: name(host),
            requests,
            bytes: None,
        };
        (self.given.iter().map(of).collect(), self.notes.into_iter().collect())
    }
}

fn entry(of_host: Vec<RegistryCredential>) -> Option<Entry> {
    Some(match meant(of_host, |credential| &credential.address)? {
        Meant::One(credential) => Entry::One(credential),
        Meant::Several(all) => Entry::Several(all.into_iter().map(|credential| credential.name).collect()),
    })
}

#[cfg(test)]
mod tests {
    use super::Answers;
    use crate::delivery::NamedHosts;
    use crate::delivery::tests::credential;
    use crate::protocol::agent::RegistryCredential;

    fn answers(credentials: Vec<RegistryCredential>, named: &[&str], is_open: bool) -> Answers {
        Answers::new(credentials, &NamedHosts::new(named.iter().map(|&host| host.to_owned()), is_open))
    }

    fn said(answers: &mut Answers, asked: &str) -> String {
        String::from_utf8(answers.answer(asked).to_vec()).unwrap()
    }

    #[test]
    fn every_spelling_of_a_host_is_answered_and_every_other_host_is_not_found() {
        let mut answers = answers(vec![credential("ghcr.io", "u", "p"), credential("docker.io", "h", "q")], &[], true);
        for asked in ["https://ghcr.io", "ghcr.io", "ghcr.io:443", "https://ghcr.io:443\n", "GHCR.io"] {
            assert!(said(&mut answers, asked).contains("\"Secret\":\"p\""), "{asked}");
        }
        for asked in ["https://registry-1.docker.io", "https://index.docker.io/v1/", "docker.io", "index.docker.io"] {
            assert!(said(&mut answers, asked).contains("\"Secret\":\"q\""), "{asked}");
        }
        for asked in ["", " ", "https://", "ghcr.io:444", "http://ghcr.io", "https://u@ghcr.io", "evil/ghcr.io", "\0"] {
            assert_eq!(said(&mut answers, asked), "-credentials not found in native keychain", "{asked:?}");
        }
        let (used, _) = answers.close();
        let counts: Vec<_> = used.iter().map(|one| (one.host.as_str(), one.requests)).collect();
        assert_eq!(counts, [("ghcr.io", 5), ("registry-1.docker.io", 4)]);
        assert_eq!(used[0].integrations, ["test-integration"]);
    }

    #[test]
    fn of_several_for_one_host_only_the_one_for_all_of_it_is_given() {
        let (wide, narrow) = (credential("h:1", "wide", "a"), credential("h:1/team", "narrow", "b"));
        let (one, two) = (credential("p:1/one", "one", "c"), credential("p:1/two", "two", "d"));
        let only = credential("o:1/team", "only", "e");
        let mut answers = answers(vec![narrow, wide, one, two, only], &[], true);
        assert!(said(&mut answers, "https://h:1").contains("wide"));
        assert!(said(&mut answers, "https://o:1").contains("only"));
        let refused = said(&mut answers, "https://p:1");
        assert!(refused.starts_with('-') && refused.contains("hint") && refused.contains("`broker`"), "{refused}");
        let (used, notes) = answers.close();
        assert_eq!(used.len(), 2);
        assert!(notes.iter().any(|note| note.contains("p:1")), "{notes:?}");
    }

    #[test]
    fn a_host_that_no_source_can_name_is_refused_and_one_that_may_come_is_listed() {
        let both = || vec![credential("h:1", "u", "a"), credential("other:1", "u", "b")];
        let mut closed = answers(both(), &["h:1"], false);
        assert!(said(&mut closed, "h:1").starts_with('+'));
        assert!(said(&mut closed, "other:1").starts_with("-no module source"));
        assert_eq!(closed.close().0.len(), 1);
        let mut open = answers(both(), &["h:1"], true);
        assert!(said(&mut open, "h:1").starts_with('+') && said(&mut open, "other:1").starts_with('+'));
        let (used, notes) = open.close();
        assert_eq!((used.len(), notes.len()), (2, 1));
        assert!(notes[0].contains("other:1"), "{notes:?}");
    }
}
