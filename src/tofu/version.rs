//! `tofu version -json` and the gate: which versions may be given a registry credential, and which may run at all.
//!
//! Rule: a version that can hand a credential to a redirect target never holds one. The fix is ORAS 2.6.1, which
//! came with 1.11.14 and 1.12.6; no 1.10 release has it (GHSA-vh4v-2xq2-g5cg).

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use thiserror::Error;

/// The first safe release of the 1.11 series.
const SAFE_1_11: (u64, u64, u64) = (1, 11, 14);
/// The first safe release of the 1.12 series; everything released above it is safe as well.
const SAFE_1_12: (u64, u64, u64) = (1, 12, 6);
/// The fix reached the main line while 1.13.0 was being developed, so a pre-release of 1.13.0 proves nothing.
const MAIN_LINE: (u64, u64, u64) = (1, 13, 0);
/// The first series that knows `oci://`.
const FIRST_WITH_OCI: (u64, u64) = (1, 10);

/// Why a version was not read or not let through.
#[derive(Debug, Error)]
pub enum VersionError {
    /// The program printed something that is not the JSON of `version -json`.
    #[error("the output of `tofu version -json` could not be read")]
    Output(#[source] serde_json::Error),
    /// The text is not `MAJOR.MINOR.PATCH[-PRERELEASE][+BUILD]`.
    #[error("{0:?} is not a version number")]
    Number(String),
    /// Older than 1.10: it cannot fetch from an OCI registry at all.
    #[error("OpenTofu {0} has no `oci://` module sources")]
    TooOld(Version),
    /// It may hand the credential that it holds to another host or port.
    #[error("OpenTofu {0} can hand a registry credential to a redirect target")]
    RedirectLeak(Version),
}

impl VersionError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Output(_) | Self::Number(_) => {
                Some("is it really OpenTofu? run `tofu version -json` and compare".to_owned())
            }
            Self::TooOld(_) => {
                Some("install OpenTofu 1.12.6 or newer (1.11.14 is the last of the 1.11 series)".to_owned())
            }
            Self::RedirectLeak(version) => Some(version.redirect_hint()),
        }
    }
}

/// A version as OpenTofu prints it. Ordered as semantic versioning orders: a pre-release sorts below its release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// First number.
    pub major: u64,
    /// Second number.
    pub minor: u64,
    /// Third number.
    pub patch: u64,
    /// What stands behind `-`, empty for a release. A build from source without the release flag says `dev`.
    pub pre_release: String,
}

/// Who holds the registry credential while modules are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialHolder {
    /// tofu itself: deliveries `file` and `helper`.
    Tofu,
    /// Only our gateway: delivery `broker`. tofu never sees the credential.
    Gateway,
    /// Nobody: no credential was delivered.
    Nobody,
}

#[derive(Deserialize)]
struct VersionOutput {
    terraform_version: String,
}

impl Version {
    /// Reads the version out of what `tofu version -json` wrote to its standard output. Warnings about the CLI
    /// configuration stand before the JSON there, as text (tried with 1.12.6).
    pub fn from_output(stdout: &[u8]) -> Result<Self, VersionError> {
        let starts = |at: &usize| stdout[*at] == b'{' && (*at == 0 || stdout[*at - 1] == b'\n');
        let json = &stdout[(0..stdout.len()).find(starts).unwrap_or_default()..];
        let output: VersionOutput = serde_json::from_slice(json).map_err(VersionError::Output)?;
        output.terraform_version.parse()
    }

    /// Lets the version through, or says why not, for a credential that `holder` has during the fetch step.
    pub fn check(&self, holder: CredentialHolder) -> Result<(), VersionError> {
        if (self.major, self.minor) < FIRST_WITH_OCI {
            return Err(VersionError::TooOld(self.clone()));
        }
        match holder {
            CredentialHolder::Tofu if !self.keeps_credentials_from_redirects() => {
                Err(VersionError::RedirectLeak(self.clone()))
            }
            _ => Ok(()),
        }
    }

    /// Whether a credential stays with its registry when that registry answers with a redirect.
    ///
    /// A pre-release counts only when a safe release precedes it on its own line: `1.12.7-dev` is safe, `1.12.6-dev`
    /// (also what 1.12.6 calls itself when built without the release flag) and `1.13.0-beta1` are not.
    pub fn keeps_credentials_from_redirects(&self) -> bool {
        let numbers = (self.major, self.minor, self.patch);
        let series = (self.major, self.minor);
        let first_safe = if series == (SAFE_1_11.0, SAFE_1_11.1) { SAFE_1_11 } else { SAFE_1_12 };
        if self.pre_release.is_empty() { numbers >= first_safe } else { numbers > first_safe && numbers != MAIN_LINE }
    }

