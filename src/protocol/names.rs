//! Names that no one may set in a run's environment, whoever asks: API, operator or configuration.
//!
//! Rule: refused at the API with a reason, and again when the environment of a step is built. Sources: Loaders, plugins
//! of libraries, editors and interpreters' hooks run foreign code in tofu or in what it starts (git, ssh, hg); the rest
//! redirects trust, names of hosts, credentials, state or logs. What names a cloud's credentials, or leads a library to
//! its plugins and may be needed later, is kept away from the fetch step alone, where registry credentials are.

use super::limits::NAME_CHARACTERS;

/// Prefixes of refused names.
const PREFIXES: &[&str] = &[
    "LD_",
    "DYLD_",
    "GIT_",
    "GCM_",
    "SSH_ASKPASS",
    "SSH_PKCS11_",
    "SSH_SK_",
    "HG",
    "OPENSSL_",
    "GNUTLS_",
    "RESOLV_",
    "PYTHON",
    "PERL",
    "CONTAINERS_",
    "TF_CLI_ARGS",
    "TF_HTTP_",
    "TF_TOKEN_",
    "TOFU_ENFORCE_GPG_",
    "TOFU_X_",
    "OTEL_",
    "LISTEN_",
    "NIGARI_",
];

/// Prefixes of names that lead a program of the configuration's choice to files or commands (`exec`,
/// `credential_process`, `GOOGLE_API_CERTIFICATE_CONFIG`): refused as plain values, and never there in the fetch step.
const AFTER_FETCH_PREFIXES: &[&str] = &["KUBE_", "GOOGLE_EXTERNAL_ACCOUNT_", "GOOGLE_API_", "EXPERIMENTAL_GOOGLE_API_"];

/// The same, as names. Kerberos' settings name libraries that are loaded.
const AFTER_FETCH_NAMES: &[&str] = &["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "KUBECONFIG", "KRB5_CONFIG"];

/// Of these, the ones whose value is a path: a variable of the kind `file` may have them, because it is not there in the
/// fetch step.
const FILES_AFTER_FETCH: &[&str] = &[
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "KUBECONFIG",
    "KUBE_CONFIG_PATH",
    "KUBE_CONFIG_PATHS",
    "KRB5_CONFIG",
];

/// Refused names.
const NAMES: &[&str] = &[
    // The C library's: what it loads, where names of hosts lead, what it writes.
    "GLIBC_TUNABLES",
    "GCONV_PATH",
    "GETCONF_DIR",
    "LOCPATH",
    "NLSPATH",
    "HOSTALIASES",
    "LOCALDOMAIN",
    "RES_OPTIONS",
    "NIS_PATH",
    "MALLOC_TRACE",
    // Plugins of libraries that git and ssh use.
    "GSS_MECH_CONFIG",
    "SASL_PATH",
    "SASL_CONF_PATH",
    // Programs that others start.
    "EDITOR",
    "VISUAL",
    "PAGER",
    "LESSOPEN",
    "LESSCLOSE",
    "BASH_ENV",
    "ENV",
    "SHELLOPTS",
    "PS4",
    "IFS",
    "PROMPT_COMMAND",
    "RUBYOPT",
    "RUBYLIB",
    "NODE_OPTIONS",
    "NODE_PATH",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "_JAVA_OPTIONS",
    "GODEBUG",
    "GOTRACEBACK",
    "GOCOVERDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NETRC",
    "SSLKEYLOGFILE",
    "SSH_AUTH_SOCK",
    "REGISTRY_AUTH_FILE",
    "DOCKER_AUTH_CONFIG",
    "DOCKER_HOST",
    "DOCKER_CONFIG",
    "HELM_REGISTRY_CONFIG",
    "TERRAFORM_CONFIG",
    "TF_CLI_CONFIG_FILE",
    "TF_REATTACH_PROVIDERS",
    "TF_LOG_PATH",
    "TF_TEMP_LOG_PATH",
    "TF_PLUGIN_CACHE_DIR",
    "TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE",
    "TF_DATA_DIR",
    "TF_WORKSPACE",
    "TF_INPUT",
    "TF_IN_AUTOMATION",
    "TF_ENCRYPTION",
    "TOFU_CPU_PROFILE",
    "TRACEPARENT",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "CREDENTIALS_DIRECTORY",
    "INVOCATION_ID",
    "PATH",
    "HOME",
    "PWD",
    "OLDPWD",
    "SHELL",
    "TMPDIR",
    "USER",
    "LOGNAME",
    "BROWSER",
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
    "XDG_CACHE_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
];

/// Why a name may not be set.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RefusedName {
    /// Not a portable name.
    #[error("`{0}` is not a variable name; hint: letters, digits and `_`, not starting with a digit, at most 128")]
    NotPortable(String),
    /// Reserved: it would change what tofu runs, trusts or tells.
    #[error("`{0}` may not be set for a run: it changes what tofu runs, trusts or stores; hint: {1}")]
    Reserved(String, &'static str),
}

/// Checks the name of an environment variable that somebody outside wants to give a run.
///
/// # Errors
/// [`RefusedName`] with a hint, when it is not portable or reserved.
pub fn check(name: &str) -> Result<(), RefusedName> {
    let portable = name.len() <= 128
        && name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !portable {
        return Err(RefusedName::NotPortable(name.chars().take(140).collect()));
    }
    let upper = name.to_ascii_uppercase();
    if is_listed(&upper, NAMES, PREFIXES) || upper.ends_with("_PROXY") || is_after_fetch(name) {
        return Err(RefusedName::Reserved(name.to_owned(), hint(&upper)));
    }
    Ok(())
}

/// Checks the name of the environment variable that names the file of a variable of the kind `file`.
///
/// # Errors
/// As [`check`], but for names that say where a cloud's own files are.
pub fn check_file(name: &str) -> Result<(), RefusedName> {
    if FILES_AFTER_FETCH.contains(&name) { Ok(()) } else { check(name) }
}

/// Whether [`check`] refuses the name.
pub fn is_refused(name: &str) -> bool {
    check(name).is_err()
}

/// Whether an input variable can be called so: an identifier of HCL 2, which is letters, digits, `_` and `-`, beginning
/// with a letter or `_`.
pub fn is_input(name: &str) -> bool {
    let begins = name.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_');
    let goes_on = name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
    begins && goes_on && name.chars().count() <= NAME_CHARACTERS
}

/// Whether the name may lead to a cloud's credentials, so that the fetch step must not have it, whoever passes it.
pub fn is_after_fetch(name: &str) -> bool {
    is_listed(&name.to_ascii_uppercase(), AFTER_FETCH_NAMES, AFTER_FETCH_PREFIXES)
}

fn is_listed(upper: &str, names: &[&str], prefixes: &[&str]) -> bool {
    names.contains(&upper) || prefixes.iter().any(|prefix| upper.starts_with(prefix))
}

fn hint(upper: &str) -> &'static str {
    if upper.starts_with("TF_TOKEN_") {
        "an operator puts a `credentials` block into the file that `cli_config` names in agent.toml"
    } else if upper.ends_with("_PROXY") || upper.starts_with("SSL_CERT") || upper == "NETRC" {
        "an operator passes it for the whole agent, by `pass_env` in agent.toml"
    } else if upper == "SSH_AUTH_SOCK" {
        "an operator passes it for the fetch step, by `fetch_pass_env` in agent.toml"
    } else if FILES_AFTER_FETCH.contains(&upper) {
        "give the file itself: `nigari variable set --kind file`"
    } else if is_after_fetch(upper) {
        "an operator passes it by `pass_env` in agent.toml; or write it into the provider's block"
    } else if upper.starts_with("TF_HTTP_") {
        "nigari keeps the state; for a backend of your own write its block with its arguments"
    } else if upper == "DOCKER_CONFIG" || upper == "REGISTRY_AUTH_FILE" || upper == "DOCKER_AUTH_CONFIG" {
        "store the credential with `nigari registry add`"
    } else {
        "choose another name, or write it into the configuration"
    }
}

