//! The units under a systemd that runs: what they promise is done by them and by nothing that a test has put in.

mod faults;
mod host;

use std::net::TcpListener;
use std::path::Path;

use rustix::fs::statfs;
use support::canary::Canary;
use support::module::Package;
use support::registry::Registry;
use support::require;
use support::tools::provider_mirror;
use support::watch::Watch;

use super::UNITS;
use host::{AGENT, Host, SERVER};

/// The user of the registry.
const USER: &str = "reader";
/// `f_type` of tmpfs (linux/magic.h).
const TMPFS: u64 = 0x0102_1994;

/// Makes one thing, and then takes its time over another; a process of it goes its own way.
fn slow(seconds: u32) -> String {
    format!(
        "resource \"terraform_data\" \"made\" {{}}\nresource \"terraform_data\" \"slow\" {{\n  depends_on = \
         [terraform_data.made]\n  provisioner \"local-exec\" {{\n    command = \"setsid sleep 1000 >/dev/null 2>&1 & exec \
         sleep {seconds}\"\n  }}\n}}\n"
    )
}

/// A registry, and its integration in the server.
struct Shelf {
    registry: Registry,
    canary: Canary,
    _place: tempfile::TempDir,
}

impl Shelf {
    fn start() -> Option<Self> {
        let program = require::registry()?;
        let place = tempfile::tempdir().unwrap();
        let canary = Canary::new(USER);
        let registry = Registry::start(&program, place.path(), USER, &canary.password).unwrap();
        registry.push("team/greeting", "1.0.0", &Package::greeting()).unwrap();
        Some(Self { registry, canary, _place: place })
    }

    fn store(&self, host: &Host) {
        host.write("/etc/nigari/registry.pem", &std::fs::read_to_string(self.registry.ca_file()).unwrap());
        let url = format!("https://{}", self.registry.host());
        let words = ["registry", "add", "demo", "--export", "--url", &url, "--username", USER, "--secret-stdin"];
        let authority = ["--registry-ca-file", "/etc/nigari/registry.pem", "--permit-file"];
        host.gives(&[&words[..], &authority].concat(), &self.canary.password);
    }

    fn module(&self) -> String {
        let source = format!("oci://{}/team/greeting?tag=1.0.0", self.registry.host());
        format!(
            "module \"greeting\" {{\n  source = \"{source}\"\n  name = \"you\"\n}}\noutput \"text\" {{\n  value = \
             module.greeting.text\n}}\n"
        )
    }
}

#[test]
fn a_private_module_and_a_provider_are_applied_and_all_is_kept_over_restarts() {
    let (Some(shelf), Some(provider)) = (Shelf::start(), require::provider_time()) else { return };
    let mirror = tempfile::tempdir().unwrap();
    provider_mirror(&provider, mirror.path()).unwrap();
    let settings = "cli_config = \"/etc/nigari/tofu.tfrc\"\n";
    let Some(host) = Host::install(settings, &[(mirror.path(), "/opt/providers")]) else { return };
    host.write(
        "/etc/nigari/tofu.tfrc",
        "provider_installation {\n  filesystem_mirror {\n    path = \"/opt/providers\"\n  }\n}\n",
    );
    // With a root key from the credential store; all other tests have none there.
    host.write("/etc/credstore/root.key", &support::child::random_hex(32));
    let watch = Watch::start(std::slice::from_ref(&shelf.canary));
    host.starts(SERVER);
    assert!(!host.machine.path("/var/lib/nigari-server/root.key").exists(), "the credential was not taken");
    host.join();
    for (unit, threshold) in UNITS {
        let threshold = format!("--threshold={threshold}");
        let said = host.machine.run(&["systemd-analyze", "security", "--no-pager", &threshold, unit]).unwrap();
        assert_eq!(said.code, Some(0), "{}", said.all());
    }
    shelf.store(&host);
    let main =
        format!("{}resource \"time_static\" \"t\" {{}}\nresource \"terraform_data\" \"d\" {{}}\n", shelf.module());
    let said = host.apply(&main, 0);
    assert!(said.contains("3 added") && said.contains("text = \"hello, you\""), "{said}");
    let runs: serde_json::Value = serde_json::from_str(&host.ends(&["run", "list", "--json"], 0)).unwrap();
    let receipt = &host.run(runs[0]["id"].as_str().unwrap())["receipts"][0];
    assert_eq!((&receipt["wiped"], &receipt["hosts"][0]), (&true.into(), &shelf.registry.host().into()), "{receipt:#}");
    host.wait_for_wipe();

    let agents = host.ends(&["agent", "list"], 0);
    let said = host.systemctl(&["restart", SERVER, AGENT]);
    assert_eq!(said.code, Some(0), "{}", host.machine.journal(None).unwrap());
    let id = |text: &str| text[text.find("agent-").unwrap()..].split_whitespace().next().unwrap().to_owned();
    assert_eq!(id(&host.ends(&["agent", "list"], 0)), id(&agents), "the identity was not kept");
    let said = host.apply(&main, 0);
    assert!(said.contains("No changes"), "{said}");

    let token = |name: &str| std::fs::read_to_string(host.machine.path(&format!("/var/lib/{name}"))).unwrap();
    let tokens = ["nigari-server/admin.token", "nigari-server/join.token", "nigari-agent/identity"].map(token);
    let mut said = support::search::Search::new(&tokens.map(|token| Canary::of(token.trim())));
    said.bytes("journal", host.machine.journal(None).unwrap().as_bytes());
    said.verdict().unwrap();
    let mut search = host.search(&[shelf.canary]);
    search.absorb(watch.finish().unwrap().search);
    search.verdict().unwrap();
}

