//! The host's own roots, read once and again as soon as what they were read from is another.
//!
//! Rule: never older than the files: whoever replaces a bundle, or adds a certificate to a directory, restarts nothing.
//! What could not be read whole is not kept: the next one tries again.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::RootCertStore;
use rustls_native_certs::{CertificateResult, ErrorKind, load_native_certs};

use crate::settings::environment;

/// What was read last. Reading and parsing them takes milliseconds, which each run would pay several times.
static KNOWN: Mutex<Option<Known>> = Mutex::new(None);

struct Known {
    from: Vec<Mark>,
    store: Arc<RootCertStore>,
}

/// A file or directory as it was. Whoever changes one changes its `ctime`, which nobody can set.
#[derive(Debug, PartialEq, Eq)]
struct Mark {
    path: PathBuf,
    id: (u64, u64),
    size: u64,
    changed: (i64, i64),
}

/// The host's roots as they are now; empty where there are none.
pub(super) fn host_roots() -> Arc<RootCertStore> {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    // Before they are read: what changes meanwhile is seen the next time.
    let from = marks(&places());
    match &*known {
        Some(known) if known.from == from => Arc::clone(&known.store),
        _ => {
            let found = load_native_certs();
            let is_whole = is_whole(&found);
            let store = Arc::new(store_of(found));
            if is_whole {
                *known = Some(Known { from, store: Arc::clone(&store) });
            }
            store
        }
    }
}

/// Whether everything was read. An error of the system may be gone the next time, with the files as they are; one in a
/// file's text is not.
fn is_whole(found: &CertificateResult) -> bool {
    !found.errors.iter().any(|error| matches!(error.kind, ErrorKind::Io { .. }))
}

fn store_of(found: CertificateResult) -> RootCertStore {
    for error in &found.errors {
        tracing::warn!(%error, "some of the host's root certificates cannot be read");
    }
    let mut store = RootCertStore::empty();
    let (_, ignored) = store.add_parsable_certificates(found.certs);
    if ignored > 0 {
        tracing::warn!(ignored, "some of the host's root certificates are not usable");
    }
    store
}

/// Where they come from, and maybe more: as rustls-native-certs looks for them. Each once: the usual place of a
/// directory is named by variables as well on some hosts, and has hundreds of files.
fn places() -> BTreeSet<PathBuf> {
    let usual = openssl_probe::probe();
    let file = environment::variable("SSL_CERT_FILE").map(PathBuf::from);
    let directories =
        environment::variable("SSL_CERT_DIR").map(|list| std::env::split_paths(&list).collect::<Vec<_>>());
    file.into_iter().chain(directories.into_iter().flatten()).chain(usual.cert_file).chain(usual.cert_dir).collect()
}

/// What is there: each place, and in a directory every file, behind its links. In the order in which they are listed: were
/// that another, they would be read once more than they have to be.
fn marks(places: &BTreeSet<PathBuf>) -> Vec<Mark> {
    let entries = |place: &PathBuf| fs::read_dir(place).into_iter().flatten().flatten().map(|entry| entry.path());
    places.iter().flat_map(|place| [place.clone()].into_iter().chain(entries(place))).filter_map(mark).collect()
}

fn mark(path: PathBuf) -> Option<Mark> {
    let seen = fs::metadata(&path).ok()?;
    Some(Mark { path, id: (seen.dev(), seen.ino()), size: seen.size(), changed: (seen.ctime(), seen.ctime_nsec()) })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use rustls_native_certs::load_certs_from_paths;

    use super::{is_whole, marks};

    #[test]
    fn what_the_system_could_not_read_is_not_kept_and_what_is_wrong_in_a_file_is() {
        let home = tempfile::tempdir().unwrap();
        let (broken, good) = (home.path().join("broken.pem"), home.path().join("good"));
        fs::write(&broken, "-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n").unwrap();
        fs::create_dir(&good).unwrap();
        let of_text = load_certs_from_paths(Some(&broken), None);
        assert!(!of_text.errors.is_empty() && is_whole(&of_text), "{of_text:?}");
        assert!(is_whole(&load_certs_from_paths(None, Some(&good))));
        // A directory opens like a file, and then its bytes cannot be read.
        let of_system = load_certs_from_paths(Some(&good), None);
        assert!(!is_whole(&of_system), "{of_system:?}");
    }

    #[test]
    fn whatever_is_changed_in_what_roots_are_read_from_is_seen() {
        let home = tempfile::tempdir().unwrap();
        let (directory, behind, bundle) = (home.path().join("certs"), home.path().join("one.pem"), "bundle.pem");
        fs::create_dir(&directory).unwrap();
        fs::write(&behind, "ONE").unwrap();
        symlink(&behind, directory.join("link.0")).unwrap();
        let places = [home.path().join(bundle), directory.clone()].into();
        let mut before = marks(&places);
        let mut must_differ = |what: &str| {
            let now = marks(&places);
            assert!(now != before, "{what}");
            assert_eq!(now, marks(&places), "{what}");
            before = now;
        };
        fs::write(home.path().join(bundle), "ALL").unwrap();
        must_differ("a bundle that comes");
        fs::write(home.path().join("new"), "OLL").unwrap();
        fs::rename(home.path().join("new"), home.path().join(bundle)).unwrap();
        must_differ("a bundle that is replaced by one of the same size");
        fs::write(&behind, "ONE AND MORE").unwrap();
        must_differ("what a link leads to");
        fs::write(directory.join("two.pem"), "TWO").unwrap();
        must_differ("one more file");
        fs::remove_file(directory.join("link.0")).unwrap();
        must_differ("one file less");
    }
}
