//! `nigari agent …`
//!
//! Rule: the launcher's program is opened before anything else of the agent, so that an upgrade cannot mix versions.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::error::CommandError;
use super::exit::ExitStatus;
use super::runtime;
use super::screen::{Screen, time};
use super::session::Session;
use crate::agent::secret_roots::{self, Traces};
use crate::agent::{AgentError, AgentExit, run_agent};
use crate::lifecycle::{self, Shutdown};
use crate::protocol::api::{Agent, AgentPool, AgentStatus};
use crate::sandbox::{Launcher, SecretRoot};
use crate::settings::AgentSettings;
use crate::settings::agent_layer::AgentLayer;
use crate::settings::cli::ContextLayer;
use crate::settings::environment;

/// Verbs.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Start an agent; it runs until SIGTERM or SIGINT
    Start(Box<HostArguments>),
    /// List the agents that have joined
    List,
    /// Let an agent finish what it runs and take nothing new; then its process ends, and `agent resume` takes it back
    Drain {
        /// Its name or id
        name: String,
    },
    /// Let an agent that was drained take runs again, once its process is started again on its host
    Resume {
        /// Its name or id
        name: String,
    },
    /// Agent pools: named groups of agents
    #[command(subcommand)]
    Pool(PoolVerb),
    /// Remove an agent: the server does not take its identity any more
    Remove {
        /// Its name or id
        name: String,
        /// Also while it holds a run, which lapses then
        #[arg(long)]
        force: bool,
    },
    /// Wipe what a dead agent's runs have left of secrets on this host, wherever the agent of that state directory has put
    /// any; it says where it has looked
    Sweep(Box<HostArguments>),
}

/// Verbs of `agent pool`.
#[derive(Debug, Clone, Copy, Subcommand)]
pub(super) enum PoolVerb {
    /// List the agent pools
    List,
}

/// Arguments of `start` and `sweep`.
#[derive(Debug, Args)]
pub(super) struct HostArguments {
    /// TOML file with settings; flags and environment win over it
    #[arg(long, env = "NIGARI_AGENT_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    layer: AgentLayer,
}

/// `nigari agent start`.
pub(super) fn start(arguments: HostArguments, flags: ContextLayer) -> Result<ExitStatus, CommandError> {
    let HostArguments { config, mut layer } = arguments;
    (layer.server, layer.ca_file) = (flags.server, flags.ca_file);
    let settings = AgentSettings::load(config.as_deref(), layer)?;
    let launcher = launcher()?;
    runtime::for_service()?.run(async move {
        let shutdown = Shutdown::new();
        shutdown.on_signals().map_err(|source| CommandError::io("cannot listen for signals", source))?;
        lifecycle::feed_watchdog();
        run_agent(settings, launcher, shutdown).await.map_err(|error| failed(&error))?;
        Ok(ExitStatus::Ok)
    })
}

/// `nigari agent sweep`.
pub(super) fn sweep(arguments: HostArguments, flags: ContextLayer, screen: Screen) -> Result<ExitStatus, CommandError> {
    let HostArguments { config, mut layer } = arguments;
    // A sweep talks to nobody, so it does not ask for a server either.
    layer.server = flags.server.or_else(|| Some("http://127.0.0.1".to_owned()));
    let settings = AgentSettings::load(config.as_deref(), layer)?;
    let (traces, swept) = secret_roots::sweep_by_hand(&settings).map_err(|error| failed(&error))?;
    for state_directory in &traces.state_directories {
        screen.note(format_args!("looked where the agent of the state directory {} was", state_directory.display()));
    }
    let swept = swept.map_err(|error| failed(&error))?;
    for path in &swept.swept {
        screen.line(format_args!("wiped {}", path.display()))?;
    }
    for path in &swept.in_use {
        screen.note(format_args!("{} is in use; its launcher wipes it", path.display()));
    }
    for root in &traces.roots {
        screen.note(format_args!("swept {}", root.display()));
    }
    for (path, owner) in SecretRoot::of_others(&settings.secret_roots) {
        screen.note(format_args!("{} is left to the user {owner}, whose it is", path.display()));
    }
    said_of(&traces, &settings.state_directory, screen)
}

