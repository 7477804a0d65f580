//! Settings of the agent as they are written: `agent.toml`, `NIGARI_*`, the flags of `nigari agent start`.
//!
//! Rule: what comes out of here is complete and checked; nothing later asks for a default.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::agent::{DeliveryChoice, Patience, SandboxChoice, Ssh, StepLimits};
use super::cli::server_url;
use super::duration::Span;
use super::file::{Layer, layer, read};
use super::list::{NameList, PathList};
use super::{AgentSettings, SettingsError, SettingsProblem, environment};
use crate::protocol::limits::NAME_CHARACTERS;

/// Runs at the same time when nothing is set. One, because today's delivery and sandbox (`file` in `process`) do not
/// keep a run from reading what another run's fetch step was given.
const DEFAULT_CONCURRENCY: NonZeroU32 = NonZeroU32::MIN;

/// tofu and one provider have about 30 threads.
const LEAST_PROCESSES: u64 = 100;
/// tofu and its providers' sockets and modules.
const LEAST_OPEN_FILES: u64 = 64;
/// The largest providers have some hundred megabytes; below this not even tofu's own files.
const LEAST_FILE_SIZE: u64 = 1024 * 1024;

layer! {
    /// What a file, the environment or flags say of the agent.
    pub struct AgentLayer {
        /// URL of the server: https, or plain http on loopback
        #[arg(skip)]
        server: String,
        /// PEM file with the private CA of the server's certificate, trusted besides the host's roots
        #[arg(skip)]
        ca_file: PathBuf,
        /// File (mode 0600) with the join token; needed until the agent has its own identity, and when it was
        /// removed from the server [default: systemd credential `join.token`]
        #[arg(long, env = "NIGARI_JOIN_TOKEN_FILE", value_name = "FILE")]
        join_token_file: PathBuf,
        /// The agent's name, for people [default: the host's name]
        #[arg(long, env = "NIGARI_AGENT_NAME")]
        name: String,
        /// Runs at the same time [default: 1, because in the sandbox `process` programs of runs beside each other can look
        /// into each other]
        #[arg(long, env = "NIGARI_CONCURRENCY", value_name = "N")]
        concurrency: u32,
        /// Directory with the agent's identity [default: `$STATE_DIRECTORY`, or
        /// `$XDG_STATE_HOME/nigari/agent`]
        #[arg(long, env = "NIGARI_STATE_DIR", value_name = "DIR")]
        state_dir: PathBuf,
        /// Directory below which each run has its own, by its id; the same on all hosts of a pool
        /// [default: `runs` in the state directory]
        #[arg(long, env = "NIGARI_RUN_ROOT", value_name = "DIR")]
        run_root: PathBuf,
        /// Directory on tmpfs or ramfs for secrets [default: `$RUNTIME_DIRECTORY`, `$XDG_RUNTIME_DIR` or
        /// `/dev/shm`]
        #[arg(long, env = "NIGARI_SECRET_ROOT", value_name = "DIR")]
        secret_root: PathBuf,
        /// The tofu program [default: the first on PATH]
        #[arg(long, env = "NIGARI_TOFU", value_name = "PATH")]
        tofu: PathBuf,
        /// The operator's own CLI configuration of tofu, merged into the one that each run gets. An `oci_mirror` in it needs
        /// a registry integration as a module does; its providers stay with the run, and no cache of providers is used
        /// beside it
        #[arg(long, env = "NIGARI_CLI_CONFIG", value_name = "FILE")]
        cli_config: PathBuf,
        /// Names, or prefixes with `*`, of the agent's variables that every step gets (comma
        /// separated) [default: none]
        #[arg(long, env = "NIGARI_PASS_ENV", value_name = "NAMES")]
        pass_env: NameList,
        /// As `pass_env`, for the fetch step alone
        #[arg(long, env = "NIGARI_FETCH_PASS_ENV", value_name = "NAMES")]
        fetch_pass_env: NameList,
        /// Directory that runs get as HOME [default: an empty one of their own]
        #[arg(long, env = "NIGARI_HOME", value_name = "DIR")]
        home: PathBuf,
        /// File with the keys of the hosts that git may fetch modules from over ssh; a host that is not in it is refused
        /// [default: the known hosts of the agent's user and of this host]
        #[arg(long, env = "NIGARI_SSH_KNOWN_HOSTS_FILE", value_name = "FILE")]
        ssh_known_hosts_file: PathBuf,
        /// File (mode 0600) with a private key for such hosts, there in the fetch step alone; an ssh agent, by
        /// `fetch_pass_env = ["SSH_AUTH_SOCK"]`, keeps the key to itself [default: none]
        #[arg(long, env = "NIGARI_SSH_KEY_FILE", value_name = "FILE")]
        ssh_key_file: PathBuf,
        /// How credentials come to tofu: `auto` (`broker`; `helper` for registries on loopback), `broker`, `helper`, or
        /// `file`, which a configuration's author can read and each integration has to permit. A workspace may ask for
        /// one too: `auto` on one side leaves it to the other (agent `auto`, workspace `file`: `file`), and of two others
        /// the one that leaves less open is taken [default: auto]
        #[arg(long, env = "NIGARI_DELIVERY", value_name = "WAY")]
        delivery: DeliveryChoice,
        /// What steps run in: `namespace` (they see the system, their own run and `read_paths`, nothing else of the host),
        /// `process` (they see what the agent's user sees, less what is the agent's), or `auto`, which tries the first at the
        /// agent's start and takes the second where the host refuses it [default: auto]
        #[arg(long, env = "NIGARI_SANDBOX", value_name = "KIND")]
        sandbox: SandboxChoice,
        /// Files and directories that steps may read in the sandbox `namespace` besides the system (`/usr`, names and
        /// certificates of `/etc`), tofu, HOME and the mirrors that the CLI configuration names: absolute, comma separated
        /// [default: none]
        #[arg(long, env = "NIGARI_READ_PATHS", value_name = "PATHS")]
        read_paths: PathList,
        /// Processes and threads that a step may have at the same time; held in the sandbox `namespace` when the agent is
        /// not root [default: no limit]
        #[arg(long, env = "NIGARI_MAX_PROCESSES", value_name = "N")]
        max_processes: u64,
        /// Files that a process of a step may have open [default: the agent's own limit]
        #[arg(long, env = "NIGARI_MAX_OPEN_FILES", value_name = "N")]
        max_open_files: u64,
        /// Longest file that a step may write, in bytes; plan files, providers and state count [default: no limit]
        #[arg(long, env = "NIGARI_MAX_FILE_SIZE", value_name = "BYTES")]
        max_file_size: u64,
        /// Leaves the `credentials` blocks of the CLI configuration readable for every step: the backends `remote` and
        /// `cloud` need them, and any configuration can then read them
        #[arg(long, env = "NIGARI_KEEP_CLI_CREDENTIALS", num_args = 0..=1, require_equals = true,
              default_missing_value = "true")]
        keep_cli_credentials: bool,
        /// PEM file with the host's root certificates [default: where the usual distributions keep them]
        #[arg(long, env = "NIGARI_SYSTEM_ROOTS", value_name = "FILE")]
        system_roots: PathBuf,
        /// How long the fetch step of a run may take until it is ended: hosts that a configuration names could hold it, and
        /// with it the lent credentials, for ever [default: 30m]
        #[arg(long, env = "NIGARI_FETCH_LIMIT", value_name = "TIME")]
        fetch_limit: Span,
        /// From the first interrupt of fetch, init, plan and show to the second, and from there to the kill
        /// [default: 30s]
        #[arg(long, env = "NIGARI_STEP_GRACE", value_name = "TIME")]
        step_grace: Span,
        /// From the first interrupt of an apply to the second; only a person's `--kill` kills it [default: 10m]
        #[arg(long, env = "NIGARI_APPLY_GRACE", value_name = "TIME")]
        apply_grace: Span,
        /// How long runs may go on after the first SIGTERM before they are interrupted [default: 30m]
        #[arg(long, env = "NIGARI_DRAIN_LIMIT", value_name = "TIME")]
        drain_limit: Span,
    }
}

