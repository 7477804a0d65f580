//! Why the operator's CLI configuration cannot be merged.
//!
//! Rule: a file and a line, never a piece of the file: it may be a token.

use std::path::PathBuf;

use thiserror::Error;

/// Why the operator's CLI configuration cannot be merged.
#[derive(Debug, Error)]
pub enum CliConfigurationError {
    /// A file or directory that was named cannot be read, or is not UTF-8.
    #[error("the CLI configuration {} cannot be read", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// tofu could not parse it either.
    #[error("the CLI configuration {}, line {line}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        message: &'static str,
    },
    /// An `oci_mirror` of which cannot be known what it mirrors.
    #[error("the CLI configuration {}, line {line}: `oci_mirror` cannot be used: {message}", path.display())]
    OciMirror {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        message: &'static str,
    },
    /// A path that tofu would look for in the run's own directory, where the configuration's author decides.
    #[error("the CLI configuration {}, line {line}: the path of `{argument}` is relative", path.display())]
    Relative {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The argument's name.
        argument: &'static str,
    },
    /// Two files set the same argument.
    #[error("the CLI configuration {}, line {line}: `{argument}` is set in another file as well", path.display())]
    Twice {
        /// The later file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The argument's name.
        argument: String,
    },
    /// JSON and native files together, with more than `credentials` in the JSON.
    #[error("the CLI configuration {}, line {line}: JSON that cannot be merged with a file that is not JSON", path.display())]
    MixedSyntax {
        /// The JSON file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// A path of ours cannot be written into the text.
    #[error("the path {} cannot be named in a CLI configuration", .0.display())]
    OurPath(PathBuf),
}

impl CliConfigurationError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Read { .. } => "check the path in the agent's settings and that its user may read it",
            Self::Syntax { .. } => "run `tofu version` with TF_CLI_CONFIG_FILE set to the file: tofu shows it too",
            Self::OciMirror { .. } => {
                "write for example `repository_template = \"registry.example.com/tofu/${namespace}/${type}\"` and `include = \
                 [\"registry.opentofu.org/*/*\"]`"
            }
            Self::Relative { .. } => "write the path from the root, beginning with `/`",
            Self::Twice { .. } => "leave one of them",
            Self::MixedSyntax { .. } => "write all files of the CLI configuration in the same syntax",
            Self::OurPath(_) => "the run directories must be on an absolute path in UTF-8",
        };
        Some(hint.to_owned())
    }
}
