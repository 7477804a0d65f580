//! `PATH` of the fetch step, which leads to programs of ours before those of the host.
//!
//! Rule: git, hg and sh are there only behind a fence of their own (`sandbox/nested.rs`), also where the host has none of
//! them: tofu takes the next that can be started. Then comes what the delivery brings. The names lie in the run's directory
//! in memory and go with it.

use std::io;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use rustix::fs::{Access, access};

use crate::agent::private::PrivateDirectory;
use crate::sandbox::{OwnProgram, nested};
use crate::secret::Secret;

/// In the run's directory in memory.
const DIRECTORY: &str = "programs";

/// What leads a step to these programs.
#[derive(Debug)]
pub(super) struct SearchPath {
    pub(super) variables: Vec<(String, Secret)>,
    /// What the step must be able to read for it.
    pub(super) readable: Vec<PathBuf>,
}

impl SearchPath {
    /// Puts them in place: `program` under each name, then the directories `brought`, then `host`, the agent's `PATH`.
    pub(super) fn place(
        private: &PrivateDirectory,
        program: &OwnProgram,
        brought: &[PathBuf],
        host: &str,
    ) -> io::Result<Self> {
        private.make_directory(DIRECTORY)?;
        let directory = private.path().join(DIRECTORY);
        for name in nested::PROGRAMS {
            symlink(program.path(), directory.join(name))?;
            // On a file system without programs (`noexec`), say.
            access(directory.join(name), Access::EXEC_OK)?;
        }
        let mut readable = vec![directory];
        readable.extend_from_slice(brought);
        let ours: Vec<String> = readable.iter().map(|directory| directory.display().to_string()).collect();
        let variables = vec![
            ("PATH".to_owned(), Secret::new(format!("{}:{host}", ours.join(":")))),
            (nested::SEARCH_PATH_VARIABLE.to_owned(), Secret::from(host)),
        ];
        readable.push(program.path().to_owned());
        Ok(Self { variables, readable })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::SearchPath;
    use crate::agent::private::PrivateDirectory;
    use crate::sandbox::{OwnProgram, SecretRoot};

    #[test]
    fn ours_come_first_whatever_the_host_has() {
        let place = tempfile::tempdir().unwrap();
        let root = SecretRoot::choose(&[place.path().to_owned()], true).unwrap();
        let private = PrivateDirectory::make(&root, "run-1").unwrap();
        let program = OwnProgram::find(place.path()).unwrap();
        let placed = SearchPath::place(&private, &program, &["/brought".into()], "/usr/bin:/bin").unwrap();
        let programs = private.path().join("programs");
        for name in ["git", "hg", "sh"] {
            assert_eq!(fs::read_link(programs.join(name)).unwrap(), program.path());
        }
        let value = |name: &str| placed.variables.iter().find(|(one, _)| one == name).unwrap().1.expose().to_owned();
        assert_eq!(value("PATH"), format!("{}:/brought:/usr/bin:/bin", programs.display()));
        assert_eq!(value("NIGARI_SEARCH_PATH"), "/usr/bin:/bin");
        assert_eq!(placed.readable, [programs, "/brought".into(), program.path().to_owned()]);
    }

    #[test]
    fn a_program_that_cannot_be_started_is_no_way_to_the_hosts() {
        let place = tempfile::tempdir().unwrap();
        let root = SecretRoot::choose(&[place.path().to_owned()], true).unwrap();
        let private = PrivateDirectory::make(&root, "run-1").unwrap();
        let program = OwnProgram::plain(place.path().join("no-program"));
        fs::write(program.path(), "").unwrap();
        assert!(SearchPath::place(&private, &program, &[], "/usr/bin:/bin").is_err());
    }
}
