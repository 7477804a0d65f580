//! What of this host lies open to the runs on it, told once at the agent's start.
//!
//! Rule: in the sandbox `process` a run sees the files that the agent's user sees, less what Landlock keeps from it, and
//! every socket; whatever more than one run, a server beside the agent, or root would add to that is said before the
//! first run, and how to be rid of it.

use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use super::view::ROOT_KEY;
use crate::sandbox::{Sandbox, landlock_version, left_open};
use crate::settings::agent::{AgentSettings, DeliveryChoice};

/// Sockets behind which somebody does what he is asked: container engines, the service manager, the buses. Connecting is
/// covered neither by Landlock nor by read-only mounts.
const POWERFUL: [&str; 12] = [
    "/run/docker.sock",
    "/var/run/docker.sock",
    "/run/podman/podman.sock",
    "/run/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/buildkit/buildkitd.sock",
    "/run/k3s/containerd/containerd.sock",
    FOR_ROOT[1],
    FOR_ROOT[0],
    "/var/lib/incus/unix.socket",
    "/var/lib/lxd/unix.socket",
    "/var/snap/lxd/common/lxd/unix.socket",
];

/// The same of a user, below `/run/user/<uid>`.
const POWERFUL_OF_USER: [&str; 5] =
    ["bus", "systemd/private", "docker.sock", "podman/podman.sock", "containerd/containerd.sock"];

/// Open to everybody, and of use to root alone: the system's bus does for others what the host's policy says, and the
/// service manager (before systemd 252 its socket has the mode 0777) looks who has connected.
const FOR_ROOT: [&str; 2] = ["/run/dbus/system_bus_socket", "/run/systemd/private"];

/// Sockets by which a step in `process` could have anything done on this host, outside of its sandbox.
pub(crate) fn ruling_sockets() -> Vec<PathBuf> {
    ruling(reachable_sockets(), rustix::process::geteuid().is_root())
}

fn ruling(mut sockets: Vec<PathBuf>, is_root: bool) -> Vec<PathBuf> {
    let of_root = FOR_ROOT.map(|path| Path::new(path).canonicalize().unwrap_or_else(|_| path.into()));
    sockets.retain(|path| is_root || !of_root.contains(path));
    sockets
}

/// Warns of everything that is so here.
pub(crate) fn warn(settings: &AgentSettings, sandbox: Sandbox) {
    let host = Surroundings {
        is_root: rustix::process::geteuid().is_root(),
        landlock: landlock_version(),
        sandbox,
        sockets: reachable_sockets(),
    };
    for (what, hint) in found(settings, &host) {
        tracing::warn!(hint, "{what}");
    }
}

/// Sockets of power that this user may connect to.
pub(crate) fn reachable_sockets() -> Vec<PathBuf> {
    let of_user = format!("/run/user/{}", rustix::process::geteuid().as_raw());
    let of_user = POWERFUL_OF_USER.map(|name| Path::new(&of_user).join(name));
    reachable(POWERFUL.iter().map(PathBuf::from).chain(of_user))
}

fn reachable(paths: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for path in paths.filter_map(|path| path.canonicalize().ok()) {
        let is_socket = path.metadata().is_ok_and(|metadata| metadata.file_type().is_socket());
        // To connect is to write.
        if is_socket && rustix::fs::access(&path, rustix::fs::Access::WRITE_OK).is_ok() && !found.contains(&path) {
            found.push(path);
        }
    }
    found
}

/// What of the host matters here.
struct Surroundings {
    is_root: bool,
    /// See [`landlock_version`].
    landlock: u32,
    sandbox: Sandbox,
    sockets: Vec<PathBuf>,
}

