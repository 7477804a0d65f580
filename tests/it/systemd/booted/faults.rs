//! What systemd does when a service is stuck or ends with a code, and what a person sees of it.

use super::host::{AGENT, Host, SERVER};

/// Where a person looks first.
fn status(host: &Host, unit: &str) -> String {
    host.systemctl(&["status", "--full", unit]).out
}

/// Starts a unit that cannot; it must end with that code, once, and its status must say why.
fn ends_for_good(host: &Host, unit: &str, code: &str, why: &[&str]) {
    assert_ne!(host.systemctl(&["start", unit]).code, Some(0), "{unit} starts");
    assert_eq!(host.property(unit, "ExecMainStatus"), code, "{}", host.machine.journal(Some(unit)).unwrap());
    assert_eq!(
        (host.property(unit, "ActiveState").as_str(), host.property(unit, "NRestarts").as_str()),
        ("failed", "0")
    );
    let status = status(host, unit);
    assert!(why.iter().all(|why| status.contains(why)), "{status}");
}

#[test]
fn what_a_restart_does_not_mend_is_not_restarted_and_its_status_says_why() {
    let Some(host) = Host::install("nonsense = 1\n", &[]) else { return };
    ends_for_good(&host, AGENT, "78", &["agent.toml:2: unknown key `nonsense`", "hint: the keys are: server"]);
    host.write("/etc/nigari/server.toml", "listen = \"everywhere\"\n");
    ends_for_good(&host, SERVER, "78", &["`everywhere` is not an address to listen on", "hint:"]);
    // No identity and no join token: nothing that waiting would bring.
    host.set_agent("");
    ends_for_good(&host, AGENT, "77", &["no join token"]);
    // Something of an earlier agent that cannot be wiped.
    let here = "/run/nigari-agent";
    let line = format!(
        "install -d -o nigari-agent -g nigari-agent -m 0700 {here} {here}/nigari-$(id -u nigari-agent) && cd \
         {here}/nigari-* && mkdir left && touch left/secret"
    );
    host.machine.shell(&line).unwrap();
    ends_for_good(&host, AGENT, "74", &["may still hold secrets", "hint:"]);
    assert!(!host.machine.path(here).exists(), "systemd is the second line, and removes it as root");
}

#[test]
fn a_service_that_is_stuck_is_restarted_by_the_watchdog() {
    let Some(host) = Host::start() else { return };
    for unit in [SERVER, AGENT] {
        host.write(
            &format!("/etc/systemd/system/{unit}.service.d/soon.conf"),
            "[Service]\nWatchdogSec=3\nRestartSec=1\n",
        );
    }
    host.machine.shell(&format!("systemctl daemon-reload && systemctl restart {SERVER} {AGENT}")).unwrap();
    for unit in [SERVER, AGENT] {
        assert_eq!(host.systemctl(&["kill", "--signal=STOP", "--kill-whom=main", unit]).code, Some(0));
        host.wait("the restart", || host.property(unit, "NRestarts") == "1");
        host.wait("the service", || host.property(unit, "ActiveState") == "active");
        let journal = host.machine.journal(Some(unit)).unwrap();
        assert!(journal.contains("Failed with result 'watchdog'"), "{journal}");
    }
    host.apply("output \"x\" {\n  value = 1\n}\n", 0);
}

#[test]
fn an_agent_without_its_server_says_what_it_waits_for() {
    let Some(host) = Host::install("", &[]) else { return };
    host.starts(SERVER);
    host.join();
    host.systemctl(&["stop", SERVER, AGENT]);
    host.systemctl(&["start", "--no-block", AGENT]);
    host.wait("the status", || status(&host, AGENT).contains("Status: \"waiting for the server\""));
    host.starts(SERVER);
    host.wait("the service", || host.property(AGENT, "ActiveState") == "active");
    assert!(status(&host, AGENT).contains("Status: \"waiting for runs\""));
}
