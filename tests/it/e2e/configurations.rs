//! The uploaded directory: what is packed, from where, and what is refused before anything leaves the machine.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use support::http::Request;

use super::world::{Setup, World};
use super::{PLAIN, write};

/// Shows of each of these files whether it is there.
fn looks_for(names: &[&str]) -> String {
    let entry = |name: &&str| format!("    \"{name}\" = fileexists(\"${{path.module}}/{name}\")\n");
    format!("output \"there\" {{\n  value = {{\n{}  }}\n}}\n", names.iter().map(entry).collect::<String>())
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn what_the_ignore_file_names_and_what_no_run_needs_is_not_uploaded() {
    let Some(world) = World::start() else { return };
    let names = ["kept.txt", "left.txt", "sub/left.txt", "sub/kept.txt", ".git/config", ".terraform/x", "old.tfstate"];
    let directory = world.configuration(&looks_for(&names));
    for name in names {
        write(&directory.join(name), if name == "old.tfstate" { "" } else { "x" });
    }
    write(&directory.join(".terraformignore"), "left.txt\n!sub/kept.txt\n");
    let said = world.apply(&directory, 0);
    for name in names {
        let there = said.lines().find(|line| line.trim_start().starts_with(&format!("\"{name}\""))).unwrap();
        assert_eq!(there.ends_with("true"), name.contains("kept"), "{there}\n{said}");
    }
}

#[test]
fn a_link_in_the_tree_is_what_it_points_to_and_one_out_of_it_is_refused() {
    let Some(world) = World::start() else { return };
    let directory = world.configuration(&looks_for(&["here.txt", "dir/deep.txt"]));
    write(&directory.join("real/here.txt"), "x");
    write(&directory.join("real/dir/deep.txt"), "x");
    symlink("real/here.txt", directory.join("here.txt")).unwrap();
    symlink("real/dir", directory.join("dir")).unwrap();
    let said = world.apply(&directory, 0);
    assert!(said.contains("\"here.txt\" = true") && said.contains("\"dir/deep.txt\" = true"), "{said}");
    symlink("/etc/hostname", directory.join("out.txt")).unwrap();
    let before = world.newest();
    let said = world.apply(&directory, 1);
    assert!(said.contains("out.txt") && said.contains("/etc/hostname") && said.contains("hint: "), "{said}");
    assert_eq!(world.newest(), before);
}

/// A tree with a module above the configuration; gives the tree and the configuration.
fn tree(world: &World) -> (String, String) {
    let root = world.path("tree");
    write(&root.join("modules/m/main.tf"), "output \"text\" {\n  value = \"from above\"\n}\n");
    let main = "module \"m\" {\n  source = \"../../modules/m\"\n}\noutput \"o\" {\n  value = \"${module.m.text} in \
                ${basename(path.cwd)}\"\n}\n";
    write(&root.join("envs/prod/main.tf"), main);
    (text(&root), text(&root.join("envs/prod")))
}

#[test]
fn with_a_root_modules_above_the_configuration_come_along() {
    let Some(world) = World::start() else { return };
    let (root, directory) = tree(&world);
    let arguments = ["apply", &directory, "--root", &root, "-w", "demo", "--create"];
    let said = world.ends(&[&arguments[..], &["--auto-approve"]].concat(), 0);
    assert!(said.contains("o = \"from above in prod\""), "{said}");
    // The same with approval: the plan is applied in the same working directory.
    write(&Path::new(&directory).join("more.tf"), PLAIN.replace("\"o\"", "\"p\"").as_str());
    world.ends(&arguments, 4);
    let said = world.ends(&["run", "approve", &world.newest(), "--follow"], 0);
    assert!(said.contains("from above in prod"), "{said}");
}

#[test]
fn without_a_root_a_module_above_is_refused_before_anything_is_uploaded() {
    let Some(world) = World::with(Setup { without_agent: true, ..Setup::default() }) else { return };
    let (_, directory) = tree(&world);
    let said = world.ends(&["apply", &directory, "-w", "demo", "--create", "--detach"], 1);
    assert!(said.contains("../../modules/m") && said.contains("--root"), "{said}");
    assert!(world.audited("configuration:upload").is_empty());
}

#[test]
fn a_root_that_is_not_above_is_refused() {
    let Some(world) = World::with(Setup { without_agent: true, ..Setup::default() }) else { return };
    let (root, directory) = tree(&world);
    let said = world.ends(&["apply", &root, "--root", &directory, "-w", "demo", "--create", "--detach"], 1);
    assert!(said.contains("is not below") && said.contains("hint: "), "{said}");
}

/// Every spelling of the file that nigari writes beside a configuration.
const OURS: [&str; 6] = [
    "nigari_override.tf",
    "nigari_override.tofu",
    "nigari_override.tf.json",
    "nigari_override.tofu.json",
    "Nigari_Override.TF",
    "sub/nigari_override.tf",
];

#[test]
fn files_that_are_named_like_ours_are_refused_by_the_command() {
    let Some(world) = World::with(Setup { without_agent: true, ..Setup::default() }) else { return };
    for name in OURS {
        let directory = world.configuration(PLAIN);
        write(&directory.join(name), if name.ends_with("json") { "{}" } else { "" });
        let said = world.ends(&["apply", &text(&directory), "-w", "demo", "--create", "--detach"], 1);
        assert!(said.contains(name) && said.contains("kept for nigari") && said.contains("hint: "), "{name}: {said}");
    }
    assert!(world.audited("configuration:upload").is_empty());
}

#[test]
fn and_by_the_server_whoever_packs_them() {
    let Some(world) = World::with(Setup { without_agent: true, ..Setup::default() }) else { return };
    world.ends(&["workspace", "create", "demo"], 0);
    assert_eq!(upload(&world, "fine.tf").0, 201);
    for name in OURS {
        let (status, said) = upload(&world, name);
        assert_eq!(status, 422, "{name}: {said}");
        assert!(said.contains("kept for nigari"), "{name}: {said}");
    }
}

/// Uploads an archive with one empty file, as any client could; gives the status and the answer.
fn upload(world: &World, name: &str) -> (u16, String) {
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut archive = tar::Builder::new(gzip);
    let mut header = tar::Header::new_ustar();
    header.set_size(0);
    header.set_mode(0o644);
    archive.append_data(&mut header, name, std::io::empty()).unwrap();
    let body = archive.into_inner().unwrap().finish().unwrap();
    let port = world.stack.url().trim_end_matches('/').rsplit_once(':').unwrap().1.parse().unwrap();
    let token = format!("Bearer {}", fs::read_to_string(world.stack.token_file()).unwrap().trim());
    let headers = [("Authorization", token.as_str()), ("Content-Type", "application/gzip")];
    let target = "/api/v1/workspaces/demo/configurations";
    let answer = Request { method: "POST", target, headers: &headers, body: &body }.over_loopback(port).unwrap();
    (answer.status, answer.text())
}
