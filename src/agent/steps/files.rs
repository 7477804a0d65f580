//! The run's variables of the kind `file`: cloud credentials, for the steps from `init` on.
//!
//! Rule: the fetch step has neither the files nor their names: it needs no cloud, and there expressions of the
//! configuration are evaluated beside registry credentials. The files are in the run's private directory in memory and
//! go with it; their path is below the run directory, equal on every host of a pool, because a saved plan that has seen
//! another path cannot be applied.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::Run;
use crate::agent::failure::Stop;
use crate::agent::private::PrivateDirectory;
use crate::protocol::agent::RunVariable;
use crate::protocol::api::VariableKind;
use crate::protocol::names;
use crate::protocol::run::Step;
use crate::sandbox::SecretFile;
use crate::secret::Secret;

/// Where the files are, in memory as well as (by a link) below the run directory.
const FILES: &str = "files";

/// Writes them, and makes the link to them; nothing when there are none.
pub(super) fn write(run: &Run<'_>) -> Result<(), Stop> {
    let files = of(&run.lease.claim.variables)?;
    if files.is_empty() {
        return Ok(());
    }
    write_into(run.directory.private(), run.directory.path(), &files)
        .map_err(|error| Stop::io("cannot write the run's files", &error))
}

/// The variables that name the files, in a step that has them.
pub(super) fn variables(run: &Run<'_>, step: Step) -> Vec<(String, Secret)> {
    if step == Step::Fetch {
        return Vec::new();
    }
    let named = |variable: &RunVariable| {
        (variable.name.clone(), Secret::new(path(run.directory.path(), &variable.name).display().to_string()))
    };
    run.lease.claim.variables.iter().filter(|variable| is_file(variable)).map(named).collect()
}

fn is_file(variable: &RunVariable) -> bool {
    variable.kind == VariableKind::File
}

/// `<run directory>/files/<name>`.
fn path(run_directory: &Path, name: &str) -> PathBuf {
    run_directory.join(FILES).join(name)
}

/// The files, each of a name that a variable may have. The server has checked that; a name that leads elsewhere would
/// be a path here.
fn of(variables: &[RunVariable]) -> Result<Vec<SecretFile>, Stop> {
    let each = variables.iter().filter(|variable| is_file(variable)).map(|variable| {
        names::check_file(&variable.name).map_err(|error| Stop::configuration(error.to_string(), None))?;
        Ok(SecretFile { path: Path::new(FILES).join(&variable.name), content: variable.value.duplicate() })
    });
    each.collect()
}

fn write_into(private: &PrivateDirectory, run_directory: &Path, files: &[SecretFile]) -> std::io::Result<()> {
    private.make_directory(FILES)?;
    for file in files {
        private.write_secret(file)?;
    }
    symlink(private.path().join(FILES), run_directory.join(FILES))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::{of, path, write_into};
    use crate::agent::private::PrivateDirectory;
    use crate::protocol::agent::RunVariable;
    use crate::protocol::api::VariableKind;
    use crate::sandbox::SecretRoot;

    fn variable(kind: VariableKind, name: &str, value: &str) -> RunVariable {
        RunVariable { kind, name: name.to_owned(), value: value.into(), sensitive: true }
    }

    #[test]
    fn files_are_in_memory_for_us_alone_and_their_path_is_the_runs_own() {
        let (run, shared) = (tempfile::tempdir().unwrap(), tempfile::tempdir_in("/dev/shm").unwrap());
        let root = SecretRoot::choose(&[shared.path().to_owned()], false).unwrap();
        let private = PrivateDirectory::make(&root, "run").unwrap();
        let variables = [
            variable(VariableKind::File, "TOKEN_FILE", "a\nb\n"),
            variable(VariableKind::Env, "TOKEN", "x"),
            variable(VariableKind::Tofu, "token", "x"),
        ];
        let files = of(&variables).unwrap();
        assert_eq!(files.len(), 1);
        write_into(&private, run.path(), &files).unwrap();
        let file = path(run.path(), "TOKEN_FILE");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "a\nb\n");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
        assert!(std::fs::canonicalize(&file).unwrap().starts_with(shared.path()));
        private.wipe().unwrap();
        assert!(std::fs::metadata(&file).is_err() && std::fs::symlink_metadata(run.path().join("files")).is_ok());
    }

    #[test]
    fn a_name_that_leads_elsewhere_or_changes_tofu_is_refused_here_too() {
        for name in ["../plan", "a/b", "", "PATH", "TF_CLI_CONFIG_FILE", "LD_PRELOAD"] {
            assert!(of(&[variable(VariableKind::File, name, "x")]).is_err(), "{name}");
        }
    }
}
