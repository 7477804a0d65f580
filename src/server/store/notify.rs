//! Hints between replicas: PostgreSQL's `NOTIFY` with the transaction, `LISTEN` on the other side.
//!
//! Rule: a hint leaves with the commit that it is about, never before. With SQLite there is one process and no need.

use sqlx::postgres::PgListener;

use super::open::postgres_url;
use super::transaction::sql;
use super::{Dialect, During, Store, StoreError, WriteTransaction};
use crate::secret::Secret;
use crate::server::queue::Topic;

const CHANNEL: &str = "nigari_wake";

impl Store {
    /// Lets the other replicas wake who waits for these topics, once `tx` is committed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn announce(&self, tx: &mut WriteTransaction, topics: &[Topic]) -> Result<(), StoreError> {
        if self.dialect() == Dialect::Sqlite {
            return Ok(());
        }
        for topic in topics {
            sql("SELECT CAST(pg_notify('nigari_wake', $1) AS TEXT) AS sent")
                .bind(topic.to_string())
                .execute(&mut **tx)
                .await
                .during("announce a change")?;
        }
        Ok(())
    }
}

/// Hears what other replicas (and this one) announce.
#[derive(Debug)]
pub struct Hints(PgListener);

impl Hints {
    /// Listens on a connection of its own.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn listen(url: &Secret) -> Result<Self, StoreError> {
        let url = postgres_url(url.expose())?;
        let mut listener = PgListener::connect(url.as_str()).await.during("connect to listen")?;
        listener.listen(CHANNEL).await.during("listen")?;
        Ok(Self(listener))
    }

    /// The next topic; what is none is passed over. The connection is made again when it breaks: hints of that time are
    /// lost, and long polls look again by themselves.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn next(&mut self) -> Result<Topic, StoreError> {
        loop {
            let hint = self.0.recv().await.during("wait for a hint")?;
            if let Ok(topic) = hint.payload().parse() {
                return Ok(topic);
            }
        }
    }
}
