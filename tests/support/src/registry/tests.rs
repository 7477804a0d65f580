//! The registry with real tofu, with both ways of authentication.

use super::{Package, Registry, Seen};
use crate::child::{Finished, command, run};
use crate::require;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fs;
use std::path::Path;

/// `tofu init` by hand, with the credential in the way that OpenTofu reads.
fn init(tofu: &Path, registry: &Registry, directory: &Path, password: &str) -> Finished {
    let auth = STANDARD.encode(format!("someone:{password}"));
    let docker = directory.join("config.json");
    fs::write(&docker, format!("{{\"auths\":{{\"{}\":{{\"auth\":\"{auth}\"}}}}}}", registry.host())).unwrap();
    let settings = directory.join("tofu.tfrc");
    let text = format!("oci_default_credentials {{\n  docker_style_config_files = [{docker:?}]\n}}\n");
    fs::write(&settings, text).unwrap();
    let source = format!("oci://{}/team/greeting?tag=1.0.0", registry.host());
    let configuration = directory.join("configuration");
    let _ = fs::remove_dir_all(&configuration);
    fs::create_dir(&configuration).unwrap();
    let main = format!("module \"greeting\" {{\n  source = {source:?}\n  name = \"all\"\n}}\n");
    fs::write(configuration.join("main.tf"), main).unwrap();
    let mut command = command(tofu);
    command.args(["init", "-no-color"]).current_dir(configuration).env_clear();
    command.env("TF_CLI_CONFIG_FILE", settings).env("SSL_CERT_FILE", registry.ca_file()).env("HOME", directory);
    run(command).unwrap()
}

#[test]
fn tofu_pulls_a_pushed_module_with_the_right_password_alone() {
    let (Some(tofu), Some(program)) = (require::tofu(), require::registry()) else { return };
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("registry");
    let registry = Registry::start(&program, &place, "someone", "first~pass").unwrap();
    only_the_right_password_pulls(&tofu, registry, directory.path());
}

#[test]
fn tofu_pulls_with_a_bearer_token_that_the_right_password_got() {
    let (Some(tofu), Some(program)) = (require::tofu(), require::registry()) else { return };
    let Some(signer) = require::token_signer() else { return };
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("registry");
    let registry = Registry::start_with_tokens([&program, &signer], &place, "someone", "first~pass").unwrap();
    let asked = only_the_right_password_pulls(&tofu, registry, directory.path());
    assert!(asked.iter().any(|seen| seen.status == 200 && seen.target.contains("team%2Fgreeting")), "{asked:?}");
    assert!(asked.iter().any(|seen| seen.status == 401), "{asked:?}");
}

/// Gives the requests for tokens.
fn only_the_right_password_pulls(tofu: &Path, mut registry: Registry, directory: &Path) -> Vec<Seen> {
    registry.push("team/greeting", "1.0.0", &Package::greeting()).unwrap();

    let wrong = init(tofu, &registry, directory, "wrong");
    assert!(wrong.code == Some(1) && wrong.err.contains("401"), "{wrong:?}");
    init(tofu, &registry, directory, "first~pass").succeeded().unwrap();

    registry.set_password("someone", "second+pass").unwrap();
    assert_eq!(init(tofu, &registry, directory, "first~pass").code, Some(1));
    init(tofu, &registry, directory, "second+pass").succeeded().unwrap();

    let seen = registry.requests();
    assert!(seen.iter().any(|request| request.status == 200 && request.target.contains("/blobs/")), "{seen:?}");
    assert!(seen.iter().any(|request| request.status == 401), "{seen:?}");
    let asked = registry.token_requests();
    registry.stop().unwrap();
    assert_eq!(init(tofu, &registry, directory, "second+pass").code, Some(1));
    asked
}
