//! A fetch that fails says what to do, and names the integration that it is about.

use support::canary::Canary;
use support::certificate::Authority;

use super::shelf::Shelf;
use super::with_modules;
use super::world::{USER, World};

/// The line with the hint.
fn hint(said: &str) -> &str {
    said.lines().find_map(|line| line.trim().strip_prefix("hint: ")).unwrap_or_else(|| panic!("no hint:\n{said}"))
}

/// A world and a shelf whose integration is stored with these flags.
fn stored(name: &str, flags: &[&str]) -> Option<(World, Shelf)> {
    let world = World::start()?;
    let shelf = Shelf::start(&world.canaries[0].password)?;
    shelf.add(&world, name, flags).succeeded().unwrap();
    Some((world, shelf))
}

fn fails(world: &World, shelf: &Shelf) -> String {
    let said = world.apply(&world.configuration(&shelf.main()), 1);
    world.wait_for_wipe();
    // What the run says later is the same.
    let shown = world.ends(&["run", "show", &world.newest()], 0);
    assert!(shown.contains(hint(&said)), "{shown}");
    hint(&said).to_owned()
}

#[test]
fn export_off_names_the_command_that_switches_it_on() {
    let Some((world, shelf)) = stored("team registry's", &["--no-export"]) else { return };
    let hint = fails(&world, &shelf);
    let command = "nigari registry update 'team registry'\\''s' --export";
    assert!(hint.contains(command), "{hint}");
    // The command, typed as it stands there, is what helps.
    world.ends(&["registry", "update", "team registry's", "--export"], 0);
    world.apply(&world.configuration(&shelf.main()), 0);
}

#[test]
fn a_disabled_integration_is_named_with_the_command_that_enables_it() {
    let Some((world, shelf)) = stored("demo", &["--export"]) else { return };
    world.ends(&["registry", "update", "demo", "--disable"], 0);
    let hint = fails(&world, &shelf);
    assert!(hint.contains("disabled") && hint.contains("nigari registry update demo --enable"), "{hint}");
    world.ends(&["registry", "update", "demo", "--enable"], 0);
    world.apply(&world.configuration(&shelf.main()), 0);
}

#[test]
fn without_an_integration_the_hint_says_how_to_add_one() {
    let Some(world) = World::start() else { return };
    let Some(shelf) = Shelf::start(&world.canaries[0].password) else { return };
    let hint = fails(&world, &shelf);
    assert!(hint.contains("private authority") || hint.contains("nigari registry add"), "{hint}");
}

#[test]
fn a_wrong_password_names_the_integration() {
    let Some((world, shelf)) = stored("demo", &["--export"]) else { return };
    shelf.registry.set_password(USER, "another").unwrap();
    let hint = fails(&world, &shelf);
    assert!(hint.contains("does not accept") && hint.contains("demo"), "{hint}");
}

#[test]
fn an_unknown_authority_asks_for_its_certificate() {
    let Some(world) = World::start() else { return };
    let Some(shelf) = Shelf::start(&world.canaries[0].password) else { return };
    let other = world.path("other.pem");
    std::fs::write(&other, Authority::new("another authority").pem()).unwrap();
    let url = format!("https://{}", shelf.host());
    for (name, ca) in [("none", None), ("other", Some(other.display().to_string()))] {
        let mut arguments =
            vec!["registry", "add", name, "--url", &url, "--username", USER, "--secret-stdin", "--export"];
        if let Some(ca) = &ca {
            arguments.extend(["--registry-ca-file", ca]);
        }
        world.types_with(&arguments, &shelf.password).succeeded().unwrap();
        let hint = fails(&world, &shelf);
        assert!(hint.contains("CA certificate") && hint.contains(&shelf.host()), "{hint}");
        world.ends(&["registry", "remove", name, "--yes"], 0);
    }
    // With the right one the registry is trusted, and no request of the others ever had a password.
    assert!(!shelf.log().contains("auth.user.name"), "{}", shelf.log());
}

#[test]
fn a_registry_that_is_down_is_told_from_one_that_refuses() {
    let Some((world, mut shelf)) = stored("demo", &["--export"]) else { return };
    shelf.registry.stop().unwrap();
    let hint = fails(&world, &shelf);
    assert!(hint.contains("nothing listens at") && hint.contains(&shelf.host()), "{hint}");
}

#[test]
fn a_tag_that_is_not_there_is_no_matter_of_credentials() {
    let Some((world, shelf)) = stored("demo", &["--export"]) else { return };
    let source = shelf.source("team/no-such-module");
    let said = world.apply(&world.configuration(&with_modules(&[("m", source)])), 1);
    assert!(hint(&said).contains("has no such repository or tag"), "{said}");
}

#[test]
fn docker_hubs_short_name_is_answered_with_the_one_that_works() {
    let Some(world) = World::start() else { return };
    let source = "oci://docker.io/nigari/none?tag=1.0.0".to_owned();
    let said = world.apply(&world.configuration(&with_modules(&[("m", source)])), 1);
    assert!(hint(&said).contains("registry-1.docker.io"), "{said}");
}

#[test]
fn a_wrong_password_stays_as_secret_as_a_right_one() {
    let Some(world) = World::start() else { return };
    let Some(shelf) = Shelf::start("right") else { return };
    let wrong = Canary::new(USER);
    let url = format!("https://{}", shelf.host());
    let ca = shelf.registry.ca_file().display().to_string();
    let add = ["registry", "add", "demo", "--url", &url, "--username", USER, "--secret-stdin", "--export"];
    world.types_with(&[&add[..], &["--registry-ca-file", &ca]].concat(), &wrong.password).succeeded().unwrap();
    world.apply(&world.configuration(&shelf.main()), 1);
    world.stack.search(&[wrong]).verdict().unwrap();
}
