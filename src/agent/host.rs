//! What is the same for every run on this host, made once at the agent's start.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::alone::{self, Alone};
use super::failure::Stop;
use super::needles;
use super::operator::Operator;
use super::{AgentError, secret_roots};
use crate::clock::Clock;
use crate::delivery;
use crate::protocol::agent::RegistryCredential;
use crate::protocol::names;
use crate::redact::Redactions;
use crate::sandbox::{Launcher, Sandbox, SecretRoot};
use crate::secret::Secret;
use crate::settings::agent::{AgentSettings, DeliveryChoice};
use crate::tofu::cli_configuration::OperatorConfiguration;
use crate::tofu::find;
use crate::tofu::version::{CredentialHolder, Version};

/// Of the variables that an operator may pass, the one that names a directory for writing.
pub(super) const PLUGIN_CACHE: &str = "TF_PLUGIN_CACHE_DIR";

/// The host, as runs need it.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) settings: AgentSettings,
    pub(crate) launcher: Launcher,
    pub(crate) tofu: PathBuf,
    pub(crate) version: Version,
    pub(crate) secrets: SecretRoot,
    /// That one, and every other in which an earlier agent of this host may have left something.
    pub(crate) secret_roots: Vec<PathBuf>,
    pub(crate) operator: Operator,
    pub(crate) clock: Clock,
    /// `PATH` of the steps.
    pub(crate) search_path: String,
    /// For every step, by the operator's wish.
    pub(crate) passed: Vec<(String, Secret)>,
    /// For the fetch step, besides.
    pub(crate) passed_for_fetch: Vec<(String, Secret)>,
    /// The agent's own secrets, which must be nowhere either.
    pub(crate) redactions: Redactions,
    /// What steps run in; [`super::sandbox_choice`] says.
    pub(crate) sandbox: Sandbox,
    _alone: Alone,
}

impl Host {
    /// Looks at everything that a run will need, so that what is missing is told before a run is claimed. Blocks.
    pub(crate) fn prepare(mut settings: AgentSettings, launcher: Launcher) -> Result<Self, AgentError> {
        for (path, what) in [(&settings.state_directory, "state_dir"), (&settings.run_root, "run_root")] {
            make_private(path).map_err(|source| AgentError::Directory { what, path: path.clone(), source })?;
        }
        let alone = alone::lock(&settings.state_directory)?;
        if settings.run_root.to_str().is_none() {
            return Err(AgentError::NotUtf8(settings.run_root));
        }
        let secrets = SecretRoot::choose(&settings.secret_roots, false)?;
        let secret_roots = secret_roots::remember(&settings, secrets.path())?;
        let tofu = find::find(settings.tofu.as_deref(), settings.search_path.as_deref())?;
        let operator = Operator::new(settings.cli_configuration.clone(), tofu.clone());
        let (configuration, version) = operator.current(&secrets)?;
        version.check(holder(settings.delivery))?;
        if let Err(unsafe_alone) = version.check(CredentialHolder::Tofu) {
            tracing::info!(%unsafe_alone, "this version is given no credential itself: the broker keeps them");
        }
        let passed = allowed(std::mem::take(&mut settings.passed_environment));
        let passed_for_fetch = allowed(std::mem::take(&mut settings.fetch_environment));
        let proxies = Redactions::new();
        proxies.add(needles::of_proxies(passed.iter().chain(&passed_for_fetch)));
        warn_of_cache(&configuration, [&passed, &passed_for_fetch]);
        let search_path = settings.search_path.as_deref().and_then(|path| path.to_str());
        let search_path = search_path.unwrap_or(crate::sandbox::Base::PATH).to_owned();
        Ok(Self {
            settings,
            launcher,
            tofu,
            version,
            secrets,
            secret_roots,
            operator,
            clock: Clock::new(),
            search_path,
            passed,
            passed_for_fetch,
            // The session's own come and go below them.
            redactions: proxies.below(),
            sandbox: Sandbox::Process,
            _alone: alone,
        })
    }
}

impl Host {
    /// Whether providers come from an OCI registry, so that the fetch step has to fetch them as well.
    pub(crate) fn takes_from_oci_mirror(&self) -> bool {
        self.operator.current(&self.secrets).is_ok_and(|(operator, _)| operator.has_oci_mirror())
    }

