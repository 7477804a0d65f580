//! Blobs: ranges, and the sweep.

use nigari::protocol::id::BlobId;
use nigari::protocol::run::RunKind;
use nigari::server::store::blobs::{self, SealedChunk};
use nigari::server::store::{Store, WriteTransaction};

use super::place;
use crate::server::store_contract::on_both;

on_both! {
    a_range_begins_within_a_chunk,
    a_chunk_is_written_once,
    only_what_nothing_refers_to_is_swept,
}

fn chunk(number: i64, start: i64, text: &[u8]) -> SealedChunk {
    SealedChunk { number, start, bytes: i64::try_from(text.len()).unwrap(), sealed: text.to_vec() }
}

async fn blob(transaction: &mut WriteTransaction) -> BlobId {
    let id = BlobId::generate();
    blobs::begin(transaction, id, b"\0key", 100).await.unwrap();
    id
}

async fn a_range_begins_within_a_chunk(store: &Store) {
    let mut transaction = store.begin_write().await.unwrap();
    let id = blob(&mut transaction).await;
    blobs::append(&mut transaction, id, vec![chunk(0, 0, b"abc"), chunk(1, 3, b"\0e")]).await.unwrap();
    blobs::append(&mut transaction, id, vec![chunk(2, 5, b"fghi")]).await.unwrap();
    let head = blobs::head(&mut transaction, id).await.unwrap().unwrap();
    assert_eq!((head.bytes, head.next, head.key.as_slice()), (9, 3, b"\0key".as_slice()));
    for (offset, expected) in [(0, vec![0, 1, 2]), (2, vec![0, 1, 2]), (3, vec![1, 2]), (8, vec![2]), (9, vec![])] {
        let chunks = blobs::chunks(&mut transaction, id, offset, 9).await.unwrap();
        assert_eq!(chunks.iter().map(|chunk| chunk.number).collect::<Vec<_>>(), expected, "{offset}");
    }
    let chunks = blobs::chunks(&mut transaction, id, 3, 5).await.unwrap();
    assert_eq!(chunks[0].sealed, b"\0e");
    assert_eq!(chunks.len(), 1);
}

async fn a_chunk_is_written_once(store: &Store) {
    let mut transaction = store.begin_write().await.unwrap();
    let id = blob(&mut transaction).await;
    blobs::append(&mut transaction, id, vec![chunk(0, 0, b"abc")]).await.unwrap();
    let again = blobs::append(&mut transaction, id, vec![chunk(0, 0, b"xyz")]).await.unwrap_err();
    assert!(again.is_duplicate(), "{again:?}");
}

async fn only_what_nothing_refers_to_is_swept(store: &Store) {
    let place = place(store).await;
    let run = place.run(RunKind::Apply, false).await.id;
    place.claim(super::NOON).await;
    super::lapsing::upload(&place, run).await;
    let mut transaction = store.begin_write().await.unwrap();
    for _ in 0..3 {
        let id = blob(&mut transaction).await;
        blobs::append(&mut transaction, id, vec![chunk(0, 0, b"abc")]).await.unwrap();
    }
    assert_eq!(blobs::sweep(&mut transaction, 50, 10).await.unwrap(), 0, "too young, or referred to");
    assert_eq!(blobs::sweep(&mut transaction, 101, 2).await.unwrap(), 2);
    assert_eq!(blobs::sweep(&mut transaction, 101, 2).await.unwrap(), 1);
    assert_eq!(blobs::sweep(&mut transaction, 101, 2).await.unwrap(), 0);
    transaction.commit().await.unwrap();
}