fn found(settings: &AgentSettings, host: &Surroundings) -> Vec<(String, &'static str)> {
    let is_open = host.sandbox == Sandbox::Process;
    let is_crowded = settings.concurrency.get() > 1;
    let beside = |path: &Path| path.with_file_name(ROOT_KEY);
    let has_server =
        settings.join_token_file.as_deref().map(beside).is_some_and(|key| std::fs::File::open(key).is_ok());
    let names: Vec<String> = host.sockets.iter().map(|path| path.display().to_string()).collect();
    [
        (
            is_open && is_crowded && settings.delivery == DeliveryChoice::File,
            "expressions of runs that are at work at the same time can read each other's registry credentials during a \
             fetch step: delivery `file` in the sandbox `process`"
                .to_owned(),
            "set `concurrency` to 1, or leave `delivery` at `auto`",
        ),
        (
            is_open && is_crowded && settings.delivery == DeliveryChoice::Auto,
            "expressions of runs that are at work at the same time can read the registry credentials of a workspace that \
             asks for the delivery `file`, where an integration permits it, during its fetch step"
                .to_owned(),
            "set `concurrency` to 1, or `delivery` to `broker`",
        ),
        (
            is_open && is_crowded && settings.delivery != DeliveryChoice::Broker,
            "programs of runs that are at work at the same time can look into each other's processes in the sandbox \
             `process`, also into a tofu that asked for a credential"
                .to_owned(),
            "set `concurrency` to 1, or let only people write configurations who may know all of these credentials",
        ),
        (
            is_open && has_server && host.landlock == 0,
            "the server's files lie beside this agent and its user can read them, so every configuration can too: root \
             key, admin token, database"
                .to_owned(),
            "run nothing here that others wrote; for that give server and agent a user each",
        ),
        (
            is_open && host.is_root,
            "the agent is root, so every configuration can read what root owns; steps have no capabilities".to_owned(),
            "run it as a user of its own, as the unit in systemd/ does",
        ),
        (
            is_open && !names.is_empty(),
            format!("every configuration can talk to {}, and with it act outside of its step", names.join(", ")),
            "give the agent a user that may not open them, or let it have the sandbox `namespace`",
        ),
    ]
    .into_iter()
    .filter_map(|(is_so, what, hint)| is_so.then_some((what, hint)))
    .chain(left_open(host.landlock).map(|what| (what.to_owned(), "`nigari doctor` says what this kernel has")))
    .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;

    use super::{FOR_ROOT, Surroundings, found, reachable, ruling};
    use crate::sandbox::Sandbox;
    use crate::settings::AgentSettings;
    use crate::settings::agent_layer::AgentLayer;

    fn settings(concurrency: Option<u32>, join_token_file: Option<PathBuf>) -> AgentSettings {
        let server = Some("http://127.0.0.1:7077".to_owned());
        AgentSettings::load(None, AgentLayer { server, join_token_file, concurrency, ..AgentLayer::default() }).unwrap()
    }

    #[test]
    fn the_systems_bus_and_service_manager_rule_the_host_for_root_alone() {
        let docker = PathBuf::from("/run/docker.sock");
        for socket in FOR_ROOT.map(PathBuf::from) {
            let both = vec![socket.clone(), docker.clone()];
            assert_eq!(ruling(both.clone(), true), both);
            assert_eq!(ruling(both, false), std::slice::from_ref(&docker));
            assert!(ruling(vec![socket], false).is_empty());
        }
    }

    #[test]
    fn the_usual_agent_has_nothing_to_tell_and_each_exposure_is_told() {
        let server = tempfile::tempdir().unwrap();
        let token = Some(server.path().join("join.token"));
        let host = |is_root, sandbox| Surroundings { is_root, landlock: 6, sandbox, sockets: vec![] };
        assert_eq!(found(&settings(None, token.clone()), &host(false, Sandbox::Process)), []);
        assert!(found(&settings(None, None), &host(true, Sandbox::Process))[0].0.contains("the agent is root"));
        std::fs::write(server.path().join("root.key"), "x").unwrap();
        let without_landlock = Surroundings { landlock: 0, ..host(false, Sandbox::Process) };
        let told = found(&settings(Some(2), token.clone()), &without_landlock);
        assert!(told[0].0.contains("asks for the delivery `file`"), "{told:?}");
        assert!(told[3].0.contains("abstract Unix sockets"), "{told:?}");
        assert!(told[1].0.contains("at the same time") && told[2].0.contains("root key"), "{told:?}");
        let sockets = vec![PathBuf::from("/run/docker.sock")];
        let told = found(&settings(None, None), &Surroundings { sockets, ..host(false, Sandbox::Process) });
        assert!(told[0].0.contains("/run/docker.sock"), "{told:?}");
        assert_eq!(found(&settings(Some(2), token), &host(true, Sandbox::Namespace)), []);
    }

    #[test]
    fn only_sockets_that_can_be_opened_are_told() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        let _open = UnixListener::bind(at("open")).unwrap();
        std::os::unix::fs::symlink(at("open"), at("link")).unwrap();
        std::fs::write(at("file"), "").unwrap();
        let told = reachable(["open", "link", "file", "nothing"].map(at).into_iter());
        assert_eq!(told, [at("open").canonicalize().unwrap()]);
    }
}
