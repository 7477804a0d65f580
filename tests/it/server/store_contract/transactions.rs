//! Transactions: all or nothing, one writer at a time.

use nigari::server::store::{Database, Store, facts};

super::on_both! {
    what_is_committed_stays,
    what_is_dropped_never_was,
    a_reader_sees_no_open_transaction,
    writers_take_turns,
    a_duplicate_is_told,
    who_waits_too_long_for_a_turn_is_told_to_try_again,
    many_who_waited_too_long_leave_the_connections_fit,
    who_gives_up_waiting_for_a_turn_does_not_keep_it,
}

async fn value(store: &Store, name: &str) -> Option<Vec<u8>> {
    facts::get(&mut store.read().await.unwrap(), name).await.unwrap()
}

async fn what_is_committed_stays(store: &Store) {
    let mut transaction = store.begin_write().await.unwrap();
    facts::insert(&mut transaction, "a", b"\0\xff").await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(value(store, "a").await.as_deref(), Some(&b"\0\xff"[..]));
}

async fn what_is_dropped_never_was(store: &Store) {
    let mut transaction = store.begin_write().await.unwrap();
    facts::insert(&mut transaction, "a", b"x").await.unwrap();
    drop(transaction);
    assert_eq!(value(store, "a").await, None);
    let mut transaction = store.begin_write().await.unwrap();
    facts::insert(&mut transaction, "a", b"y").await.unwrap();
    transaction.commit().await.unwrap();
}

async fn a_reader_sees_no_open_transaction(store: &Store) {
    let mut transaction = store.begin_write().await.unwrap();
    facts::insert(&mut transaction, "a", b"x").await.unwrap();
    assert_eq!(value(store, "a").await, None);
    transaction.commit().await.unwrap();
    assert!(value(store, "a").await.is_some());
}

async fn writers_take_turns(store: &Store) {
    // Each reads the number and writes one more; lost updates would show in the sum.
    let mut transaction = store.begin_write().await.unwrap();
    facts::insert(&mut transaction, "0", b"").await.unwrap();
    transaction.commit().await.unwrap();
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut transaction = store.begin_write().await.unwrap();
                let mut number = 0;
                while facts::get(&mut transaction, &number.to_string()).await.unwrap().is_some() {
                    number += 1;
                }
                facts::insert(&mut transaction, &number.to_string(), b"").await.unwrap();
                transaction.commit().await.unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert!(value(store, "20").await.is_some() && value(store, "21").await.is_none());
}

async fn who_waits_too_long_for_a_turn_is_told_to_try_again(store: &Store) {
    let held = store.begin_write().await.unwrap();
    let error = store.begin_write().await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    drop(held);
    let mut transaction = store.begin_write().await.unwrap();
    facts::insert(&mut transaction, "a", b"x").await.unwrap();
    transaction.commit().await.unwrap();
}

async fn write(store: &Store, name: &str) {
    let mut transaction = store.begin_write().await.unwrap();
    facts::insert(&mut transaction, name, b"x").await.unwrap();
    transaction.commit().await.unwrap();
}

async fn many_who_waited_too_long_leave_the_connections_fit(store: &Store) {
    let held = store.begin_write().await.unwrap();
    let waiting: Vec<_> = (0..4).map(|_| (store.clone(), ())).collect();
    let waiting =
        waiting.into_iter().map(|(store, ())| tokio::spawn(async move { store.begin_write().await.map(drop) }));
    for waited in waiting.collect::<Vec<_>>() {
        assert!(waited.await.unwrap().unwrap_err().is_unavailable());
    }
    drop(held);
    // Let every connection come back to its pool.
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    for number in 0..8 {
        write(store, &format!("after {number}")).await;
    }
}

async fn who_gives_up_waiting_for_a_turn_does_not_keep_it(store: &Store) {
    let held = store.begin_write().await.unwrap();
    let wait = std::time::Duration::from_millis(200);
    for _ in 0..3 {
        assert!(tokio::time::timeout(wait, store.begin_write()).await.is_err(), "it has its turn");
    }
    drop(held);
    // More at the same time than connections were given up: one of them would get the kept turn, the others none.
    let writing: Vec<_> = (0..4)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move { write(&store, &format!("at once {number}")).await })
        })
        .collect();
    for written in writing {
        written.await.unwrap();
    }
}

async fn a_duplicate_is_told(store: &Store) {
    let mut transaction = store.begin_write().await.unwrap();
    facts::insert(&mut transaction, "a", b"x").await.unwrap();
    let error = facts::insert(&mut transaction, "a", b"x").await.unwrap_err();
    assert!(error.is_duplicate() && !error.is_reference(), "{error:?}");
}

#[tokio::test]
async fn a_database_is_opened_again_with_what_was_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = super::sqlite(&directory).await;
    what_is_committed_stays(&store).await;
    store.close().await;
    let store = super::sqlite(&directory).await;
    assert!(value(&store, "a").await.is_some());
}

#[tokio::test]
async fn what_is_no_database_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("nigari.db");
    let content = "this is a letter, not a database, and it is longer than a header would be\n".repeat(20);
    std::fs::write(&path, &content).unwrap();
    let error = Store::open(&Database::Sqlite(path.clone())).await.unwrap_err();
    assert!(error.to_string().contains("hint: "), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
}

#[tokio::test]
async fn a_postgres_that_is_not_there_is_named_with_the_cause() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("postgres://user@{free}/name");
    let error = Store::open(&Database::Postgres(url.as_str().into())).await.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("refused"), "{error}: {cause}");
}
