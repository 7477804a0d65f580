//! What commands answer without a server.

use serde_json::Value;

use super::{file, nigari, typed};
use support::child::run;
use support::require;

#[test]
fn version_is_one_line_or_json() {
    let home = tempfile::tempdir().unwrap();
    assert_eq!(typed(home.path(), &["version"]).out, format!("nigari {}\n", env!("CARGO_PKG_VERSION")));
    let json: Value = serde_json::from_str(&typed(home.path(), &["version", "--json"]).out).unwrap();
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(json["protocol"], 1);
}

#[test]
fn a_pipe_gets_no_escape_sequence() {
    let home = tempfile::tempdir().unwrap();
    for arguments in [&["--help"][..], &["run", "list"], &["frobnicate"], &["doctor"]] {
        let said = typed(home.path(), arguments);
        assert!(!said.all().contains('\u{1b}'), "{arguments:?}: {:?}", said.all());
    }
}

#[test]
fn an_error_does_not_let_its_arguments_command_the_terminal() {
    let home = tempfile::tempdir().unwrap();
    let evil = "x\u{1b}[2J\u{1b}]52;c;eA==\u{7}\u{9b}1m\u{202e}\r";
    for arguments in [
        &["run", "show", evil][..],
        &[evil],
        &["run", "list", "--server", "https://a.example", "--token-file", evil],
        &["doctor", "--tofu", evil],
        &["agent", "start", "--config", evil],
    ] {
        let said = typed(home.path(), arguments);
        let harm = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!said.all().contains(harm), "{arguments:?}: {:?}", said.all());
        // clap leaves out what it knows to be a sequence.
        let seen = if said.err.contains("try '--help'") { "x·1m·" } else { "x␛[2J" };
        assert!(said.all().contains(seen), "{arguments:?}: {:?}", said.all());
    }
}

#[test]
fn doctor_names_what_is_missing_and_how_to_get_it() {
    let home = tempfile::tempdir().unwrap();
    let said = typed(home.path(), &["doctor", "--json"]);
    assert_eq!(said.code, Some(1), "{}", said.all());
    let findings: Vec<Value> = serde_json::from_str(&said.out).unwrap();
    let of = |subject: &str| findings.iter().find(|finding| finding["subject"] == subject).unwrap().clone();
    assert_eq!(of("tofu")["verdict"], "fail");
    assert!(of("tofu")["hint"].as_str().unwrap().contains("install OpenTofu"));
    assert_eq!(of("server")["verdict"], "warn");
}

#[test]
fn doctor_tells_a_disk_from_memory() {
    let home = tempfile::Builder::new().tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let root = home.path().display().to_string();
    let said = typed(home.path(), &["doctor", "--secret-root", &root]);
    let line = said.out.lines().find(|line| line.contains("secrets")).unwrap_or_default();
    assert!(line.starts_with("fail") && line.contains("on a disk"), "{}", said.out);
}

#[test]
fn doctor_tells_each_delivery_that_runs_can_have_here_and_what_it_means() {
    let home = tempfile::tempdir().unwrap();
    let told = |wish: &str| -> Vec<(String, String)> {
        let said = typed(home.path(), &["doctor", "--json", "--sandbox", "process", "--delivery", wish]);
        let findings: Vec<Value> = serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{}", said.all()));
        let text = |finding: &Value, member: &str| finding[member].as_str().unwrap().to_owned();
        let deliveries = findings.iter().filter(|finding| finding["subject"] == "delivery");
        deliveries.map(|finding| (text(finding, "verdict"), text(finding, "message"))).collect()
    };
    let broker = ("ok", "`broker` (", "tofu had no credential");
    let helper = ("ok", "`helper` (", "tofu's memory");
    let by_workspace = ("ok", "`file` (auto, where a workspace asks for it", "could have read it too");
    let file = ("warn", "`file` (file)", "could have read it too");
    for (wish, expected) in [
        ("auto", &[broker, helper, by_workspace][..]),
        ("broker", &[broker][..]),
        ("helper", &[helper][..]),
        ("file", &[file][..]),
    ] {
        let told = told(wish);
        assert_eq!(told.len(), expected.len(), "{wish}: {told:?}");
        for ((verdict, message), (expected, start, meaning)) in told.iter().zip(expected) {
            let is_so = verdict == expected && message.starts_with(start) && message.contains(meaning);
            assert!(is_so, "{wish}: {told:?}");
        }
    }
}

#[test]
fn doctor_lets_a_broken_cli_configuration_fail() {
    let Some(tofu) = require::tofu() else { return };
    let tofu = tofu.display().to_string();
    let home = tempfile::tempdir().unwrap();
    let good = file(&home.path().join("good.tfrc"), "disable_checkpoint = true\n", 0o600);
    let broken = file(&home.path().join("broken.tfrc"), "credentials {{{\n", 0o600);
    let line = |cli_configuration: &str| {
        let said = typed(home.path(), &["doctor", "--tofu", &tofu, "--cli-config", cli_configuration]);
        let line = said.out.lines().find(|line| line.contains("CLI configuration")).map(str::to_owned);
        line.unwrap_or_else(|| panic!("{}", said.all()))
    };
    assert!(line(&good).starts_with("ok"), "{}", line(&good));
    assert!(line(&broken).starts_with("fail"), "{}", line(&broken));
}

