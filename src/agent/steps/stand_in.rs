//! Providers that the state alone needs: of resources that the configuration does not have any more.
//!
//! Rule: `init -backend=false` asks no backend, but takes a local state where there is one. So where it has to fetch
//! providers it finds one of ours, with the addresses of the state's providers and nothing else; it is gone before the
//! full `init`, which would ask what to do with it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::json;

use super::{Run, ask};
use crate::agent::failure::Stop;
use crate::agent::private::create_anew;
use crate::protocol::run::Step;
use crate::tofu::backend::Backend;

/// tofu's name for a local state.
const LOCAL_STATE: &str = "terraform.tfstate";

/// The file, if there is one.
#[derive(Debug)]
pub(crate) struct StandIn(Option<PathBuf>);

/// Of a state, what matters here.
#[derive(Deserialize)]
struct State {
    #[serde(default)]
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Resource {
    #[serde(default)]
    provider: String,
}

/// Puts it in place, if the fetch step fetches providers and the state is ours to read.
pub(crate) async fn stand_in(run: &Run<'_>, backend: &Backend) -> Result<StandIn, Stop> {
    if *backend != Backend::Ours || !run.host.takes_from_oci_mirror() {
        return Ok(StandIn(None));
    }
    let state = ask(run.lease, run.patience(), || run.lease.server.read_state()).await;
    let state = state.map_err(|stop| stop.during(Step::Fetch))?;
    let Some(text) = text(&state.body) else { return Ok(StandIn(None)) };
    let path = run.directory.working_directory().join(LOCAL_STATE);
    let written = create_anew(&path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| Stop::io("cannot tell the fetch step which providers the state needs", &error))?;
    Ok(StandIn(Some(path)))
}

impl StandIn {
    /// Removes it.
    pub(crate) fn remove(self) -> Result<(), Stop> {
        match self.0.map(fs::remove_file) {
            Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => {
                Err(Stop::io("cannot remove the list of the state's providers", &error).during(Step::Fetch))
            }
            _ => Ok(()),
        }
    }
}

/// A state with the same providers and nothing in it; `None` if there are none, or the state is encrypted.
fn text(state: &[u8]) -> Option<String> {
    let state: State = serde_json::from_slice(state).ok()?;
    let providers: BTreeSet<&str> = state.resources.iter().filter_map(|resource| address(&resource.provider)).collect();
    let resources = providers.iter().enumerate().map(|(number, address)| {
        json!({
            "mode": "managed", "type": "provider", "name": format!("p{number}"),
            "provider": format!("provider[\"{address}\"]"), "instances": [],
        })
    });
    let resources: Vec<_> = resources.collect();
    let whole = json!({
        "version": 4, "terraform_version": "1.10.0", "serial": 1, "lineage": "stand-in", "outputs": {}, "resources": resources,
    });
    (!providers.is_empty()).then(|| whole.to_string())
}

/// `registry.opentofu.org/hashicorp/time` of `module.a.provider["registry.opentofu.org/hashicorp/time"].alias`.
fn address(provider: &str) -> Option<&str> {
    let (_, rest) = provider.split_once("provider[\"")?;
    let (address, _) = rest.split_once("\"]")?;
    let is_plain =
        address.chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '.' | '-' | '_' | '/' | ':'));
    is_plain.then_some(address)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::text;

    #[test]
    fn of_a_state_only_its_providers_are_told() {
        let secret = json!({"attributes": {"password": "hunter22"}});
        let resource = |provider: &str| json!({"mode": "managed", "type": "a", "name": "b", "provider": provider, "instances": [secret]});
        let state = json!({"version": 4, "outputs": {"o": {"value": "hunter22"}}, "resources": [
            resource("provider[\"registry.opentofu.org/hashicorp/time\"]"),
            resource("module.m.provider[\"registry.opentofu.org/hashicorp/time\"].other"),
            resource("provider[\"tofu.example.com:8443/acme/net\"]"),
            resource("provider.old"),
            resource("provider[\"a\" b\"]"),
        ]});
        let told = text(state.to_string().as_bytes()).unwrap();
        assert!(!told.contains("hunter22"), "{told}");
        let told: Value = serde_json::from_str(&told).unwrap();
        let providers: Vec<&str> =
            told["resources"].as_array().unwrap().iter().map(|one| one["provider"].as_str().unwrap()).collect();
        let expected =
            ["provider[\"registry.opentofu.org/hashicorp/time\"]", "provider[\"tofu.example.com:8443/acme/net\"]"];
        assert_eq!(providers, expected);
    }

    #[test]
    fn without_a_provider_there_is_no_file() {
        for state in ["", "{}", "{\"resources\": []}", "{\"encrypted_data\": \"x\"}", "[]", "\0"] {
            assert!(text(state.as_bytes()).is_none(), "{state}");
        }
    }
}