    fn redirect_hint(&self) -> String {
        if self.pre_release == "dev" && (self.major, self.minor, self.patch) == SAFE_1_12 {
            return "this build calls itself a development version; build it with \
                    `-ldflags \"-X github.com/opentofu/opentofu/version.dev=no\"` or install the release"
                .to_owned();
        }
        "install OpenTofu 1.12.6 or newer, or 1.11.14".to_owned()
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || VersionError::Number(text.chars().take(64).collect());
        let without_build = text.split_once('+').map_or(text, |(version, _)| version);
        let (numbers, pre_release) = without_build.split_once('-').unwrap_or((without_build, ""));
        if numbers.len() != without_build.len() && pre_release.is_empty() {
            return Err(wrong());
        }
        let mut parts = numbers.split('.').map(|part| {
            let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            if digits { part.parse::<u64>().ok() } else { None }
        });
        let (Some(Some(major)), Some(Some(minor)), Some(Some(patch)), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(wrong());
        };
        Ok(Self { major, minor, patch, pre_release: pre_release.to_owned() })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        if self.pre_release.is_empty() { Ok(()) } else { write!(f, "-{}", self.pre_release) }
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.major, self.minor, self.patch)
            .cmp(&(other.major, other.minor, other.patch))
            .then_with(|| self.pre_release.is_empty().cmp(&other.pre_release.is_empty()))
            .then_with(|| self.pre_release.cmp(&other.pre_release))
    }
}

#[cfg(test)]
mod tests {
    use super::{CredentialHolder, Version, VersionError};

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn the_output_of_the_real_program_is_read() {
        let output = br#"{
  "terraform_version": "1.12.6",
  "platform": "linux_amd64",
  "provider_selections": {}
}
"#;
        assert_eq!(Version::from_output(output).unwrap(), version("1.12.6"));
        let warning = b"\nWarning: Unable to open {the} file\n\nIt does not exist.\n";
        assert_eq!(Version::from_output(&[&warning[..], output].concat()).unwrap(), version("1.12.6"));
    }

    #[test]
    fn other_output_is_an_error_with_a_hint() {
        for output in ["", "OpenTofu v1.12.6", "{}", r#"{"terraform_version":"newest"}"#, r#"{"terraform_version":12}"#]
        {
            let error = Version::from_output(output.as_bytes()).unwrap_err();
            assert!(error.hint().is_some(), "{output}");
        }
    }

    #[test]
    fn safe_versions_may_hold_a_credential() {
        for text in
            ["1.12.6", "1.12.7-dev", "1.12.7", "1.11.14", "1.11.15", "1.13.0", "1.13.1-dev", "1.14.0-dev", "2.0.0"]
        {
            version(text).check(CredentialHolder::Tofu).unwrap();
        }
    }

    #[test]
    fn versions_that_leak_on_redirects_may_not_hold_a_credential_but_may_run_behind_the_broker() {
        for text in ["1.12.6-dev", "1.12.5", "1.12.0", "1.11.13", "1.11.14-rc1", "1.10.0", "1.10.10", "1.13.0-beta1"] {
            let version = version(text);
            assert!(matches!(version.check(CredentialHolder::Tofu), Err(VersionError::RedirectLeak(_))), "{text}");
            version.check(CredentialHolder::Gateway).unwrap();
            version.check(CredentialHolder::Nobody).unwrap();
        }
    }

    #[test]
    fn versions_without_oci_sources_do_not_run() {
        for text in ["1.9.4", "0.15.5", "1.9.99-dev"] {
            assert!(matches!(version(text).check(CredentialHolder::Nobody), Err(VersionError::TooOld(_))), "{text}");
        }
    }

    #[test]
    fn a_development_build_of_a_safe_release_is_told_how_to_build_it() {
        let error = version("1.12.6-dev").check(CredentialHolder::Tofu).unwrap_err();
        assert!(error.hint().unwrap().contains("version.dev=no"));
    }

    #[test]
    fn wrong_numbers_are_refused() {
        for text in
            ["", "1", "1.2", "1.2.3.4", "v1.2.3", "1.2.x", "1.2.-3", "1.+2.3", "1.2.3-", "99999999999999999999.0.0"]
        {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
        assert_eq!(version("1.12.6+build.5").to_string(), "1.12.6");
        assert!(version("1.12.6-dev") < version("1.12.6"));
        assert!(version("1.9.0") < version("1.10.0"));
    }
}