/// `f_type` of ramfs (linux/magic.h).
const RAMFS: u64 = 0x8584_58f6;

/// The Docker file of the running fetch step: on the machine, or in the sandbox that alone has it.
fn delivered(host: &Host, sandbox: &str) -> Option<std::path::PathBuf> {
    let is_it = |path: &std::path::PathBuf| path.ends_with("docker/config.json");
    if sandbox == "process" {
        return host.of_runs().into_iter().find(is_it).map(|path| host.machine.path(path.to_str().unwrap()));
    }
    assert!(!host.of_runs().iter().any(is_it), "the machine has it too");
    let of = |pid: u32| {
        let environment = support::child::read_text(Path::new(&format!("/proc/{pid}/environ")));
        let directory = environment.split('\0').find_map(|entry| entry.strip_prefix("DOCKER_CONFIG=/"))?.to_owned();
        Some(Path::new(&format!("/proc/{pid}/root")).join(directory).join("config.json")).filter(|path| path.exists())
    };
    host.machine.processes().into_iter().find_map(of)
}

#[test]
fn secrets_are_in_memory_alone_and_gone_with_an_agent_that_is_killed() {
    let Some(shelf) = Shelf::start() else { return };
    for (sandbox, expected) in [("process", TMPFS), ("namespace", RAMFS)] {
        let Some(host) = Host::install(&format!("sandbox = \"{sandbox}\"\ndelivery = \"file\"\n"), &[]) else { return };
        host.starts(SERVER);
        host.join();
        shelf.store(&host);
        // It takes connections and never answers: the fetch waits there.
        let silence = TcpListener::bind("127.0.0.1:0").unwrap();
        let silent = format!("http://{}/m.zip", silence.local_addr().unwrap());
        let main = format!("{}module \"never\" {{\n  source = \"{silent}\"\n}}\n", shelf.module());
        let id = host.begin(&main, "fetch");
        let secret = || delivered(&host, sandbox);
        host.wait("the delivery", || secret().is_some());
        let path = secret().unwrap();
        assert!(path.to_str().unwrap().contains("/run/nigari-agent/"), "{}", path.display());
        assert_eq!(u64::try_from(statfs(&path).unwrap().f_type).unwrap() & 0xffff_ffff, expected);
        let mut found = support::search::Search::new(std::slice::from_ref(&shelf.canary));
        found.bytes("the delivery", &std::fs::read(&path).unwrap());
        assert!(!found.hits().is_empty(), "the search does not find it either");

        host.systemctl(&["kill", "--signal=KILL", "--kill-whom=main", AGENT]);
        host.wait("the wipe by the launcher", || secret().is_none());
        host.ends(&["run", "cancel", &id], 0);
        host.wait("the restart", || host.property(AGENT, "NRestarts") == "1");
        host.wait_for_wipe();
        assert_eq!(host.systemctl(&["stop", AGENT]).code, Some(0));
        assert_eq!((host.of_runs(), host.of_agent()), (vec![], vec![]));
        assert!(!host.machine.path("/run/nigari-agent").exists());
        host.search(std::slice::from_ref(&shelf.canary)).verdict().unwrap();
    }
}

