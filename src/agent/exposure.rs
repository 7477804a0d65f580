//! What of this host lies open to the runs on it, told once at the agent's start.
//!
//! Rule: in the sandbox `process` a run sees the files that the agent's user sees, so whatever more than one run, a
//! server beside the agent, or root would add to that is said before the first run, and how to be rid of it.

use std::path::Path;

use crate::settings::agent::{AgentSettings, DeliveryChoice};

/// The server's own name for its root key, beside the join token that its first start writes.
const ROOT_KEY: &str = "root.key";

/// Warns of everything that is so here.
pub(crate) fn warn(settings: &AgentSettings) {
    for (what, hint) in found(settings, rustix::process::geteuid().is_root()) {
        tracing::warn!(hint, "{what}");
    }
}

fn found(settings: &AgentSettings, is_root: bool) -> Vec<(&'static str, &'static str)> {
    let beside = |path: &Path| path.with_file_name(ROOT_KEY);
    let has_server =
        settings.join_token_file.as_deref().map(beside).is_some_and(|key| std::fs::File::open(key).is_ok());
    [
        (
            settings.concurrency.get() > 1 && settings.delivery == DeliveryChoice::File,
            "expressions of runs that are at work at the same time can read each other's registry credentials during a \
             fetch step: delivery `file` in the sandbox `process`",
            "set `concurrency` to 1, or leave `delivery` at `auto`",
        ),
        (
            settings.concurrency.get() > 1 && settings.delivery != DeliveryChoice::Broker,
            "programs of runs that are at work at the same time can look into each other's processes in the sandbox \
             `process`, also into a tofu that asked for a credential",
            "set `concurrency` to 1, or let only people write configurations who may know all of these credentials",
        ),
        (
            has_server,
            "the server's files lie beside this agent and its user can read them, so every configuration can too: root \
             key, admin token, database",
            "run nothing here that others wrote; for that give server and agent a user each",
        ),
        (
            is_root,
            "the agent is root, so every configuration can read what root owns; steps have no capabilities",
            "run it as a user of its own, as the unit in systemd/ does",
        ),
    ]
    .into_iter()
    .filter_map(|(is_so, what, hint)| is_so.then_some((what, hint)))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::found;
    use crate::settings::AgentSettings;
    use crate::settings::agent_layer::AgentLayer;

    fn settings(concurrency: Option<u32>, join_token_file: Option<std::path::PathBuf>) -> AgentSettings {
        let server = Some("http://127.0.0.1:7077".to_owned());
        AgentSettings::load(None, AgentLayer { server, join_token_file, concurrency, ..AgentLayer::default() }).unwrap()
    }

    #[test]
    fn the_usual_agent_has_nothing_to_tell_and_each_exposure_is_told() {
        let server = tempfile::tempdir().unwrap();
        let token = Some(server.path().join("join.token"));
        assert_eq!(found(&settings(None, token.clone()), false), []);
        assert!(found(&settings(None, None), true)[0].0.contains("the agent is root"));
        std::fs::write(server.path().join("root.key"), "x").unwrap();
        let told = found(&settings(Some(2), token), false);
        assert!(told[0].0.contains("at the same time") && told[1].0.contains("root key"), "{told:?}");
    }
}