    /// What the operator passes to the fetch step.
    pub(crate) fn passed_to_fetch(&self) -> Vec<(String, Secret)> {
        let all = self.passed.iter().chain(&self.passed_for_fetch);
        all.map(|(name, value)| (name.clone(), value.duplicate())).collect()
    }

    /// Whether this tofu may have these credentials in the way that they take.
    pub(crate) fn check_version(&self, credentials: &[RegistryCredential], wish: DeliveryChoice) -> Result<(), Stop> {
        let holder = match wish {
            _ if delivery::tofu_holds(credentials, wish) => CredentialHolder::Tofu,
            _ if credentials.is_empty() => CredentialHolder::Nobody,
            _ => CredentialHolder::Gateway,
        };
        self.version.check(holder).map_err(|error| Stop::infrastructure(error.to_string(), error.hint()))
    }
}

/// A provider that is a link into a cache cannot go with its run.
fn warn_of_cache(configuration: &OperatorConfiguration, passed: [&[(String, Secret)]; 2]) {
    let is_passed = passed.into_iter().flatten().any(|(name, _)| name == PLUGIN_CACHE);
    if configuration.has_oci_mirror() && (is_passed || configuration.places(None).cache.is_some()) {
        tracing::warn!(
            "the cache of providers is not used beside an `oci_mirror`: what comes from the mirror is fetched for each run \
             and stays with it"
        );
    }
}

/// Who may come to hold a credential; with `auto` each run is looked at by itself.
fn holder(wish: DeliveryChoice) -> CredentialHolder {
    match wish {
        DeliveryChoice::Auto | DeliveryChoice::Broker => CredentialHolder::Gateway,
        DeliveryChoice::Helper | DeliveryChoice::File => CredentialHolder::Tofu,
    }
}

/// Makes a directory of ours alone, with those above it; one that is there stays as it is.
pub(crate) fn make_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    if path.is_absolute() { Ok(()) } else { Err(io::Error::other("the path is not absolute")) }
}

/// What the operator may pass on: everything but what nigari sets itself or what starts foreign code in tofu. A
/// pattern matches more than was meant, so the rest is left out with a word and is no error.
fn allowed(passed: Vec<(std::ffi::OsString, Secret)>) -> Vec<(String, Secret)> {
    let mut kept = Vec::new();
    for (name, value) in passed {
        match name.into_string() {
            Ok(name) if !is_refused_to_operator(&name) => kept.push((name, value)),
            Ok(name) => tracing::warn!(name, "not passed to runs: nigari sets it itself, or it is dangerous"),
            Err(name) => tracing::warn!(name = %name.display(), "not passed to runs: its name is not portable"),
        }
    }
    kept
}

/// Names that the operator may not pass either. Trust, proxies and tokens of the whole host are the operator's own.
pub(crate) fn is_refused_to_operator(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    let is_operators = upper.ends_with("_PROXY")
        || upper.starts_with("SSL_CERT_")
        || upper.starts_with("TF_TOKEN_")
        || names::is_after_fetch(name)
        || matches!(upper.as_str(), PLUGIN_CACHE | "NETRC" | "SSH_AUTH_SOCK");
    !is_operators && names::is_refused(name)
}

#[cfg(test)]
mod tests {
    use super::is_refused_to_operator;

    #[test]
    fn the_operator_may_pass_proxies_and_trust_but_not_what_nigari_sets() {
        for name in [
            "HTTPS_PROXY",
            "no_proxy",
            "SSL_CERT_FILE",
            "AWS_PROFILE",
            "AWS_CONFIG_FILE",
            "KUBE_TOKEN",
            "SSH_AUTH_SOCK",
            "TF_TOKEN_app_terraform_io",
        ] {
            assert!(!is_refused_to_operator(name), "{name}");
        }
        for name in ["LD_PRELOAD", "TF_CLI_CONFIG_FILE", "TF_HTTP_PASSWORD", "PATH", "HOME", "NIGARI_TOKEN"] {
            assert!(is_refused_to_operator(name), "{name}");
        }
    }
}
