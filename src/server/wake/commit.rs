//! A commit, and then everybody whom it concerns.

use super::Wake;
use crate::server::queue::Topic;
use crate::server::store::{Store, StoreError, WriteTransaction};

impl Wake {
    /// Commits and wakes who waits for these topics, here and in other replicas.
    ///
    /// # Errors
    /// When the database cannot; then nobody is woken.
    pub async fn commit(
        &self,
        store: &Store,
        mut transaction: WriteTransaction,
        topics: &[Topic],
    ) -> Result<(), StoreError> {
        store.announce(&mut transaction, topics).await?;
        transaction.commit().await?;
        for &topic in topics {
            self.wake(topic);
        }
        Ok(())
    }
}
