//! A git that has turned against who started it (A6): what it reaches of tofu in the fetch step.
//!
//! Rule: the same program under tofu alone shows what it would have had.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use support::child::{command, run};
use support::require;
use tempfile::TempDir;

use super::world::{Setup, World};
use super::{with_modules, write};

/// Attaches to its parent, as a debugger does, whether or not there is a `/proc`; the numbers are of ptrace(2).
const ATTACHES: &str = r#"
my $machine = `uname -m`; chomp $machine;
my $ptrace = { x86_64 => 101, aarch64 => 117 }->{$machine} or die "no number of ptrace for $machine";
my ($attach, $detach, $parent) = (16, 17, getppid());
if (syscall($ptrace, $attach, $parent, 0, 0) == 0) {
    print STDERR "tofu is taken. ";
    waitpid($parent, 0);
    syscall($ptrace, $detach, $parent, 0, 0);
} else {
    print STDERR "tofu is out of reach. ";
}
print STDERR "variables of tofu: ", join(" ", sort grep { /^(TF|NIGARI)_/ } keys %ENV), ".\n";
exit 1;
"#;

/// A directory with that program as git.
fn evil() -> Option<TempDir> {
    let perl = require::program("perl").filter(|_| require::traceable())?;
    let place = tempfile::tempdir().unwrap();
    let git = place.path().join("git");
    write(&git, &format!("#!{}\n{ATTACHES}", perl.display()));
    fs::set_permissions(&git, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    Some(place)
}

fn main() -> String {
    with_modules(&[("net", "git::https://127.0.0.1:1/net.git".to_owned())])
}

/// Without tofu's line breaks and frame.
fn in_one_line(said: &str) -> String {
    said.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ")
}

#[test]
fn with_tofu_alone_it_has_all_of_tofu() {
    let (Some(place), Some(tofu)) = (evil(), require::tofu()) else { return };
    let directory = tempfile::tempdir().unwrap();
    write(&directory.path().join("main.tf"), &main());
    let mut get = command(tofu);
    get.args(["get", "-no-color"]).current_dir(directory.path()).env_clear();
    get.env("PATH", format!("{}:/usr/bin:/bin", place.path().display())).env("TF_IN_AUTOMATION", "1");
    let said = in_one_line(&run(get).unwrap().all());
    assert!(said.contains("tofu is taken") && said.contains("TF_IN_AUTOMATION"), "{said}");
}

#[test]
fn in_a_run_it_has_nothing_of_tofu_in_either_sandbox() {
    let Some(place) = evil() else { return };
    if nigari::sandbox::landlock_version() == 0 {
        return require::missing("a kernel with Landlock");
    }
    let path = format!("{}:/usr/bin:/bin", place.path().display());
    for sandbox in ["auto", "process"] {
        let Some(world) = World::with(Setup { without_agent: true, ..Setup::default() }) else { return };
        let directory = place.path().display().to_string();
        let more = ["--sandbox", sandbox, "--read-paths", &directory];
        let _agent = world.another_agent_with("evil", &more, &[("PATH", &path)]);
        let said = world.apply(&world.configuration(&main()), 1);
        let said = in_one_line(&said);
        assert!(said.contains("tofu is out of reach. variables of tofu: ."), "{sandbox}: {said}");
    }
}
