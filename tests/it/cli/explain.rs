//! `nigari explain`: what would become of a source, with and without a server, and no secret in any of it.

use std::path::{Path, PathBuf};

use serde_json::Value;
use support::canary::Canary;
use support::child::{Finished, run};
use support::module::Package;
use support::nigari::{Programs, Stack};
use support::registry::Registry;
use support::require;
use support::search::Search;

use super::{file, nigari, program, typed};

fn server(directory: &Path) -> Stack {
    let programs = Programs { nigari: program(), tofu: PathBuf::from("/nonexistent/tofu") };
    Stack::server_only(programs, directory).unwrap()
}

fn add(stack: &Stack, name: &str, url: &str, more: &[&str]) {
    let words = ["registry", "add", name, "--url", url, "--username", "robot", "--secret-stdin"];
    stack.run_with_input(&[&words[..], more].concat(), "geheim").unwrap().succeeded().unwrap();
}

fn explain(stack: &Stack, source: &str, code: i32) -> Value {
    let said = stack.run(&["explain", source, "--json"]).unwrap();
    assert_eq!(said.code, Some(code), "{source}: {}", said.all());
    let all: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(all.as_array().unwrap().len(), 1, "{all}");
    all[0].clone()
}

fn text(stack: &Stack, arguments: &[&str]) -> Finished {
    stack.run(&[&["explain"][..], arguments].concat()).unwrap()
}

#[test]
fn the_integration_that_would_serve_is_named_with_what_it_lacks() {
    let directory = tempfile::tempdir().unwrap();
    let stack = server(directory.path());
    add(&stack, "wide", "https://r.example:5000", &["--export"]);
    add(&stack, "team", "https://r.example:5000/team", &["--export"]);
    add(&stack, "off", "https://off.example", &["--no-export"]);
    add(&stack, "gone", "https://gone.example", &["--export"]);
    stack.run(&["registry", "update", "gone", "--disable"]).unwrap().succeeded().unwrap();
    let served = explain(&stack, "oci://r.example:5000/team/net?tag=1", 0);
    assert_eq!((&served["served"], &served["integration"]["name"]), (&true.into(), &"team".into()), "{served}");
    assert_eq!(
        (&served["integration"]["address"], &served["delivery"]),
        (&"r.example:5000/team".into(), &"broker".into())
    );
    assert_eq!(explain(&stack, "oci://r.example:5000/other?tag=1", 0)["integration"]["name"], "wide");
    for (source, word) in [
        ("oci://off.example/a?tag=1", "nigari registry update off --export"),
        ("oci://gone.example/a?tag=1", "nigari registry update gone --enable"),
        ("oci://none.example/a?tag=1", "no registry integration covers it"),
    ] {
        let explained = explain(&stack, source, 1);
        assert_eq!(explained["served"], false, "{explained}");
        assert!(
            explained["reason"].as_str().unwrap().contains(word) && explained.get("delivery").is_none(),
            "{explained}"
        );
    }
    let untested = text(&stack, &["oci://none.example/a?tag=1", "--test"]);
    assert_eq!(untested.code, Some(1), "{}", untested.all());
    assert!(untested.err.contains("`--test` was asked for") && untested.out.contains("no registry integration"));
    let near = explain(&stack, "oci://r.exmaple:5000/team/net?tag=1", 1);
    assert!(near["warnings"].to_string().contains("nearly the same name"), "{near}");
    let near = explain(&stack, "oci://r.example/team/net?tag=1", 1);
    assert!(near["warnings"].to_string().contains("another port"), "{near}");
    add(&stack, "loop", "https://localhost:5000", &["--export"]);
    assert_eq!(explain(&stack, "oci://localhost:5000/a?tag=1", 0)["delivery"], "helper");
    for (wish, source, delivery) in
        [("helper", "oci://r.example:5000/a?tag=1", "helper"), ("file", "oci://r.example:5000/a?tag=1", "")]
    {
        stack.run(&["workspace", "create", wish, "--delivery", wish]).unwrap().succeeded().unwrap();
        let said = text(&stack, &[source, "-w", wish]);
        assert_eq!(said.code, Some(i32::from(delivery.is_empty())), "{}", said.all());
        let word = if delivery.is_empty() { "registry update wide --permit-file" } else { "delivery     helper" };
        assert!(said.out.contains(word), "{}", said.out);
    }
    assert_eq!(text(&stack, &["oci://r.example:5000/a?tag=1", "-w", "nothing"]).code, Some(1));
    let said = text(&stack, &["oci://r.example:5000/team/net?tag=1"]);
    assert!(said.out.contains("served       yes") && said.out.contains("team (r.example:5000/team)"), "{}", said.out);
}

