//! From what a failed step printed to what a person can do.
//!
//! Rule: a hint names hosts, paths and names of integrations, never a value; without a pattern that the real program
//! is known to print there is no hint.

mod output;

use output::Output;

/// A registry integration whose credential the run got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// The integration's name.
    pub integration: String,
    /// `host[:port]`.
    pub registry_host: String,
    /// Path prefix, empty for the whole host.
    pub path: String,
}

/// A registry integration whose credential the run did not get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withheld {
    /// The integration's name.
    pub integration: String,
    /// `host[:port]`.
    pub registry_host: String,
    /// Path prefix, empty for the whole host.
    pub path: String,
    /// Why it was withheld.
    pub reason: WithheldReason,
}

/// Why a credential was withheld.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithheldReason {
    /// *Export credentials* is off.
    ExportOff,
    /// The integration is disabled.
    Disabled,
    /// The workspace is not in the integration's scope.
    OutOfScope,
    /// The delivery is `file`, which the integration does not permit.
    FileNotPermitted,
    /// The server cannot open its secret.
    Unreadable,
}

/// What is known about the run's credentials.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known<'a> {
    /// What was delivered.
    pub delivered: &'a [Delivered],
    /// What was withheld.
    pub withheld: &'a [Withheld],
}

/// A sentence that says what to do, if the failed step's output (its end is enough; colours and tofu's frame may be
/// in it) shows why it failed. `faults` are what the broker saw besides, each with its host first: `` `HOST` … ``.
pub fn find(output: &str, faults: &[String], known: Known<'_>) -> Option<String> {
    if Output::new(output).has("As a result of the above problems, OpenTofu may not behave as intended") {
        return Some(
            "the CLI configuration that the agent was given is broken; its operator has to mend it".to_owned(),
        );
    }
    let mut errors = Output::errors(output);
    for fault in faults {
        let host = fault.split('`').nth(1).unwrap_or_default();
        let of_host = errors.iter().position(|error| names_of(host).iter().any(|name| error.names(name)));
        let alone = (errors.len() == 1).then_some(0);
        if let Some(error) = of_host.or(alone).and_then(|at| errors.get_mut(at)) {
            error.push(fault);
        }
    }
    errors.iter().find_map(|error| find_in(error, known))
}

fn find_in(error: &Output, known: Known<'_>) -> Option<String> {
    access(error, known)
        .or_else(|| connection(error, known))
        .or_else(|| missing(error))
        .or_else(|| ssh(error))
        .or_else(|| usage(error))
        .or_else(|| short_name(error))
}

/// The same for the steps without registries: what the configuration or its variables lack.
pub fn find_after_fetch(output: &str) -> Option<String> {
    let output = Output::new(output);
    usage(&output).or_else(|| not_fetched(&output))
}

/// A provider that the fetch step did not know of.
fn not_fetched(output: &Output) -> Option<String> {
    output.has("was not found in any of the search locations").then(|| {
        "with an `oci_mirror` every provider comes in the fetch step: one that only the state needs has to be named in \
         `required_providers` until its resources are gone, and agents of one pool need the same `cli_config`"
            .to_owned()
    })
}

/// The short name that people know.
const DOCKER_IO: &str =
    "OpenTofu never sends credentials to `docker.io`: write the source as `oci://registry-1.docker.io/…`";

/// Whatever went wrong there, a private module can never come from it.
fn short_name(output: &Output) -> Option<String> {
    output.registry_host().filter(|host| host.eq_ignore_ascii_case("docker.io")).map(|_| DOCKER_IO.to_owned())
}

/// What the registry answered when it was asked for access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    NoCredential,
    WrongCredential,
    Denied,
    NotFound,
}

