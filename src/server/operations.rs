//! The log of what happens to runs, for whoever operates the server: one line per transition.
//!
//! Rule: written once it is committed. Ids, names and words of ours; never a person's free text, never tofu's.

use super::store::WriteTransaction;
use super::store::runs::RunRecord;
use crate::protocol::agent::Failure;

/// What a line says besides the run, its workspace, agent, epoch and state.
#[derive(Debug, Default)]
pub struct Besides {
    /// The person who did it.
    pub by: Option<String>,
    /// The step that it is about.
    pub step: Option<&'static str>,
    /// Why, in words of ours.
    pub reason: Option<String>,
}

/// Says `what` happened to the run, after the commit. The record is as it is then.
pub fn note(transaction: &mut WriteTransaction, record: &RunRecord, what: &'static str, besides: Besides) {
    let (run, epoch, state) = (record.id, record.standing.epoch, record.standing.state);
    let (workspace, agent) = (record.workspace_name.clone(), record.agent_name.clone());
    transaction.after_commit(move || {
        let Besides { by, step, reason } = besides;
        let (agent, by, reason) = (agent.as_deref(), by.as_deref(), reason.as_deref());
        tracing::info!(%run, workspace, agent, epoch, %state, step, by, reason, "{what}");
    });
}

/// Why it failed, without anybody's text: the class, which says who has to act, and the step.
pub fn reason(failure: &Failure) -> String {
    let class = serde_json::to_value(failure.class).ok();
    let class = class.as_ref().and_then(serde_json::Value::as_str).unwrap_or("failed").to_owned();
    failure.step.map_or_else(|| class.clone(), |step| format!("{class}, in the step {step}"))
}