#[test]
fn what_is_wrong_with_a_source_is_told_though_an_integration_covers_it() {
    let directory = tempfile::tempdir().unwrap();
    let stack = server(directory.path());
    for (name, url) in [("hub", "https://docker.io"), ("ghcr", "https://ghcr.io")] {
        add(&stack, name, url, &["--export"]);
    }
    for (source, word) in [
        ("oci://ghcr.io/acme/net:1", "?tag=TAG"),
        ("oci://ghcr.io/acme/net?tag=1&digest=sha256:00", "not both"),
        ("oci://ghcr.io/acme/net?version=1", "no arguments but `tag` and `digest`"),
        ("oci://ghcr.io/acme/net?tag=1&tag=2", "keep one of them"),
        ("oci::https://ghcr.io/acme/net?tag=1", "write `oci://HOST/REPOSITORY?tag=TAG`"),
        ("oci::ghcr.io/acme/net", "write `oci://HOST/REPOSITORY?tag=TAG`"),
        ("oci://ghcr.io:abc/acme/net?tag=1", "write `HOST` or `HOST:PORT`"),
        ("oci://gh cr.io/acme/net?tag=1", "write `HOST` or `HOST:PORT`"),
        ("oci://ghcr.io:99999/acme/net?tag=1", "write `HOST` or `HOST:PORT`"),
        ("oci://ghcr.io:/acme/net?tag=1", "write `HOST` or `HOST:PORT`"),
    ] {
        let explained = explain(&stack, source, 1);
        assert!(explained["warnings"].to_string().contains(word), "{source}: {explained}");
        let said = text(&stack, &[source]);
        assert!(said.code == Some(1) && said.out.contains(word) && said.out.contains("hint: "), "{}", said.out);
    }
    // These are fetched all the same.
    for source in
        ["oci://ghcr.io:443/acme/net?tag=1", "oci://u:geheim-42@ghcr.io/acme/net", "oci://registry-1.docker.io/a?tag=1"]
    {
        let said = explain(&stack, source, 0).to_string();
        assert!(!said.contains("geheim-42"), "{said}");
    }
}

#[test]
fn what_the_broker_alone_adds_a_credential_to_is_a_warning_and_no_denial() {
    let directory = tempfile::tempdir().unwrap();
    let stack = server(directory.path());
    for (name, url) in [("hub", "https://docker.io"), ("ghcr", "https://ghcr.io")] {
        add(&stack, name, url, &["--export", "--permit-file"]);
    }
    for wish in ["broker", "helper", "file"] {
        stack.run(&["workspace", "create", wish, "--delivery", wish]).unwrap().succeeded().unwrap();
    }
    for (source, integration, word) in [
        ("oci://docker.io/acme/net?tag=1", "hub", "oci://registry-1.docker.io/"),
        ("oci://GHCR.io/acme/net?tag=1", "ghcr", "lower case"),
    ] {
        let explained = explain(&stack, source, 0);
        assert_eq!(
            (&explained["served"], &explained["delivery"], &explained["integration"]["name"]),
            (&true.into(), &"broker".into(), &integration.into()),
            "{explained}"
        );
        assert!(explained["reason"].as_str().unwrap().contains("only there"), "{explained}");
        assert!(explained["warnings"].to_string().contains(word), "{explained}");
        for (wish, code) in [("broker", 0), ("helper", 1), ("file", 1)] {
            let said = text(&stack, &[source, "-w", wish]);
            assert_eq!(said.code, Some(code), "{source} {wish}: {}", said.all());
            assert!(said.out.contains(word), "{source} {wish}: {}", said.out);
            let denied =
                format!("cannot fetch it with a credential: the broker could add one, but the delivery is `{wish}`");
            assert_eq!(said.out.contains(&denied), code == 1, "{source} {wish}: {}", said.out);
        }
    }
    // OpenTofu takes no other spelling for Docker Hub's registry.
    for source in ["oci://DOCKER.io/acme/net?tag=1", "oci://docker.io:443/acme/net?tag=1"] {
        let explained = explain(&stack, source, 1);
        assert!(
            explained["warnings"].to_string().contains("write the source with `registry-1.docker.io`"),
            "{explained}"
        );
    }
}

