//! A hostile provider in every sandbox, as root and as an ordinary user, with every delivery: what it can reach while
//! tofu plans and while it applies.
//!
//! Rule: the look must be seen to be real, so a decoy lies where it looks and has to be found; and what the page says is
//! open in `process` has to be found there, and nowhere else.

use std::fs;
use std::path::{Path, PathBuf};

use support::canary::Canary;
use support::child::variable;
use support::require;

use super::HostSockets;
use super::stage::{Delivery, Stage, User};
use crate::e2e::provider::{Hostile, hits};
use crate::e2e::world::USER;
use crate::e2e::write;

/// Where anything of a run, an agent or a server could lie; a program has no business elsewhere.
const PLACES: [&str; 13] =
    ["/boot", "/dev", "/etc", "/home", "/media", "/mnt", "/opt", "/root", "/run", "/srv", "/tmp", "/usr", "/var"];

/// What begins the token of an agent's session, which lies in its memory alone.
const SESSION: &str = "ngr_session_";

/// All of [`PLACES`] but the home of whoever runs the tests, where other programs write all the time; the run's own
/// directory; and by name each file of agent and server, because in `process` what is above them cannot be listed.
fn places(stage: &Stage) -> Vec<PathBuf> {
    let home = variable("HOME").map(PathBuf::from).unwrap_or_default();
    let usual = PLACES.iter().map(PathBuf::from).filter(|place| !home.starts_with(place));
    let mut places: Vec<PathBuf> = usual.chain([PathBuf::from(".")]).collect();
    for ours in [stage.place.path(), stage.memory.path(), stage.world.place.path()] {
        files(ours, &mut places);
    }
    places
}

/// Regular files below, but for the programs.
fn files(below: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(below).unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() && entry.file_name() != "bin" {
            files(&entry.path(), found);
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
}

/// What must be out of reach, by its name.
fn secrets(stage: &Stage) -> Vec<(&'static str, Canary)> {
    let server = stage.world.stack.directory().join("server");
    let text = |path: PathBuf| Canary::of(fs::read_to_string(path).unwrap().trim());
    vec![
        ("the credential", stage.canary.clone()),
        ("the agent's identity", text(stage.path("state/identity"))),
        ("the token with which agents join", text(server.join("join.token"))),
        ("the administrator's token", text(server.join("admin.token"))),
        ("the root key", text(server.join("root.key"))),
    ]
}

/// `127.0.0.1:PORT`, which is in the arguments of the agent and in what it logs.
fn address(stage: &Stage) -> Canary {
    Canary::of(stage.world.stack.url().trim_end_matches('/').rsplit('/').next().unwrap())
}

/// Sockets outside of the run's directories, and abstract ones, that could be connected to.
fn foreign<'t>(stage: &Stage, text: &'t str) -> Vec<&'t str> {
    let (runs, memory) = (stage.path("runs"), stage.memory.path());
    let names = text.lines().filter_map(|line| line.strip_prefix("connected to socket "));
    names.filter(|name| !Path::new(name).starts_with(&runs) && !Path::new(name).starts_with(memory)).collect()
}

