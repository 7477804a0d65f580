//! Providers from an OCI registry (`oci_mirror` of the operator's CLI configuration): fetched in the fetch step, kept with
//! the run, and never asked for again.

use std::fs;
use std::path::Path;

use support::provider::ProviderPackage;
use support::registry::Seen;
use support::require;
use support::tools::PROVIDER_TIME;

use super::recorder::Recorder;
use super::scene::{Beginning, Scene};
use super::shelf::Shelf;
use super::write;

/// Where the provider is in the registry, below the template's common path.
const REPOSITORY: &str = "tofu/hashicorp/time";

/// The operator's file with a mirror in the registry; `more` stands beside it.
fn mirror_in(shelf: &Shelf, more: &str) -> String {
    format!(
        "provider_installation {{\n  oci_mirror {{\n    repository_template = \"{}/tofu/${{namespace}}/${{type}}\"\n    include = \
         [\"registry.opentofu.org/*/*\"]\n  }}\n  {more}\n}}\n",
        shelf.host()
    )
}

/// A registry with the provider and a mirror that is in it, and what was put in.
fn begin(beginning: Beginning<'_>, text: impl FnOnce(&Shelf) -> String) -> Option<(Scene, ProviderPackage)> {
    let program = fs::read(require::provider_time()?).unwrap();
    let scene = beginning.begin(text)?;
    let name = format!("{}_v{}", PROVIDER_TIME.name, PROVIDER_TIME.version());
    let package = ProviderPackage::new(&name, &program);
    scene.shelf.registry.push_provider(REPOSITORY, PROVIDER_TIME.version(), &package).unwrap();
    Some((scene, package))
}

/// The same as usual.
fn usual() -> Option<(Scene, ProviderPackage)> {
    begin(Beginning::default(), |shelf| mirror_in(shelf, ""))
}

/// A resource of the provider, and a module from the registry beside it.
fn main(shelf: &Shelf) -> String {
    format!("{}{}", shelf.main(), provider_alone())
}

fn provider_alone() -> String {
    format!(
        "terraform {{\n  required_providers {{\n    time = {{\n      source  = \"hashicorp/time\"\n      version = \
         \"{}\"\n    }}\n  }}\n}}\nresource \"time_static\" \"now\" {{}}\noutput \"now\" {{\n  value = \
         time_static.now.rfc3339\n}}\n",
        PROVIDER_TIME.version()
    )
}

/// How many requests there have been, of whatever kind.
fn count(shelf: &Shelf) -> usize {
    shelf.registry.requests().len()
}

#[test]
fn a_provider_comes_by_the_broker_in_the_fetch_step_and_no_later_step_asks_the_registry() {
    let Some(recorder) = Recorder::start() else { return };
    let tofu = recorder.program();
    let beside = "direct { exclude = [\"registry.opentofu.org/*/*\"] }";
    let beginning = Beginning { tofu: Some(&tofu), ..Beginning::default() };
    let Some((Scene { world, shelf, operator: _operator }, package)) =
        begin(beginning, |shelf| mirror_in(shelf, beside))
    else {
        return;
    };
    let said = world.apply(&world.configuration(&main(&shelf)), 0);
    assert!(said.contains("hello, greeting") && said.contains("now = "), "{said}");

    // Everything was asked for with the broker's login, in the one step that had the broker.
    let (fetch, init): (Vec<_>, Vec<_>) =
        recorder.starts("init").into_iter().partition(|start| start.arguments.contains("-backend=false"));
    assert!(recorder.starts("get").is_empty() && fetch.len() == 1 && init.len() == 1);
    assert!(fetch[0].cli_configuration.contains("oci_mirror") && fetch[0].variable("HTTPS_PROXY").is_some());
    for later in init.into_iter().chain([recorder.only("plan"), recorder.only("apply")]) {
        let command = &later.arguments;
        assert!(later.variable("HTTPS_PROXY").is_none(), "{command}");
        let given = later.cli_configuration;
        assert!(given.contains("filesystem_mirror") && !given.contains("oci_mirror"), "{command}: {given}");
        assert!(!given.contains(&shelf.host()), "{command}: {given}");
    }
    let receipt = world.run(&world.newest())["receipts"][0].clone();
    let provider = format!("registry.opentofu.org/hashicorp/time {}", PROVIDER_TIME.version());
    assert_eq!(receipt["providers"][0], provider, "{receipt:#}");
    assert_eq!(receipt["delivery"], "broker", "{receipt:#}");
    let pulled = format!("{}/{REPOSITORY}@{}", shelf.host(), package.digest());
    assert!(receipt["pulled"].as_array().unwrap().contains(&pulled.into()), "{receipt:#}");
    let shown = world.ends(&["run", "show", &world.newest()], 0);
    assert!(shown.contains(&format!("provider     {provider}")), "{shown}");
    assert_eq!(shelf.pulled_by(REPOSITORY), ["reader"], "{}", shelf.log());
}

#[test]
fn another_agent_applies_with_the_provider_that_was_approved_while_the_registry_is_down() {
    let Some((Scene { mut world, mut shelf, operator }, package)) = usual() else { return };
    let id = world.plans(&world.configuration(&main(&shelf)));
    world.wait_for_wipe();
    let asked = count(&shelf);
    shelf.registry.stop().unwrap();
    world.stack.agent().unwrap().stop().unwrap();
    let second = world.another_agent("second", &["--cli-config", &operator.file(), "--sandbox", "process"]);
    let said = world.ends(&["run", "approve", &id, "--follow"], 0);
    assert!(said.contains("hello, greeting") && said.contains("now = "), "{said}");
    assert_eq!(count(&shelf), asked);
    assert_eq!(world.run(&id)["agent_name"], "second");
    assert_eq!(world.audited("registry_integration:release").len(), 1);
    assert!(package.zip_hash().starts_with("zh:"));
    world.wait_for_wipe();
    drop(second);
}

