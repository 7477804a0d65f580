//! What `nigari::tofu` believes of OpenTofu, held against the real program.

#![expect(clippy::unwrap_used, reason = "in a test every failure is a panic")]

mod backend;
mod cli_configuration;
mod hint;
mod modules;
mod steps;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use support::child::{Finished, command, run};

/// A directory with a configuration, an empty home, and the real tofu.
struct Bench {
    tofu: PathBuf,
    directory: tempfile::TempDir,
    variables: Vec<(String, OsString)>,
}

impl Bench {
    /// `None` after having said that tofu is missing.
    fn new(files: &[(&str, &str)]) -> Option<Self> {
        let tofu = support::require::tofu()?;
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(directory.path().join("home")).unwrap();
        let bench = Self { tofu, directory, variables: Vec::new() };
        bench.write("cli.tfrc", "");
        for (name, text) in files {
            bench.write(&format!("configuration/{name}"), text);
        }
        Some(bench)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn configuration(&self) -> PathBuf {
        self.path("configuration")
    }

    fn data(&self) -> PathBuf {
        self.path("configuration/.terraform")
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.variables.push((name.to_owned(), value.into()));
    }

    /// Runs tofu with an empty environment but for what was set; `cli.tfrc` is its CLI configuration.
    fn tofu(&self, arguments: &[OsString]) -> Finished {
        self.tofu_with(&self.path("cli.tfrc"), arguments)
    }

    fn tofu_with(&self, cli_configuration: &Path, arguments: &[OsString]) -> Finished {
        std::fs::create_dir_all(self.configuration()).unwrap();
        let mut tofu = command(&self.tofu);
        tofu.args(arguments).current_dir(self.configuration()).env_clear();
        tofu.env("HOME", self.path("home")).env("TF_INPUT", "0").env("TF_CLI_CONFIG_FILE", cli_configuration);
        tofu.envs(self.variables.iter().map(|(name, value)| (name, value)));
        run(tofu).unwrap()
    }
}
