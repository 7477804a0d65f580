//! Limits that both sides check, so that a person hears of them before an upload and not after it.

/// Characters of any name that a person gives.
pub const NAME_CHARACTERS: usize = 128;
/// Bytes of a registry integration's URL.
pub const URL_BYTES: usize = 512;
/// Bytes of a registry user name.
pub const USERNAME_BYTES: usize = 256;
/// Bytes of a registry secret; Google's JSON keys and ECR's tokens are a few KiB.
pub const SECRET_BYTES: usize = 16 * 1024;
/// Bytes of a variable's name and value together: it reaches tofu as one environment string, and Linux takes none of
/// more than 128 KiB (`MAX_ARG_STRLEN`, execve(2)).
pub const VARIABLE_BYTES: usize = 127 * 1024;
/// Bytes of all variables of a workspace: all arguments and variables of a process share a quarter of its stack limit,
/// 2 MiB by default (execve(2)).
pub const VARIABLES_BYTES: usize = 1024 * 1024;
/// Bytes of a registry integration's private CA (PEM).
pub const CA_BYTES: usize = 64 * 1024;
/// Bytes of a packed configuration.
pub const CONFIGURATION_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes of an unpacked configuration.
pub const CONFIGURATION_UNPACKED_BYTES: u64 = 512 * 1024 * 1024;
/// Files and directories of a configuration.
pub const CONFIGURATION_ENTRIES: u64 = 50_000;
/// The limits of a configuration in the form that `make` gives them (files and directories, bytes unpacked, bytes
/// packed): one place for who packs, who checks and who unpacks.
pub fn of_configuration<L>(make: impl FnOnce(u64, u64, u64) -> L) -> L {
    make(CONFIGURATION_ENTRIES, CONFIGURATION_UNPACKED_BYTES, CONFIGURATION_BYTES)
}

/// Bytes of one state version.
pub const STATE_BYTES: usize = 256 * 1024 * 1024;
/// Bytes of one log.
pub const LOG_BYTES: u64 = 256 * 1024 * 1024;
/// Bytes of a plan artifact (plan file, lock file, modules, providers from OCI mirrors; compressed).
pub const ARTIFACT_BYTES: u64 = 1024 * 1024 * 1024;
/// Bytes of an unpacked plan artifact: the largest providers have some hundred megabytes and compress to a fifth.
pub const ARTIFACT_UNPACKED_BYTES: u64 = 8 * ARTIFACT_BYTES;
/// Bytes of any JSON request body.
pub const JSON_BYTES: usize = 1024 * 1024;
/// Bytes of one log PATCH.
pub const LOG_PATCH_BYTES: usize = 1024 * 1024;
