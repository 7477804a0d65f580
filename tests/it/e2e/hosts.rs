//! What a host can lack, and two agents on one.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use support::child::{command, random_hex, run};
use support::require;

use super::shelf::{REPOSITORY, Shelf};
use super::world::{Setup, World};
use super::{PLAIN, with_modules, write};

/// A small file system in memory, unmounted at the end.
struct Small(PathBuf);

impl Small {
    fn mount(at: &Path, size: &str) -> Self {
        std::fs::create_dir_all(at).unwrap();
        let mut mount = command("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size},mode=700"), "none"]).arg(at);
        run(mount).unwrap().succeeded().unwrap();
        Self(at.to_owned())
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let mut umount = command("umount");
        // Lazily, because an agent of a failed test may still be in it.
        umount.arg("-l").arg(&self.0);
        let _ = run(umount);
    }
}

#[test]
fn without_space_for_a_run_the_run_fails_with_a_hint_and_the_agent_goes_on() {
    if !require::root() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let small = Small::mount(&place.path().join("runs"), "256k");
    let runs = small.0.display().to_string();
    let Some(mut world) = World::with(Setup { agent: &["--run-root", &runs], ..Setup::default() }) else { return };
    let directory = world.configuration(PLAIN);
    write(&directory.join("big.txt"), &random_hex(400 * 1024));
    let said = world.apply(&directory, 1);
    assert!(said.contains("no space left") || said.contains("No space left"), "{said}");
    assert!(said.contains("hint: "), "{said}");
    assert_eq!(std::fs::read_dir(&small.0).unwrap().count(), 0);
    // The next one fits.
    world.apply(&world.configuration("output \"o\" {\n  value = 1\n}\n"), 0);
    world.stack.stop().unwrap();
}

#[test]
fn space_that_runs_out_while_tofu_works_fails_the_run_and_leaves_nothing() {
    if !require::root() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let small = Small::mount(&place.path().join("runs"), "256k");
    let runs = small.0.display().to_string();
    let Some(mut world) = World::with(Setup { agent: &["--run-root", &runs], ..Setup::default() }) else { return };
    let Some(shelf) = Shelf::start(&world.canaries[0].password) else { return };
    let text = random_hex(300 * 1024);
    let big = support::module::Package::new(&[("main.tf", "output \"text\" {\n  value = 1\n}\n"), ("big", &text)]);
    shelf.registry.push(REPOSITORY, "1.0.0", &big).unwrap();
    shelf.store(&world);
    let said = world.apply(&world.configuration(&shelf.main()), 1);
    assert!(said.contains("no space left on device"), "{said}");
    world.wait_for_wipe();
    assert_eq!(std::fs::read_dir(&small.0).unwrap().count(), 0);
    world.stack.stop().unwrap();
}

#[test]
fn an_agent_does_not_put_secrets_on_a_disk() {
    let Some(world) = World::with(Setup { without_agent: true, ..Setup::default() }) else { return };
    let disk = Path::new(env!("CARGO_TARGET_TMPDIR")).join(random_hex(8));
    std::fs::create_dir(&disk).unwrap();
    let mut agent = world.another_agent("disk", &["--secret-root", disk.to_str().unwrap()]);
    assert_eq!(agent.wait(Duration::from_mins(1)).unwrap().code(), Some(78), "{}", agent.log());
    let said = agent.log();
    assert!(said.contains("it is on a disk") && said.contains("hint: "), "{said}");
    assert_eq!(std::fs::read_dir(&disk).unwrap().count(), 0);
    std::fs::remove_dir(disk).unwrap();
}

#[test]
fn two_agents_on_one_host_do_six_runs_at_once_and_leave_nothing() {
    let Some(world) = World::start() else { return };
    let Some(shelf) = Shelf::start(&world.canaries[0].password) else { return };
    shelf.store(&world);
    let second = world.another_agent("second", &[]);
    let main = format!(
        "{}resource \"terraform_data\" \"slow\" {{\n  provisioner \"local-exec\" {{\n    command = \"sleep 2\"\n  }}\n}}\n",
        with_modules(&[("m", shelf.source(REPOSITORY))])
    );
    let directory = world.configuration(&main).display().to_string();
    let apply = |name: &str| world.stack.command(&["apply", &directory, "-w", name, "--create", "--auto-approve"]);
    let names = ["one", "two", "three", "four", "five", "six"];
    let commands = names.map(apply);
    let ended = thread::scope(|scope| {
        let started = commands.map(|command| scope.spawn(|| run(command).unwrap()));
        started.map(|thread| thread.join().unwrap())
    });
    for said in ended {
        let said = said.succeeded().unwrap().all();
        assert!(said.contains("hello, m") && said.contains("2 added"), "{said}");
    }
    let runs = world.stack.json(&["run", "list", "--json"]).unwrap();
    let mut agents: Vec<&str> = runs.as_array().unwrap().iter().filter_map(|run| run["agent_name"].as_str()).collect();
    agents.sort_unstable();
    agents.dedup();
    assert_eq!(agents.len(), 2, "{agents:?}");
    assert_eq!(world.audited("registry_integration:release").len(), 6);
    world.wait_for_wipe();
    drop(second);
}
