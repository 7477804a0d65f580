//! The operator's CLI configuration, checked by tofu itself before any secret exists.
//!
//! Rule: tofu goes on after an error in its CLI configuration, with the host's own logins back in reach, so such an
//! error is fatal. It is looked for once per content of the file, not per run: a start of tofu costs more than all
//! that we add to a run.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};

use super::private::PrivateDirectory;
use crate::delivery::cli_config;
use crate::process::{CaptureError, CommandLine, capture};
use crate::sandbox::SecretRoot;
use crate::tofu::arguments;
use crate::tofu::cli_configuration::problems::{Problems, find};
use crate::tofu::cli_configuration::{CliConfigurationError, OperatorConfiguration};
use crate::tofu::version::{Version, VersionError};

const LIMIT: Duration = Duration::from_secs(30);
const OUTPUT_BYTES: u64 = 256 * 1024;

/// Why tofu cannot be used with the operator's CLI configuration, or at all.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// It cannot be merged.
    #[error(transparent)]
    Merge(#[from] CliConfigurationError),
    /// tofu did not start or did not end.
    #[error("`tofu version -json` could not be run")]
    Run(#[from] CaptureError),
    /// It ended badly.
    #[error("`tofu version -json` ended with {exit}: {stderr}")]
    Ended {
        /// How.
        exit: crate::process::ExitReason,
        /// The beginning of what it wrote.
        stderr: String,
    },
    /// Its version is not what it should be.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// tofu finds errors in the CLI configuration, as merged.
    #[error("tofu refuses the CLI configuration: {0}")]
    Refused(String),
    /// The check needs a directory.
    #[error("no directory for the check of the CLI configuration")]
    Directory(#[source] std::io::Error),
}

impl OperatorError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Merge(error) => error.hint(),
            Self::Version(error) => error.hint(),
            Self::Run(_) | Self::Ended { .. } => Some("is it really OpenTofu? run `tofu version -json`".to_owned()),
            Self::Refused(_) => Some("mend the file that the setting `cli_config` names".to_owned()),
            Self::Directory(_) => None,
        }
    }
}

/// The operator's CLI configuration and what is known of it.
#[derive(Debug)]
pub(crate) struct Operator {
    file: Option<PathBuf>,
    tofu: PathBuf,
    checked: Mutex<Option<Checked>>,
}

#[derive(Debug, Clone)]
struct Checked {
    digest: Vec<u8>,
    configuration: Arc<OperatorConfiguration>,
    version: Version,
}

impl Operator {
    pub(crate) fn new(file: Option<PathBuf>, tofu: PathBuf) -> Self {
        Self { file, tofu, checked: Mutex::new(None) }
    }

    /// Reads the file anew; tofu is asked only if its content changed. Blocks.
    pub(crate) fn current(&self, root: &SecretRoot) -> Result<(Arc<OperatorConfiguration>, Version), OperatorError> {
        let configuration = match &self.file {
            Some(file) => OperatorConfiguration::read(Some(file), None)?,
            None => OperatorConfiguration::none(),
        };
        let text = configuration.for_fetch(Path::new("/nonexistent/config.json"))?;
        let sum = digest(&SHA256, text.expose().as_bytes()).as_ref().to_vec();
        let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = checked.as_ref().filter(|known| known.digest == sum) {
            return Ok((Arc::clone(&known.configuration), known.version.clone()));
        }
        let version = ask(&self.tofu, root, text.expose())?;
        let configuration = Arc::new(configuration);
        *checked = Some(Checked { digest: sum, configuration: Arc::clone(&configuration), version: version.clone() });
        Ok((configuration, version))
    }
}

fn ask(tofu: &Path, root: &SecretRoot, text: &str) -> Result<Version, OperatorError> {
    let directory = PrivateDirectory::make(root, "check").map_err(OperatorError::Directory)?;
    directory.write(Path::new(cli_config::NAME), text.as_bytes()).map_err(OperatorError::Directory)?;
    let mut line = CommandLine::new(tofu);
    line.arguments = arguments::version();
    directory.path().clone_into(&mut line.working_directory);
    let (name, value) = cli_config::named(directory.path());
    line.environment = vec![(name.into(), value.into()), ("HOME".into(), directory.path().into())];
    let captured = capture(&line, LIMIT, OUTPUT_BYTES)?;
    let stderr = String::from_utf8_lossy(&captured.stderr);
    if let Problems::Errors(problems) = find(&stderr) {
        return Err(OperatorError::Refused(problems));
    }
    if !captured.exit.is_success() {
        return Err(OperatorError::Ended { exit: captured.exit, stderr: stderr.chars().take(500).collect() });
    }
    Ok(Version::from_output(&captured.stdout)?)
}
