//! What nobody can hold: the fetch step, during which credentials are lent.

use super::with_modules;
use super::world::Setup;
use super::world::{USER, World};
use super::write;
use crate::registry::stage::{Act, Authority, Stage};

#[test]
fn a_registry_that_never_answers_holds_a_fetch_step_no_longer_than_its_limit() {
    let place = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stage = runtime.block_on(Stage::start(&authority, |_| Act::Stall));
    let Some(world) = World::with(Setup { agent: &["--fetch-limit", "3s"], ..Setup::default() }) else { return };
    let (host, ca) = (format!("registry.localhost:{}", stage.port), place.path().join("ca.pem"));
    write(&ca, &authority.pem);
    let (url, ca) = (format!("https://{host}"), ca.display().to_string());
    let add = ["registry", "add", "demo", "--url", &url, "--username", USER, "--secret-stdin", "--export"];
    let add = [&add[..], &["--registry-ca-file", &ca]].concat();
    world.types_with(&add, &world.canaries[0].password).succeeded().unwrap();
    let source = format!("oci://{host}/team/net?tag=1.0.0");
    let said = world.apply(&world.configuration(&with_modules(&[("net", source)])), 1);
    // Without the limit it is the broker that gives up, after half a minute and with other words.
    for text in ["in the step fetch", "took longer than 3s (`fetch_limit`)", "it was at: Downloading oci://", "hint: "]
    {
        assert!(said.contains(text), "{text}: {said}");
    }
    assert!(!stage.heard().is_empty());
    let receipt = &world.run(&world.newest())["receipts"][0];
    assert_eq!((&receipt["end"], &receipt["wiped"]), (&"step_failed".into(), &true.into()), "{receipt:#}");
    // And the agent goes on.
    world.apply(&world.configuration(super::PLAIN), 0);
}