/// One look of the provider, compared with what the page says.
fn judge(stage: &Stage, decoy: &Canary, host: &HostSockets, report: &Path) -> &'static str {
    let text = String::from_utf8_lossy(&fs::read(report).unwrap()).into_owned();
    let moments = ["plan", "apply"];
    let moment = moments.into_iter().find(|moment| text.contains(&format!("=== moment {moment} "))).unwrap();
    let at = format!("{} as {:?}, {moment}", stage.sandbox, stage.user);
    assert!(text.contains(&format!("=== end of {moment}")), "{at}");
    for seen in ["own environment TF_", "read /proc/net/unix", "read /proc/net/tcp", "/fd/", "/mem: "] {
        assert!(text.contains(seen), "{at}: nothing was looked at: {seen}");
    }
    assert!(text.contains(&decoy.password), "{at}: the look is blind");
    for secret in ["state/identity", "server/root.key", "server/admin.token"] {
        let refused = text.lines().any(|line| line.starts_with("refused ") && line.contains(secret));
        assert!(refused, "{at}: nobody looked for {secret}");
    }
    // In `process` other processes are in sight with their arguments, and sockets of the host by their paths.
    let is_open = stage.sandbox == "process";
    let (mut secrets, address) = (secrets(stage), address(stage));
    if is_open {
        assert!(text.contains(&address.password), "{at}: the server's address was not in reach");
    } else {
        secrets.push(("the server's address", address));
    }
    let all: Vec<Canary> = secrets.iter().map(|(_, secret)| secret.clone()).collect();
    if hits(&all, report) > 0 {
        let found = secrets.iter().filter(|(_, secret)| hits(std::slice::from_ref(secret), report) > 0);
        panic!("{at}: in reach: {:?}", found.map(|(name, _)| *name).collect::<Vec<_>>());
    }
    assert!(!text.contains(SESSION), "{at}: the token of the agent's session is in reach");
    let foreign = foreign(stage, &text);
    assert_eq!(foreign.contains(&host.path().as_str()), is_open, "{at}: sockets of the host: {foreign:?}");
    assert!(is_open || foreign.is_empty(), "{at}: sockets of the host: {foreign:?}");
    if nigari::sandbox::left_open(nigari::sandbox::landlock_version()).is_none() {
        assert!(!foreign.iter().any(|name| name.starts_with('@')), "{at}: abstract sockets: {foreign:?}");
    }
    moment
}

fn looks(sandbox: &'static str, user: User) {
    // An agent's user must own nothing but the agent, least of all this test, which has all passwords in its memory.
    if !require::root() {
        return;
    }
    if sandbox == "process" && nigari::sandbox::landlock_version() == 0 {
        return require::missing("Landlock");
    }
    let Some(mut hostile) = Hostile::start() else { return };
    let more = |stage: &Stage| {
        let settings = stage.path("operator.tfrc");
        write(&settings, &hostile.settings());
        let mut more = vec!["--cli-config".to_owned(), settings.display().to_string()];
        // By its place the agent knows where the server's files are; another user cannot open them anyway.
        if user == User::Root {
            let token = stage.world.stack.directory().join("server/join.token");
            more.extend(["--join-token-file".to_owned(), token.display().to_string()]);
            // The stage's copy would be one of root's files that nobody has told the agent of.
            fs::remove_file(stage.path("join.token")).unwrap();
        }
        more
    };
    let Some(stage) = Stage::start_with(sandbox, user, more) else { return };
    let (host, decoy) = (HostSockets::open(), Canary::new(USER));
    let places = places(&stage);
    let places: Vec<&Path> = places.iter().map(PathBuf::as_path).collect();
    for delivery in Delivery::ALL {
        let main = format!("{}{}", stage.deliver(delivery), hostile.resource(&places, &[]));
        let directory = stage.configuration(&[("main.tf", main), ("decoy.txt", decoy.password.clone())]);
        let said = stage.apply(&directory, delivery.name());
        assert_eq!(said.code, Some(0), "{delivery:?}: {}", said.all());
        let receipt = &stage.world.run(&stage.world.newest())["receipts"][0];
        let told = (&receipt["delivery"], &receipt["sandbox"]);
        assert_eq!(told, (&delivery.name().into(), &sandbox.into()), "{receipt:#}");
    }
    let moments: Vec<_> = hostile.reports().iter().map(|report| judge(&stage, &decoy, &host, report)).collect();
    // tofu plans once more before it applies.
    for moment in ["plan", "apply"] {
        let count = moments.iter().filter(|known| **known == moment).count();
        assert!(count >= Delivery::ALL.len(), "{moments:?}");
    }
    stage.wait_for_wipe();
}

#[test]
fn a_hostile_provider_in_namespaces_as_root_finds_nothing() {
    looks("namespace", User::Root);
}

#[test]
fn a_hostile_provider_in_namespaces_as_an_ordinary_user_finds_nothing() {
    looks("namespace", User::Ordinary);
}

#[test]
fn a_hostile_provider_without_namespaces_as_root_finds_what_the_page_says() {
    looks("process", User::Root);
}

#[test]
fn a_hostile_provider_without_namespaces_as_an_ordinary_user_finds_what_the_page_says() {
    looks("process", User::Ordinary);
}
