//! The delivery `broker` on the whole way: tofu pulls what is private and never has a credential.

use std::fs;
use std::net::TcpStream;

use support::canary::Canary;
use support::module::Package;
use support::thief::Thief;

use super::recorder::Recorder;
use super::shelf::{REPOSITORY, Shelf};
use super::world::{Setup, USER, World};
use super::{with_modules, write};

#[test]
fn a_private_module_comes_without_tofu_ever_having_the_password() {
    let Some(recorder) = Recorder::start() else { return };
    let tofu = recorder.program();
    let Some(world) = World::with(Setup { tofu: Some(&tofu), ..Setup::default() }) else { return };
    let Some(shelf) = Shelf::start_far(&world.canaries[0].password) else { return };
    let digest = shelf.registry.push(REPOSITORY, "1.0.0", &Package::greeting()).unwrap();
    shelf.store(&world);
    let said = world.apply(&world.configuration(&shelf.main()), 0);
    assert!(said.contains("hello, greeting"), "{said}");

    let id = world.newest();
    let receipt = world.run(&id)["receipts"][0].clone();
    assert_eq!(receipt["delivery"], "broker", "{receipt:#}");
    assert_eq!(receipt["pulled"][0], format!("{}/{REPOSITORY}@{digest}", shelf.host()), "{receipt:#}");
    let used = &receipt["used"][0];
    assert_eq!((&used["host"], &used["integrations"][0]), (&shelf.host().into(), &"demo".into()), "{receipt:#}");
    assert!(used["requests"].as_u64() >= Some(3) && used["bytes"].as_u64() > Some(100), "{receipt:#}");
    let shown = world.ends(&["run", "show", &id], 0);
    assert!(shown.contains(&digest) && shown.contains("times,") && shown.contains("by demo"), "{shown}");

    let get = recorder.only("get");
    assert_eq!(get.docker_config.trim(), r#"{"auths":{}}"#);
    let proxy: url::Url = get.variable("HTTPS_PROXY").unwrap().parse().unwrap();
    // No host is taken from the proxy; git, which takes the other spelling, is passed through.
    assert_eq!((get.variable("NO_PROXY"), get.variable("no_proxy")), (Some("none.invalid"), Some("none.invalid")));
    let passing: url::Url = get.variable("https_proxy").unwrap().parse().unwrap();
    assert_eq!((proxy.username(), passing.username(), passing.port()), ("run", "passing", proxy.port()));
    assert!(get.variable("SSL_CERT_FILE").is_some());
    for command in ["init", "plan", "apply"] {
        let later = recorder.only(command);
        assert!(later.variable("HTTPS_PROXY").is_none(), "{command}");
        assert!(later.variable("SSL_CERT_FILE").is_none(), "{command}");
    }
    assert!(TcpStream::connect(("127.0.0.1", proxy.port().unwrap())).is_err(), "the broker's port is still open");
}

#[test]
fn a_registry_with_bearer_tokens_is_asked_for_them_by_the_broker_alone() {
    let Some(world) = World::with(Setup { agent: &["--delivery", "broker"], ..Setup::default() }) else { return };
    let Some(shelf) = Shelf::start_far_with_tokens(&world.canaries[0].password) else { return };
    shelf.store(&world);
    let said = world.apply(&world.configuration(&shelf.main()), 0);
    assert!(said.contains("hello, greeting"), "{said}");
    let granted = shelf.registry.token_requests();
    let is_pull = |target: &str| target.contains("repository%3Ateam%2Fgreeting%3Apull");
    assert!(granted.iter().any(|seen| seen.status == 200 && is_pull(&seen.target)), "{granted:?}");
    // One token for the base, one for the repository, however many requests there were.
    assert!(granted.len() <= 2, "{granted:?}");
}

#[test]
fn two_registries_and_three_credentials_on_one_host_serve_one_run() {
    let logins: Vec<Canary> = ["anna", "bert", USER].map(Canary::new).into();
    let other = Canary::new(USER);
    let canaries = [logins.clone(), vec![other.clone()]].concat();
    let Some(world) = World::with(Setup { canaries, ..Setup::default() }) else { return };
    let (Some(one), Some(two)) = (Shelf::start_far(&logins[2].password), Shelf::start_far(&other.password)) else {
        return;
    };
    let mut lines = fs::read_to_string(one.file("htpasswd")).unwrap();
    for (login, path) in [(&logins[0], "one"), (&logins[1], "one/net")] {
        one.registry.set_password(&login.user, &login.password).unwrap();
        lines.push_str(&fs::read_to_string(one.file("htpasswd")).unwrap());
        one.add_path(&world, path, login);
    }
    fs::write(one.file("htpasswd"), lines).unwrap();
    for repository in ["one/db", "one/net"] {
        one.registry.push(repository, "1.0.0", &Package::greeting()).unwrap();
    }
    one.store(&world);
    two.add(&world, "two", &["--export"]).succeeded().unwrap();
    let modules = [
        ("a", one.source("one/db")),
        ("b", one.source("one/net")),
        ("c", one.source(REPOSITORY)),
        ("d", two.source(REPOSITORY)),
    ];
    world.apply(&world.configuration(&with_modules(&modules)), 0);
    for (repository, user) in [("one/db", "anna"), ("one/net", "bert"), (REPOSITORY, USER)] {
        assert_eq!(one.pulled_by(repository), [user], "{}", one.log());
    }
    let receipt = world.run(&world.newest())["receipts"][0].clone();
    let integrations = receipt["used"].to_string();
    assert!(["one", "one-net", "demo", "two"].iter().all(|name| integrations.contains(name)), "{receipt:#}");
    assert_eq!(receipt["pulled"].as_array().unwrap().len(), 4, "{receipt:#}");
}

#[test]
fn a_wrong_password_is_told_with_its_integration() {
    let Some(world) = World::start() else { return };
    let Some(shelf) = Shelf::start_far("another-password") else { return };
    let words = ["registry", "add", "demo", "--url", &format!("https://{}", shelf.host()), "--username", USER];
    let ca = shelf.registry.ca_file().display().to_string();
    let words = [&words[..], &["--secret-stdin", "--export", "--registry-ca-file", &ca]].concat();
    world.types_with(&words, &world.canaries[0].password).succeeded().unwrap();
    let said = world.apply(&world.configuration(&shelf.main()), 1);
    assert!(
        said.contains("in the step fetch") && said.contains("nigari registry update demo --secret-stdin"),
        "{said}"
    );
    let shown = world.ends(&["run", "show", &world.newest()], 0);
    let told = format!("broker: `{}` refuses the credential of the registry integration `demo`", shelf.host());
    assert!(shown.contains(&told), "{shown}");
}

#[test]
fn roots_of_the_host_that_change_count_from_the_next_run_on() {
    let Some(world) = World::with(Setup { without_agent: true, ..Setup::default() }) else { return };
    let Some(shelf) = Shelf::start_far(&world.canaries[0].password) else { return };
    let url = format!("https://{}", shelf.host());
    let words = ["registry", "add", "demo", "--url", &url, "--username", USER, "--secret-stdin", "--export"];
    world.types_with(&words, &world.canaries[0].password).succeeded().unwrap();
    let (roots, newer) = (world.path("roots.pem"), world.path("newer.pem"));
    let nobody = rcgen::generate_simple_self_signed(vec!["nobody.example".to_owned()]).unwrap().cert.pem();
    fs::write(&roots, &nobody).unwrap();
    let named = roots.display().to_string();
    let _agent = world.another_agent_with("rooted", &["--delivery", "broker"], &[("SSL_CERT_FILE", &named)]);
    let configuration = world.configuration(&shelf.main());
    let refuses = || {
        world.apply(&configuration, 1);
        let shown = world.ends(&["run", "show", &world.newest()], 0);
        assert!(shown.contains("an authority that is not trusted here"), "{shown}");
    };
    let replace = |text: &str| {
        // As distributions do it: another file in place of the old one.
        fs::write(&newer, text).unwrap();
        fs::rename(&newer, &roots).unwrap();
    };
    refuses();
    replace(&format!("{nobody}{}", fs::read_to_string(shelf.registry.ca_file()).unwrap()));
    world.apply(&configuration, 0);
    replace(&nobody);
    refuses();
}

#[test]
fn a_loopback_registry_takes_a_file_unless_the_broker_is_demanded() {
    let Some(world) = World::with(Setup { agent: &["--delivery", "broker"], ..Setup::default() }) else { return };
    let Some(shelf) = Shelf::start(&world.canaries[0].password) else { return };
    shelf.store(&world);
    let said = world.apply(&world.configuration(&shelf.main()), 1);
    assert!(said.contains("the broker cannot serve localhost") && said.contains("registry.localhost"), "{said}");
}

#[test]
fn a_tofu_that_gives_credentials_away_is_served_by_the_broker_and_given_no_file() {
    let leaky = "if [ $1 = version ]; then\n  echo '{\"terraform_version\": \"1.10.10\"}'\n  exit 0\nfi";
    let Some(recorder) = Recorder::with(leaky) else { return };
    let tofu = recorder.program();
    // The tofu behind it is no program of the host's that the sandbox `namespace` would show.
    let setup = Setup { tofu: Some(&tofu), agent: &["--sandbox", "process"], ..Setup::default() };
    let Some(world) = World::with(setup) else { return };
    let Some(far) = Shelf::start_far(&world.canaries[0].password) else { return };
    far.store(&world);
    world.apply(&world.configuration(&far.main()), 0);
    let Some(near) = Shelf::start(&world.canaries[1].password) else { return };
    near.add(&world, "near", &["--export"]).succeeded().unwrap();
    let said = world.apply(&world.configuration(&near.main()), 1);
    assert!(said.contains("1.10.10 can hand a registry credential") && said.contains("hint: install"), "{said}");
}

#[test]
fn odd_passwords_go_through_the_broker_as_they_are() {
    let hard = Canary::hard(USER);
    let Some(world) = World::with(Setup { canaries: vec![hard.clone()], ..Setup::default() }) else { return };
    let Some(shelf) = Shelf::start_far(&hard.password) else { return };
    shelf.store(&world);
    world.apply(&world.configuration(&shelf.main()), 0);
}

/// A tofu that tells the configuration what the step's environment would: no step of a fetch can read that.
const TELLS: &str = "if [ $1 = get ]; then printf 'locals {\\n  environ = \"TF_CLI_CONFIG_FILE=%s\"\\n}\\n' \
                     \"$TF_CLI_CONFIG_FILE\" > told.tf; fi";

#[test]
fn static_evaluation_steals_a_file_and_finds_nothing_with_the_broker() {
    let Some(recorder) = Recorder::with(TELLS) else { return };
    let thief = Thief::start().unwrap();
    let tofu = recorder.program();
    let Some(world) = World::with(Setup { tofu: Some(&tofu), agent: &["--delivery", "broker"], ..Setup::default() })
    else {
        return;
    };
    let Some(shelf) = Shelf::start_far(&world.canaries[0].password) else { return };
    // The control: with tofu alone, three lines of configuration are enough.
    let alone = tempfile::tempdir().unwrap();
    let directory = alone.path().join("configuration");
    write(&directory.join("main.tf"), &thief.configuration());
    let said = shelf.tofu_alone(alone.path(), &directory, "get");
    let loot = thief.loot();
    assert!(
        loot.iter().any(|text| text.contains(&shelf.password)),
        "the attack does not work: {loot:?} {}",
        said.all()
    );

    shelf.store(&world);
    let told = thief.configuration().replace("file(\"/proc/self/environ\")", "local.environ");
    world.apply(&world.configuration(&told), 1);
    let loot = thief.loot();
    assert!(loot.iter().any(|text| text.contains(r#"{"auths":{}}"#)), "the attack did not come so far: {loot:?}");
    assert!(loot.iter().all(|text| !text.contains(&shelf.password)), "{loot:?}");
}
