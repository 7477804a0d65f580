//! What tofu starts for a module (git, hg, and a shell), behind a fence of its own within the step's.
//!
//! Rule: such a program does what strangers' files tell it, so it and all that it starts look neither into tofu's memory
//! nor at its environment, cannot signal it (from Linux 6.12 on), and are in another session, by which the credential helper
//! knows them; it works as if tofu had started it otherwise. One thread, no runtime, no settings, no secret. Where the kernel
//! has no Landlock it is started all the same: receipts say so.

use std::env::{split_paths, vars_os};
use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use rustix::fs::{Access, access};
use rustix::process::setsid;

use super::landlock::Fence;

/// The programs that OpenTofu's getters start: the third is what the AWS SDK gives a `credential_process` to.
pub const PROGRAMS: [&str; 3] = ["git", "hg", "sh"];

/// The variable with the step's own `PATH`, on which the real program is.
pub const SEARCH_PATH_VARIABLE: &str = "NIGARI_SEARCH_PATH";

/// Beginnings of variables that are tofu's business: they lead to its files and its credential helper's socket.
const OF_TOFU: [&str; 5] = ["TF_", "NIGARI_", "DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "HELM_REGISTRY_CONFIG"];

/// git's command that asks a server and needs no repository: it reads the settings of one that it is started in, which a
/// source can have planted in the configuration.
const LISTING: &str = "ls-remote";

/// As a shell says that there is no such program, and that it could not be started.
const NOT_FOUND: u8 = 127;
const NOT_STARTED: u8 = 126;

/// The one of [`PROGRAMS`] in whose place this process was started, by its own name.
pub fn in_place_of(own_name: Option<&OsStr>) -> Option<&'static str> {
    let name = Path::new(own_name?).file_name()?;
    PROGRAMS.into_iter().find(|program| name == *program)
}

/// The first program of this name on a `PATH`.
pub fn find(program: &str, search_path: &OsStr) -> Option<PathBuf> {
    let is_usable = |path: &PathBuf| path.is_absolute() && path.is_file() && access(path, Access::EXEC_OK).is_ok();
    split_paths(search_path).map(|directory| directory.join(program)).find(is_usable)
}

/// Becomes the real program, found on `search_path`; comes back only if that fails.
pub fn main(program: &str, arguments: impl Iterator<Item = OsString>, search_path: Option<&OsStr>) -> ExitCode {
    let (code, why) = match search_path.map(|path| (path, find(program, path))) {
        None => {
            (NOT_FOUND, "nigari stands in its place for tofu, in the fetch step of a run and nowhere else".to_owned())
        }
        Some((_, None)) => {
            let why = "not on the agent's PATH, or not in the step's sight; hint: `read_paths` in agent.toml";
            (NOT_FOUND, why.to_owned())
        }
        Some((path, Some(real))) => {
            let error = become_it(&real, arguments, path);
            (NOT_STARTED, format!("nigari cannot start {} apart from tofu: {error}", real.display()))
        }
    };
    // Nobody reads it any more: there is nobody to tell.
    let _ = writeln!(io::stderr(), "{program}: {why}");
    ExitCode::from(code)
}

fn become_it(real: &Path, arguments: impl Iterator<Item = OsString>, search_path: &OsStr) -> io::Error {
    if let Err(error) = leave_tofu() {
        return error;
    }
    #[expect(clippy::disallowed_methods, reason = "this process becomes it: streams, group and directory are tofu's")]
    let mut command = Command::new(real);
    let arguments: Vec<OsString> = arguments.collect();
    if real.ends_with("git") && arguments.first().is_some_and(|word| word == LISTING) {
        command.current_dir("/");
    }
    command.args(arguments).env("PATH", search_path);
    let is_tofus =
        |name: &OsString| OF_TOFU.iter().any(|beginning| name.as_encoded_bytes().starts_with(beginning.as_bytes()));
    for (name, _) in vars_os().filter(|(name, _)| is_tofus(name)) {
        command.env_remove(name);
    }
    command.exec()
}

/// Neither can be taken back by anything that this process becomes or starts.
fn leave_tofu() -> io::Result<()> {
    setsid()?;
    Fence::of_others_program().map_err(io::Error::other)?.close()
}

#[cfg(test)]
mod tests {
    use std::ffi::{OsStr, OsString};
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::{find, in_place_of};

    #[test]
    fn only_the_names_of_these_programs_count() {
        for (name, program) in [("git", "git"), ("/run/x/programs/hg", "hg"), ("./sh", "sh")] {
            assert_eq!(in_place_of(Some(OsStr::new(name))), Some(program));
        }
        for name in ["nigari", "git2", "git/nigari", "", "docker-credential-nigari", "ssh"] {
            assert_eq!(in_place_of(Some(OsStr::new(name))), None, "{name}");
        }
        assert_eq!(in_place_of(None), None);
    }

    #[test]
    fn the_first_that_can_be_started_is_found() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        for (directory, mode) in [("plain", 0o644), ("first", 0o755), ("second", 0o755)] {
            fs::create_dir(at(directory)).unwrap();
            fs::write(at(directory).join("git"), "#!/bin/sh\n").unwrap();
            fs::set_permissions(at(directory).join("git"), fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::create_dir_all(at("directory/git")).unwrap();
        let path = |names: &[&str]| -> OsString { std::env::join_paths(names.iter().map(|name| at(name))).unwrap() };
        let all = path(&["nowhere", "directory", "plain", "first", "second"]);
        assert_eq!(find("git", &all), Some(at("first/git")));
        assert_eq!(find("hg", &all), None);
        assert_eq!(find("git", OsStr::new("")), None);
        assert_eq!(find("git", OsStr::new("relative:.")), None);
    }
}
