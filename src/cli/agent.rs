//! `nigari agent …`

use clap::Subcommand;

use super::error::CommandError;
use super::screen::time;
use super::session::Session;
use crate::protocol::api::AgentStatus;

/// Verbs.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// List the agents that have joined
    List,
    /// Let an agent finish what it runs and take nothing new
    Drain {
        /// Its name or id
        name: String,
    },
}

/// Runs a verb that talks to the server.
pub(super) async fn run(verb: Verb, session: &Session) -> Result<(), CommandError> {
    match verb {
        Verb::List => list(session).await,
        Verb::Drain { name } => {
            session.client.drain_agent(&name).await?;
            session.screen.note(format_args!("`{name}` finishes what it runs and takes nothing new"));
            Ok(())
        }
    }
}

async fn list(session: &Session) -> Result<(), CommandError> {
    let heading = &["NAME", "POOL", "STATUS", "RUNS", "TOFU", "VERSION", "LAST SEEN", "ID"];
    session.screen.list(&session.client.agents().await?, heading, |agent| {
        let status = match agent.status {
            AgentStatus::Online => "online",
            AgentStatus::Offline => "offline",
            AgentStatus::Draining => "draining",
        };
        vec![
            agent.name.clone(),
            agent.pool.clone(),
            status.to_owned(),
            format!("{}/{}", agent.runs.len(), agent.concurrency),
            agent.tofu_version.clone(),
            agent.version.clone(),
            time(agent.last_seen_at),
            agent.id.to_string(),
        ]
    })
}