#[test]
fn doctor_does_not_take_another_program_for_tofu() {
    let home = tempfile::tempdir().unwrap();
    let fake = file(&home.path().join("tofu"), "#!/bin/sh\necho Terraform v1.5.7\n", 0o755);
    let said = run(nigari(home.path(), &["doctor", "--tofu", &fake])).unwrap();
    let line = said.out.lines().find(|line| line.contains("tofu  ")).unwrap_or_default();
    assert!(line.starts_with("fail") && said.out.contains("is it really OpenTofu?"), "{}", said.out);
}

#[test]
fn doctor_tells_which_sandbox_there_is_and_why_not_the_other() {
    let Some(tofu) = require::tofu() else { return };
    let tofu = tofu.display().to_string();
    let home = tempfile::tempdir().unwrap();
    let words = |more: &[&str]| -> Vec<String> {
        [&["doctor", "--json", "--tofu", &tofu][..], more].concat().into_iter().map(str::to_owned).collect()
    };
    let of = |said: &support::child::Finished, subject: &str| {
        let findings: Vec<Value> = serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{}", said.all()));
        let finding = findings.iter().find(|finding| finding["subject"] == subject).cloned();
        finding.unwrap_or_else(|| panic!("no {subject}: {}", said.out))
    };
    let here = |more: &[&str]| {
        let words = words(more);
        typed(home.path(), &words.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let said = here(&["--sandbox", "process"]);
    assert_eq!(of(&said, "sandbox")["verdict"], "warn");
    assert!(of(&said, "sandbox")["message"].as_str().unwrap().contains("as the settings say"), "{}", said.out);
    assert!(of(&said, "landlock")["message"].is_string());
    let said = here(&["--sandbox", "everything"]);
    assert!(said.code == Some(2) && said.all().contains("`auto`, `namespace` or `process`"), "{}", said.all());

    // Where the kernel refuses namespaces: a user namespace in which nobody may make another one, and no capability.
    let refused = "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all --inh-caps=-all \
                   --ambient-caps=-all -- \"$@\"";
    let without = |more: &[&str]| {
        let words = words(more);
        let nigari = nigari(home.path(), &words.iter().map(String::as_str).collect::<Vec<_>>());
        let mut command = support::child::command("unshare");
        command.args(["--user", "--map-root-user", "--", "/bin/sh", "-c", refused, "sh"]).arg(nigari.get_program());
        command.args(nigari.get_args());
        command.envs(nigari.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("PATH", "/usr/bin:/bin");
        run(command).unwrap()
    };
    if of(&here(&[]), "sandbox")["verdict"] != "ok" {
        return require::missing("namespaces");
    }
    let sandbox = of(&without(&[]), "sandbox");
    assert_eq!(sandbox["verdict"], "warn", "{sandbox}");
    let message = sandbox["message"].as_str().unwrap();
    assert!(message.starts_with("`process`, because `namespace` cannot be had") && message.contains("for this user"));
    assert!(sandbox["hint"].as_str().unwrap().contains("max_user_namespaces"), "{sandbox}");
    assert_eq!(of(&without(&["--sandbox", "namespace"]), "sandbox")["verdict"], "fail");
    let said = here(&["--read-paths", "relative"]);
    assert!(of(&said, "settings")["message"].as_str().unwrap().contains("is relative"), "{}", said.out);
}

#[test]
fn doctor_names_what_a_dead_agent_has_left_and_makes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let place = tempfile::Builder::new().prefix("nigari-doctor-").tempdir_in("/dev/shm").unwrap();
    let root = place.path().display().to_string();
    let line = |subject: &str| {
        let said = typed(home.path(), &["doctor", "--secret-root", &root]);
        let of = |line: &&str| line.get(6..).is_some_and(|rest| rest.starts_with(subject));
        said.out.lines().find(of).map(str::to_owned)
    };
    assert!(line("secrets ").unwrap().starts_with("ok"));
    assert_eq!(line("leftovers"), None);
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0, "doctor made something");
    let left = place.path().join(format!("nigari-{}/left", rustix::process::geteuid().as_raw()));
    let mut private = std::fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut private, 0o700);
    private.recursive(true).create(&left).unwrap();
    let told = line("leftovers").unwrap_or_default();
    assert!(told.starts_with("warn") && told.contains(&left.display().to_string()), "{told}");
    assert!(left.exists());
    // What a living launcher holds is not left behind.
    let held = std::fs::File::open(&left).unwrap();
    held.lock_shared().unwrap();
    assert_eq!(line("leftovers"), None);
}
