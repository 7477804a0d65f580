//! `nigari doctor`: what is missing on this host, and what to do.
//!
//! Rule: it changes nothing and sends no secret but the token to its server; each line stands for itself, so that the
//! first thing that is wrong does not hide the second.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use jiff::fmt::rfc2822;
use serde::Serialize;

use super::error::CommandError;
use super::exit::ExitStatus;
use super::screen::Screen;
use super::session::{Session, client};
use super::waiting;
use crate::agent::{reachable_sockets, ruling_sockets, sandbox_choice, secret_roots};
use crate::client::{Client, ClientError, TokenSource};
use crate::clock::Clock;
use crate::delivery::meanings;
use crate::process::{CommandLine, capture};
use crate::protocol::Timestamp;
use crate::protocol::api::{Agent, AgentPool, AgentStatus};
use crate::protocol::delivery::DeliveryChoice;
use crate::sandbox::{Launcher, Sandbox, SecretRoot, landlock_version, left_open};
use crate::settings::AgentSettings;
use crate::settings::agent::SandboxChoice;
use crate::settings::agent_layer::AgentLayer;
use crate::settings::cli::{Context, ContextLayer};
use crate::settings::list::PathList;
use crate::tofu::cli_configuration::problems::{Problems, find as find_problems};
use crate::tofu::version::{CredentialHolder, Version};
use crate::tofu::{arguments as words, find};

/// How long `tofu version` may take.
const LIMIT: Duration = Duration::from_secs(30);
/// Bytes of its output that are looked at.
const OUTPUT_BYTES: u64 = 256 * 1024;

/// How far clocks may be apart without a word.
const CLOCKS_APART: Duration = Duration::from_secs(30);

/// How to live with it.
const EXPOSURE_HINT: &str = "keep `concurrency = 1`, give the agent a user that owns and runs nothing else, and let only \
                             people write configurations who may know the exported credentials";

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The agent's settings on this host
    #[arg(long, env = "NIGARI_AGENT_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// State directory of the agent whose leftovers are looked for [default: as an agent's]
    #[arg(long, env = "NIGARI_STATE_DIR", value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// The tofu program [default: the first on PATH]
    #[arg(long, env = "NIGARI_TOFU", value_name = "PATH")]
    tofu: Option<PathBuf>,
    /// Directory on tmpfs or ramfs for secrets
    #[arg(long, env = "NIGARI_SECRET_ROOT", value_name = "DIR")]
    secret_root: Option<PathBuf>,
    /// The operator's own CLI configuration of tofu
    #[arg(long, env = "NIGARI_CLI_CONFIG", value_name = "FILE")]
    cli_config: Option<PathBuf>,
    /// How credentials come to tofu: `auto`, `broker`, `helper` or `file`
    #[arg(long, env = "NIGARI_DELIVERY", value_name = "WAY")]
    delivery: Option<DeliveryChoice>,
    /// What steps are to run in: `auto`, `namespace` or `process`
    #[arg(long, env = "NIGARI_SANDBOX", value_name = "KIND")]
    sandbox: Option<SandboxChoice>,
    /// What steps may read in the sandbox `namespace` besides the system (comma separated)
    #[arg(long, env = "NIGARI_READ_PATHS", value_name = "PATHS")]
    read_paths: Option<PathList>,
}

/// How one thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