/// Less is a mistake in the unit.
const LEAST_FETCH: Duration = Duration::from_secs(1);

impl AgentSettings {
    /// Resolves `flags` (which hold the environment already) over the file at `config`.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn load(config: Option<&Path>, flags: AgentLayer) -> Result<Self, SettingsError> {
        let layer = flags.over(read(config)?);
        let mut problems = Vec::new();
        let server = layer.server.as_deref().map(|text| server_url("server", text));
        let server = server.unwrap_or_else(|| {
            Err(SettingsProblem::new("server", "is not set", "give `--server URL`, NIGARI_SERVER or `server = \"…\"`"))
        });
        let server = server.map_err(|problem| problems.push(problem)).ok();
        check(&layer, &mut problems);
        let state_directory =
            absolute(layer.state_dir.clone().unwrap_or_else(|| environment::state_directory("agent")));
        match server {
            Some(server) if problems.is_empty() => Ok(Self {
                server,
                patience: patience(&layer),
                ca_file: layer.ca_file,
                join_token_file: layer.join_token_file.or_else(|| environment::credential("join.token")),
                name: layer.name.unwrap_or_else(environment::host_name),
                concurrency: layer.concurrency.and_then(NonZeroU32::new).unwrap_or(DEFAULT_CONCURRENCY),
                run_root: absolute(layer.run_root.unwrap_or_else(|| state_directory.join("runs"))),
                state_directory,
                secret_roots: layer.secret_root.map_or_else(secret_roots, |given| vec![absolute(given)]),
                tofu: layer.tofu.map(absolute),
                search_path: environment::variable("PATH"),
                delivery: layer.delivery.unwrap_or_default(),
                sandbox: layer.sandbox.unwrap_or_default(),
                step_limits: StepLimits {
                    processes: layer.max_processes,
                    open_files: layer.max_open_files,
                    file_size_bytes: layer.max_file_size,
                },
                read_paths: layer.read_paths.unwrap_or_default().0,
                cli_configuration: layer.cli_config.map(absolute),
                keep_cli_credentials: layer.keep_cli_credentials.unwrap_or(false),
                passed_environment: environment::matching(&layer.pass_env.unwrap_or_default().0),
                fetch_environment: environment::matching(&layer.fetch_pass_env.unwrap_or_default().0),
                home: layer.home.map(absolute),
                ssh: Ssh {
                    known_hosts: layer.ssh_known_hosts_file.map(absolute),
                    key: layer.ssh_key_file.map(absolute),
                },
                system_roots: layer.system_roots.map(absolute),
            }),
            _ => Err(SettingsError { problems }),
        }
    }
}

