//! Which sandbox the steps on this host run in: tried once, at the agent's start.
//!
//! Rule: what is tried is what will be run, tofu itself in a real sandbox; a host that refuses it is told why, and by
//! `auto` served with `process`, unless a step could reach out of that by a socket: then somebody has to ask for it.

use std::fs;
use std::path::{Path, PathBuf};

use super::{AgentError, Host, ruling_sockets, view};
use crate::sandbox::{Environment, Launch, Launcher, Limits, Sandbox, View, WhenAgentDies, probe};
use crate::settings::AgentSettings;
use crate::settings::agent::SandboxChoice;
use crate::tofu::arguments;

/// What is said where a step has no `/proc`.
pub(crate) const NO_PROCESSES: &str = "without /proc: this host hides parts of its own, so the kernel mounts none";

/// Takes the sandbox that the settings want, if it can be had.
pub(super) async fn choose(host: &Host) -> Result<Sandbox, AgentError> {
    let choice = host.settings.sandbox;
    if choice == SandboxChoice::Process {
        return Ok(Sandbox::Process);
    }
    match trial(&host.launcher, &host.tofu, view::of_host(host)).await {
        Ok(has_processes) => {
            let note = (!has_processes).then_some(NO_PROCESSES);
            tracing::info!(note, "steps run in the sandbox `namespace`");
            Ok(Sandbox::Namespace)
        }
        Err(reason) if choice != SandboxChoice::Namespace => {
            let sockets = if choice == SandboxChoice::Auto { ruling_sockets() } else { Vec::new() };
            if !sockets.is_empty() {
                return Err(AgentError::OpenSockets { reason, sockets });
            }
            tracing::warn!(reason, "steps run in the sandbox `process`, because `namespace` cannot be had");
            Ok(Sandbox::Process)
        }
        Err(reason) => Err(AgentError::Sandbox(reason)),
    }
}

/// For `doctor`, which has no agent: the same with what the settings name.
pub(crate) async fn trial_of(launcher: &Launcher, tofu: &Path, settings: &AgentSettings) -> Result<bool, String> {
    let mut view = view::of_settings(settings);
    view.hidden = view::hidden(settings, &settings.secret_roots);
    view.readable.push(tofu.to_owned());
    view.readable.extend(fs::canonicalize(tofu));
    trial(launcher, tofu, view).await
}

/// Runs `tofu version` in the sandbox `namespace`. Says whether there was a `/proc`, or why it did not work.
async fn trial(launcher: &Launcher, tofu: &Path, view: View) -> Result<bool, String> {
    let mut environment = Environment::new();
    environment.set("HOME", "/tmp").map_err(|error| error.to_string())?;
    let arguments = arguments::version();
    let launch = Launch {
        sandbox: Sandbox::Namespace,
        view,
        program: tofu.to_owned(),
        arguments: arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect(),
        environment,
        working_directory: PathBuf::from("/"),
        lock_directories: Vec::new(),
        secret_directory: None,
        when_agent_dies: WhenAgentDies::Kill,
        limits: Limits::default(),
    };
    let probed = probe(launcher, launch).await.map_err(|error| {
        let text = error.to_string();
        text.split_once("; hint: ").map_or(text.clone(), |(message, _)| message.to_owned())
    })?;
    if probed.exit.is_success() {
        Ok(probed.has_processes)
    } else {
        Err(format!(
            "`tofu version` ended with {} in it; does tofu need files that `read_paths` does not name?",
            probed.exit
        ))
    }
}
