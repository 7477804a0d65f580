//! What the very first start makes, and what later starts refuse.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use nigari::secret::Secret;
use nigari::server::vault::KeyError;
use nigari::server::{Server, ServerError};
use nigari::settings::server::{KeySource, ServerSettings};
use tempfile::TempDir;

use super::house::settings;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

async fn started() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    drop(Server::bind(settings(directory.path())).await.unwrap());
    directory
}

async fn refusal(settings: ServerSettings) -> KeyError {
    match Server::bind(settings).await.unwrap_err() {
        ServerError::Key(error) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_first_start_writes_what_only_we_can_read() {
    let directory = started().await;
    for name in ["root.key", "admin.token", "join.token", "nigari.db"] {
        assert_eq!(mode(&directory.path().join(name)), 0o600, "{name}");
    }
}

#[tokio::test]
async fn the_second_start_changes_nothing() {
    let directory = started().await;
    let read = |name: &str| fs::read(directory.path().join(name)).unwrap();
    let before = (read("root.key"), read("admin.token"), read("join.token"));
    drop(Server::bind(settings(directory.path())).await.unwrap());
    assert_eq!(before, (read("root.key"), read("admin.token"), read("join.token")));
}

#[tokio::test]
async fn a_second_server_beside_the_first_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let first = Server::bind(settings(directory.path())).await.unwrap();
    let refused = Server::bind(settings(directory.path())).await.unwrap_err();
    assert!(matches!(refused, ServerError::NotAlone(_)), "{refused:?}");
    drop(first);
    assert!(Server::bind(settings(directory.path())).await.is_ok());
}

#[tokio::test]
async fn a_missing_key_beside_a_database_is_never_made_anew() {
    let directory = started().await;
    let key = directory.path().join("root.key");
    fs::remove_file(&key).unwrap();
    let refused = refusal(settings(directory.path())).await;
    assert!(matches!(refused, KeyError::Missing(_)), "{refused:?}");
    assert!(refused.to_string().contains("hint: "), "{refused}");
    assert!(!key.exists());
}

#[tokio::test]
async fn a_key_that_others_can_read_is_refused() {
    let directory = started().await;
    let key = directory.path().join("root.key");
    for mode in [0o640, 0o604, 0o660, 0o620] {
        fs::set_permissions(&key, Permissions::from_mode(mode)).unwrap();
        let refused = refusal(settings(directory.path())).await;
        assert!(matches!(refused, KeyError::Mode { .. }), "{mode:o}: {refused:?}");
    }
    fs::set_permissions(&key, Permissions::from_mode(0o400)).unwrap();
    assert!(Server::bind(settings(directory.path())).await.is_ok());
}

#[tokio::test]
async fn a_key_that_is_a_link_or_a_directory_is_refused() {
    let directory = started().await;
    let (key, moved) = (directory.path().join("root.key"), directory.path().join("elsewhere"));
    fs::rename(&key, &moved).unwrap();
    symlink(&moved, &key).unwrap();
    assert!(matches!(refusal(settings(directory.path())).await, KeyError::File { .. }));
    fs::remove_file(&key).unwrap();
    fs::create_dir(&key).unwrap();
    let refused = refusal(settings(directory.path())).await;
    assert!(matches!(refused, KeyError::NotAFile(_)), "{refused:?}");
}

#[tokio::test]
async fn a_key_of_the_wrong_length_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key");
    for content in ["", "ab", &"a".repeat(63), &"a".repeat(65), &"g".repeat(64), &"a".repeat(128)] {
        fs::write(&file, content).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        let mut settings = settings(directory.path());
        settings.root_key = KeySource::File(file.clone());
        let refused = refusal(settings).await;
        assert!(matches!(refused, KeyError::Form(_)), "{content:?}: {refused:?}");
    }
}

#[tokio::test]
async fn a_key_may_come_from_a_file_a_credential_or_the_environment() {
    let digits = "0123456789abcdef".repeat(4);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key");
    fs::write(&file, format!("{digits}\n")).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o440)).unwrap();
    // One key, three ways to it, one database.
    for source in [KeySource::Credential(file.clone()), KeySource::Environment(Secret::new(digits))] {
        let mut settings = settings(directory.path());
        settings.root_key = source;
        assert!(Server::bind(settings).await.is_ok());
    }
    fs::set_permissions(&file, Permissions::from_mode(0o400)).unwrap();
    let mut settings = settings(directory.path());
    settings.root_key = KeySource::File(file);
    assert!(Server::bind(settings).await.is_ok());
}

#[tokio::test]
async fn a_database_that_has_gone_is_not_replaced_by_an_empty_one() {
    let directory = started().await;
    let database = directory.path().join("nigari.db");
    let kept = fs::read(&database).unwrap();
    fs::remove_file(&database).unwrap();
    for left in ["root.key", "admin.token", "join.token"] {
        let refused = Server::bind(settings(directory.path())).await.unwrap_err();
        assert!(matches!(&refused, ServerError::DatabaseGone { found, .. } if found.ends_with(left)), "{refused:?}");
        assert!(refused.to_string().contains("hint: "), "{refused}");
        assert!(!database.exists());
        fs::rename(directory.path().join(left), directory.path().join(format!("{left}.away"))).unwrap();
    }
    for left in ["root.key", "admin.token", "join.token"] {
        fs::rename(directory.path().join(format!("{left}.away")), directory.path().join(left)).unwrap();
    }
    fs::write(&database, kept).unwrap();
    assert!(Server::bind(settings(directory.path())).await.is_ok());
}