/// Nothing found is good news only of a place from which an agent has run.
fn said_of(traces: &Traces, state_directory: &Path, screen: Screen) -> Result<ExitStatus, CommandError> {
    // A unit's own state directory is no guess: its agent ended before it could put a secret anywhere.
    let is_units = environment::path("STATE_DIRECTORY").is_some_and(|own| own == state_directory);
    let shown = state_directory.display();
    match (traces.state_directories.is_empty(), traces.roots.is_empty()) {
        (true, _) if !is_units => {
            let looked = if traces.roots.is_empty() { "nothing was looked at" } else { "nowhere else was looked" };
            Err(CommandError::usage(
                format!("no agent has ever run with the state directory {shown}, so {looked}"),
                format!(
                    "give the agent's own with `--state-dir`: {} is that of `nigari up`, /var/lib/nigari-agent that of \
                     the unit",
                    environment::state_home().join("up/agent").display()
                ),
            ))
        }
        (is_unknown, true) => {
            let what = if is_unknown { "no agent has used it yet" } else { "of the places that it used none is there" };
            screen.note(format_args!("nothing to sweep for the state directory {shown}: {what}"));
            Ok(ExitStatus::Ok)
        }
        (_, false) => Ok(ExitStatus::Ok),
    }
}

/// Runs a verb that talks to the server.
pub(super) async fn run(verb: Verb, session: &Session) -> Result<ExitStatus, CommandError> {
    match verb {
        Verb::List => list(session).await?,
        Verb::Pool(PoolVerb::List) => {
            let row = |pool: &AgentPool| vec![pool.name.clone(), pool.id.to_string()];
            session.screen.list(&session.client.agent_pools().await?, &["NAME", "ID"], row)?;
        }
        Verb::Drain { name } => {
            session.client.drain_agent(&name).await?;
            session.screen.note(format_args!(
                "`{name}` finishes what it runs and takes nothing new; then its process ends\nto have it back: `nigari \
                 agent resume {name}`, and start it on its host"
            ));
        }
        Verb::Resume { name } => {
            session.client.resume_agent(&name).await?;
            session.screen.note(format_args!("`{name}` may take runs again; its process has to run on its host"));
        }
        Verb::Remove { name, force } => {
            session.client.remove_agent(&name, force).await?;
            session.screen.note(format_args!("`{name}` is removed; to come back it needs a join token"));
        }
        Verb::Start(_) | Verb::Sweep(_) => return Ok(ExitStatus::Usage),
    }
    Ok(ExitStatus::Ok)
}

/// Opens this very program as the parent of every tofu.
pub(super) fn launcher() -> Result<Launcher, CommandError> {
    Launcher::open().map_err(|error| CommandError::service(&error, ExitStatus::Failed))
}

/// The end of an agent, by its own exit code.
pub(super) fn failed(error: &AgentError) -> CommandError {
    let status = match error.exit() {
        AgentExit::Failed => ExitStatus::Failed,
        AgentExit::Unavailable => ExitStatus::Unavailable,
        AgentExit::SecretsRemain => ExitStatus::WipeFailed,
        AgentExit::Refused => ExitStatus::Refused,
        AgentExit::Settings => ExitStatus::Settings,
    };
    CommandError::service(error, status).or_hint(error.hint())
}

async fn list(session: &Session) -> Result<(), CommandError> {
    let heading = &["NAME", "POOL", "STATUS", "RUNS", "TOFU", "VERSION", "LAST SEEN", "ID"];
    let agents = session.client.agents().await?;
    session.screen.list(&agents, heading, |agent| {
        let status = match (agent.status, agent.draining) {
            (AgentStatus::Online, _) => "online",
            (AgentStatus::Offline, false) => "offline",
            (AgentStatus::Offline, true) => "offline, drained",
            (AgentStatus::Draining, _) if agent.runs.is_empty() => "drained",
            (AgentStatus::Draining, _) => "draining",
        };
        vec![
            name(agent, &agents),
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

/// Its name; of several with one name in a pool, with the end of its id, by which they are told apart.
fn name(agent: &Agent, all: &[Agent]) -> String {
    let is_alike = |other: &&Agent| other.name == agent.name && other.pool == agent.pool;
    if all.iter().filter(is_alike).count() < 2 {
        return agent.name.clone();
    }
    let id = agent.id.to_string();
    format!("{} (…{})", agent.name, &id[id.len().saturating_sub(6)..])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::name;
    use crate::protocol::api::Agent;

    #[test]
    fn agents_of_one_name_in_a_pool_are_told_apart() {
        let agent = |end: &str, pool: &str| -> Agent {
            let value = json!({ "id": format!("agent-01a1fd86582072059141fd6011{end}"), "name": "runner", "pool": pool,
                "status": "online", "draining": false, "version": "0", "tofu_version": "1", "concurrency": 1,
                "joined_at": 1, "last_seen_at": 1, "runs": [] });
            serde_json::from_value(value).unwrap()
        };
        let all = [agent("7b5c25", "a"), agent("7b5c26", "a"), agent("7b5c27", "b")];
        let names: Vec<String> = all.iter().map(|one| name(one, &all)).collect();
        assert_eq!(names, ["runner (…7b5c25)", "runner (…7b5c26)", "runner"]);
    }
}
