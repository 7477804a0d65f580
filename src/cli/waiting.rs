//! What a run waits for, by name: another run of its workspace, or an agent of its pool.
//!
//! Rule: hints only. What a token may not see, or a server does not answer, is left out; nothing fails here.

use super::harmless::printable;
use super::session::Session;
use crate::protocol::api::{Agent, AgentStatus, Run};
use crate::protocol::id::RunId;
use crate::protocol::run::RunState;

/// Why the run does not go on, in a sentence; nothing where nothing keeps it.
pub(super) async fn reason(run: &Run, session: &Session) -> Option<String> {
    match run.state {
        RunState::Pending => blocker(run, session).await,
        RunState::Queued | RunState::ApplyQueued => no_agent(run, session).await,
        _ => None,
    }
}

async fn blocker(run: &Run, session: &Session) -> Option<String> {
    let workspace = session.client.workspace(&run.workspace.to_string()).await.ok()?;
    let before = session.client.run(another(workspace.active_run, run.id)?).await.ok()?;
    Some(told_of_blocker(&before))
}

/// The active run, unless it is `run` itself, whose turn has come meanwhile.
fn another(active: Option<RunId>, run: RunId) -> Option<RunId> {
    active.filter(|active| *active != run)
}

fn told_of_blocker(before: &Run) -> String {
    let (id, workspace) = (before.id, printable(&before.workspace_name));
    let what = match before.state {
        RunState::AwaitingApproval => {
            format!("waits for approval: `nigari run approve {id}` or `nigari run discard {id}`")
        }
        RunState::Lost => format!("is lost: `nigari run show {id}` says what to do about it"),
        state => format!("is {state}: `nigari run logs --follow {id}` follows it, `nigari run cancel {id}` ends it"),
    };
    format!("before it in the workspace `{workspace}`, {id} {what}")
}

async fn no_agent(run: &Run, session: &Session) -> Option<String> {
    let workspace = session.client.workspace(&run.workspace.to_string()).await.ok()?;
    let agents = session.client.agents().await.ok()?;
    told_of_pool(&workspace.pool, &agents).or_else(|| told_of_busy(&workspace.pool, &agents, run.id))
}

/// That everybody of a pool who could take `run` has as many others as they take; nothing where one has room.
fn told_of_busy(pool: &str, agents: &[Agent], run: RunId) -> Option<String> {
    let online = agents.iter().filter(|agent| agent.pool == pool && agent.status == AgentStatus::Online);
    let is_full = |agent: &Agent| agent.runs.len() >= agent.concurrency as usize && !agent.runs.contains(&run);
    online.map(is_full).reduce(|all, one| all && one).filter(|all| *all)?;
    let pool = printable(pool);
    Some(format!("all agents of the pool `{pool}` are at work: `nigari agent list` shows on which runs"))
}

/// That nobody of a pool could take a run; nothing where somebody could.
pub(super) fn told_of_pool(pool: &str, agents: &[Agent]) -> Option<String> {
    let of_pool: Vec<&Agent> = agents.iter().filter(|agent| agent.pool == pool).collect();
    if of_pool.iter().any(|agent| agent.status == AgentStatus::Online) {
        return None;
    }
    let (drained, name) = (of_pool.iter().find(|agent| agent.draining), printable(pool));
    let nobody = format!("no agent of the pool `{name}` is online");
    Some(match drained {
        None if of_pool.is_empty() => format!("{nobody}: none has joined; `nigari agent start` on a host makes one"),
        None => format!("{nobody}: `nigari agent list` shows them"),
        Some(agent) => format!(
            "{nobody}: `nigari agent list` shows them; one is drained: `nigari agent resume {}`, and start it on its host",
            printable(&agent.name)
        ),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{another, told_of_blocker, told_of_busy, told_of_pool};
    use crate::protocol::api::Agent;

    fn agent(pool: &str, status: &str) -> Agent {
        let value = json!({ "id": "agent-01a1fd86582072059141fd60117b5c25", "name": "a", "pool": pool, "status": status,
            "draining": false, "version": "0", "tofu_version": "1.12.6", "concurrency": 1,
            "joined_at": 1, "last_seen_at": 1, "runs": [] });
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_pool_without_an_agent_that_is_online_is_named() {
        // One that was drained has ended, so that it is away.
        let drained = Agent { draining: true, ..agent("b", "offline") };
        let agents = [agent("a", "online"), agent("b", "offline"), drained];
        assert_eq!(told_of_pool("a", &agents), None);
        let told = told_of_pool("b", &agents).unwrap();
        assert!(told.contains("no agent of the pool `b` is online: `nigari agent list`"), "{told}");
        assert!(told.contains("`nigari agent resume a`"), "{told}");
        let told = told_of_pool("b", &agents[..2]).unwrap();
        assert!(!told.contains("resume"), "nobody is drained: {told}");
        assert!(told_of_pool("c", &agents).unwrap().contains("none has joined"));
    }

    #[test]
    fn agents_that_are_all_at_work_are_told() {
        let [ours, other] =
            ["5c25", "5c26"].map(|end| format!("run-01a1fd86582072059141fd60117b{end}").parse().unwrap());
        let at_work = |run| Agent { runs: vec![run], ..agent("a", "online") };
        let told = told_of_busy("a", &[at_work(other), agent("a", "offline")], ours).unwrap();
        assert!(told.contains("all agents of the pool `a` are at work: `nigari agent list`"), "{told}");
        assert_eq!(told_of_busy("a", &[at_work(other), agent("a", "online")], ours), None, "one has room");
        assert_eq!(told_of_busy("a", &[at_work(ours)], ours), None, "it has been taken meanwhile");
        assert_eq!(told_of_busy("b", &[at_work(other)], ours), None);
    }

    #[test]
    fn a_run_does_not_wait_for_itself() {
        let [one, other] =
            ["5c25", "5c26"].map(|end| format!("run-01a1fd86582072059141fd60117b{end}").parse().unwrap());
        assert_eq!(another(Some(one), one), None);
        assert_eq!(another(Some(other), one), Some(other));
    }

    #[test]
    fn the_run_before_is_named_with_what_can_be_done_about_it() {
        let id = |kind: &str| format!("{kind}-01a1fd86582072059141fd60117b5c25");
        let run = |state: &str| -> Value {
            json!({ "id": id("run"), "workspace": id("ws"), "workspace_name": "net", "configuration": id("cfg"),
                "kind": "apply", "state": state, "auto_apply": false, "message": "", "created_by": "a",
                "created_at": 1, "epoch": 1, "cancel_requested": false })
        };
        for (state, words) in [
            ("awaiting_approval", format!("nigari run discard {}", id("run"))),
            ("lost", format!("nigari run show {}", id("run"))),
            ("applying", format!("nigari run cancel {}", id("run"))),
        ] {
            let told = told_of_blocker(&serde_json::from_value(run(state)).unwrap());
            assert!(told.contains(&words) && told.contains("`net`"), "{state}: {told}");
        }
    }
}