fn patience(layer: &AgentLayer) -> Patience {
    let default = Patience::default();
    let given = |span: Option<Span>, default| span.map_or(default, |span| span.0);
    Patience {
        fetch: given(layer.fetch_limit, default.fetch),
        step: given(layer.step_grace, default.step),
        apply: given(layer.apply_grace, default.apply),
        drain: given(layer.drain_limit, default.drain),
        ..default
    }
}

impl FromStr for SandboxChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "namespace" => Ok(Self::Namespace),
            "process" => Ok(Self::Process),
            _ => Err(format!("`{text}` is no sandbox; hint: `auto`, `namespace` or `process`")),
        }
    }
}

impl<'de> Deserialize<'de> for SandboxChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

fn check(layer: &AgentLayer, problems: &mut Vec<SettingsProblem>) {
    if layer.concurrency == Some(0) {
        problems.push(SettingsProblem::new("concurrency", "is 0", "give at least 1, or stop the agent"));
    }
    if layer.name.as_ref().is_some_and(|name| name.trim().is_empty() || name.chars().count() > NAME_CHARACTERS) {
        let hint = format!("1 to {NAME_CHARACTERS} characters, for people");
        problems.push(SettingsProblem::new("name", "is no name", hint));
    }
    for path in layer.read_paths.iter().flat_map(|paths| &paths.0) {
        let shown = path.display();
        let wrong = match (path.is_absolute(), path.parent().is_none(), path.exists()) {
            (false, ..) => Some(format!("{shown} is relative")),
            (_, true, _) => Some("`/` is the whole host".to_owned()),
            (_, _, false) => Some(format!("{shown} is not a file or a directory")),
            (true, false, true) => None,
        };
        let hint = "give the paths of files and directories from the root, beginning with `/`";
        problems.extend(wrong.map(|message| SettingsProblem::new("read_paths", message, hint)));
    }
    let limits = [
        ("max_processes", layer.max_processes, LEAST_PROCESSES),
        ("max_open_files", layer.max_open_files, LEAST_OPEN_FILES),
        ("max_file_size", layer.max_file_size, LEAST_FILE_SIZE),
    ];
    for (place, given, least) in limits {
        if let Some(given) = given.filter(|given| *given < least) {
            let message = format!("is {given}, with which tofu and its providers cannot work");
            problems.push(SettingsProblem::new(place, message, format!("give at least {least}, or leave it out")));
        }
    }
    if layer.fetch_limit.is_some_and(|limit| limit.0 < LEAST_FETCH) {
        let message = format!("is less than {}, in which hardly a module comes", Span(LEAST_FETCH));
        problems.push(SettingsProblem::new("fetch_limit", message, "give what the largest modules need, `30m`"));
    }
    let files = [
        ("ca_file", &layer.ca_file),
        ("join_token_file", &layer.join_token_file),
        ("tofu", &layer.tofu),
        ("cli_config", &layer.cli_config),
        ("system_roots", &layer.system_roots),
        ("ssh_known_hosts_file", &layer.ssh_known_hosts_file),
        ("ssh_key_file", &layer.ssh_key_file),
    ];
    for (place, path) in files {
        // A join token's file may be gone once the agent has its identity.
        if let Some(path) = path.as_ref().filter(|path| place != "join_token_file" && !path.is_file()) {
            let message = format!("{} is not a file", path.display());
            problems.push(SettingsProblem::new(place, message, "correct the path, or leave the setting out"));
        }
    }
}