#[test]
fn the_integration_is_the_one_that_the_helper_gives() {
    let directory = tempfile::tempdir().unwrap();
    let stack = server(directory.path());
    for (name, url) in [
        ("wide", "https://localhost:5000"),
        ("team", "https://localhost:5000/team"),
        ("one", "https://localhost:5001/one"),
        ("two", "https://localhost:5001/two"),
        ("only", "https://localhost:5002/team"),
    ] {
        add(&stack, name, url, &["--export"]);
    }
    for (source, integration, word) in [
        ("oci://localhost:5000/team/net?tag=1", "wide", "is asked for a host alone"),
        ("oci://localhost:5002/other?tag=1", "only", "gives it to all of the host, not to localhost:5002/team alone"),
        ("oci://localhost:5002/team/net?tag=1", "only", "gives it to all of the host"),
    ] {
        let explained = explain(&stack, source, 0);
        assert_eq!(
            (&explained["integration"]["name"], &explained["delivery"]),
            (&integration.into(), &"helper".into())
        );
        assert!(explained["reason"].as_str().unwrap().contains(word), "{explained}");
    }
    for source in ["oci://localhost:5001/one/net?tag=1", "oci://localhost:5001/three?tag=1"] {
        let explained = explain(&stack, source, 1);
        let reason = explained["reason"].as_str().unwrap();
        assert!(reason.contains("one, two") && reason.contains("`helper` cannot tell"), "{explained}");
        assert!(explained.get("integration").is_none() && explained.get("delivery").is_none(), "{explained}");
    }
    // An agent may have a wish of its own, of which the server knows nothing.
    let said = text(&stack, &["oci://localhost:5000/team/net?tag=1"]);
    assert!(said.err.contains("own `--delivery`"), "{}", said.err);
    assert!(!text(&stack, &["oci://localhost:5001/one/net?tag=1"]).err.contains("own `--delivery`"));
}

#[test]
fn the_logins_of_this_machine_are_named_and_never_shown() {
    let directory = tempfile::tempdir().unwrap();
    let stack = server(directory.path());
    add(&stack, "r", "https://r.example", &["--export"]);
    let canary = Canary::new("robot");
    let pair = support_base64(&format!("robot:{}", canary.password));
    let home = directory.path().join("home");
    std::fs::create_dir_all(home.join(".docker")).unwrap();
    let config = format!("{{\"auths\":{{\"r.example\":{{\"auth\":\"{pair}\"}}}}}}");
    file(&home.join(".docker/config.json"), &config, 0o600);
    let said = text(&stack, &["oci://r.example/a?tag=1"]);
    assert!(said.out.contains("config.json: `r.example`: user and password; outside of a run"), "{}", said.out);
    file(&home.join(".dockercfg"), "{ broken", 0o600);
    let broken = text(&stack, &["oci://r.example/a?tag=1"]);
    assert!(broken.out.contains("broken (line 1") && !broken.out.contains("would take this"), "{}", broken.out);
    let mut search = Search::new(std::slice::from_ref(&canary));
    for said in [said, broken, text(&stack, &["oci://r.example/a?tag=1", "--json"])] {
        assert_eq!(said.code, Some(0), "{}", said.all());
        search.bytes("explain", said.all().as_bytes());
    }
    search.verdict().unwrap();
}

