//! A private module registry: TLS, a token, the module registry protocol, one module as a zip.

use support::module::Package;
use tokio::runtime::Runtime;

use crate::registry::stage::{Act, Authority, Heard, Stage, answer};

/// What it serves, as the protocol names it.
const MODULE: &str = "/v1/modules/acme/net/test";

/// The registry, on a runtime of its own.
pub(super) struct ModuleRegistry {
    stage: Stage,
    /// Its certificate's authority.
    pub(super) authority: String,
    _runtime: Runtime,
}

impl ModuleRegistry {
    /// Lets in whoever shows `token`; the package itself is for everybody who knows its address.
    pub(super) fn start(token: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let authority = Authority::new();
        let bearer = format!("Bearer {token}");
        let zip = Package::greeting().zip;
        let stage = runtime.block_on(Stage::start(&authority, move |heard| Act::Say(answer_to(heard, &bearer, &zip))));
        Self { stage, authority: authority.pem, _runtime: runtime }
    }

    /// `NAME:PORT`; the host of a module registry must have a dot.
    pub(super) fn host(&self, name: &str) -> String {
        format!("{name}:{}", self.stage.port)
    }

    /// Requests whose target contains `part`, and of them those that showed a token.
    pub(super) fn asked(&self, part: &str) -> (usize, usize) {
        let all: Vec<Heard> = self.stage.heard().into_iter().filter(|heard| heard.line.contains(part)).collect();
        (all.len(), all.iter().filter(|heard| heard.authorization().is_some()).count())
    }
}

fn answer_to(heard: &Heard, bearer: &str, zip: &[u8]) -> Vec<u8> {
    let target = heard.line.split(' ').nth(1).unwrap_or_default();
    let json = [("Content-Type", "application/json")];
    if target == "/.well-known/terraform.json" {
        return answer("200 OK", &json, "{\"modules.v1\":\"/v1/modules/\"}");
    }
    if target == "/package.zip" {
        let mut bytes =
            format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", zip.len()).into_bytes();
        if !heard.line.starts_with("HEAD") {
            bytes.extend(zip);
        }
        return bytes;
    }
    if heard.authorization() != Some(bearer) {
        return answer("401 Unauthorized", &[], "");
    }
    if target == format!("{MODULE}/versions") {
        return answer("200 OK", &json, "{\"modules\":[{\"versions\":[{\"version\":\"1.0.0\"}]}]}");
    }
    if target == format!("{MODULE}/1.0.0/download") {
        return answer("204 No Content", &[("X-Terraform-Get", "/package.zip")], "");
    }
    answer("404 Not Found", &[], "")
}