fn access(output: &Output, known: Known<'_>) -> Option<String> {
    let refusal = refusal(output)?;
    let host = output.registry_host()?;
    if host.eq_ignore_ascii_case("docker.io") {
        return Some(DOCKER_IO.to_owned());
    }
    if let Some(withheld) = withheld(output, known, &host) {
        return Some(withheld.sentence());
    }
    let delivered = delivered(output, known, &host);
    let elsewhere = known.delivered.iter().any(|delivered| same_host(&delivered.registry_host, &host));
    Some(match (refusal, delivered) {
        (Refusal::NotFound, Some(_)) => format!(
            "{host} has no such repository or tag, or the user of its registry integration may not see it; look at \
             the module's source"
        ),
        (Refusal::NotFound, None) => format!(
            "{host} has no such repository or tag, or shows it to nobody without a login; look at the module's source, \
             or {}",
            registry_add(&host, "")
        ),
        (Refusal::NoCredential, Some(_)) => other_path(&host),
        (_, None) if elsewhere => other_path(&host),
        (_, None) => format!("there is no registry integration for {host}: {}", registry_add(&host, "")),
        (Refusal::WrongCredential, Some(delivered)) => format!(
            "{host} does not accept the user or the secret of the registry integration {:?}; give it a new secret: \
             `nigari registry update {} --secret-stdin`",
            delivered.integration,
            word(&delivered.integration)
        ),
        (Refusal::Denied, Some(delivered)) => {
            format!(
                "the user of the registry integration {:?} for {host} may not read this repository",
                delivered.integration
            )
        }
    })
}

/// How to store a credential for `host`.
fn registry_add(host: &str, more: &str) -> String {
    format!("`nigari registry add NAME --url https://{host} --username USER{more} --export`")
}

fn untrusted(host: &str, delivered: Option<&Delivered>) -> String {
    let what_to_do = match delivered {
        Some(delivered) => {
            format!(
                "`nigari registry update {} --registry-ca-file ca.pem --secret-file FILE` (the secret \
                     is given again, because another authority could answer for the registry)",
                word(&delivered.integration)
            )
        }
        None => registry_add(host, " --registry-ca-file ca.pem"),
    };
    format!("{host} has a certificate of a private authority; give its CA certificate to nigari: {what_to_do}")
}

fn other_path(host: &str) -> String {
    format!(
        "a credential for {host} was delivered, but for another path than this module's; look at the path of its \
         registry integration"
    )
}

/// The narrowest integration whose credential the module could use.
fn delivered<'a>(output: &Output, known: Known<'a>, host: &str) -> Option<&'a Delivered> {
    let repository = output.repository(host);
    let covering = known
        .delivered
        .iter()
        .filter(|delivered| covers([&delivered.registry_host, &delivered.path], host, repository.as_deref()));
    covering.max_by_key(|delivered| delivered.path.len())
}

/// The narrowest integration that would have had a credential for the module.
fn withheld<'a>(output: &Output, known: Known<'a>, host: &str) -> Option<&'a Withheld> {
    let repository = output.repository(host);
    let covering = known
        .withheld
        .iter()
        .filter(|withheld| covers([&withheld.registry_host, &withheld.path], host, repository.as_deref()));
    covering.max_by_key(|withheld| withheld.path.len())
}

/// ORAS puts the answer behind the request; for a HEAD there is no text, only the status.
fn refusal(output: &Output) -> Option<Refusal> {
    if output.has("basic credential not found") || output.has("missing username or password for basic auth") {
        Some(Refusal::NoCredential)
    } else if output.has("response status code 401") {
        Some(Refusal::WrongCredential)
    } else if output.has("response status code 403") {
        Some(Refusal::Denied)
    } else if output.registry_host().is_some() && (output.has(": not found") || output.has("response status code 404"))
    {
        Some(Refusal::NotFound)
    } else {
        None
    }
}

/// No way there.
const UNREACHED: [&str; 5] = [
    "i/o timeout",
    "network is unreachable",
    "no route to host",
    "there is no route to it",
    "it did not answer in time",
];

fn connection(output: &Output, known: Known<'_>) -> Option<String> {
    let host = output.connection_host()?;
    let is_short = host.eq_ignore_ascii_case("docker.io");
    // That is where tofu connects to.
    let host = if is_short { "registry-1.docker.io".to_owned() } else { host };
    // What tofu says when it connects itself, and what the broker says when it does.
    let any = |texts: &[&str]| texts.iter().any(|text| output.has(text));
    let is_untrusted =
        any(&["x509: certificate signed by unknown authority", "by an authority that is not trusted here"]);
    // The private authority of a registry comes with its credential.
    if let Some(withheld) = withheld(output, known, &host).filter(|_| is_untrusted) {
        return Some(withheld.sentence());
    }
    let hint = if is_untrusted {
        untrusted(&host, delivered(output, known, &host))
    } else if any(&["x509: certificate is valid for", "x509: certificate is not valid for", "is for another name"]) {
        format!("the certificate of {host} has another name on it: write the source with a name that it has")
    } else if any(&["x509: certificate has expired", "its certificate has expired"]) {
        format!("the certificate of {host} has expired, or the clock of the agent's host is wrong")
    } else if any(&["server gave HTTP response to HTTPS client", "it answers without TLS"]) {
        format!("{host} speaks plain HTTP; OpenTofu takes modules over HTTPS only")
    } else if any(&["no such host", "the name cannot be resolved"]) {
        format!("the name {host} is not known on the agent's host: look at the source's spelling and at its resolver")
    } else if any(&["connection refused", "Connection refused", "the connection was refused"]) {
        format!("nothing listens at {host}, seen from the agent's host")
    } else if any(&UNREACHED) {
        format!("{host} cannot be reached from the agent's host: look at its network and proxy")
    } else {
        return None;
    };
    Some(if is_short { format!("{hint}; besides, {DOCKER_IO}") } else { hint })
}

