//! What the store promises, held on SQLite and on PostgreSQL by the same tests.

mod people;
mod runs;
mod transactions;

use nigari::server::store::{Database, Store};

/// Runs each function with a fresh store, once per database.
macro_rules! on_both {
    ($($name:ident,)*) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                let directory = tempfile::tempdir().unwrap();
                let store = crate::server::store_contract::sqlite(&directory).await;
                super::$name(&store).await;
                store.close().await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                let Some(database) = support::postgres::Database::new() else { return };
                let store = crate::server::store_contract::postgres(&database).await;
                super::$name(&store).await;
                store.close().await;
            })*
        }
    };
}
pub(crate) use on_both;

/// A fresh SQLite.
pub(crate) async fn sqlite(directory: &tempfile::TempDir) -> Store {
    Store::open(&Database::Sqlite(directory.path().join("n ä#?%.db"))).await.unwrap()
}

/// A fresh PostgreSQL database.
pub(crate) async fn postgres(database: &support::postgres::Database) -> Store {
    Store::open(&Database::Postgres(database.url().into())).await.unwrap()
}
