//! A registry of an older generation (distribution 2.8, which Debian has): each delivery pulls from it.

use support::canary::Canary;
use support::registry::Seen;

use super::shelf::{REPOSITORY, Shelf};
use super::with_modules;
use super::world::{Setup, USER, World};

#[test]
fn an_old_registry_serves_every_delivery() {
    let canary = Canary::new(USER);
    let Some(world) = World::with(Setup { canaries: vec![canary.clone()], ..Setup::default() }) else { return };
    let Some(far) = Shelf::start_old(&canary.password, "registry.localhost") else { return };
    let Some(near) = Shelf::start_old(&canary.password, "localhost") else { return };
    for (shelf, name) in [(&far, "far"), (&near, "near")] {
        shelf.add(&world, name, &["--export", "--permit-file"]).succeeded().unwrap();
        world.types(&["registry", "test", name]).succeeded().unwrap();
    }
    for (shelf, wish, told) in [(&far, "broker", "broker"), (&near, "helper", "helper"), (&near, "file", "file")] {
        let workspace = format!("by-{wish}");
        world.ends(&["workspace", "create", &workspace, "--delivery", wish], 0);
        // The broker alone can do nothing for a loopback registry, and says so.
        let loopback = if wish == "broker" { "--no-export" } else { "--export" };
        world.ends(&["registry", "update", "near", loopback], 0);
        let directory = world.configuration(&with_modules(&[("greeting", shelf.source(REPOSITORY))]));
        let directory = directory.display().to_string();
        let said = world.ends(&["apply", &directory, "-w", &workspace, "--auto-approve"], 0);
        assert!(said.contains("hello, greeting"), "{wish}: {said}");
        let receipt = &world.run(&world.newest())["receipts"][0];
        assert_eq!(receipt["delivery"], told, "{receipt:#}");
        // It names no users in its log; and lets nobody pull who is not one.
        let is_pull = |seen: &Seen| seen.status == 200 && seen.target.contains("/blobs/");
        assert!(shelf.registry.requests().iter().any(is_pull), "{wish}: {}", shelf.log());
    }
}