/// Where secrets may be put when nothing is set: what systemd made for the service, the user's, everybody's.
fn secret_roots() -> Vec<PathBuf> {
    let shared = Some(PathBuf::from("/dev/shm"));
    [environment::path("RUNTIME_DIRECTORY"), environment::path("XDG_RUNTIME_DIR"), shared]
        .into_iter()
        .flatten()
        .collect()
}

/// The path from the root; what is relative begins at the working directory.
fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::AgentLayer;
    use crate::settings::AgentSettings;

    fn flags(server: &str) -> AgentLayer {
        AgentLayer { server: Some(server.to_owned()), ..AgentLayer::default() }
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.toml");
        std::fs::write(
            &path,
            "server = \"https://file.example\"\nconcurrency = 7\nname = \"file\"\ndelivery = \"file\"\n",
        )
        .unwrap();
        let settings =
            AgentSettings::load(Some(&path), AgentLayer { name: Some("flag".into()), ..AgentLayer::default() })
                .unwrap();
        assert_eq!(settings.server.as_str(), "https://file.example/");
        assert_eq!(
            (settings.name.as_str(), settings.concurrency.get(), settings.patience.apply.as_secs()),
            ("flag", 7, 600)
        );
        assert!(settings.run_root.is_absolute() && settings.run_root.ends_with("runs"));
        assert_eq!(AgentSettings::load(None, flags("https://a.example")).unwrap().concurrency.get(), 1);
    }

    #[test]
    fn every_problem_is_named_at_once() {
        let layer = AgentLayer {
            server: Some("http://nigari.example".into()),
            concurrency: Some(0),
            name: Some(" ".into()),
            tofu: Some("/nonexistent/tofu".into()),
            ..AgentLayer::default()
        };
        let error = AgentSettings::load(None, layer).unwrap_err();
        let places: Vec<&str> = error.problems.iter().map(|problem| problem.place.as_str()).collect();
        assert_eq!(places, ["server", "concurrency", "name", "tofu"], "{error}");
    }

    #[test]
    fn what_steps_may_read_and_use_is_checked() {
        let good = AgentLayer { read_paths: Some("/usr, /etc".parse().unwrap()), ..flags("https://a.example") };
        let settings = AgentSettings::load(None, good).unwrap();
        assert_eq!(settings.read_paths, [std::path::Path::new("/usr"), std::path::Path::new("/etc")]);
        let layer = AgentLayer {
            read_paths: Some("relative,/,/nonexistent".parse().unwrap()),
            max_processes: Some(1),
            max_open_files: Some(0),
            max_file_size: Some(10),
            fetch_limit: Some("30ms".parse().unwrap()),
            ..flags("https://a.example")
        };
        let error = AgentSettings::load(None, layer).unwrap_err();
        let places: Vec<&str> = error.problems.iter().map(|problem| problem.place.as_str()).collect();
        let limits = ["max_processes", "max_open_files", "max_file_size", "fetch_limit"];
        assert_eq!(places, [&["read_paths"; 3], &limits[..]].concat(), "{error}");
        assert!("namespaces".parse::<super::SandboxChoice>().unwrap_err().contains("`auto`, `namespace` or `process`"));
    }

    #[test]
    fn a_server_is_needed() {
        let error = AgentSettings::load(None, AgentLayer::default()).unwrap_err().to_string();
        assert!(error.contains("server: is not set\nhint: give `--server URL`"), "{error}");
    }

    #[test]
    fn plain_http_is_for_loopback_alone() {
        for good in ["https://a.example", "http://127.0.0.1:7077", "http://localhost:1", "http://[::1]:7077"] {
            assert!(AgentSettings::load(None, flags(good)).is_ok(), "{good}");
        }
        for bad in ["http://a.example", "http://10.0.0.1", "ftp://127.0.0.1", "a.example", "https://u:p@a.example", ""]
        {
            assert!(AgentSettings::load(None, flags(bad)).is_err(), "{bad}");
        }
    }
}
