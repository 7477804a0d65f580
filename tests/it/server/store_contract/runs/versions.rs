//! Versions of a state and its lock.

use nigari::protocol::api::{StateLock, StateVersion};
use nigari::protocol::id::{BlobId, RunId, StateVersionId};
use nigari::server::store::state::lock::{self, HeldLock};
use nigari::server::store::state::{self, StateRecord};
use nigari::server::store::{Store, blobs, workspaces};

use super::place;
use crate::server::store_contract::on_both;

on_both! {
    the_newest_version_is_the_one_that_was_added_last,
    a_lock_has_one_holder,
    a_lock_keeps_what_tofu_says,
}

fn version(serial: i64) -> StateVersion {
    StateVersion {
        id: StateVersionId::generate(),
        serial,
        lineage: "l".to_owned(),
        bytes: 3,
        digest: "d".repeat(64),
        created_at: 5,
        run: Some(RunId::generate()),
        created_by: None,
    }
}

async fn the_newest_version_is_the_one_that_was_added_last(store: &Store) {
    let place = place(store).await;
    assert!(state::newest(&mut store.read().await.unwrap(), place.workspace).await.unwrap().is_none());
    for serial in [1, 7, 3] {
        let mut transaction = store.begin_write().await.unwrap();
        let blob = BlobId::generate();
        blobs::begin(&mut transaction, blob, b"k", 1).await.unwrap();
        let record = StateRecord { version: version(serial), blob };
        state::add(&mut transaction, place.workspace, &record).await.unwrap();
        transaction.commit().await.unwrap();
    }
    let mut connection = store.read().await.unwrap();
    let versions = state::versions(&mut connection, place.workspace).await.unwrap();
    assert_eq!(versions.iter().map(|record| record.version.serial).collect::<Vec<_>>(), [3, 7, 1]);
    let newest = state::newest(&mut connection, place.workspace).await.unwrap().unwrap();
    assert_eq!(newest.version.serial, 3);
    let row = workspaces::find(&mut connection, &place.workspace.to_string()).await.unwrap().unwrap();
    assert_eq!(row.state_serial, Some(3));
}

fn held(id: &str, run: Option<RunId>) -> HeldLock {
    let lock = StateLock { id: id.to_owned(), who: "ü'\"".to_owned(), ..StateLock::default() };
    HeldLock { lock, run: run.map(|run| (run, 1)) }
}

async fn a_lock_has_one_holder(store: &Store) {
    let place = place(store).await;
    let run = RunId::generate();
    let mut transaction = store.begin_write().await.unwrap();
    assert!(lock::take(&mut transaction, place.workspace, &held("a", Some(run))).await.unwrap().is_ok());
    assert!(lock::take(&mut transaction, place.workspace, &held("a", Some(run))).await.unwrap().is_ok(), "a repeat");
    for other in [held("b", None), held("a", None), held("a", Some(RunId::generate()))] {
        let refused = lock::take(&mut transaction, place.workspace, &other).await.unwrap().unwrap_err();
        assert_eq!(refused.lock.id, "a");
        assert_eq!(refused.run, Some((run, 1)));
    }
    lock::release_of_run(&mut transaction, place.workspace, RunId::generate()).await.unwrap();
    assert!(lock::holder(&mut transaction, place.workspace).await.unwrap().is_some(), "not that run's");
    lock::release_of_run(&mut transaction, place.workspace, run).await.unwrap();
    assert!(lock::take(&mut transaction, place.workspace, &held("b", None)).await.unwrap().is_ok());
    transaction.commit().await.unwrap();
}

async fn a_lock_keeps_what_tofu_says(store: &Store) {
    let place = place(store).await;
    let mut transaction = store.begin_write().await.unwrap();
    lock::take(&mut transaction, place.workspace, &held("a", None)).await.unwrap().unwrap();
    transaction.commit().await.unwrap();
    let row = workspaces::find(&mut store.read().await.unwrap(), "net").await.unwrap().unwrap();
    assert_eq!(row.state_lock.unwrap().who, "ü'\"");
}
