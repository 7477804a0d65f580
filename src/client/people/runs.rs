//! Runs: making, deciding, watching.
//!
//! Rule: logs and events are read from where the caller stands (offset, sequence), so a broken connection loses
//! nothing.

use std::time::Duration;

use reqwest::Method;

use crate::client::{Client, ClientError, LogPart};
use crate::protocol::api::{Approval, Cancellation, List, NewRun, Resolution, Run, RunEvent, RunReceipt};
use crate::protocol::id::RunId;
use crate::protocol::limits::LOG_BYTES;
use crate::protocol::run::{Phase, RunState};

/// Which runs to list.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// Of this workspace, by id or name.
    pub workspace: Option<String>,
    /// In this state.
    pub state: Option<RunState>,
    /// At most so many.
    pub limit: Option<u32>,
    /// Before this one: `next` of the previous page.
    pub before: Option<String>,
}

impl Client {
    /// Makes a run.
    pub async fn create_run(&self, workspace: &str, new: &NewRun) -> Result<Run, ClientError> {
        let operation = format!("make a run in the workspace `{workspace}`");
        self.call(Method::POST, &["workspaces", workspace, "runs"], operation).json(new).value().await
    }

    /// Runs, newest first; give `next` as `before` for more.
    pub async fn runs(&self, filter: &RunFilter) -> Result<List<Run>, ClientError> {
        self.call(Method::GET, &["runs"], "list the runs")
            .query_if("workspace", filter.workspace.as_deref())
            .query_if("state", filter.state)
            .query_if("limit", filter.limit)
            .query_if("before", filter.before.as_deref())
            .value()
            .await
    }

    /// One run.
    pub async fn run(&self, run: RunId) -> Result<Run, ClientError> {
        self.call(Method::GET, &["runs", &run.to_string()], format!("read {run}")).value().await
    }

    /// Approves what waits.
    pub async fn approve_run(&self, run: RunId, approval: &Approval) -> Result<Run, ClientError> {
        self.decide(run, "approve").json(approval).value().await
    }

    /// Throws a plan away.
    pub async fn discard_run(&self, run: RunId) -> Result<Run, ClientError> {
        self.decide(run, "discard").value().await
    }

    /// Cancels, or kills.
    pub async fn cancel_run(&self, run: RunId, cancellation: &Cancellation) -> Result<Run, ClientError> {
        self.decide(run, "cancel").json(cancellation).value().await
    }

    /// Says what became of a lost run.
    pub async fn resolve_run(&self, run: RunId, resolution: &Resolution) -> Result<Run, ClientError> {
        self.decide(run, "resolve").json(resolution).value().await
    }

    fn decide(&self, run: RunId, verb: &str) -> crate::client::call::Call<'_> {
        self.call(Method::POST, &["runs", &run.to_string(), verb], format!("{verb} {run}"))
    }

    /// A phase's log from a byte offset on. With `wait`, the server holds the request that long (whole seconds) until
    /// there is more.
    pub async fn run_log(
        &self,
        run: RunId,
        phase: Phase,
        offset: u64,
        wait: Option<Duration>,
    ) -> Result<LogPart, ClientError> {
        let answer = self
            .call(
                Method::GET,
                &["runs", &run.to_string(), "logs", phase.word()],
                format!("read the log of {phase} of {run}"),
            )
            .query("offset", &offset)
            .query_if("wait", wait.map(|wait| wait.as_secs()))
            .hold(wait.unwrap_or_default())
            .send()
            .await?
            .accepted()
            .await?;
        LogPart::new(answer, LOG_BYTES)
    }

    /// What happened to a run after the event with that sequence (0: everything). With `wait`, the server holds the
    /// request that long (whole seconds) until something does; an empty list means that nothing has.
    pub async fn run_events(
        &self,
        run: RunId,
        after: i64,
        wait: Option<Duration>,
    ) -> Result<List<RunEvent>, ClientError> {
        self.call(Method::GET, &["runs", &run.to_string(), "events"], format!("read the events of {run}"))
            .query("after", &after)
            .query_if("wait", wait.map(|wait| wait.as_secs()))
            .hold(wait.unwrap_or_default())
            .value()
            .await
    }

    /// A run's receipts.
    pub async fn run_receipts(&self, run: RunId) -> Result<Vec<RunReceipt>, ClientError> {
        let route = ["runs", &run.to_string(), "receipts"];
        let list: List<_> = self.call(Method::GET, &route, format!("read the receipts of {run}")).value().await?;
        Ok(list.items)
    }
}
