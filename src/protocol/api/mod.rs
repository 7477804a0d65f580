//! What people and the server say. All routes are below [`super::API`]; bearer: a user token.
//!
//! | method, route | request → answer |
//! |---|---|
//! | `GET POST registry-integrations` | [`List`] of [`RegistryIntegration`]; [`NewRegistryIntegration`] → 201 |
//! | `GET PATCH DELETE registry-integrations/{id or name}` | [`RegistryIntegrationChange`] → the integration |
//! | `POST registry-integrations/{id or name}/test` | [`ConnectionTestRequest`] → [`ConnectionTest`] |
//! | `GET POST workspaces` | [`List`] of [`Workspace`]; [`NewWorkspace`] → 201 |
//! | `GET PATCH DELETE workspaces/{id or name}` | [`WorkspaceChange`] → the workspace; one with a state goes only with `?force=true` |
//! | `GET workspaces/{w}/variables` | [`List`] of [`Variable`] |
//! | `PUT DELETE workspaces/{w}/variables/{kind}/{name}` | [`VariableValue`] → 204 |
//! | `POST workspaces/{w}/configurations?working_directory=…` | a `.tar.gz` → 201 [`Configuration`] |
//! | `POST workspaces/{w}/runs` | [`NewRun`] → 201 [`Run`] |
//! | `GET runs?workspace=&state=&limit=&before=` · `GET runs/{id}` | [`List`] of [`Run`] · [`Run`] |
//! | `POST runs/{id}/approve discard cancel resolve` | [`Approval`], empty, [`Cancellation`], [`Resolution`] → [`Run`] |
//! | `GET runs/{id}/logs/{phase}?offset=&wait=` | bytes of the newest claim's log, with the next offset, whether it is complete, and its epoch |
//! | `GET runs/{id}/events?after=&wait=` | [`List`] of [`RunEvent`]; long poll |
//! | `GET runs/{id}/receipts` | [`List`] of [`RunReceipt`] |
//! | `GET POST workspaces/{w}/state` · `GET workspaces/{w}/state/versions` | bytes · [`List`] of [`StateVersion`] |
//! | `POST workspaces/{w}/state/lock unlock` | [`StateLock`] → 204, or 423 with the holder's |
//! | `GET POST tokens` · `DELETE tokens/{id}` | [`List`] of [`Token`]; [`NewToken`] → 201 [`CreatedToken`] |
//! | `GET POST join-tokens` · `DELETE join-tokens/{id}` | [`NewJoinToken`] → 201 [`CreatedToken`] |
//! | `GET agents` · `POST DELETE agents/{id or name}/drain` | [`List`] of [`Agent`] · [`Agent`] |
//! | `GET agent-pools` | [`List`] of [`AgentPool`] |
//! | `GET audit?after=&limit=` | [`List`] of [`AuditRecord`] |
//! | `GET whoami` | [`Whoami`] |
//!
//! Errors are [`Problem`]s. Plain routes outside [`super::API`]: `/healthz`, `/readyz`.

mod access;
mod problem;
mod registry;
mod run;
mod state;
mod workspace;

pub use access::{
    Agent, AgentPool, AgentStatus, AuditRecord, CreatedToken, NewJoinToken, NewToken, Token, TokenKind, Whoami,
};
pub use problem::Problem;
pub use registry::{
    ConnectionTest, ConnectionTestRequest, ConnectionVerdict, NewRegistryIntegration, RegistryIntegration,
    RegistryIntegrationChange,
};
pub use run::{
    Approval, Cancellation, NewRun, Resolution, ResolvedAs, Run, RunEvent, RunEventKind, RunReceipt, StepRecord,
};
pub use state::{StateLock, StateVersion};
pub use workspace::{Configuration, NewWorkspace, Variable, VariableKind, VariableValue, Workspace, WorkspaceChange};

use serde::{Deserialize, Serialize};

/// A list of things, in the order that the route documents.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct List<T> {
    /// The things.
    pub items: Vec<T>,
    /// What to give as the route's `after` or `before` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