/// What was found of one thing.
#[derive(Debug, Serialize)]
struct Finding {
    verdict: Verdict,
    /// What was looked at.
    subject: &'static str,
    /// What was found.
    message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl Finding {
    fn ok(subject: &'static str, message: String) -> Self {
        Self { verdict: Verdict::Ok, subject, message, hint: None }
    }

    fn bad(verdict: Verdict, subject: &'static str, message: &str, hint: Option<String>) -> Self {
        // Some errors carry their hint in the message.
        let (message, own) = message.split_once("; hint: ").map_or((message, None), |(m, h)| (m, Some(h.to_owned())));
        Self { verdict, subject, message: message.to_owned(), hint: hint.or(own) }
    }

    fn fail(subject: &'static str, message: &str, hint: Option<String>) -> Self {
        Self::bad(Verdict::Fail, subject, message, hint)
    }
}

/// Looks at everything, tells it, and ends with 1 if something fails.
pub(super) async fn run(
    arguments: Arguments,
    flags: &ContextLayer,
    screen: Screen,
) -> Result<ExitStatus, CommandError> {
    let mut findings = Vec::new();
    match settings(arguments, flags) {
        Ok(settings) => host(&settings, &mut findings).await,
        Err(error) => findings.push(Finding::fail("settings", error.to_string().trim(), None)),
    }
    findings.extend(server(flags).await);
    tell(&findings, screen)?;
    let fails = findings.iter().any(|finding| finding.verdict == Verdict::Fail);
    Ok(if fails { ExitStatus::Failed } else { ExitStatus::Ok })
}

fn settings(arguments: Arguments, flags: &ContextLayer) -> Result<AgentSettings, CommandError> {
    let Arguments { config, state_dir, tofu, secret_root, cli_config, delivery, sandbox, read_paths } = arguments;
    // Whether there is a server is looked at elsewhere.
    let server = flags.server.clone().unwrap_or_else(|| "http://127.0.0.1".to_owned());
    let server = Some(server);
    let mut layer = AgentLayer { server, secret_root, tofu, cli_config, sandbox, ..AgentLayer::default() };
    (layer.delivery, layer.read_paths, layer.state_dir) = (delivery, read_paths, state_dir);
    Ok(AgentSettings::load(config.as_deref(), layer)?)
}

async fn host(settings: &AgentSettings, findings: &mut Vec<Finding>) {
    let program = find::find(settings.tofu.as_deref(), settings.search_path.as_deref());
    match &program {
        Ok(program) => tofu(program, settings, findings),
        Err(error) => findings.push(Finding::fail("tofu", &error.to_string(), error.hint())),
    }
    findings.push(match SecretRoot::look(&settings.secret_roots) {
        Ok(root) => Finding::ok("secrets", format!("{} is in memory and ours alone", root.display())),
        Err(error) => Finding::fail("secrets", &error.to_string(), None),
    });
    findings.extend(leftovers(settings));
    let (sandbox, told) = match &program {
        Ok(program) => sandbox(settings, program).await,
        Err(_) => (Sandbox::Process, Finding::bad(Verdict::Warn, "sandbox", "cannot be tried without tofu", None)),
    };
    findings.push(told);
    findings.push(landlock());
    if program.is_ok() {
        findings.extend(sockets(settings, sandbox));
    }
    findings.extend(deliveries(settings, sandbox));
}

/// What an agent would have to wipe before it starts, and end with 74 where it cannot.
fn leftovers(settings: &AgentSettings) -> Option<Finding> {
    match secret_roots::left_by_agents(settings) {
        Ok(left) => {
            let names: Vec<String> = left.iter().map(|path| path.display().to_string()).collect();
            let message = format!("a dead agent's runs have left {}", names.join(", "));
            let hint = format!(
                "`nigari agent sweep --state-dir {}` wipes it, as an agent does at its start; with 74 it says what it \
                 cannot wipe",
                settings.state_directory.display()
            );
            (!left.is_empty()).then(|| Finding::bad(Verdict::Warn, "leftovers", &message, Some(hint)))
        }
        Err(error) => Some(Finding::bad(Verdict::Warn, "leftovers", &error.to_string(), error.hint())),
    }
}

/// Which sandbox an agent with these settings would take here, and why not the other.
async fn sandbox(settings: &AgentSettings, tofu: &Path) -> (Sandbox, Finding) {
    let subject = "sandbox";
    if settings.sandbox == SandboxChoice::Process {
        let message = "`process`, as the settings say: steps see what the agent's user sees, less what is the agent's";
        let hint = "leave `sandbox` out: steps then see nothing else of the host where that can be had";
        return (Sandbox::Process, Finding::bad(Verdict::Warn, subject, message, Some(hint.to_owned())));
    }
    let tried = match Launcher::open() {
        Ok(launcher) => sandbox_choice::trial_of(&launcher, tofu, settings).await,
        Err(error) => Err(error.to_string()),
    };
    match tried {
        Ok(true) => {
            let message = "`namespace`: a root, processes and secrets of its own for each step";
            (Sandbox::Namespace, Finding::ok(subject, message.to_owned()))
        }
        Ok(false) => {
            let message = format!("`namespace`, {}", sandbox_choice::NO_PROCESSES);
            let hint = "providers that look at /proc will miss it; in a systemd unit, ProtectKernelTunables=, \
                        ProtectKernelLogs= and ProtectHostname= do this without the BindReadOnlyPaths= of ours";
            (Sandbox::Namespace, Finding::bad(Verdict::Warn, subject, &message, Some(hint.to_owned())))
        }
        Err(reason) => {
            let is_wanted = settings.sandbox == SandboxChoice::Namespace;
            let (verdict, other) = if is_wanted { (Verdict::Fail, "") } else { (Verdict::Warn, "`process`, because ") };
            let message = format!("{other}`namespace` cannot be had: {reason}");
            let hint = "allow unprivileged user namespaces (sysctl user.max_user_namespaces, \
                        kernel.apparmor_restrict_unprivileged_userns, the container's seccomp profile)";
            (Sandbox::Process, Finding::bad(verdict, subject, &message, Some(hint.to_owned())))
        }
    }
}

fn landlock() -> Finding {
    let version = landlock_version();
    let files = match version {
        0 => "this kernel has none: in the sandbox `process` steps can read the agent's own files".to_owned(),
        _ => format!("version {version}: files are kept apart"),
    };
    match (version, left_open(version)) {
        (0, open) => {
            let message = [Some(files.as_str()), open].into_iter().flatten().collect::<Vec<_>>().join("; ");
            let hint = "Linux 6.12 or newer (5.13 for files alone), with `landlock` among the kernel's `lsm=`";
            Finding::bad(Verdict::Warn, "landlock", &message, Some(hint.to_owned()))
        }
        (_, Some(open)) => {
            let message = format!("{files}, signals are not; {open}");
            Finding::bad(Verdict::Warn, "landlock", &message, Some("Linux 6.12 or newer".to_owned()))
        }
        (_, None) => Finding::ok("landlock", format!("version {version}: files, signals, abstract Unix sockets")),
    }
}

/// In `process` nothing keeps a step from a socket that the agent's user may open.
fn sockets(settings: &AgentSettings, sandbox: Sandbox) -> Option<Finding> {
    let open = if sandbox == Sandbox::Process { reachable_sockets() } else { Vec::new() };
    let ruling = if settings.sandbox == SandboxChoice::Auto { ruling_sockets() } else { Vec::new() };
    let named =
        |sockets: &[PathBuf]| sockets.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    let message = format!("every configuration can talk to {}, and with it act outside of its step", named(&open));
    let hint = "give the agent a user that may not open them, or let it have the sandbox `namespace`";
    let (verdict, end) = if ruling.is_empty() {
        (Verdict::Warn, String::new())
    } else {
        let with = "`--sandbox process` (`sandbox = \"process\"`), `nigari up` all the same";
        (Verdict::Fail, format!("; because of {} an agent starts here only with {with}", named(&ruling)))
    };
    (!open.is_empty()).then(|| Finding::bad(verdict, "sockets", &format!("{message}{end}"), Some(hint.to_owned())))
}

/// The ways that the settings lead to, and the one that a workspace may ask for where they have no wish.
fn deliveries(settings: &AgentSettings, sandbox: Sandbox) -> Vec<Finding> {
    let of = |wish: DeliveryChoice, when: &str| -> Vec<Finding> {
        meanings(wish, sandbox).into_iter().map(|way| delivery(settings, sandbox, way, when)).collect()
    };
    let mut findings = of(settings.delivery, settings.delivery.word());
    if settings.delivery == DeliveryChoice::Auto {
        findings.extend(of(DeliveryChoice::File, "auto, where a workspace asks for it and the integration permits it"));
    }
    findings
}

/// What a delivery means, and what it leaves open, whatever else is right here.
fn delivery(settings: &AgentSettings, sandbox: Sandbox, (way, meaning): (&str, &str), when: &str) -> Finding {
    let beside = match settings.concurrency.get() {
        1 => "one run at a time here".to_owned(),
        runs => format!("{runs} runs at the same time here"),
    };
    let besides = match sandbox {
        Sandbox::Namespace => "",
        Sandbox::Process => {
            "; and at any time every expression can read the files of the agent's user, but the agent's own"
        }
    };
    let text = format!("`{way}` ({when}), {beside}: {meaning}{besides}");
    if settings.delivery == DeliveryChoice::File {
        return Finding::bad(Verdict::Warn, "delivery", &text, Some(EXPOSURE_HINT.to_owned()));
    }
    Finding::ok("delivery", text)
}

fn is_by_broker(settings: &AgentSettings) -> bool {
    matches!(settings.delivery, DeliveryChoice::Auto | DeliveryChoice::Broker)
}

fn tofu(program: &Path, settings: &AgentSettings, findings: &mut Vec<Finding>) {
    let cli_configuration = settings.cli_configuration.as_deref();
    let mut line = CommandLine::new(program);
    line.arguments = words::version();
    line.environment = cli_configuration
        .map(|file| vec![("TF_CLI_CONFIG_FILE".into(), file.as_os_str().to_owned())])
        .unwrap_or_default();
    let captured = match capture(&line, LIMIT, OUTPUT_BYTES) {
        Ok(captured) => captured,
        Err(error) => return findings.push(Finding::fail("tofu", &error.to_string(), None)),
    };
    findings.push(match Version::from_output(&captured.stdout) {
        Ok(version) => match version.check(CredentialHolder::Tofu) {
            Ok(()) => Finding::ok("tofu", format!("OpenTofu {version} at {}", program.display())),
            // The broker gives it no credential that it could lose.
            Err(error) if is_by_broker(settings) && version.check(CredentialHolder::Gateway).is_ok() => {
                Finding::bad(Verdict::Warn, "tofu", &error.to_string(), error.hint())
            }
            Err(error) => Finding::fail("tofu", &error.to_string(), error.hint()),
        },
        Err(error) => Finding::fail("tofu", &error.to_string(), error.hint()),
    });
    let Some(file) = cli_configuration else { return };
    let name = file.display();
    findings.push(match find_problems(&String::from_utf8_lossy(&captured.stderr)) {
        Problems::None => Finding::ok("CLI configuration", format!("tofu takes {name}")),
        Problems::Warnings => Finding::bad(
            Verdict::Warn,
            "CLI configuration",
            &format!("tofu warns about {name}"),
            Some(format!("`TF_CLI_CONFIG_FILE={name} tofu version` shows why")),
        ),
        Problems::Errors(text) => {
            let text = text.lines().collect::<Vec<_>>().join(" ");
            Finding::fail("CLI configuration", &format!("tofu refuses {name}: {text}"), None)
        }
    });
}

async fn server(flags: &ContextLayer) -> Vec<Finding> {
    let context = match Context::load(flags) {
        Ok(context) => context,
        Err(error) => {
            let text = error.to_string().replace("\nhint: ", "; hint: ");
            return vec![Finding::bad(Verdict::Warn, "server", &text, None)];
        }
    };
    let anonymous = client(context.server.as_str(), TokenSource::none(), context.ca_file.as_deref());
    let ready = match &anonymous {
        Ok(client) => client.readyz().await.map_err(|error| told(&error)),
        Err(error) => Err(error.to_string()),
    };
    if let Err(message) = ready {
        return vec![Finding::fail("server", &message, None)];
    }
    let mut findings = vec![Finding::ok("server", format!("{} is ready", context.server))];
    if let Ok(client) = &anonymous
        && let Ok(Some(date)) = client.server_date().await
    {
        findings.extend(clock(&date, Clock::new().now()));
    }
    let whoami = async {
        let session = Session::open(flags, Screen::new(false)).map_err(|error| (error.to_string(), error.hint()))?;
        session.client.whoami().await.map_err(|error| (told(&error), None))
    };
    let whoami = whoami.await;
    let has_token = whoami.is_ok();
    findings.push(match whoami {
        Ok(whoami) if whoami.server_version == env!("CARGO_PKG_VERSION") => {
            Finding::ok("token", format!("`{}`, role {}", whoami.name, whoami.role))
        }
        Ok(whoami) => {
            let message = format!("the server is {}, this is {}", whoami.server_version, env!("CARGO_PKG_VERSION"));
            Finding::bad(Verdict::Warn, "token", &message, Some("use the same version on both sides".to_owned()))
        }
        Err((message, hint)) => Finding::fail("token", &message, hint),
    });
    if has_token && let Ok(session) = Session::open(flags, Screen::new(false)) {
        findings.extend(agents(&session.client).await);
    }
    findings
}

/// Whether each pool has somebody who takes its runs. A token that may not see agents is told nothing.
async fn agents(client: &Client) -> Vec<Finding> {
    let (Ok(agents), Ok(pools)) = (client.agents().await, client.agent_pools().await) else { return Vec::new() };
    let of_pool = |pool: AgentPool| {
        if let Some(nobody) = waiting::told_of_pool(&pool.name, &agents) {
            let hint = "its runs wait; start an agent, or look at `journalctl -u nigari-agent` on its host";
            return Finding::bad(Verdict::Warn, "agents", &nobody, Some(hint.to_owned()));
        }
        let is_there = |agent: &&Agent| agent.pool == pool.name && agent.status == AgentStatus::Online;
        let names: Vec<&str> = agents.iter().filter(is_there).map(|agent| agent.name.as_str()).collect();
        Finding::ok("agents", format!("pool `{}`: {} online ({})", pool.name, names.len(), names.join(", ")))
    };
    pools.into_iter().map(of_pool).collect()
}

/// Compares the server's `Date` with our wall clock (microseconds). What cannot be read says nothing.
fn clock(date: &str, now: Timestamp) -> Option<Finding> {
    let there = rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?.as_second();
    let apart = there.abs_diff(now / 1_000_000);
    Some(if apart <= CLOCKS_APART.as_secs() {
        Finding::ok("clock", "this host and the server agree".to_owned())
    } else {
        let message = format!("this host and the server are {apart} s apart");
        let hint = "set the clocks by NTP: certificates, expiries and records depend on them";
        Finding::bad(Verdict::Warn, "clock", &message, Some(hint.to_owned()))
    })
}

fn told(error: &ClientError) -> String {
    error.to_string()
}

fn tell(findings: &[Finding], screen: Screen) -> Result<(), CommandError> {
    if screen.json {
        return screen.json(findings);
    }
    let width = findings.iter().map(|finding| finding.subject.len()).max().unwrap_or(0);
    for Finding { verdict, subject, message, hint } in findings {
        let word = match verdict {
            Verdict::Ok => "ok  ",
            Verdict::Warn => "warn",
            Verdict::Fail => "fail",
        };
        screen.line(format_args!("{word}  {subject:<width$}  {message}"))?;
        if let Some(hint) = hint {
            screen.line(format_args!("      {:<width$}  hint: {hint}", ""))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Verdict, clock};

    #[test]
    fn clocks_that_are_apart_are_told() {
        let date = "Sat, 21 Nov 2026 10:20:30 GMT";
        let there = 1_795_256_430;
        for (ours, verdict) in [(there, Verdict::Ok), (there + 30, Verdict::Ok), (there - 31, Verdict::Warn)] {
            assert_eq!(clock(date, ours * 1_000_000).unwrap().verdict, verdict, "{ours}");
        }
        assert!(clock("yesterday", 0).is_none());
    }
}
