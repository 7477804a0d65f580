//! The program of the delivery `helper` and hosts: the names of Docker Hub, and those that it has nothing for.
//!
//! Rule: the program is asked as tofu's child, by tofu or by what becomes it, and says to standard output what it says.

use std::fs;
use std::path::Path;

use support::canary::Canary;
use support::child::read_text;
use support::module::{EMPTY, MANIFEST, Package, digest};

use super::moved::respond;
use super::recorder::Recorder;
use super::shelf::{REPOSITORY, Shelf};
use super::world::{Setup, USER, World};
use super::{with_modules, write};
use crate::registry::stage::{Act, Authority, Heard, Stage, answer, bearer};

/// What clients know as *nothing here, go on without* (docker-credential-helpers, `credentials/error.go`).
const NOT_FOUND: &str = "credentials not found in native keychain";

/// A shell's words that ask for each host before the shell becomes `tofu get`: what is said goes to `said.N` of `to`, the
/// exit code to `code.N`.
fn asks(hosts: &[String], to: &Path) -> String {
    let one = |(number, host): (usize, &String)| {
        let to = to.display();
        format!(
            "  printf %s '{host}' > {to}/asked\n  ( exec docker-credential-nigari get < {to}/asked > {to}/said.{number} \
             )\n  echo $? > {to}/code.{number}\n"
        )
    };
    let all: String = hosts.iter().enumerate().map(one).collect();
    format!("if [ \"$1\" = get ]; then\n{all}fi")
}

/// What was said to a question, and the exit code.
fn answered(to: &Path, number: usize) -> (String, String) {
    let text = |name: &str| read_text(&to.join(format!("{name}.{number}"))).trim_end_matches('\n').to_owned();
    (text("said"), text("code"))
}

#[test]
fn docker_hub_is_found_under_each_of_its_names_and_under_no_other() {
    let names = ["index.docker.io", "https://index.docker.io/v1/", "https://registry-1.docker.io", "docker.io"];
    let others = ["https://registry.docker.io", "index.docker.io.example", "index.docker.io:444"];
    let asked: Vec<String> = names.iter().chain(&others).map(ToString::to_string).collect();
    let place = tempfile::tempdir().unwrap();
    let Some(recorder) = Recorder::with(&asks(&asked, place.path())) else { return };
    let tofu = recorder.program();
    let hub = Canary::new("whale");
    let setup = Setup {
        tofu: Some(&tofu),
        agent: &["--delivery", "helper"],
        canaries: vec![Canary::new(USER), hub.clone()],
        ..Setup::default()
    };
    let Some(world) = World::with(setup) else { return };
    let Some(shelf) = Shelf::start(&world.canaries[0].password) else { return };
    shelf.store(&world);
    let url = "https://registry-1.docker.io";
    let add = ["registry", "add", "hub", "--url", url, "--username", "whale", "--secret-stdin", "--export"];
    world.types_with(&add, &hub.password).succeeded().unwrap();
    world.apply(&world.configuration(&shelf.main()), 0);
    for (number, name) in asked.iter().enumerate() {
        let (said, code) = answered(place.path(), number);
        if number >= names.len() {
            assert_eq!((said.as_str(), code.as_str()), (NOT_FOUND, "1"), "{name}");
            continue;
        }
        let given: serde_json::Value = serde_json::from_str(&said).unwrap_or_default();
        assert_eq!((&given["Username"], &given["ServerURL"]), (&"whale".into(), &name.as_str().into()), "{said}");
        assert!(given["Secret"] == hub.password.as_str() && code == "0", "{name}: {code}");
    }
    let receipt = world.run(&world.newest())["receipts"][0].clone();
    let used = receipt["used"].as_array().unwrap().iter().find(|used| used["host"] == "registry-1.docker.io");
    assert_eq!(used.unwrap()["requests"], names.len(), "{receipt:#}");
}