fn missing(output: &Output) -> Option<String> {
    let cause = output.after("bearer realm ")?;
    let loopback = cause.contains("is a loopback, link-local, private, or unspecified address");
    let plain = cause.contains("uses http but registry was contacted over https");
    (loopback || plain).then(|| {
        "the registry names a token service that OpenTofu refuses; its operator has to give that service a public \
         HTTPS name"
            .to_owned()
    })
}

/// What ssh says when git fetches a module.
fn ssh(output: &Output) -> Option<String> {
    if output.has("Host key verification failed") {
        let file = "the file that `ssh_known_hosts_file` names in agent.toml";
        return Some(format!(
            "the key of the module's host is not known to the agent, or is another one: look at {file}"
        ));
    }
    output.has("Permission denied (publickey").then(|| {
        "the module's host does not take the agent's ssh key: give it one by `ssh_key_file` in agent.toml, or an ssh \
         agent by `fetch_pass_env = [\"SSH_AUTH_SOCK\"]`"
            .to_owned()
    })
}

fn usage(output: &Output) -> Option<String> {
    if output.has("No value for required variable") || output.has("Failed to request input") {
        return Some("a variable has no value: `nigari variable set`".to_owned());
    }
    if output.has("Unreadable module directory") {
        return Some("a module's directory was not uploaded: look at `.terraformignore`, or use `--root`".to_owned());
    }
    None
}

/// Whether an integration for this registry host and path is for that repository.
fn covers([registry_host, path]: [&str; 2], host: &str, repository: Option<&str>) -> bool {
    let path = path.trim_matches('/');
    let inside =
        |repository: &str| repository.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    same_host(registry_host, host) && (path.is_empty() || repository.is_none_or(inside))
}

impl Withheld {
    fn sentence(&self) -> String {
        let name = &self.integration;
        let place = if self.path.is_empty() {
            self.registry_host.clone()
        } else {
            format!("{}/{}", self.registry_host, self.path.trim_matches('/'))
        };
        let start = format!("registry integration {name:?} for {place}");
        match self.reason {
            WithheldReason::ExportOff => {
                format!(
                    "{start} exists but *export credentials* is off: `nigari registry update {} --export`",
                    word(name)
                )
            }
            WithheldReason::Disabled => {
                format!("{start} exists but is disabled: `nigari registry update {} --enable`", word(name))
            }
            WithheldReason::FileNotPermitted => {
                format!(
                    "{start} exists but does not permit the delivery `file`: use another delivery, or let it, `nigari \
                     registry update {} --permit-file`",
                    word(name)
                )
            }
            WithheldReason::OutOfScope => format!("{start} exists but not for this workspace"),
            WithheldReason::Unreadable => {
                format!(
                    "{start} exists but its secret cannot be opened any more: set it again, `nigari registry update {} \
                     --secret-stdin`",
                    word(name)
                )
            }
        }
    }
}

/// What a host is called in an error: tofu shows the name that the source has.
fn names_of(host: &str) -> Vec<&str> {
    if HUB.contains(&host) { HUB.into() } else { vec![host] }
}

/// All names of Docker Hub are one registry.
const HUB: [&str; 3] = ["registry-1.docker.io", "index.docker.io", "docker.io"];

fn same_host(one: &str, other: &str) -> bool {
    let hub = |host: &str| HUB.contains(&host);
    let (one, other) = (one.to_ascii_lowercase(), other.to_ascii_lowercase());
    one == other || (hub(&one) && hub(&other))
}

/// A name as one word of a shell command.
fn word(name: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.' | '/' | ':');
    if !name.is_empty() && name.chars().all(plain) {
        name.to_owned()
    } else {
        format!("'{}'", name.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests;
