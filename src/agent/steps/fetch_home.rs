//! `HOME` of the fetch step, unless the operator gave one: nothing is there, and nothing can be put there.
//!
//! Rule: what reads settings of a home in that step (the AWS SDK's `credential_process`, hg) would read what the step itself
//! has written there: sources exist that make tofu write outside of a module's directory. What starts a program without
//! any shell is switched off in any home.

use std::fs::{Permissions, set_permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use super::Run;
use crate::protocol::run::Step;
use crate::secret::Secret;

/// In the run's directory in memory.
const DIRECTORY: &str = "home";

/// Files that the AWS SDK reads in a home, and by these names wherever they are.
const OF_AWS: [&str; 2] = ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"];

/// Whether Google's libraries look for a client certificate, for which they start what a file in the home, in that of the
/// user or one that a variable names tells them to (`cloud.google.com/go/auth`, `internal/transport/cba.go`).
const OF_GOOGLE: (&str, &str) = ("GOOGLE_API_USE_CLIENT_CERTIFICATE", "false");

/// What leads the step there.
#[derive(Debug, Default)]
pub(super) struct FetchHome {
    pub(super) variables: Vec<(String, Secret)>,
    /// What the step must be able to see for it.
    pub(super) readable: Vec<PathBuf>,
}

/// `HOME` of a step, where the operator gave none.
pub(super) fn of(run: &Run<'_>, step: Step) -> PathBuf {
    if step == Step::Fetch { run.directory.private().path().join(DIRECTORY) } else { run.directory.home() }
}

/// Makes that of the fetch step, where it is needed.
pub(super) fn make(run: &Run<'_>) -> io::Result<FetchHome> {
    let mut made = FetchHome::default();
    made.variables.push((OF_GOOGLE.0.to_owned(), Secret::from(OF_GOOGLE.1)));
    if run.host.settings.home.is_some() {
        return Ok(made);
    }
    let private = run.directory.private();
    private.make_directory(DIRECTORY)?;
    let directory = of(run, Step::Fetch);
    set_permissions(&directory, Permissions::from_mode(0o500))?;
    made.variables.extend(OF_AWS.map(|name| (name.to_owned(), Secret::from("/dev/null"))));
    made.readable.push(directory);
    Ok(made)
}
