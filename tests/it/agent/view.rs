//! What a configuration can read of its host, in either sandbox.

use std::fs;
use std::path::Path;

use super::Scene;

/// A configuration that sends what a file holds to wherever its module is looked for.
fn reading(path: &Path) -> String {
    format!(
        "locals {{\n  text = substr(trimspace(file(\"{}\")), 0, 20)\n}}\nmodule \"m\" {{\n  source = \"./${{local.text}}\"\n}}\n",
        path.display()
    )
}

#[test]
fn a_fetch_step_reads_nothing_of_agent_and_server() {
    if nigari::sandbox::landlock_version() == 0 {
        return support::require::missing("Landlock");
    }
    for sandbox in ["process", "auto"] {
        let Some(mut scene) = Scene::with(&[], &["--sandbox", sandbox]) else { return };
        let agent = scene.stack.agent().unwrap();
        agent.wait_for_line("session opened", super::SOON).unwrap();
        let is_namespace = agent.log().contains("steps run in the sandbox `namespace`");
        let open = scene.place.path().join("open");
        fs::write(&open, "this-can-be-read-here").unwrap();
        let stack = scene.stack.directory().to_owned();
        let own = ["agent/identity", "server/admin.token", "server/root.key"].map(|name| stack.join(name));
        for path in own.iter().chain([&open]) {
            let said = scene.apply(&scene.configuration(&reading(path)));
            assert_eq!(said.code, Some(1), "{}", said.all());
            let content = fs::read(path).unwrap();
            let shown = String::from_utf8_lossy(&content[..20]).trim().to_owned();
            // The control: what anybody on the host may read is open in `process`, and told with the module's source.
            let is_seen = path == &open && !is_namespace;
            assert_eq!(said.all().contains(&shown), is_seen, "{sandbox}, {}: {}", path.display(), said.all());
        }
    }
}

#[test]
fn steps_see_what_the_operator_names_and_not_what_is_the_agents() {
    let Some(mut scene) = Scene::with(&[], &[]) else { return };
    let at = |name: &str| scene.place.path().join(name);
    for directory in ["read", "cache", "home"] {
        fs::create_dir(at(directory)).unwrap();
    }
    for file in ["read/file", "home/file"] {
        fs::write(at(file), "can-be-read").unwrap();
    }
    let settings = at("cli.tfrc");
    fs::write(&settings, format!("plugin_cache_dir = \"{}\"\n", at("cache").display())).unwrap();
    let [read, home, cli] = [at("read"), at("home"), settings].map(|path| path.display().to_string());
    let (cache, stack) = (at("cache").display().to_string(), scene.stack.directory().display().to_string());
    let secrets = scene.stack.secret_root().unwrap().display().to_string();
    let command = format!(
        "cat {read}/file $HOME/file; touch {cache}/made {read}/made $HOME/made; \
         cat {stack}/agent/identity {stack}/server/root.key && echo LEA''KED; ls {stack}/agent && echo LEA''KED; \
         ls {stack}/server && echo LEA''KED; ls -d {secrets}/*/* | wc -l; exit 0"
    );
    let main = format!(
        "resource \"terraform_data\" \"a\" {{\n  provisioner \"local-exec\" {{\n    command = \"{command}\"\n  }}\n}}\n"
    );
    scene.stack.agent().unwrap().stop().unwrap();
    scene.stack.start_agent(&["--read-paths", &read, "--home", &home, "--cli-config", &cli]).unwrap();
    let said = scene.apply(&scene.configuration(&main)).succeeded().unwrap().all();
    if !scene.stack.agent().unwrap().log().contains("steps run in the sandbox `namespace`") {
        return support::require::missing("namespaces");
    }
    assert!(said.contains("can-be-readcan-be-read"), "{said}");
    // Not as it stands in the command, which tofu shows.
    assert!(!said.contains("LEAKED"), "{said}");
    // In the directories of secrets there is what belongs to this run.
    assert!(said.contains("(local-exec): 1\n"), "{said}");
    let made = ["cache/made", "read/made", "home/made"].map(|name| scene.place.path().join(name).exists());
    assert_eq!(made, [true, false, false], "{said}");
}

/// Writes a file of the agent's user alone.
fn write_private(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn later_steps_read_neither_the_operators_key_and_settings_nor_what_another_run_has_in_memory() {
    if nigari::sandbox::landlock_version() == 0 {
        return support::require::missing("Landlock");
    }
    for sandbox in ["process", "auto"] {
        let Some(mut scene) = Scene::with(&[], &["--delivery", "broker"]) else { return };
        let at = |name: &str| scene.place.path().join(name);
        let [key, settings, open] = ["key", "cli.tfrc", "open"].map(at);
        write_private(&key, "LEAKED-the-key\n");
        write_private(&settings, "credentials \"modules.example.com\" {\n  token = \"LEAKED-the-token\"\n}\n");
        fs::write(&open, "can-be-read\n").unwrap();
        scene.stack.agent().unwrap().stop().unwrap();
        let [key_file, cli] = [&key, &settings].map(|path| path.display().to_string());
        let flags = ["--ssh-key-file", &key_file, "--cli-config", &cli, "--sandbox", sandbox];
        scene.stack.start_agent(&flags).unwrap();
        let agent = scene.stack.agent().unwrap();
        agent.wait_for_line("session opened", super::SOON).unwrap();
        let is_namespace = agent.log().contains("steps run in the sandbox `namespace`");
        // What another run of the same agent would have there.
        let uid = rustix::process::geteuid().as_raw();
        let memory = scene.stack.secret_root().unwrap().join(format!("nigari-{uid}"));
        let other = memory.join("run-of-another");
        fs::create_dir(&other).unwrap();
        write_private(&other.join("plan"), "LEAKED-the-plan\n");
        let files = [&key, &settings, &other.join("plan"), &open].map(|path| path.display().to_string());
        let command = format!(
            "cat {} 2>/dev/null; ls {} | grep -q of-anoth[e]r && echo LEA''KED; exit 0",
            files.join(" "),
            memory.display()
        );
        let main = format!(
            "resource \"terraform_data\" \"a\" {{\n  provisioner \"local-exec\" {{\n    command = \"{command}\"\n  }}\n}}\n"
        );
        let said = scene.apply(&scene.configuration(&main)).succeeded().unwrap().all();
        assert!(!said.contains("LEAKED"), "{sandbox}: {said}");
        assert_eq!(said.contains("can-be-read"), !is_namespace, "the control, {sandbox}: {said}");
        fs::remove_dir_all(&other).unwrap();
    }
}