#[test]
fn what_opentofu_would_take_on_this_machine_is_what_it_takes() {
    let directory = tempfile::tempdir().unwrap();
    let stack = server(directory.path());
    add(&stack, "r", "https://r.example", &["--export"]);
    let canary = Canary::new("robot");
    let entry = |text: &str| format!("{{\"auth\":\"{}\"}}", support_base64(text));
    let pair = entry(&format!("robot:{}", canary.password));
    let home = directory.path().join("home");
    std::fs::create_dir_all(home.join(".docker")).unwrap();
    let docker = |auths: &str| file(&home.join(".docker/config.json"), &format!("{{\"auths\":{{{auths}}}}}"), 0o600);
    let told = |source: &str| text(&stack, &[source]).out;
    // `docker.io` is another host by the time a credential could be sent.
    docker(&format!("\"docker.io\":{pair}"));
    let said = told("oci://docker.io/acme/net?tag=1");
    assert!(said.contains("`docker.io`: user and password") && !said.contains("would take this"), "{said}");
    // What is no pair counts for nothing alone, and is not to be beside another.
    docker(&format!("\"r.example\":{}", entry("nothing")));
    let said = told("oci://r.example/a?tag=1");
    assert!(said.contains("so it counts for nothing") && !said.contains("would take this"), "{said}");
    docker(&format!("\"r.example\":{},\"r.example/a\":{pair}", entry("nothing")));
    let said = told("oci://r.example/a?tag=1");
    assert!(said.contains("beside another login OpenTofu fails") && !said.contains("would take this"), "{said}");
    // The CLI configuration comes first.
    docker(&format!("\"r.example\":{pair}"));
    let block =
        format!("oci_credentials \"r.example\" {{\n  username = \"robot\"\n  password = \"{}\"\n}}\n", canary.password);
    let own = file(&home.join(".tofurc"), &block, 0o600);
    let said = told("oci://r.example/a?tag=1");
    assert!(said.contains(".tofurc: `oci_credentials \"r.example\"`: user and password; outside of a run"), "{said}");
    assert!(said.contains("config.json: `r.example`: user and password\n"), "{said}");
    file(&home.join(".tofurc"), "oci_default_credentials {\n  docker_style_config_files = [\"gone.json\"]\n}\n", 0o600);
    let said = told("oci://r.example/a?tag=1");
    assert!(said.contains("gone.json: not there") && !said.contains("config.json: `"), "{said}");
    file(&home.join(".tofurc"), "oci_default_credentials {", 0o600);
    let said = told("oci://r.example/a?tag=1");
    assert!(said.contains(".tofurc: broken (line 1") && said.contains("goes on without it"), "{said}");
    assert!(said.contains("config.json: `r.example`: user and password; outside of a run"), "{said}");
    let other = file(&home.join("other.tfrc"), &block, 0o600);
    let mut named = stack.command(&["explain", "oci://r.example/a?tag=1"]);
    named.env("TF_CLI_CONFIG_FILE", &other);
    let said = run(named).unwrap();
    assert!(said.out.contains("other.tfrc: `oci_credentials") && !said.out.contains(&own), "{}", said.out);
    let mut search = Search::new(std::slice::from_ref(&canary));
    search.bytes("explain", said.all().as_bytes());
    search.verdict().unwrap();
}

fn support_base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[test]
fn without_a_server_the_source_itself_is_explained() {
    let home = tempfile::tempdir().unwrap();
    let said = typed(home.path(), &["explain", "oci://docker.io/acme/net:1"]);
    assert_eq!(said.code, Some(1), "{}", said.all());
    assert!(
        said.out.contains("registry-1.docker.io") && said.err.contains("the server could not be asked"),
        "{}",
        said.all()
    );
    let said = typed(home.path(), &["explain", "oci://ghcr.io/acme/net?tag=1"]);
    assert_eq!(said.code, Some(1), "{}", said.all());
    assert!(said.out.contains("not known"), "{}", said.out);
    for arguments in [
        &["explain", "/nonexistent/directory"][..],
        &["explain", "ghcr.io/acme/net"],
        &["explain", "oci://h/a", "--root", "."],
        &["explain", "", "--json"],
    ] {
        let said = typed(home.path(), arguments);
        assert_eq!(said.code, Some(2), "{arguments:?}: {}", said.all());
        assert!(said.err.contains("hint: "), "{}", said.err);
    }
}