#[cfg(test)]
mod tests {
    use super::{check, check_file, is_after_fetch, is_refused};

    #[test]
    fn loaders_and_tofus_own_switches_are_refused() {
        for name in ["LD_PRELOAD", "TF_CLI_ARGS_plan", "TF_HTTP_PASSWORD", "https_proxy", "PATH", "git_ssh_command"] {
            assert!(is_refused(name), "{name}");
            assert!(check_file(name).is_err(), "{name}");
        }
    }

    #[test]
    fn what_makes_git_ssh_or_hg_load_code_or_find_other_hosts_is_refused() {
        for name in [
            "GCONV_PATH",
            "OPENSSL_CONF",
            "OPENSSL_MODULES",
            "OPENSSL_ENGINES",
            "HGRCPATH",
            "HGEDITOR",
            "SSH_SK_PROVIDER",
            "SSH_PKCS11_HELPER",
            "PERLLIB",
            "HOSTALIASES",
            "RES_OPTIONS",
            "RESOLV_HOST_CONF",
        ] {
            assert!(is_refused(name) && check_file(name).is_err() && !is_after_fetch(name), "{name}");
        }
        assert!(is_refused("KRB5_CONFIG") && is_after_fetch("KRB5_CONFIG") && check_file("KRB5_CONFIG").is_ok());
    }

    #[test]
    fn ordinary_names_pass() {
        for name in [
            "LANG",
            "TZ",
            "KRB5CCNAME",
            "SSH_PRIVATE_KEY",
            "AWS_REGION",
            "TF_VAR_size",
            "TF_LOG",
            "GITHUB_TOKEN",
            "_x",
            "CLOUDFLARE_API_TOKEN",
        ] {
            assert_eq!(check(name), Ok(()), "{name}");
            assert_eq!(check_file(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn what_leads_to_a_clouds_files_is_a_file_and_comes_after_the_fetch_step() {
        for name in ["KUBECONFIG", "KUBE_CONFIG_PATH", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"] {
            assert!(check(name).unwrap_err().to_string().contains("--kind file"), "{name}");
            assert_eq!(check_file(name), Ok(()), "{name}");
            assert!(is_after_fetch(name), "{name}");
        }
        for name in ["KUBE_TOKEN", "kube_config_path", "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES"] {
            assert!(is_after_fetch(name) && check_file(name).is_err(), "{name}");
        }
        for name in ["AWS_WEB_IDENTITY_TOKEN_FILE", "GOOGLE_APPLICATION_CREDENTIALS", "ARM_OIDC_TOKEN_FILE_PATH"] {
            assert!(check_file(name).is_ok() && !is_after_fetch(name), "{name}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for name in ["", "1A", "A-B", "A=B", "A B", "Ä", "A\n", "A\0"] {
            assert!(is_refused(name), "{name:?}");
            assert!(check_file(name).is_err(), "{name:?}");
        }
        assert!(is_refused(&"A".repeat(129)));
    }
}
