//! Names that no one may set in a run's environment, each as an example: the product's own list is not asked.

/// (name, whether an operator may pass it from the host).
pub(crate) const REFUSED: &[(&str, bool)] = &[
    // Loaders.
    ("LD_PRELOAD", false),
    ("LD_LIBRARY_PATH", false),
    ("LD_AUDIT", false),
    ("DYLD_INSERT_LIBRARIES", false),
    ("GLIBC_TUNABLES", false),
    // What else the C library removes for a program of more rights: what it loads, and where names lead (ld.so(8)).
    ("GCONV_PATH", false),
    ("GETCONF_DIR", false),
    ("LOCPATH", false),
    ("NLSPATH", false),
    ("HOSTALIASES", false),
    ("LOCALDOMAIN", false),
    ("RES_OPTIONS", false),
    ("RESOLV_HOST_CONF", false),
    ("NIS_PATH", false),
    ("MALLOC_TRACE", false),
    // Plugins of the libraries that git and ssh use.
    ("OPENSSL_CONF", false),
    ("OPENSSL_MODULES", false),
    ("OPENSSL_ENGINES", false),
    ("GNUTLS_SYSTEM_PRIORITY_FILE", false),
    ("GSS_MECH_CONFIG", false),
    ("SASL_PATH", false),
    ("SASL_CONF_PATH", false),
    // Programs that others start.
    ("EDITOR", false),
    ("VISUAL", false),
    ("PAGER", false),
    ("LESSOPEN", false),
    ("LESSCLOSE", false),
    // Shells and interpreters.
    ("BASH_ENV", false),
    ("ENV", false),
    ("SHELLOPTS", false),
    ("PS4", false),
    ("IFS", false),
    ("PROMPT_COMMAND", false),
    ("PYTHONPATH", false),
    ("PYTHONSTARTUP", false),
    ("PERL5LIB", false),
    ("PERL5OPT", false),
    ("PERLLIB", false),
    ("RUBYOPT", false),
    ("RUBYLIB", false),
    ("NODE_OPTIONS", false),
    ("NODE_PATH", false),
    ("JAVA_TOOL_OPTIONS", false),
    ("JDK_JAVA_OPTIONS", false),
    ("_JAVA_OPTIONS", false),
    // The Go runtime.
    ("GODEBUG", false),
    ("GOTRACEBACK", false),
    ("GOCOVERDIR", false),
    // git, hg and ssh.
    ("GIT_SSH_COMMAND", false),
    ("GIT_SSH", false),
    ("GIT_EXEC_PATH", false),
    ("GIT_CONFIG_COUNT", false),
    ("GIT_CONFIG_GLOBAL", false),
    ("GIT_PROXY_COMMAND", false),
    ("GIT_SSL_NO_VERIFY", false),
    ("SSH_ASKPASS", false),
    ("SSH_ASKPASS_REQUIRE", false),
    ("SSH_AUTH_SOCK", true),
    ("SSH_SK_PROVIDER", false),
    ("SSH_SK_HELPER", false),
    ("SSH_PKCS11_HELPER", false),
    ("HGRCPATH", false),
    ("HGEDITOR", false),
    ("HGMERGE", false),
    ("GCM_CREDENTIAL_STORE", false),
    // Whom the network trusts.
    ("SSL_CERT_FILE", true),
    ("SSL_CERT_DIR", true),
    ("HTTPS_PROXY", true),
    ("https_proxy", true),
    ("HTTP_PROXY", true),
    ("ALL_PROXY", true),
    ("NO_PROXY", true),
    ("NETRC", true),
    ("SSLKEYLOGFILE", false),
    // Registries.
    ("REGISTRY_AUTH_FILE", false),
    ("DOCKER_AUTH_CONFIG", false),
    ("DOCKER_HOST", false),
    ("DOCKER_CONFIG", false),
    ("HELM_REGISTRY_CONFIG", false),
    ("CONTAINERS_CONF", false),
    // tofu itself.
    ("TERRAFORM_CONFIG", false),
    ("TF_CLI_CONFIG_FILE", false),
    ("TF_CLI_ARGS", false),
    ("TF_CLI_ARGS_plan", false),
    ("TF_REATTACH_PROVIDERS", false),
    ("TF_LOG_PATH", false),
    ("TF_TEMP_LOG_PATH", false),
    ("TF_PLUGIN_CACHE_DIR", true),
    ("TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE", false),
    ("TF_TOKEN_app_example_com", true),
    ("TF_ENCRYPTION", false),
    ("TF_DATA_DIR", false),
    ("TF_WORKSPACE", false),
    ("TF_INPUT", false),
    ("TF_HTTP_ADDRESS", false),
    ("TF_HTTP_USERNAME", false),
    ("TF_HTTP_PASSWORD", false),
    ("TOFU_CPU_PROFILE", false),
    ("TOFU_ENFORCE_GPG_VALIDATION", false),
    ("TOFU_X_ANYTHING", false),
    // Telemetry.
    ("OTEL_EXPORTER_OTLP_ENDPOINT", false),
    ("TRACEPARENT", false),
    // systemd.
    ("NOTIFY_SOCKET", false),
    ("CREDENTIALS_DIRECTORY", false),
    ("LISTEN_FDS", false),
    ("INVOCATION_ID", false),
    // What leads to a cloud's credentials or to a library's plugins, in the fetch step.
    ("AWS_CONFIG_FILE", true),
    ("AWS_SHARED_CREDENTIALS_FILE", true),
    ("KUBECONFIG", true),
    ("KRB5_CONFIG", true),
    ("KUBE_CONFIG_PATH", true),
    ("KUBE_TOKEN", true),
    ("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", true),
    ("GOOGLE_API_CERTIFICATE_CONFIG", true),
    ("GOOGLE_API_USE_CLIENT_CERTIFICATE", true),
    ("EXPERIMENTAL_GOOGLE_API_USE_S2A", true),
    // The step's own places.
    ("PATH", false),
    ("HOME", false),
    ("TMPDIR", false),
    ("XDG_RUNTIME_DIR", false),
    ("XDG_CONFIG_HOME", false),
    // Ours.
    ("NIGARI_TOKEN_FILE", false),
    ("NIGARI_ANYTHING", false),
    // No names at all.
    ("1A", false),
    ("A-B", false),
    ("A B", false),
    ("A.B", false),
];

/// Of these, the ones that a variable of the kind `file` may have.
pub(crate) const FILES: &[&str] =
    &["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "KUBECONFIG", "KUBE_CONFIG_PATH", "KRB5_CONFIG"];

/// Names that lead to a cloud's credentials or to plugins: never in the fetch step, whoever passes them.
pub(crate) fn is_after_fetch(name: &str) -> bool {
    let prefixes = ["KUBE_", "GOOGLE_EXTERNAL_ACCOUNT_", "GOOGLE_API_", "EXPERIMENTAL_GOOGLE_API_"];
    FILES.contains(&name) || prefixes.iter().any(|prefix| name.starts_with(prefix))
}