#[test]
fn where_landlock_cannot_be_had_receipts_say_what_is_open() {
    let Some(host) = Host::install("", &[]) else { return };
    // As on a kernel without it; what a filter of system calls answers is the same.
    host.write(
        "/etc/systemd/system/nigari-agent.service.d/landlock.conf",
        "[Service]\nSystemCallFilter=~landlock_create_ruleset\n",
    );
    host.machine.shell("systemctl daemon-reload").unwrap();
    host.starts(SERVER);
    host.join();
    host.apply("output \"x\" {\n  value = 1\n}\n", 0);
    let runs: serde_json::Value = serde_json::from_str(&host.ends(&["run", "list", "--json"], 0)).unwrap();
    let id = runs[0]["id"].as_str().unwrap();
    let receipt = &host.run(id)["receipts"][0];
    assert_eq!(receipt["sandbox"], "namespace", "{receipt:#}\n{}", host.machine.journal(Some(AGENT)).unwrap());
    assert!(receipt["notes"].to_string().contains("abstract Unix sockets"), "{receipt:#}");
    assert!(host.ends(&["run", "show", id], 0).contains("abstract Unix sockets"));
    let journal = host.machine.journal(Some(AGENT)).unwrap();
    assert!(journal.contains("abstract Unix sockets"), "{journal}");
    // The control: with it, there is nothing to tell.
    host.machine.shell("rm -r /etc/systemd/system/nigari-agent.service.d && systemctl daemon-reload").unwrap();
    assert_eq!(host.systemctl(&["restart", AGENT]).code, Some(0));
    host.apply("output \"x\" {\n  value = 2\n}\n", 0);
    let runs: serde_json::Value = serde_json::from_str(&host.ends(&["run", "list", "--json"], 0)).unwrap();
    let receipt = host.run(runs[0]["id"].as_str().unwrap())["receipts"][0].clone();
    let is_whole = nigari::sandbox::left_open(nigari::sandbox::landlock_version()).is_none();
    assert_eq!(!receipt["notes"].to_string().contains("abstract Unix sockets"), is_whole, "{receipt:#}");
}

#[test]
fn an_apply_outlives_an_agent_that_is_killed_and_the_next_one_rescues_its_state() {
    let Some(host) = Host::start() else { return };
    let id = host.begin(&slow(3), "apply");
    host.wait("the slow part", || host.of_agent().iter().any(|words| words.starts_with("sleep 3")));
    host.systemctl(&["kill", "--signal=KILL", "--kill-whom=main", AGENT]);
    host.wait("the agent's death", || host.property(AGENT, "ActiveState") != "active");
    host.wait_for_state(&id, &["errored"]);
    let state = host.ends(&["state", "pull", "-w", "demo"], 0);
    assert!(state.contains("\"made\""), "{state}");
    host.wait_for_wipe();
    assert_eq!(host.run(&id)["steps"].to_string().matches("\"step\":\"apply\"").count(), 1);
    // The lock is free, and the agent works.
    host.apply("output \"x\" {\n  value = 1\n}\n", 0);
}

#[test]
fn stopping_lets_an_apply_end_or_interrupts_it_when_the_time_is_over() {
    let Some(host) = Host::start() else { return };
    let id = host.begin(&slow(3), "apply");
    // Both, as a shutdown does: the server waits until the agent has reported. (`systemctl` sends one job after the
    // other, so the one that has to wait is named last.)
    assert_eq!(host.systemctl(&["stop", AGENT, SERVER]).code, Some(0));
    assert_eq!(host.property(AGENT, "Result"), "success", "{}", host.machine.journal(None).unwrap());
    assert_eq!((host.of_runs(), host.of_agent()), (vec![], vec![]));
    host.starts(SERVER);
    assert_eq!(host.run(&id)["state"], "applied", "{}", host.machine.journal(None).unwrap());

    host.set_agent("drain_limit = \"1s\"\n");
    host.starts(AGENT);
    host.apply("output \"x\" {\n  value = 1\n}\n", 0);
    let id = host.begin(&slow(600), "apply");
    host.wait("the slow part", || host.of_agent().iter().any(|words| words.starts_with("sleep 600")));
    assert_eq!(host.systemctl(&["stop", AGENT]).code, Some(0));
    assert_eq!(host.property(AGENT, "Result"), "success", "{}", host.machine.journal(None).unwrap());
    assert_eq!((host.of_runs(), host.of_agent()), (vec![], vec![]));
    assert_ne!(host.run(&id)["state"], "applying");
    let state = host.ends(&["state", "pull", "-w", "demo"], 0);
    assert!(state.contains("\"made\""), "{state}");
}
