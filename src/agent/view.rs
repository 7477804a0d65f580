//! What a step of a run sees of this host.
//!
//! Rule: a run sees its own directories, what the operator named (paths, HOME, mirrors, variables that name a file), and
//! nothing that is the agent's: neither its identity, nor other runs, nor the secrets of any step but its own.

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use super::Host;
use super::directory::RunDirectory;
use super::host::PLUGIN_CACHE;
use crate::protocol::run::Step;
use crate::sandbox::View;
use crate::secret::Secret;
use crate::settings::AgentSettings;

/// The server's own name for its root key, beside the join token that its first start writes.
pub(super) const ROOT_KEY: &str = "root.key";

/// What `step` sees.
pub(crate) fn of_step(host: &Host, directory: &RunDirectory, step: Step) -> View {
    let is_fetch = step == Step::Fetch;
    let mut view = of_host(host);
    view.has_processes = !is_fetch;
    view.writable.push(directory.path().to_owned());
    if is_fetch {
        passed(&mut view, &host.passed_for_fetch);
    } else {
        view.writable.push(directory.private().path().to_owned());
    }
    view
}

/// What every step sees, without what is its run's.
pub(crate) fn of_host(host: &Host) -> View {
    let settings = &host.settings;
    let mut view = of_settings(settings);
    view.readable.push(host.tofu.clone());
    // Where it leads, if it is a link; and this program, which is the credential helper too.
    view.readable.extend(fs::canonicalize(&host.tofu));
    view.readable.extend(host.launcher.program());
    if let Ok((operator, _)) = host.operator.current(&host.secrets) {
        let places = operator.places(settings.home.as_deref());
        view.readable.extend(places.mirrors);
        // Beside an OCI mirror it is not used.
        view.writable.extend(places.cache.filter(|_| !operator.has_oci_mirror()));
    }
    passed(&mut view, &host.passed);
    view.hidden = hidden(settings, &host.secret_roots);
    view
}

/// What the settings name for every step.
pub(super) fn of_settings(settings: &AgentSettings) -> View {
    let mut view = View { has_processes: true, ..View::default() };
    view.readable.extend(settings.read_paths.iter().cloned());
    view.readable.extend(settings.home.clone());
    view.readable.extend(settings.system_roots.clone());
    view
}

/// What a variable names that the operator passes on is meant to be used.
fn passed(view: &mut View, variables: &[(String, Secret)]) {
    for (name, value) in variables {
        let path = Path::new(value.expose());
        if !path.is_absolute() || path.parent().is_none() {
            continue;
        }
        let Ok(metadata) = fs::metadata(path) else { continue };
        let list = match name.as_str() {
            _ if metadata.file_type().is_socket() => &mut view.sockets,
            PLUGIN_CACHE => &mut view.writable,
            _ => &mut view.readable,
        };
        list.push(path.to_owned());
    }
}

/// The agent's own, and the server's if that is beside it. Also the files that only the agent reads: what a step is to
/// have of them it gets as files of its own.
pub(super) fn hidden(settings: &AgentSettings, secret_roots: &[PathBuf]) -> Vec<PathBuf> {
    let mut hidden = vec![settings.state_directory.clone(), settings.run_root.clone()];
    hidden.extend(secret_roots.iter().cloned());
    hidden.extend(settings.ssh.key.iter().chain(&settings.cli_configuration).cloned());
    if let Some(token) = &settings.join_token_file {
        let server = token.parent().filter(|directory| directory.join(ROOT_KEY).exists());
        hidden.push(server.unwrap_or(token).to_owned());
    }
    hidden
}
