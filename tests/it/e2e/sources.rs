//! Modules from everywhere in one run: an OCI registry, git over ssh, a private module registry.

use std::time::Duration;

use serde_json::Value;
use support::canary::Canary;

use super::module_registry::ModuleRegistry;
use super::recorder::Recorder;
use super::shelf::{REPOSITORY, Shelf};
use super::sshd::Sshd;
use super::world::{Setup, World};
use super::{with_modules, write};

/// Fetches from all three in one run, the registries under these names; gives the receipt.
fn fetch_all(shelf: fn(&str) -> Option<Shelf>, name: &str, more: &[&str]) -> Option<Value> {
    let sshd = Sshd::start()?;
    let (password, token) = (Canary::new(super::world::USER), Canary::new(""));
    let modules = ModuleRegistry::start(&token.password);
    let operators = tempfile::tempdir().unwrap();
    let path = |name: &str| operators.path().join(name).display().to_string();
    let credentials = format!("credentials \"{}\" {{\n  token = \"{}\"\n}}\n", modules.host(name), token.password);
    write(path("operator.tfrc").as_ref(), &credentials);
    write(path("roots.pem").as_ref(), &modules.authority);
    let (key, hosts) = (sshd.key(), sshd.known_hosts(true));
    let (operator, roots) = (path("operator.tfrc"), path("roots.pem"));
    let agent = ["--cli-config", &operator, "--system-roots", &roots, "--ssh-key-file", &key];
    let agent = [&agent[..], &["--ssh-known-hosts-file", &hosts], more].concat();
    let world = World::with(Setup { agent: &agent, canaries: vec![password.clone(), token], ..Setup::default() })?;
    let shelf = shelf(&password.password)?;
    shelf.store(&world);
    let registry = format!("{}/acme/net/test", modules.host(name));
    let main = with_modules(&[("oci", shelf.source(REPOSITORY)), ("git", sshd.source()), ("registry", registry)]);
    let said = world.apply(&world.configuration(&main), 0);
    for text in ["oci = \"hello, oci\"", "git = \"over ssh, git\"", "registry = \"hello, registry\""] {
        assert!(said.contains(text), "{said}");
    }
    let (asked, with_token) = modules.asked("/v1/modules/");
    assert!(asked >= 2 && asked == with_token, "{asked} asked, {with_token} with the token");
    let (fetched, with_token) = modules.asked("/package.zip");
    assert!(fetched >= 1, "nothing was fetched");
    // tofu shows the token to the protocol alone; the broker to the download on the same host as well.
    assert!(with_token == 0 || name == "registry.localhost", "{fetched} fetched, {with_token} with the token");
    let receipt = world.run(&world.newest())["receipts"][0].clone();
    for kind in ["oci oci://", "git git::ssh://", "registry "] {
        assert!(receipt["modules"].to_string().contains(kind), "{receipt}");
    }
    Some(receipt)
}

#[test]
fn one_configuration_fetches_from_an_oci_registry_over_ssh_and_from_a_module_registry() {
    let Some(receipt) = fetch_all(Shelf::start, "127.0.0.1", &[]) else { return };
    assert_ne!(receipt["delivery"], "broker", "no broker is asked for a loopback address: {receipt}");
}

#[test]
fn by_the_broker_it_does_so_without_the_operators_token_in_any_file() {
    let Some(receipt) = fetch_all(Shelf::start_far, "registry.localhost", &["--delivery", "broker"]) else { return };
    assert_eq!(receipt["delivery"], "broker", "{receipt}");
}

#[test]
fn a_host_whose_key_is_not_known_or_another_is_refused_with_what_to_do() {
    let Some(sshd) = Sshd::start() else { return };
    let empty = tempfile::NamedTempFile::new().unwrap();
    write(empty.path(), "# nobody\n");
    for hosts in [sshd.known_hosts(false), empty.path().display().to_string()] {
        let key = sshd.key();
        let agent = ["--ssh-key-file", &key, "--ssh-known-hosts-file", &hosts];
        let Some(world) = World::with(Setup { agent: &agent, ..Setup::default() }) else { return };
        let said = world.apply(&world.configuration(&with_modules(&[("git", sshd.source())])), 1);
        assert!(said.contains("ssh_known_hosts_file"), "{said}");
        assert!(!sshd.log().contains("Accepted publickey"), "{}", sshd.log());
    }
}

#[test]
fn an_ssh_agent_is_there_for_the_fetch_step_alone() {
    let Some(sshd) = Sshd::start() else { return };
    let Some((_keys, socket)) = sshd.agent() else { return };
    let Some(recorder) = Recorder::start() else { return };
    let tofu = recorder.program();
    let Some(world) = World::with(Setup { tofu: Some(&tofu), without_agent: true, ..Setup::default() }) else {
        return;
    };
    let hosts = sshd.known_hosts(true);
    let more = ["--ssh-known-hosts-file", &hosts, "--fetch-pass-env", "SSH_AUTH_SOCK"];
    let socket = socket.display().to_string();
    let mut agent = world.another_agent_with("keys", &more, &[("SSH_AUTH_SOCK", &socket)]);
    let said = world.apply(&world.configuration(&with_modules(&[("git", sshd.source())])), 0);
    assert!(said.contains("git = \"over ssh, git\""), "{said}");
    for command in ["get", "init", "plan", "show", "apply"] {
        let given = recorder.only(command);
        let expected = (command == "get").then_some(socket.as_str());
        assert_eq!(given.variable("SSH_AUTH_SOCK"), expected, "{command}");
        let names_hosts = given.variable("GIT_SSH_COMMAND").unwrap().contains("ssh/known_hosts");
        assert_eq!(names_hosts, command == "get", "{command}");
    }
    agent.stop().unwrap();
    // Without the socket there is no key.
    let _without = world.another_agent("no-keys", &["--ssh-known-hosts-file", &hosts]);
    let said = world.apply(&world.configuration(&with_modules(&[("git", sshd.source())])), 1);
    assert!(said.contains("ssh_key_file") && said.contains("SSH_AUTH_SOCK"), "{said}");
}

#[test]
fn a_key_that_others_may_read_is_refused_before_anything_is_fetched() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = tempfile::tempdir().unwrap();
    let key = place.path().join("key");
    write(&key, "no key\n");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let key = key.display().to_string();
    let Some(world) = World::with(Setup { agent: &["--ssh-key-file", &key], ..Setup::default() }) else { return };
    let said = world.apply(&world.configuration(super::PLAIN), 1);
    assert!(said.contains(&format!("chmod 600 {key}")), "{said}");
    // An agent is told of a missing one before it has any run.
    let mut agent = world.another_agent("missing", &["--ssh-known-hosts-file", "/nonexistent/hosts"]);
    assert_eq!(agent.wait(Duration::from_mins(1)).unwrap().code(), Some(78), "{}", agent.log());
}