#[test]
fn a_lock_file_with_the_packages_hash_is_kept_and_one_with_another_stops_the_fetch_step() {
    let Some((Scene { world, shelf, operator: _operator }, package)) = usual() else { return };
    let directory = world.configuration(&provider_alone());
    let lock = |hash: &str| {
        let text = format!(
            "provider \"registry.opentofu.org/hashicorp/time\" {{\n  version     = \"{version}\"\n  constraints = \
             \"{version}\"\n  hashes = [\n    \"{hash}\",\n  ]\n}}\n",
            version = PROVIDER_TIME.version()
        );
        write(&directory.join(".terraform.lock.hcl"), &text);
    };
    lock(&package.zip_hash());
    world.apply(&directory, 0);
    let before = count(&shelf);
    lock(&format!("zh:{}", "0".repeat(64)));
    let said = world.apply(&directory, 1);
    assert!(said.contains("checksum"), "{said}");
    assert!(count(&shelf) > before);
    let run = world.run(&world.newest());
    assert_eq!(run["failure"]["step"], "fetch", "{run:#}");
}

#[test]
fn the_credential_helper_serves_a_mirror_on_loopback() {
    let beginning = Beginning { registry: Shelf::start, ..Beginning::default() };
    let Some((Scene { world, shelf: _shelf, operator: _operator }, _)) = begin(beginning, |shelf| mirror_in(shelf, ""))
    else {
        return;
    };
    // No module names the registry: the mirror does.
    world.apply(&world.configuration(&provider_alone()), 0);
    let receipt = world.run(&world.newest())["receipts"][0].clone();
    assert_eq!(receipt["delivery"], "helper", "{receipt:#}");
    assert!(receipt["used"][0]["requests"].as_u64() >= Some(1), "{receipt:#}");
}

#[test]
fn the_narrowest_integration_serves_a_mirror_and_what_is_withheld_is_named() {
    let beginning = Beginning { stored: None, ..Beginning::default() };
    let Some((Scene { world, shelf, operator: _operator }, _)) = begin(beginning, |shelf| mirror_in(shelf, "")) else {
        return;
    };
    let directory = world.configuration(&provider_alone());
    let said = world.apply(&directory, 1);
    assert!(said.contains("hint: ") && said.contains("nigari registry add") && said.contains(&shelf.host()), "{said}");
    // For the whole host, but not exported.
    shelf.add(&world, "demo", &["--no-export"]).succeeded().unwrap();
    let said = world.apply(&directory, 1);
    assert!(
        said.contains("*export credentials* is off") && said.contains("nigari registry update demo --export"),
        "{said}"
    );
    shelf.add_at(&world, "tofu", "/tofu", &["--export"]).succeeded().unwrap();
    world.apply(&directory, 0);
    let receipt = world.run(&world.newest())["receipts"][0].clone();
    assert_eq!(receipt["used"][0]["integrations"][0], "tofu", "{receipt:#}");
}

#[test]
fn a_provider_that_the_mirror_does_not_have_is_told() {
    let Some((Scene { world, shelf: _shelf, operator: _operator }, _)) = usual() else { return };
    for (main, told) in [
        (
            provider_alone().replace("hashicorp/time", "hashicorp/nothing").replace("time", "nothing"),
            "hashicorp/nothing",
        ),
        (provider_alone().replace(PROVIDER_TIME.version(), "99.0.0"), "99.0.0"),
    ] {
        let said = world.apply(&world.configuration(&main), 1);
        assert!(said.contains(told), "{said}");
        let run = world.run(&world.newest());
        assert_eq!(run["failure"]["step"], "fetch", "{run:#}");
    }
}

#[test]
fn a_cache_of_providers_is_left_alone() {
    let cache = tempfile::tempdir().unwrap();
    let text = |shelf: &Shelf| format!("plugin_cache_dir = \"{}\"\n{}", cache.path().display(), mirror_in(shelf, ""));
    let Some((Scene { world, operator: _operator, shelf: _shelf }, _)) = begin(Beginning::default(), text) else {
        return;
    };
    let id = world.plans(&world.configuration(&provider_alone()));
    world.ends(&["run", "approve", &id, "--follow"], 0);
    assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0);
    let agent = support::child::read_text(&world.stack.directory().join("agent.log"));
    assert!(agent.contains("the cache of providers is not used beside an `oci_mirror`"), "{agent}");
}

#[test]
fn a_provider_that_only_the_state_needs_comes_too() {
    let Some((Scene { world, shelf, operator: _operator }, _)) = usual() else { return };
    world.apply(&world.configuration(&provider_alone()), 0);
    // Neither resource nor provider: what is left in the state has to be destroyed by it.
    let said = world.apply(&world.configuration(&shelf.main()), 0);
    assert!(said.contains("1 destroyed"), "{said}");
    let receipt = world.run(&world.newest())["receipts"][0].clone();
    assert!(receipt["providers"].to_string().contains("hashicorp/time"), "{receipt:#}");
}

/// Only GET and HEAD, only of the mirror.
#[test]
fn nothing_but_the_providers_repository_is_asked_for() {
    let Some((Scene { world, shelf, operator: _operator }, _)) = usual() else { return };
    world.apply(&world.configuration(&provider_alone()), 0);
    let is_expected = |seen: &Seen| {
        let path = Path::new(&seen.target);
        matches!(seen.method.as_str(), "GET" | "HEAD")
            && (path == Path::new("/v2/") || path.starts_with("/v2/tofu/hashicorp/time"))
    };
    let requests = shelf.registry.requests();
    assert!(!requests.is_empty() && requests.iter().all(is_expected), "{requests:?}");
}
