//! Finding the program: a path that the operator gave, or the first executable `tofu` of a search path.
//!
//! Rule: the answer is always an absolute path to a regular executable file. A relative directory in the search path
//! is passed over, because what it means would depend on where we stand.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use rustix::fs::Access;
use thiserror::Error;

/// What the program is called.
pub const PROGRAM: &str = "tofu";

/// Why there is no program to run.
#[derive(Debug, Error)]
pub enum FindError {
    /// No directory of the search path has it.
    #[error("no executable `tofu` was found on PATH")]
    NotOnPath,
    /// The path given is relative.
    #[error("the path {} of tofu is not absolute", .0.display())]
    Relative(PathBuf),
    /// Nothing that can be looked at is there.
    #[error("tofu at {} cannot be used", path.display())]
    Unusable {
        /// The path that was given.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Something is there that is not a file.
    #[error("{} is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// The file may not be executed by us.
    #[error("{} is not executable", .0.display())]
    NotExecutable(PathBuf),
}

impl FindError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotOnPath => {
                "install OpenTofu 1.12.6 or newer (https://opentofu.org/docs/intro/install), or give its \
                                path in the settings"
                    .to_owned()
            }
            Self::Relative(_) => "give the path from the root, beginning with `/`".to_owned(),
            Self::Unusable { .. } | Self::NotAFile(_) => "give the path of the program itself".to_owned(),
            Self::NotExecutable(path) => format!("chmod +x {}", path.display()),
        })
    }
}

/// Finds tofu: at `given` if the operator gave a path, else in the directories of `search_path` (a `PATH` value).
pub fn find(given: Option<&Path>, search_path: Option<&OsStr>) -> Result<PathBuf, FindError> {
    if let Some(path) = given {
        return usable(path).map(|()| path.to_path_buf());
    }
    search_path
        .into_iter()
        .flat_map(std::env::split_paths)
        .map(|directory| directory.join(PROGRAM))
        .find(|candidate| usable(candidate).is_ok())
        .ok_or(FindError::NotOnPath)
}

fn usable(path: &Path) -> Result<(), FindError> {
    if !path.is_absolute() {
        return Err(FindError::Relative(path.to_path_buf()));
    }
    let metadata =
        std::fs::metadata(path).map_err(|source| FindError::Unusable { path: path.to_path_buf(), source })?;
    if !metadata.is_file() {
        return Err(FindError::NotAFile(path.to_path_buf()));
    }
    rustix::fs::access(path, Access::EXEC_OK).map_err(|_| FindError::NotExecutable(path.to_path_buf()))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};

    use super::{FindError, find};

    fn program(directory: &Path, mode: u32) -> PathBuf {
        let path = directory.join("tofu");
        std::fs::write(&path, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn a_given_path_is_taken_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = program(directory.path(), 0o755);
        assert_eq!(find(Some(&path), None).unwrap(), path);
    }

    #[test]
    fn a_given_path_that_cannot_be_used_is_not_replaced_by_the_search() {
        let good = tempfile::tempdir().unwrap();
        program(good.path(), 0o755);
        let bad = tempfile::tempdir().unwrap();
        let not_executable = program(bad.path(), 0o644);
        let search = Some(good.path().as_os_str());
        assert!(matches!(find(Some(&not_executable), search), Err(FindError::NotExecutable(_))));
        assert!(matches!(find(Some(bad.path()), search), Err(FindError::NotAFile(_))));
        assert!(matches!(find(Some(&bad.path().join("none")), search), Err(FindError::Unusable { .. })));
        assert!(matches!(find(Some(Path::new("bin/tofu")), search), Err(FindError::Relative(_))));
    }

    #[test]
    fn the_search_passes_over_what_is_relative_missing_or_not_executable() {
        let bad = tempfile::tempdir().unwrap();
        program(bad.path(), 0o644);
        let good = tempfile::tempdir().unwrap();
        let expected = program(good.path(), 0o755);
        let mut search = OsString::from("bin::/nonexistent:");
        search.push(bad.path());
        search.push(":");
        search.push(good.path());
        assert_eq!(find(None, Some(&search)).unwrap(), expected);
        let error = find(None, Some(bad.path().as_os_str())).unwrap_err();
        assert!(matches!(error, FindError::NotOnPath) && error.hint().is_some());
        assert!(find(None, None).is_err());
    }
}
