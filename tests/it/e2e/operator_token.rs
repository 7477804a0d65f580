//! A private registry of modules, for which the operator has a token: with the broker tofu has none, and it works.

use std::fs;

use support::canary::Canary;
use support::child::{command, run};

use super::recorder::Recorder;
use super::world::{Setup, USER, World};
use super::write;
use crate::registry::stage::{Act, Authority, Stage, answer};

const TOKEN: &str = "canary-operators-token-3f90d1";
const JSON: [(&str, &str); 1] = [("Content-Type", "application/json")];
/// Without its last slash, which tofu adds.
const BASE: &str = "/registry/modules/v1";

/// A module as a `.tar.gz`.
fn archive(directory: &std::path::Path) -> Vec<u8> {
    write(&directory.join("module/main.tf"), "output \"text\" {\n  value = \"from a private registry\"\n}\n");
    let file = directory.join("module.tar.gz");
    let mut tar = command("tar");
    tar.arg("-C").arg(directory.join("module")).arg("-czf").arg(&file).arg("main.tf");
    run(tar).unwrap().succeeded().unwrap();
    fs::read(file).unwrap()
}

/// Everything but the discovery document is for the token's owner alone.
async fn registry(authority: &Authority, archive: Vec<u8>) -> Stage {
    Stage::start(authority, move |heard| {
        let path = heard.line.split(' ').nth(1).unwrap();
        if path == "/.well-known/terraform.json" {
            return Act::Say(answer("200 OK", &JSON, &format!("{{\"modules.v1\":\"{BASE}\"}}")));
        }
        if heard.authorization() != Some(&format!("Bearer {TOKEN}")) {
            return Act::Say(answer("401 Unauthorized", &[], ""));
        }
        Act::Say(match path.strip_prefix(BASE) {
            Some("/acme/net/aws/versions" | "/acme/other/aws/versions") => {
                answer("200 OK", &JSON, r#"{"modules":[{"versions":[{"version":"1.0.0"}]}]}"#)
            }
            Some("/acme/net/aws/1.0.0/download") => {
                answer("204 No Content", &[("X-Terraform-Get", "/archives/net?archive=tar.gz")], "")
            }
            Some("/acme/other/aws/1.0.0/download") => {
                let location = r#"{"location":"/archives/other.tar.gz","use_registry_credentials":true}"#;
                answer("200 OK", &JSON, location)
            }
            _ if path.starts_with("/archives/") => {
                let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", archive.len());
                [head.into_bytes(), archive.clone()].concat()
            }
            _ => answer("404 Not Found", &[], ""),
        })
    })
    .await
}

#[test]
fn a_module_of_a_private_registry_comes_with_a_token_that_tofu_does_not_have() {
    let Some(recorder) = Recorder::start() else { return };
    let place = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    write(&place.path().join("roots.pem"), &authority.pem);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stage = runtime.block_on(registry(&authority, archive(place.path())));
    let host = format!("registry.localhost:{}", stage.port);
    let block = format!("credentials \"{host}\" {{\n  token = \"{TOKEN}\"\n}}\n");
    write(&place.path().join("operator.tfrc"), &block);
    let path = |name: &str| place.path().join(name).display().to_string();
    let agent = ["--cli-config", &path("operator.tfrc"), "--system-roots", &path("roots.pem")];
    let canaries = vec![Canary::new(USER), Canary::of(TOKEN)];
    let tofu = recorder.program();
    let setup = Setup { tofu: Some(&tofu), agent: &agent, canaries, without_agent: false };
    let Some(world) = World::with(setup) else { return };
    // One whose place a header says, and one whose place is said in a body.
    let module = |name: &str| {
        format!(
            "module \"{name}\" {{\n  source  = \"{host}/acme/{name}/aws\"\n  version = \"1.0.0\"\n}}\noutput \"{name}\" \
             {{\n  value = module.{name}.text\n}}\n"
        )
    };
    let said = world.apply(&world.configuration(&[module("net"), module("other")].concat()), 0);
    for name in ["net", "other"] {
        assert!(said.contains(&format!("{name} = \"from a private registry\"")), "{said}");
    }
    for command in ["get", "init", "plan", "apply"] {
        let given = recorder.only(command).cli_configuration;
        assert!(!given.contains(TOKEN) && !given.contains("credentials \""), "{command}: {given}");
    }
    for archive in ["/archives/net", "/archives/other.tar.gz"] {
        let mut fetched = stage.heard().into_iter().filter(|heard| heard.line.contains(archive)).peekable();
        assert!(fetched.peek().is_some() && fetched.all(|heard| heard.authorization().is_some()), "{archive}");
    }
}
