//! What agents do: one method per route of [`crate::protocol::agent`].
//!
//! Rule: every call here is idempotent, by an id, an offset or an epoch, so that each may be wrapped in
//! [`super::retry::until`]; only a session opened with a join token uses one of its uses up each time.

mod leased_run;
mod state;
mod transfer;

use std::time::Duration;

use reqwest::Method;

pub use leased_run::LeasedRun;
pub use state::StateAnswer;

use super::{Client, ClientError};
use crate::protocol::agent::{Claim, ClaimRequest, KeptState, SessionAnswer, SessionRequest, WatchAnswer};
use crate::protocol::id::{ClaimId, RunId};
use crate::secret::Secret;

/// The server, as an agent sees it. Clones share connections and session.
#[derive(Debug, Clone)]
pub struct AgentClient {
    client: Client,
}

impl AgentClient {
    /// From a client whose token source is this agent's alone: [`AgentClient::open_session`] sets its token.
    pub fn new(mut client: Client) -> Self {
        client.login_hint = "the agent's session, identity or join token is unknown, expired or revoked: \
            it opens a new session by itself, or needs a new join token (`nigari token create NAME --kind join`)";
        Self { client }
    }

    /// Opens a session with a join token or the agent's own identity, and uses its token from now on.
    pub async fn open_session(&self, bearer: &Secret, request: &SessionRequest) -> Result<SessionAnswer, ClientError> {
        let answer: SessionAnswer = self
            .client
            .call(Method::POST, &["agent", "session"], "open a session")
            .bearer(bearer)
            .json(request)
            .value()
            .await?;
        self.client.token.replace(answer.session.duplicate());
        Ok(answer)
    }

    /// Asks for a phase to do; `None` when the hold is over. A repeat with the same claim id gets the same claim.
    pub async fn claim(&self, request: &ClaimRequest) -> Result<Option<Claim>, ClientError> {
        self.client
            .call(Method::POST, &["agent", "claims"], "ask for work")
            .hold(Duration::from_secs(request.hold_seconds))
            .json(request)
            .value_or_nothing()
            .await
    }

    /// Gives a claimed phase back that has not reported a step.
    pub async fn release(&self, claim: ClaimId) -> Result<(), ClientError> {
        let route = ["agent", "claims", &claim.to_string(), "release"];
        self.client.call(Method::POST, &route, format!("release {claim}")).done().await
    }

    /// Waits for cancels and drain, at most `hold` (the session's `hold_seconds`).
    pub async fn watch(&self, after: i64, hold: Duration) -> Result<WatchAnswer, ClientError> {
        self.client
            .call(Method::GET, &["agent", "watch"], "watch for cancels")
            .query("after", &after)
            .hold(hold)
            .value()
            .await
    }

    /// Tells where on this host a state is kept that tofu could not write.
    pub async fn state_kept_aside(&self, run: RunId, kept: &KeptState) -> Result<(), ClientError> {
        let route = ["agent", "runs", &run.to_string(), "kept-state"];
        self.client
            .call(Method::POST, &route, format!("tell of the state that is kept of {run}"))
            .json(kept)
            .done()
            .await
    }

    /// The calls for one claimed run.
    pub fn leased_run(&self, run: RunId, epoch: i64) -> LeasedRun {
        LeasedRun::new(self.client.clone(), run, epoch)
    }
}