#[test]
fn every_source_of_a_configuration_is_explained_also_in_its_local_modules() {
    let directory = tempfile::tempdir().unwrap();
    let stack = server(directory.path());
    add(&stack, "ghcr", "https://ghcr.io/acme", &["--export"]);
    let module = |name: &str, source: &str| format!("module \"{name}\" {{\n  source = {source}\n}}\n");
    let live = directory.path().join("live");
    let nested = directory.path().join("modules/nested");
    for path in [&live, &nested] {
        std::fs::create_dir_all(path).unwrap();
    }
    let main = module("net", "\"oci://ghcr.io/acme/net?tag=1\"")
        + &module("nested", "\"../modules/nested\"")
        + &module("public", "\"hashicorp/consul/aws\"")
        + &module("code", "\"git::ssh://git@example.com/x.git\"")
        + &module("computed", "\"${var.base}/x\"");
    file(&live.join("main.tf"), &main, 0o600);
    file(&nested.join("main.tf"), &module("deep", "\"oci://ghcr.io/acme/deep?tag=1\""), 0o600);
    let (live, root) = (live.display().to_string(), directory.path().display().to_string());
    let said = text(&stack, &[&live, "--root", &root, "--json"]);
    assert_eq!(said.code, Some(0), "{}", said.all());
    let all: Value = serde_json::from_str(&said.out).unwrap();
    let kinds: Vec<&str> = all.as_array().unwrap().iter().map(|one| one["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["oci", "local", "registry", "git", "expression", "oci"]);
    assert_eq!((&all[5]["module"], &all[5]["file"]), (&"deep".into(), &"modules/nested/main.tf".into()));
    // A module beside the configuration needs the root, for a run too.
    let said = text(&stack, &[&live]);
    assert!(said.code == Some(1) && said.err.contains("--root"), "{}", said.all());
    file(&nested.join("main.tf"), &module("deep", "\"oci://other.example/deep?tag=1\""), 0o600);
    let said = text(&stack, &[&live, "--root", &root]);
    assert!(said.code == Some(1) && said.out.contains("deep (modules/nested/main.tf)"), "{}", said.all());
}

#[test]
fn a_directory_without_what_it_needs_is_no_success() {
    let directory = tempfile::tempdir().unwrap();
    let stack = server(&directory.path().join("stack"));
    let live = directory.path().join("live");
    std::fs::create_dir_all(live.join("modules")).unwrap();
    let at = live.display().to_string();
    let said = text(&stack, &[&at]);
    assert_eq!(said.code, Some(2), "{}", said.all());
    assert!(said.err.contains("no `.tf` or `.tofu` file in it") && said.err.contains("hint: "), "{}", said.err);
    let partial = "what the modules from elsewhere call themselves is not known here";
    let module = |name: &str, source: &str| format!("module \"{name}\" {{\n  source = \"{source}\"\n}}\n");
    for (main, code, missing, is_partial) in [
        ("# nothing\n".to_owned(), 0, None, false),
        (module("there", "./modules"), 0, None, false),
        (module("gone", "./missing"), 1, Some("gone (main.tf)"), false),
        (module("there", "./modules") + &module("code", "git::https://example.com/x.git"), 0, None, true),
        (module("public", "hashicorp/consul/aws"), 0, None, true),
    ] {
        file(&live.join("main.tf"), &main, 0o644);
        let said = text(&stack, &[&at]);
        assert_eq!(said.code, Some(code), "{main}: {}", said.all());
        assert_eq!(said.out.contains("there is no such directory"), missing.is_some(), "{main}: {}", said.out);
        assert!(missing.is_none_or(|name| said.out.contains(name)), "{main}: {}", said.out);
        assert_eq!(said.err.contains(partial), is_partial, "{main}: {}", said.err);
    }
    // Of a source alone nobody expects it.
    assert!(!text(&stack, &["oci://r.example/a?tag=1"]).err.contains(partial));
}

#[test]
fn a_test_asks_the_registry_for_the_module_itself() {
    let Some(registry) = require::registry() else { return };
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().join("registry");
    std::fs::create_dir(&at).unwrap();
    let registry = Registry::start(&registry, &at, "robot", "geheim").unwrap();
    registry.push("team/net", "1", &Package::greeting()).unwrap();
    let mut chart = Package::greeting();
    let manifest = String::from_utf8(chart.manifest).unwrap();
    chart.manifest =
        manifest.replace("application/vnd.opentofu.modulepkg", "application/vnd.example.other").into_bytes();
    registry.push("team/chart", "1", &chart).unwrap();
    let stack = server(directory.path());
    let ca = registry.ca_file().display().to_string();
    add(&stack, "r", &format!("https://{}", registry.host()), &["--export", "--registry-ca-file", &ca]);
    let source = |name: &str| format!("oci://{}/team/{name}", registry.host());
    for (name, code) in [("net?tag=1", 0), ("chart?tag=1", 1), ("net?tag=2", 1)] {
        let said = text(&stack, &[&source(name), "--test", "--json"]);
        assert_eq!(said.code, Some(code), "{name}: {}", said.all());
        let explained: Value = serde_json::from_str(&said.out).unwrap();
        assert_eq!(explained[0]["test"]["is_module"] == true, code == 0, "{explained}");
        assert_eq!(explained[0]["served"], code == 0, "{explained}");
    }
    // Without the test it is only known that it would be asked for with the credential.
    assert_eq!(text(&stack, &[&source("chart?tag=1")]).code, Some(0));
}

#[test]
fn the_mirrors_of_an_agents_cli_configuration_are_explained_too() {
    let directory = tempfile::tempdir().unwrap();
    let stack = server(&directory.path().join("stack"));
    add(&stack, "mirror", "https://r.example:5000/tofu", &["--export"]);
    let configuration = directory.path().join("configuration");
    std::fs::create_dir(&configuration).unwrap();
    file(&configuration.join("main.tf"), "# nothing\n", 0o644);
    let configuration = configuration.display().to_string();
    let block = |template: &str| {
        format!("provider_installation {{\n  oci_mirror {{\n    repository_template = \"{template}\"\n  }}\n}}\n")
    };
    for (template, code, told) in [
        ("r.example:5000/tofu/${namespace}/${type}", 0, "integration  mirror (r.example:5000/tofu)"),
        ("r.example:5000/other/${namespace}/${type}", 1, "another path"),
        ("https://r.example/${type}", 1, "does not begin with the host of a registry"),
    ] {
        let settings = file(&directory.path().join("agent.tfrc"), &block(template), 0o644);
        // There is nothing of a mirror that could be tried.
        for more in [&[][..], &["--test"]] {
            let said = text(&stack, &[&[configuration.as_str(), "--cli-config", &settings], more].concat());
            assert_eq!(said.code, Some(code), "{template} {more:?}: {}", said.all());
            assert!(said.all().contains(told), "{template} {more:?}: {}", said.all());
        }
    }
}

#[test]
fn a_test_that_no_server_can_be_asked_for_says_why() {
    let home = tempfile::tempdir().unwrap();
    let token = file(&home.path().join("token"), "ngr_user_x", 0o600);
    let server = ["--server", "http://127.0.0.1:1", "--token-file", token.as_str()];
    let words = [&["explain", "oci://r.example:5000/a?tag=1", "--test"], &server[..]].concat();
    let said = run(nigari(home.path(), &words)).unwrap();
    assert_eq!(said.code, Some(69), "{}", said.all());
    assert!(said.err.contains("127.0.0.1:1") && !said.err.contains("no integration"), "{}", said.err);
}
