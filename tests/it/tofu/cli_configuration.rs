//! The merged CLI configurations, read by the real tofu.

use std::path::Path;

use nigari::tofu::arguments;
use nigari::tofu::cli_configuration::OperatorConfiguration;
use nigari::tofu::cli_configuration::problems::{Problems, find};
use support::module::Package;
use support::registry::Registry;

use super::Bench;

/// Files that tofu accepts. `CACHE` becomes a directory that exists.
const VALID: &[&str] = &[
    "",
    "# only a comment",
    "// no line end at the end\n/* two\nlines */",
    "plugin_cache_dir = \"CACHE\"\r\ndisable_checkpoint = true\r\n",
    "plugin_cache_dir = \"CACHE\" disable_checkpoint = true, disable_checkpoint_signature = false",
    "\"plugin_cache_dir\" = \"CACHE\"",
    "credentials \"app.example\" {\n  token = \"a\\\"b\\\\c\\u0024{d}\"\n}\n",
    "credentials \"app.example\" {\n  token = <<EOT\n} \" { ${ \nEOT\n}\n",
    "credentials \"app.example\" {\n  token = <<-EOT\n    } \"\n    EOT\n}\n",
    "credentials \"app.example\" { token = \"x${\"y\"}z\" }",
    "credentials_helper \"store\" { args = [\"a\", \"b\",] }",
    "host \"h.example\" {\n  services = {\n    \"modules.v1\" = \"https://h.example/\"\n  }\n}\n",
    "host \"h.example\" { services { \"modules.v1\" = \"https://h.example/\" } }",
    "provider_installation {\n  dev_overrides {\n    \"ns/name\" = \"/tmp\"\n  }\n  direct {}\n}\n",
    "provider_installation {\n  filesystem_mirror {\n    path = \"CACHE\"\n    include = [\"a.example/*/*\"]\n  }\n  direct { \
     exclude = [\"a.example/*/*\"] }\n}\n",
    "provider_installation {\n  oci_mirror {\n    repository_template = \"r.example/${hostname}/${namespace}/${type}\"\n  \
     }\n}\n",
    "provider_installation {\n  direct { exclude = [\"a/b\"] }\n  oci_mirror { repository_template = \
     \"r.example/${type == \"x\" ? \"y\" : type}\" include = [\"h.example/a/*\",] exclude = [] }\n  oci_mirror { include = \
     [\"a/b\"] repository_template = \"${hostname}/b\" }\n}\n",
    "{\"provider_installation\": [{\"oci_mirror\": [{\"repository_template\": \"r.example/${type}\", \"include\": [\"a/*\"]}, \
     {\"repository_template\": \"r.example/b\", \"include\": [\"a/b\"]}], \"direct\": {}}]}",
    "oci_default_credentials {\n  discover_ambient_credentials = false\n}\n",
    "\"oci_default_credentials\" { docker_style_config_files = [\"relative.json\"] }",
    "oci_credentials \"ghcr.io/o\" {\n  username = \"u\"\n  password = \"p}\"\n}\noci_credentials \"ghcr.io\" { \
     docker_credentials_helper = \"x\" }\n",
    "registry_protocols { retry_count = 3 }",
    "unknown { nested = [1, [2], {a = 1}] }",
    "{}",
    " \n{\"plugin_cache_dir\": \"CACHE\", \"credentials\": {\"app.example\": {\"token\": \"t\"}}}",
    "{\"oci_default_credentials\": {\"docker_style_config_files\": []}, \"disable_checkpoint\": true}",
    "{\"provider_installation\": {\"direct\": {}}}",
    "{\"credentials_helper\": {\"store\": {\"args\": []}}, \"oci_credentials\": {\"ghcr.io\": {\"username\": \"u\", \
     \"password\": \"p\"}}}",
];

/// Files that tofu rejects while parsing.
const BROKEN: &[&str] = &[
    "a = = 1",
    "a {",
    "a = \"b\n\"",
    "a = \"${\"",
    "/*",
    "a = 1 }",
    "a \"b\" = 1",
    "a",
    "a = <<EOT\nx\nEOT",
    "a = <<-EOT\nx\nEOT\n",
    "a = [1 2]",
    "{\"a\": \"\\/\"}",
    "\u{feff}a = 1",
    "a = 1\na = 2",
    "a = \"\\q\"",
];

