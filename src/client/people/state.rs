//! A workspace's state, in a person's hands.
//!
//! Rule: state is bytes; what is in it is tofu's business. «There is none» is believed only from the server itself.

use bytes::Bytes;
use reqwest::{Method, StatusCode};

use crate::client::call::Call;
use crate::client::{Client, ClientError, Download};
use crate::protocol::api::{List, StateLock, StateVersion};
use crate::protocol::limits::STATE_BYTES;

impl Client {
    fn state_call(&self, method: Method, workspace: &str, rest: &[&str], verb: &str) -> Call<'_> {
        let route = [&["workspaces", workspace, "state"], rest].concat();
        self.call(method, &route, format!("{verb} the state of the workspace `{workspace}`"))
    }

    /// The newest state, if there is one.
    pub async fn state(&self, workspace: &str) -> Result<Option<Bytes>, ClientError> {
        let answer = self.state_call(Method::GET, workspace, &[], "read").send().await?.accepted().await?.marked()?;
        if answer.response.status() == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        Download::new(answer, STATE_BYTES as u64).bytes().await.map(Some)
    }

    /// Writes a new state; `lock` is the id of the lock that the writer holds. Refused when serial or lineage do not
    /// follow the newest's.
    pub async fn write_state(&self, workspace: &str, lock: Option<&str>, state: Bytes) -> Result<(), ClientError> {
        self.push_state(workspace, lock, state, None).await
    }

    /// Writes a new state whatever its serial and lineage are.
    pub async fn overwrite_state(&self, workspace: &str, lock: Option<&str>, state: Bytes) -> Result<(), ClientError> {
        self.push_state(workspace, lock, state, Some(true)).await
    }

    async fn push_state(
        &self,
        workspace: &str,
        lock: Option<&str>,
        state: Bytes,
        force: Option<bool>,
    ) -> Result<(), ClientError> {
        self.state_call(Method::POST, workspace, &[], "write")
            .query_if("lock", lock)
            .query_if("force", force)
            .body("application/json", state)
            .done()
            .await
    }

    /// Locks the state; held by another, it is [`crate::client::ErrorKind::Locked`].
    pub async fn lock_state(&self, workspace: &str, lock: &StateLock) -> Result<(), ClientError> {
        self.state_call(Method::POST, workspace, &["lock"], "lock").json(lock).done().await
    }

    /// Unlocks the state.
    pub async fn unlock_state(&self, workspace: &str, lock: &StateLock) -> Result<(), ClientError> {
        self.state_call(Method::POST, workspace, &["unlock"], "unlock").json(lock).done().await
    }

    /// Its versions, newest first.
    pub async fn state_versions(&self, workspace: &str) -> Result<Vec<StateVersion>, ClientError> {
        let list: List<_> =
            self.state_call(Method::GET, workspace, &["versions"], "list the versions of").value().await?;
        Ok(list.items)
    }
}