/// A registry with one module that is for everybody who has fetched a token, for which nobody needs a login. One that asks
/// for nothing at all makes no client look for a login.
fn for_everybody(heard: &Heard, package: &Package) -> Act {
    let host = heard.head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("host: ").map(str::to_owned));
    Act::Say(if heard.line.starts_with("GET /token") {
        answer("200 OK", &[("Content-Type", "application/json")], r#"{"token":"everybodys"}"#)
    } else if heard.authorization() != Some("Bearer everybodys") {
        bearer(&format!("https://{}/token", host.unwrap()))
    } else if heard.line.contains("/manifests/") {
        let headers = [("Content-Type", MANIFEST), ("Docker-Content-Digest", &package.digest())];
        respond(&headers, &package.manifest)
    } else if heard.line.contains(&digest(&package.zip)) {
        respond(&[], &package.zip)
    } else if heard.line.contains(&digest(EMPTY)) {
        respond(&[], EMPTY)
    } else {
        answer("200 OK", &[], "{}")
    })
}

/// Before tofu: a Docker file that names the helper for `host` too, and on `PATH` somebody who notes in `to` what the
/// helper is asked for before it becomes the helper.
fn asks_by_tofu(host: &str, to: &Path) -> String {
    let to = to.display();
    format!(
        "if [ \"$1\" = get ]; then\n  mkdir {to}/bin\n  real=$(command -v docker-credential-nigari)\n  printf '#!/bin/sh\\n\
         cat > {to}/asked\\ncat {to}/asked >> {to}/all\\necho >> {to}/all\\nexec %s \"$@\" < {to}/asked\\n' \"$real\" > \
         {to}/bin/docker-credential-nigari\n  chmod 755 {to}/bin/docker-credential-nigari\n  PATH={to}/bin:$PATH; export \
         PATH\n  sed 's/\"credHelpers\":{{/&\"{host}\":\"nigari\",/' \"$DOCKER_CONFIG/config.json\" > {to}/logins.json\n  \
         sed \"s|$DOCKER_CONFIG/config.json|{to}/logins.json|\" \"$TF_CLI_CONFIG_FILE\" > {to}/own.tfrc\n  \
         TF_CLI_CONFIG_FILE={to}/own.tfrc; export TF_CLI_CONFIG_FILE\nfi"
    )
}

#[test]
fn tofu_that_is_told_not_found_goes_on_without_a_login() {
    let place = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let package = Package::greeting();
    let stage = runtime.block_on(Stage::start(&authority, move |heard| for_everybody(heard, &package)));
    let roots = place.path().join("roots.pem");
    write(&roots, &authority.pem);
    let Some(recorder) = Recorder::with(&asks_by_tofu(&stage.host(), place.path())) else { return };
    let (tofu, roots) = (recorder.program(), roots.display().to_string());
    let setup = Setup { tofu: Some(&tofu), agent: &["--system-roots", &roots], ..Setup::default() };
    let Some(world) = World::with(setup) else { return };
    let Some(shelf) = Shelf::start(&world.canaries[0].password) else { return };
    shelf.store(&world);
    let open = format!("oci://{}/team/net?tag=1.0.0", stage.host());
    let modules = [("open", open), ("private", shelf.source(REPOSITORY))];
    let said = world.apply(&world.configuration(&with_modules(&modules)), 0);
    assert!(said.contains("hello, open") && said.contains("hello, private"), "{said}");
    let asked = fs::read_to_string(place.path().join("all")).unwrap();
    for host in [stage.host(), shelf.host()] {
        assert!(asked.lines().any(|line| line == format!("https://{host}")), "{host}: {asked}");
    }
    let shown: Vec<Heard> = stage.heard().into_iter().filter(|heard| heard.authorization().is_some()).collect();
    assert!(shown.iter().all(|heard| heard.authorization() == Some("Bearer everybodys")), "{shown:?}");
    assert!(stage.heard().iter().any(|heard| heard.line.starts_with("GET /token")), "{:?}", stage.heard());
}