#[test]
fn what_tofu_accepts_is_merged_into_what_tofu_accepts() {
    let Some(bench) = Bench::new(&[]) else { return };
    std::fs::create_dir(bench.path("cache")).unwrap();
    let docker_config = bench.write("docker/config.json", "{}");
    let mirror = &bench.path("providers");
    for text in VALID {
        let text = text.replace("CACHE", bench.path("cache").to_str().unwrap());
        let file = bench.write("operator.tfrc", &text);
        let control = bench.tofu_with(&file, &arguments::version());
        assert_eq!(find(&control.err), Problems::None, "the control: {text}");
        let operator = OperatorConfiguration::read(Some(&file), None).unwrap_or_else(|error| panic!("{text}: {error}"));
        for merged in
            [operator.for_fetch(&docker_config), operator.for_steps(false, mirror), operator.for_steps(true, mirror)]
        {
            let merged = merged.unwrap();
            let path = bench.write("merged.tfrc", merged.expose());
            let done = bench.tofu_with(&path, &arguments::version());
            assert_eq!(find(&done.err), Problems::None, "{text}\nbecame\n{}", merged.expose());
            assert_eq!(merged.expose().matches("oci_default_credentials").count(), 1, "{}", merged.expose());
        }
    }
}

#[test]
fn what_tofu_rejects_is_rejected_before() {
    let Some(bench) = Bench::new(&[]) else { return };
    for text in BROKEN {
        let file = bench.write("operator.tfrc", text);
        let control = bench.tofu_with(&file, &arguments::version());
        assert!(matches!(find(&control.err), Problems::Errors(_)), "the control: {text}: {}", control.all());
        assert!(OperatorConfiguration::read(Some(&file), None).is_err(), "{text}");
    }
}

#[test]
fn a_missing_file_is_only_a_warning_for_tofu() {
    let Some(bench) = Bench::new(&[]) else { return };
    let done = bench.tofu_with(&bench.path("none.tfrc"), &arguments::version());
    assert_eq!(find(&done.err), Problems::Warnings, "{}", done.all());
}

/// A registry with one private module, the operator's login to it in the home directory, and an operator's CLI
/// configuration with a block of its own.
struct Scene {
    bench: Bench,
    registry: Registry,
    operator: OperatorConfiguration,
}

fn scene(operator: &str) -> Option<Scene> {
    let mut bench = Bench::new(&[])?;
    let program = support::require::registry()?;
    let registry = Registry::start(&program, &bench.path("registry"), "robot", "password").unwrap();
    registry.push("team/net", "1", &Package::new(&[("main.tf", "locals {}\n")])).unwrap();
    let main = format!("module \"m\" {{\n  source = \"oci://{}/team/net?tag=1\"\n}}\n", registry.host());
    bench.write("configuration/main.tf", &main);
    bench.write("home/.docker/config.json", &login(&registry));
    bench.set("SSL_CERT_FILE", registry.ca_file());
    let file = bench.write("operator.tfrc", operator);
    let operator = OperatorConfiguration::read(Some(&file), None).unwrap();
    Some(Scene { bench, registry, operator })
}

fn login(registry: &Registry) -> String {
    use base64::Engine as _;
    let pair = base64::engine::general_purpose::STANDARD.encode("robot:password");
    format!("{{\"auths\": {{\"{}\": {{\"auth\": \"{pair}\"}}}}}}", registry.host())
}

impl Scene {
    fn get(&self, cli_configuration: &Path) -> support::child::Finished {
        let _ = std::fs::remove_dir_all(self.bench.data());
        self.bench.tofu_with(cli_configuration, &arguments::get())
    }
}

#[test]
fn only_the_named_file_gives_credentials_in_the_fetch_step() {
    let own =
        "oci_default_credentials {\n  docker_style_config_files = [\"nowhere.json\"]\n}\ndisable_checkpoint = true\n";
    let Some(scene) = scene(own) else { return };
    let odd = scene.bench.write("od${d} \"q\\u0024 dé/config.json", &login(&scene.registry));
    let fetch = scene.operator.for_fetch(&odd).unwrap();
    let file = scene.bench.write("fetch.tfrc", fetch.expose());
    scene.get(&file).succeeded().unwrap();
    let empty = scene.bench.write("empty/config.json", "{\"auths\": {}}");
    let without = scene.operator.for_fetch(&empty).unwrap();
    let file = scene.bench.write("fetch.tfrc", without.expose());
    let refused = scene.get(&file);
    assert!(refused.code == Some(1) && refused.all().contains("basic credential not"), "{}", refused.all());
}

#[test]
fn the_hosts_own_login_is_out_of_reach_after_the_fetch_step() {
    for operator in [
        "",
        "{\"disable_checkpoint\": true}",
        "oci_credentials \"localhost\" {\n  username = \"u\"\n  password = \"p\"\n}\n",
    ] {
        let Some(scene) = scene(operator) else { return };
        let ambient = scene.bench.write("ambient.tfrc", "");
        scene.get(&ambient).succeeded().unwrap();
        let steps = scene.operator.for_steps(false, Path::new("/mirror")).unwrap();
        let file = scene.bench.write("steps.tfrc", steps.expose());
        let refused = scene.get(&file);
        assert!(
            refused.code == Some(1) && refused.all().contains("basic credential not"),
            "{operator}: {}",
            refused.all()
        );
    }
}
