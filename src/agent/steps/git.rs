//! What git and its ssh may do in a step.
//!
//! Rule: git reads no file but the repository that it is told to fetch and asks nobody, because `tofu get` starts it and
//! a configuration file of git's can start anything; ssh reads no configuration file and talks to no host whose key it
//! does not know. The operator's key for modules exists in the fetch step alone, in its secret directory.

use std::path::{Path, PathBuf};

use crate::agent::failure::{Stop, describe};
use crate::protocol::run::Step;
use crate::sandbox::SecretFile;
use crate::secret::Secret;
use crate::settings::agent::Ssh;
use crate::settings::secret_file;

/// What git must do, whatever its files say.
const SETTINGS: [(&str, &str); 4] = [
    // A repository is one that is named, not one that an upload makes of the directory where git happens to start.
    ("safe.bareRepository", "explicit"),
    // `ext::` is a command line.
    ("protocol.ext.allow", "never"),
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
];

/// The same in the fetch step alone, where no program of a configuration has a repository of its own to work in: an empty
/// one forgets those that other files name, which are commands too.
const FETCH_SETTING: (&str, &str) = ("credential.helper", "");

/// ssh without its configuration, which could start programs; it asks nobody, so an unknown host is an error.
const SSH: &str = "ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=yes";

const COMMAND: &str = "GIT_SSH_COMMAND";

/// The variables of every step (git(1), git-config(1)). ssh finds keys and known hosts of the agent's user, unless the
/// fetch step has its own.
pub(super) fn variables(run_directory: &Path, step: Step) -> Vec<(String, Secret)> {
    let of_fetch = (step == Step::Fetch).then_some(FETCH_SETTING);
    let settings: Vec<(&str, &str)> = SETTINGS.into_iter().chain(of_fetch).collect();
    let ceiling = run_directory.parent().unwrap_or(run_directory).display().to_string();
    let mut variables = vec![
        ("GIT_CONFIG_NOSYSTEM".to_owned(), Secret::from("1")),
        ("GIT_CONFIG_GLOBAL".to_owned(), Secret::from("/dev/null")),
        ("GIT_ATTR_NOSYSTEM".to_owned(), Secret::from("1")),
        ("GIT_CEILING_DIRECTORIES".to_owned(), Secret::new(ceiling)),
        ("GIT_TERMINAL_PROMPT".to_owned(), Secret::from("0")),
        ("GIT_ASKPASS".to_owned(), Secret::from("/bin/false")),
        (COMMAND.to_owned(), Secret::from(SSH)),
        ("GIT_CONFIG_COUNT".to_owned(), Secret::new(settings.len().to_string())),
    ];
    if of_fetch.is_some() {
        // Empty, it wins over `core.gitProxy`, which is a command.
        variables.push(("GIT_PROXY_COMMAND".to_owned(), Secret::from("")));
    }
    for (number, (name, value)) in settings.into_iter().enumerate() {
        variables.push((format!("GIT_CONFIG_KEY_{number}"), Secret::from(name)));
        variables.push((format!("GIT_CONFIG_VALUE_{number}"), Secret::from(value)));
    }
    variables
}

/// The fetch step's own: the operator's key and known hosts as files of the secret directory `directory`, and the
/// command that names them.
pub(super) fn for_fetch(ssh: &Ssh, directory: &Path) -> Result<(Vec<SecretFile>, (String, Secret)), Stop> {
    let (mut files, mut command) = (Vec::new(), SSH.to_owned());
    if let Some(hosts) = &ssh.known_hosts {
        let file =
            SecretFile { path: PathBuf::from("ssh/known_hosts"), content: read(hosts, secret_file::read_public)? };
        // The directory's name is ours: nothing in it has to be quoted.
        let path = directory.join(&file.path);
        command = format!("{command} -o UserKnownHostsFile={} -o GlobalKnownHostsFile=/dev/null", path.display());
        files.push(file);
    }
    if let Some(key) = &ssh.key {
        let file = SecretFile { path: PathBuf::from("ssh/key"), content: read(key, secret_file::read_whole)? };
        command = format!("{command} -i {} -o IdentitiesOnly=yes", directory.join(&file.path).display());
        files.push(file);
    }
    Ok((files, (COMMAND.to_owned(), Secret::new(command))))
}

fn read(path: &Path, how: fn(&Path) -> Result<Secret, secret_file::SecretFileError>) -> Result<Secret, Stop> {
    how(path).map_err(|error| Stop::infrastructure(describe(&error), error.hint()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::for_fetch;
    use crate::agent::failure::Stop;
    use crate::settings::agent::Ssh;

    #[test]
    fn without_settings_ssh_looks_where_it_always_does_but_checks_the_host() {
        let (files, (name, command)) = for_fetch(&Ssh::default(), Path::new("/dev/shm/x")).unwrap();
        assert!(files.is_empty() && name == "GIT_SSH_COMMAND");
        let command = command.expose();
        assert!(command.contains("StrictHostKeyChecking=yes") && !command.contains("KnownHostsFile"), "{command}");
    }

    #[test]
    fn key_and_known_hosts_are_the_fetch_steps_own_files_byte_for_byte() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("hosts"), "h ssh-ed25519 AAAA\n").unwrap();
        std::fs::write(path("key"), "-----BEGIN\n").unwrap();
        let ssh = Ssh { known_hosts: Some(path("hosts")), key: Some(path("key")) };
        let Err(Stop::Failed(failure)) = for_fetch(&ssh, Path::new("/s")) else { panic!("a key that all may read") };
        assert!(failure.hint.unwrap().starts_with("chmod 600 "));
        std::fs::set_permissions(path("key"), std::fs::Permissions::from_mode(0o600)).unwrap();
        let (files, (_, command)) = for_fetch(&ssh, Path::new("/s")).unwrap();
        assert_eq!(files[1].content.expose(), "-----BEGIN\n");
        let command = command.expose();
        assert!(command.contains("UserKnownHostsFile=/s/ssh/known_hosts") && command.contains("-i /s/ssh/key "));
    }
}
