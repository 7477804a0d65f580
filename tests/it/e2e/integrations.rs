//! Registry integrations, each with a real pull: paths, several registries, private authorities, tokens, rotation.

use std::fs;

use support::canary::Canary;
use support::module::Package;

use super::shelf::{REPOSITORY, Shelf};
use super::with_modules;
use super::world::{Setup, USER, World};

/// With the delivery `file`: a registry on loopback cannot be reached by the broker, and the helper knows no paths.
fn by_file(logins: &[Canary]) -> Option<World> {
    World::with(Setup { canaries: logins.to_vec(), agent: &["--delivery", "file"], ..Setup::default() })
}

#[test]
fn two_paths_of_one_host_are_pulled_by_two_users() {
    let logins = vec![Canary::new("anna"), Canary::new("bert")];
    let Some(world) = by_file(&logins) else { return };
    let Some(shelf) = Shelf::start(&logins[0].password) else { return };
    // Both may log in: the file of passwords has a line for each.
    let lines = logins.iter().map(|login| {
        shelf.registry.set_password(&login.user, &login.password).unwrap();
        fs::read_to_string(shelf.file("htpasswd")).unwrap()
    });
    let both: String = lines.collect();
    fs::write(shelf.file("htpasswd"), both).unwrap();
    for repository in ["one/net", "two/net"] {
        shelf.registry.push(repository, "1.0.0", &Package::greeting()).unwrap();
    }
    shelf.add_path(&world, "one", &logins[0]);
    shelf.add_path(&world, "two", &logins[1]);
    let directory =
        world.configuration(&with_modules(&[("a", shelf.source("one/net")), ("b", shelf.source("two/net"))]));
    world.apply(&directory, 0);
    assert_eq!(shelf.pulled_by("one/net"), ["anna"], "{}", shelf.log());
    assert_eq!(shelf.pulled_by("two/net"), ["bert"], "{}", shelf.log());
    // A third path has no credential, and the hint says so.
    let said = world.apply(&world.configuration(&shelf.main()), 1);
    assert!(said.contains("hint:") && said.contains("for another path"), "{said}");
    assert!(shelf.pulled_by(REPOSITORY).is_empty());
}

#[test]
fn the_longest_path_wins_over_the_whole_host() {
    let logins = vec![Canary::new(USER), Canary::new("bert")];
    let Some(world) = by_file(&logins) else { return };
    let Some(shelf) = Shelf::start(&logins[0].password) else { return };
    let first = fs::read_to_string(shelf.file("htpasswd")).unwrap();
    shelf.registry.set_password(&logins[1].user, &logins[1].password).unwrap();
    let second = fs::read_to_string(shelf.file("htpasswd")).unwrap();
    fs::write(shelf.file("htpasswd"), first + &second).unwrap();
    shelf.registry.push("team/net", "1.0.0", &Package::greeting()).unwrap();
    shelf.add(&world, "demo", &["--export", "--permit-file"]).succeeded().unwrap();
    shelf.add_path(&world, "team/net", &logins[1]);
    let directory =
        world.configuration(&with_modules(&[("a", shelf.source(REPOSITORY)), ("b", shelf.source("team/net"))]));
    world.apply(&directory, 0);
    assert_eq!((shelf.pulled_by(REPOSITORY), shelf.pulled_by("team/net")), (vec![USER.into()], vec!["bert".into()]));
}

#[test]
fn two_registries_with_two_private_authorities_serve_one_run() {
    let Some(world) = World::start() else { return };
    let Some(one) = Shelf::start(&world.canaries[0].password) else { return };
    let Some(two) = Shelf::start(&world.canaries[1].password) else { return };
    one.add(&world, "one", &["--export"]).succeeded().unwrap();
    two.add(&world, "two", &["--export"]).succeeded().unwrap();
    let modules = [("a", one.source(REPOSITORY)), ("b", two.source(REPOSITORY))];
    let said = world.apply(&world.configuration(&with_modules(&modules)), 0);
    assert!(said.contains("hello, a") && said.contains("hello, b"), "{said}");
    let hosts = world.run(&world.newest())["receipts"][0]["hosts"].to_string();
    assert!(hosts.contains(&one.host()) && hosts.contains(&two.host()), "{hosts}");
}

