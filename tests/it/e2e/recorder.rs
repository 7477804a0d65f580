//! A tofu that writes down what it was given before it is tofu.

use std::fs;
use std::path::{Path, PathBuf};

use support::require;
use tempfile::TempDir;

use super::script;

/// The program, and what it has written down.
pub(super) struct Recorder {
    directory: TempDir,
}

/// One start of it.
pub(super) struct Start {
    /// `NAME=value`, as the kernel gave it (in the fetch step, which has no `/proc`, as the shell has it).
    pub(super) environment: Vec<String>,
    /// The CLI configuration that was named.
    pub(super) cli_configuration: String,
    /// `config.json` of `DOCKER_CONFIG`; empty when there is none.
    pub(super) docker_config: String,
    /// What `more` has written to `$to/memory`.
    pub(super) memory: String,
    /// Its process id.
    pub(super) pid: String,
    /// All of its arguments.
    pub(super) arguments: String,
}

impl Recorder {
    /// The real tofu, and before it `more`, in a shell whose `$1` is tofu's command.
    pub(super) fn with(more: &str) -> Option<Self> {
        let tofu = require::tofu()?;
        let directory = tempfile::tempdir().unwrap();
        let records = directory.path().join("records");
        fs::create_dir(&records).unwrap();
        let text = format!(
            "to=$(mktemp -d '{}/'$1.XXXXXX)\ncat /proc/$$/environ > $to/environ 2>&- || env -0 > $to/environ\necho $$ > $to/pid\necho \"$*\" > $to/arguments\ncp \"$TF_CLI_CONFIG_FILE\" \
             $to/tofu.tfrc 2>&-\ncp \"$DOCKER_CONFIG/config.json\" $to/ 2>&-\n{more}\nexec '{}' \"$@\"",
            records.display(),
            tofu.display()
        );
        script(&directory.path().join("tofu"), &text);
        Some(Self { directory })
    }

    pub(super) fn start() -> Option<Self> {
        Self::with("")
    }

    pub(super) fn program(&self) -> PathBuf {
        self.directory.path().join("tofu")
    }

    /// All starts of a command.
    pub(super) fn starts(&self, command: &str) -> Vec<Start> {
        let entries = fs::read_dir(self.directory.path().join("records")).unwrap().flatten();
        let of_command = entries
            .map(|entry| entry.path())
            .filter(|path| path.file_name().unwrap().to_str().unwrap().split('.').next() == Some(command));
        of_command.map(|path| read(&path)).collect()
    }

    /// The only start of a command.
    pub(super) fn only(&self, command: &str) -> Start {
        let mut starts = self.starts(command);
        assert_eq!(starts.len(), 1, "{command}");
        starts.remove(0)
    }
}

impl Start {
    /// A variable's value.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.environment.iter().find_map(|entry| entry.strip_prefix(name)?.strip_prefix('='))
    }
}

fn read(path: &Path) -> Start {
    let text = |name: &str| support::child::read_text(&path.join(name));
    let environment = text("environ").split_terminator('\0').map(str::to_owned).collect();
    Start {
        environment,
        cli_configuration: text("tofu.tfrc"),
        docker_config: text("config.json"),
        memory: text("memory"),
        pid: text("pid"),
        arguments: text("arguments"),
    }
}
