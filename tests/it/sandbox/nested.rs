//! What stands in the place of git and hg: the real program, kept from the process that started it.
//!
//! Rule: the parent has no capabilities, as tofu in a step, and each reach for it is shown to succeed without the fence
//! first.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use nigari::sandbox::landlock_version;
use rustix::process::geteuid;
use support::child::{Finished, command, run};
use tempfile::TempDir;

/// Reaches for its parent, says what it has got, and works with files as git does.
const REACHES: &str = r#"#!/bin/sh
echo "path: $PATH"
echo "words: $*"
cat
env -u OF_PARENT
(: < /proc/$PPID/mem) 2>/dev/null && echo memory is open
(tr '\0' '\n' < /proc/$PPID/environ) 2>/dev/null | sed -n 's/^OF_PARENT/taken: &/p'
kill -0 $PPID 2>/dev/null && echo could signal
mkdir a b && echo x > a/x && ln a/x b/y && mv a/x b/z && [ b/y -ef b/z ] && echo moved
exit 7
"#;

/// A `PATH` with that program as git, and the name that leads to nigari.
struct Places(TempDir);

impl Places {
    fn new() -> Self {
        let places = Self(tempfile::tempdir().unwrap());
        fs::create_dir(places.at("host")).unwrap();
        fs::create_dir(places.at("work")).unwrap();
        fs::write(places.at("host/git"), REACHES).unwrap();
        fs::set_permissions(places.at("host/git"), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["git", "hg"] {
            symlink(env!("CARGO_BIN_EXE_nigari"), places.at(name)).unwrap();
        }
        places
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn search_path(&self) -> String {
        format!("{}:/usr/bin:/bin", self.at("host").display())
    }

    /// Starts one of them with these words, as a child of a shell that stands for tofu.
    fn start(&self, program: &Path, words: &[&str], search_path: Option<&str>) -> Finished {
        fs::remove_dir_all(self.at("work")).unwrap();
        fs::create_dir(self.at("work")).unwrap();
        // Root's children would have all capabilities again.
        let bounded = ["setpriv", "--bounding-set", "-all", "sh"];
        let line = if geteuid().is_root() { &bounded[..] } else { &bounded[3..] };
        let mut started = command(line[0]);
        started.args(&line[1..]).args(["-c", "\"$@\"; exit $?", "tofu"]).arg(program).args(words);
        started.current_dir(self.at("work")).env_clear().env("PATH", "/usr/bin:/bin").env("KEPT", "yes");
        started.env("OF_PARENT", "yes");
        started.env("TF_CLI_CONFIG_FILE", "/of/tofu").env("NIGARI_HELPER_SOCKET", "/of/tofu");
        started.envs(search_path.map(|path| (OsStr::new("NIGARI_SEARCH_PATH"), path)));
        run(started).unwrap()
    }
}

#[test]
fn a_program_for_modules_works_as_ever_and_cannot_look_at_who_started_it() {
    if !support::require::traceable() {
        return;
    }
    let places = Places::new();
    let words = ["clone", "a b"];
    let control = places.start(&places.at("host/git"), &words, None);
    for taken in ["memory is open", "taken: OF_PARENT=yes", "could signal", "TF_CLI_CONFIG_FILE", "moved"] {
        assert!(control.out.contains(taken), "the control has no {taken}: {}", control.all());
    }
    let fenced = places.start(&places.at("git"), &words, Some(&places.search_path()));
    assert_eq!(fenced.code, Some(7), "{}", fenced.all());
    let path = format!("path: {}\n", places.search_path());
    for works in [path.as_str(), "words: clone a b\n", "KEPT=yes\n", "moved\n"] {
        assert!(fenced.out.contains(works), "no {works}: {}", fenced.all());
    }
    assert!(!fenced.all().contains("/of/tofu"), "{}", fenced.all());
    if landlock_version() == 0 {
        return support::require::missing("a kernel with Landlock");
    }
    assert!(!fenced.out.contains("memory is open") && !fenced.out.contains("taken: "), "{}", fenced.all());
    if landlock_version() >= 6 {
        assert!(!fenced.out.contains("could signal"), "{}", fenced.all());
    }
}

#[test]
fn without_a_step_or_without_the_program_it_says_so_and_starts_nothing() {
    let places = Places::new();
    for (name, search_path, said) in [
        ("git", None, "git: nigari stands in its place for tofu"),
        ("hg", Some(places.at("host").display().to_string()), "hg: not on the agent's PATH"),
        ("git", Some("host:work".to_owned()), "git: not on the agent's PATH"),
    ] {
        let ended = places.start(&places.at(name), &[], search_path.as_deref());
        assert_eq!(ended.code, Some(127), "{}", ended.all());
        assert!(ended.all().contains(said) && !ended.all().contains("path: "), "{}", ended.all());
    }
    fs::write(places.at("host/git"), "#!/nonexistent/interpreter\n").unwrap();
    let ended = places.start(&places.at("git"), &[], Some(&places.search_path()));
    assert_eq!(ended.code, Some(126), "{}", ended.all());
    assert!(ended.all().contains("cannot start") && ended.all().contains("host/git"), "{}", ended.all());
}
