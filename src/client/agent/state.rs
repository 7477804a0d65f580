//! A claimed run's state, passed through for tofu.
//!
//! Rule: bytes and status go to tofu as the server gave them, but only when the server gave them: a stranger's 204
//! would tell tofu that nothing exists yet.

use bytes::Bytes;
use reqwest::Method;
use reqwest::StatusCode;

use super::LeasedRun;
use crate::client::call::Call;
use crate::client::{ClientError, Download};
use crate::protocol::limits::STATE_BYTES;

/// What the server said to a state request, for tofu.
#[derive(Debug, Clone)]
pub struct StateAnswer {
    /// 200, 204, 423 and 409 mean to tofu what they mean to us.
    pub status: u16,
    /// The state, or the lock of whoever holds it.
    pub body: Bytes,
}

impl LeasedRun {
    /// Reads the state: 200 with it, or 204.
    pub async fn read_state(&self) -> Result<StateAnswer, ClientError> {
        pass(self.call(Method::GET, &["state"], "read the state of")).await
    }

    /// Writes the state under the lock with that id.
    pub async fn write_state(&self, lock: Option<&str>, state: Bytes) -> Result<StateAnswer, ClientError> {
        let call = self.call(Method::POST, &["state"], "write the state of").query_if("lock", lock);
        pass(call.body("application/json", state)).await
    }

    /// Locks the state with tofu's own JSON: 204, or 423 with the holder's.
    pub async fn lock_state(&self, lock: Bytes) -> Result<StateAnswer, ClientError> {
        let call = self.call(Method::POST, &["state", "lock"], "lock the state of");
        pass(call.body("application/json", lock)).await
    }

    /// Unlocks the state with tofu's own JSON.
    pub async fn unlock_state(&self, lock: Bytes) -> Result<StateAnswer, ClientError> {
        let call = self.call(Method::POST, &["state", "unlock"], "unlock the state of");
        pass(call.body("application/json", lock)).await
    }
}

/// Successes and 423 pass as they are; everything else is an error.
async fn pass(call: Call<'_>) -> Result<StateAnswer, ClientError> {
    let answer = call.send().await?;
    let status = answer.response.status();
    let answer = if status == StatusCode::LOCKED { answer } else { answer.accepted().await? }.marked()?;
    let body = Download::new(answer, STATE_BYTES as u64).bytes().await?;
    Ok(StateAnswer { status: status.as_u16(), body })
}