#[test]
fn a_registry_that_gives_bearer_tokens_serves_the_same_configuration() {
    let Some(world) = World::start() else { return };
    let Some(shelf) = Shelf::start_with_tokens(&world.canaries[0].password) else { return };
    shelf.store(&world);
    let said = world.apply(&world.configuration(&shelf.main()), 0);
    assert!(said.contains("hello, greeting"), "{said}");
    let granted = shelf.registry.token_requests();
    assert!(
        granted.iter().any(|seen| seen.status == 200 && seen.target.contains("repository%3Ateam%2Fgreeting%3Apull")),
        "{granted:?}"
    );
}

#[test]
fn a_rotated_password_is_in_the_next_run_and_the_old_one_in_none() {
    let Some(world) = World::start() else { return };
    let Some(mut shelf) = Shelf::start(&world.canaries[0].password) else { return };
    shelf.store(&world);
    let directory = world.configuration(&shelf.main());
    world.apply(&directory, 0);
    shelf.password.clone_from(&world.canaries[1].password);
    shelf.registry.set_password(USER, &shelf.password).unwrap();
    let said = world.apply(&directory, 1);
    assert!(said.contains("does not accept the user or the secret"), "{said}");
    world.types_with(&["registry", "update", "demo", "--secret-stdin"], &shelf.password).succeeded().unwrap();
    world.apply(&directory, 0);
}

#[test]
fn an_integration_that_no_module_needs_is_not_in_the_way() {
    let Some(world) = World::start() else { return };
    let Some(shelf) = Shelf::start(&world.canaries[0].password) else { return };
    shelf.store(&world);
    world.apply(&world.configuration(super::PLAIN), 0);
    assert!(shelf.registry.requests().is_empty(), "{:?}", shelf.registry.requests());
}

#[test]
fn a_module_that_calls_one_of_another_registry_brings_both() {
    let Some(world) = World::start() else { return };
    let Some(outer) = Shelf::start(&world.canaries[0].password) else { return };
    let Some(inner) = Shelf::start(&world.canaries[1].password) else { return };
    let main = format!(
        "variable \"name\" {{}}\nmodule \"inner\" {{\n  source = \"{}\"\n  name   = \"inner ${{var.name}}\"\n}}\noutput \
         \"text\" {{\n  value = module.inner.text\n}}\n",
        inner.source(REPOSITORY)
    );
    outer.registry.push("team/outer", "1.0.0", &Package::new(&[("main.tf", &main)])).unwrap();
    outer.add(&world, "outer", &["--export"]).succeeded().unwrap();
    inner.add(&world, "inner", &["--export"]).succeeded().unwrap();
    let said = world.apply(&world.configuration(&with_modules(&[("m", outer.source("team/outer"))])), 0);
    assert!(said.contains("hello, inner m"), "{said}");
}

#[test]
fn a_digest_and_a_directory_in_a_package_are_module_sources_too() {
    let Some(world) = World::start() else { return };
    let Some(shelf) = Shelf::start(&world.canaries[0].password) else { return };
    let text = "variable \"name\" {}\noutput \"text\" {\n  value = \"below, ${var.name}\"\n}\n";
    let digest = shelf.registry.push("team/deep", "1.0.0", &Package::new(&[("sub/main.tf", text)])).unwrap();
    shelf.store(&world);
    let source = format!("oci://{}/team/deep//sub?digest={digest}", shelf.host());
    let said = world.apply(&world.configuration(&with_modules(&[("m", source)])), 0);
    assert!(said.contains("below, m"), "{said}");
}

#[test]
fn what_was_applied_is_destroyed_with_the_same_credentials() {
    let Some(world) = World::start() else { return };
    let Some(shelf) = Shelf::start(&world.canaries[0].password) else { return };
    shelf.store(&world);
    let directory = world.configuration(&shelf.main());
    world.apply(&directory, 0);
    let directory = directory.display().to_string();
    world.ends(&["destroy", &directory, "-w", "demo"], 4);
    let said = world.ends(&["run", "approve", &world.newest(), "--follow"], 0);
    assert!(said.contains("1 destroyed"), "{said}");
}
