//! Every noun once, typed against a real server: tables, JSON, exit codes; and no secret in any of it.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use support::canary::Canary;
use support::child::{Finished, run, run_with_input};
use support::nigari::{Programs, Stack};

use super::{file, nigari, program};
use crate::registry::stage::{Act, Authority, Stage, answer, bearer};

/// A server alone; no tofu is needed.
fn server(directory: &tempfile::TempDir) -> Stack {
    let programs = Programs { nigari: program(), tofu: PathBuf::from("/nonexistent/tofu") };
    Stack::server_only(programs, directory.path()).unwrap()
}

fn ok(stack: &Stack, arguments: &[&str]) -> Finished {
    stack.run(arguments).unwrap().succeeded().unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
}

fn refused(stack: &Stack, arguments: &[&str], code: i32, words: &str) {
    let said = stack.run(arguments).unwrap();
    assert_eq!(said.code, Some(code), "{arguments:?}: {}", said.all());
    assert!(said.err.contains(words), "{arguments:?}: {}", said.err);
    assert!(said.out.is_empty(), "{arguments:?}: data on stdout: {}", said.out);
}

#[test]
fn workspaces_are_made_listed_shown_changed_and_removed() {
    let directory = tempfile::tempdir().unwrap();
    let stack = server(&directory);
    ok(&stack, &["workspace", "create", "net", "--description", "the network"]);
    let list = ok(&stack, &["workspace", "list"]).out;
    assert!(list.starts_with("NAME ") && list.contains("net ") && list.contains("the network"), "{list}");
    assert_eq!(stack.json(&["workspace", "list", "--json"]).unwrap()[0]["name"], "net");
    ok(&stack, &["workspace", "update", "net", "--rename", "network", "--auto-apply", "true"]);
    let shown = stack.json(&["workspace", "show", "network", "--json"]).unwrap();
    assert_eq!((shown["auto_apply"].as_bool(), shown["description"].as_str()), (Some(true), Some("the network")));
    assert_eq!((shown["delivery"].as_str(), shown["whole_run"].as_bool()), (Some("auto"), Some(false)));
    ok(&stack, &["workspace", "update", "network", "--delivery", "helper", "--whole-run", "true"]);
    let shown = stack.json(&["workspace", "show", "network", "--json"]).unwrap();
    assert_eq!((shown["delivery"].as_str(), shown["whole_run"].as_bool()), (Some("helper"), Some(true)));
    ok(&stack, &["workspace", "create", "by-file", "--delivery", "file"]);
    assert!(ok(&stack, &["workspace", "show", "by-file"]).out.contains("file"));
    ok(&stack, &["workspace", "delete", "by-file", "--yes"]);
    refused(&stack, &["workspace", "show", "net"], 1, "error: ");
    refused(&stack, &["workspace", "create", "no/name"], 1, "hint: ");
    refused(&stack, &["workspace", "delete", "network"], 2, "`--yes`");
    ok(&stack, &["workspace", "delete", "network", "--yes"]);
    assert_eq!(stack.json(&["workspace", "list", "--json"]).unwrap(), Value::Array(vec![]));
}

#[test]
fn a_registry_integration_takes_its_secret_and_never_shows_it() {
    let directory = tempfile::tempdir().unwrap();
    let stack = server(&directory);
    let (first, second) = (Canary::hard("robot"), Canary::hard("robot"));
    let add = ["registry", "add", "hub", "--url", "https://Registry.localhost:1/team/", "--username", "robot"];
    let from_stdin = [&add[..], &["--secret-stdin", "--no-export"]].concat();
    let added = stack.run_with_input(&from_stdin, &first.password).unwrap().succeeded().unwrap();
    assert!(added.out.contains("https://registry.localhost:1/team"), "{}", added.out);
    assert!(added.err.contains("nigari registry update hub --export"), "{}", added.err);
    refused(&stack, &[&add[..], &["--export", "--secret-file", "/nonexistent"]].concat(), 2, "hint: ");
    ok(&stack, &["registry", "update", "hub", "--export"]);
    assert!(ok(&stack, &["registry", "list"]).out.contains("registry.localhost:1/team"));
    refused_test(&stack);
    assert_eq!(stack.json(&["registry", "show", "hub", "--json"]).unwrap()["export_credentials"], true);
    let shown = |stack: &Stack| stack.json(&["registry", "show", "hub", "--json"]).unwrap();
    assert_eq!((&shown(&stack)["permit_file"], &shown(&stack)["permit_whole_run"]), (&false.into(), &false.into()));
    let permitted = ok(&stack, &["registry", "update", "hub", "--permit-file", "--permit-whole-run"]);
    assert!(permitted.err.contains("can read this credential"), "{}", permitted.all());
    assert_eq!((&shown(&stack)["permit_file"], &shown(&stack)["permit_whole_run"]), (&true.into(), &true.into()));
    ok(&stack, &["registry", "update", "hub", "--no-permit-file", "--no-permit-whole-run"]);
    assert_eq!((&shown(&stack)["permit_file"], &shown(&stack)["permit_whole_run"]), (&false.into(), &false.into()));
    refused(&stack, &["registry", "update", "hub", "--url", "https://other.localhost:1"], 1, "`--secret-file`");
    let secret = file(&directory.path().join("secret"), &second.password, 0o600);
    ok(&stack, &["registry", "update", "hub", "--url", "https://other.localhost:1", "--secret-file", &secret]);
    std::fs::remove_file(&secret).unwrap();
    let test = stack.run(&["registry", "test", "hub"]).unwrap();
    assert_eq!(test.code, Some(69), "{}", test.all());
    assert!(test.out.starts_with("unreachable: ") && test.err.contains("hint: "), "{}", test.all());
    let canaries = [first, second];
    let mut search = stack.search(&canaries);
    for arguments in [&["registry", "show", "hub"][..], &["registry", "list", "--json"], &["audit", "list", "--json"]] {
        search.bytes(&arguments.join(" "), ok(&stack, arguments).all().as_bytes());
    }
    search.verdict().unwrap();
    refused(&stack, &["registry", "remove", "hub"], 2, "`--yes`");
    ok(&stack, &["registry", "remove", "hub", "--yes"]);
    assert_eq!(stack.json(&["registry", "list", "--json"]).unwrap(), Value::Array(vec![]));
}

#[test]
fn an_integration_shows_the_token_service_that_it_is_held_to() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let authority = Authority::new();
    let stage = runtime.block_on(Stage::start(&authority, |heard| {
        let host = heard.head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
        Act::Say(match (heard.line.as_str(), heard.authorization()) {
            (line, _) if line.starts_with("GET /token") => answer("200 OK", &[], r#"{"token":"abc"}"#),
            (_, Some("Bearer abc")) => answer("200 OK", &[], "{}"),
            _ => bearer(&format!("https://{host}/token")),
        })
    }));
    let directory = tempfile::tempdir().unwrap();
    let stack = server(&directory);
    let (url, ca) =
        (format!("https://{}", stage.host()), file(&directory.path().join("ca.pem"), &authority.pem, 0o644));
    let add = ["registry", "add", "hub", "--url", url.as_str(), "--username", "robot", "--no-export"];
    let with_ca = [&add[..], &["--secret-stdin", "--registry-ca-file", ca.as_str()]].concat();
    stack.run_with_input(&with_ca, "geheim").unwrap().succeeded().unwrap();
    let is_shown = || {
        let shown = ok(&stack, &["registry", "show", "hub"]).out;
        shown.lines().any(|line| line.starts_with("token service ") && line.ends_with(&format!(" {url}")))
    };
    assert!(!is_shown());
    ok(&stack, &["registry", "test", "hub"]);
    assert!(is_shown());
    let secret = file(&directory.path().join("secret"), "geheim", 0o600);
    ok(&stack, &["registry", "update", "hub", "--secret-file", &secret]);
    assert!(!is_shown());
}

/// Nobody listens on that port. What a test found is shown with its time, and the private CA by its name.
fn refused_test(stack: &Stack) {
    assert_eq!(stack.run(&["registry", "test", "hub"]).unwrap().code, Some(69));
    let tested = stack.json(&["registry", "show", "hub", "--json"]).unwrap()["last_test"]["tested_at"].clone();
    let second = &tested.as_str().unwrap()[..19].replace('T', " ");
    for words in [&["registry", "list"][..], &["registry", "show", "hub"]] {
        let shown = ok(stack, words).out;
        assert!(shown.contains(&format!("unreachable, {second}Z")), "{second}: {shown}");
    }
    let directory = tempfile::tempdir().unwrap();
    let pem = support::certificate::Authority::new("the company's authority").pem();
    let ca = file(&directory.path().join("ca.pem"), &pem, 0o644);
    let add = ["registry", "add", "inner", "--url", "https://inner.localhost:1", "--username", "u", "--export"];
    let with_ca = [&add[..], &["--secret-stdin", "--registry-ca-file", &ca]].concat();
    stack.run_with_input(&with_ca, "geheim").unwrap().succeeded().unwrap();
    let shown = ok(stack, &["registry", "show", "inner"]).out;
    assert!(shown.contains("`the company's authority`, until 2049-12-31 23:59:59Z"), "{shown}");
    ok(stack, &["registry", "remove", "inner", "--yes"]);
}

#[test]
fn sensitive_variables_are_not_shown() {
    let directory = tempfile::tempdir().unwrap();
    let stack = server(&directory);
    ok(&stack, &["workspace", "create", "net"]);
    ok(&stack, &["variable", "set", "region", "north", "-w", "net"]);
    let secret = Canary::new("x");
    let sensitive = ["variable", "set", "API_KEY", "-w", "net", "--kind", "env", "--sensitive", "--value-stdin"];
    stack.run_with_input(&sensitive, &secret.password).unwrap().succeeded().unwrap();
    let list = ok(&stack, &["variable", "list", "-w", "net"]).out;
    assert!(list.contains("north") && list.contains("API_KEY") && !list.contains(&secret.password), "{list}");
    refused(&stack, &["variable", "set", "LD_PRELOAD", "x", "-w", "net", "--kind", "env"], 1, "hint: ");
    ok(&stack, &["variable", "unset", "API_KEY", "-w", "net", "--kind", "env"]);
    let path = file(&directory.path().join("key.json"), &secret.password, 0o644);
    let set = ["variable", "set", "CLOUD_KEY_FILE", "-w", "net", "--kind", "file"];
    refused(&stack, &[&set[..], &["--value-file", &path]].concat(), 78, "chmod 600 ");
    refused(&stack, &[&set[..], &["value"]].concat(), 2, "`--value-file FILE`");
    let path = file(path.as_ref(), &secret.password, 0o600);
    ok(&stack, &[&set[..], &["--value-file", &path]].concat());
    std::fs::remove_file(&path).unwrap();
    let listed = stack.json(&["variable", "list", "-w", "net", "--json"]).unwrap();
    assert_eq!((&listed[0]["kind"], &listed[0]["sensitive"]), (&"file".into(), &true.into()), "{listed}");
    // One name is one environment variable.
    refused(&stack, &["variable", "set", "CLOUD_KEY_FILE", "x", "-w", "net", "--kind", "env"], 1, "--kind file");
    ok(&stack, &["variable", "unset", "CLOUD_KEY_FILE", "-w", "net", "--kind", "file"]);
    let left = stack.json(&["variable", "list", "-w", "net", "--json"]).unwrap();
    assert_eq!((left.as_array().unwrap().len(), left[0]["value"].as_str()), (1, Some("north")));
    stack.search(&[secret]).verdict().unwrap();
}

#[test]
fn a_secret_that_is_too_short_to_be_hidden_in_logs_is_taken_with_a_note() {
    const NOTE: &str = "too short to be hidden in logs";
    let directory = tempfile::tempdir().unwrap();
    let stack = server(&directory);
    let with = |words: &[&str], secret: &str| stack.run_with_input(words, secret).unwrap().succeeded().unwrap();
    let add = ["registry", "add", "hub", "--url", "https://registry.localhost:1", "--username", "robot"];
    let added = with(&[&add[..], &["--secret-stdin", "--export"]].concat(), "5byte");
    assert!(added.err.contains(NOTE) && !added.out.contains(NOTE), "{}", added.all());
    // Only whoever gives a secret is told; what is not stored in clear cannot be known later.
    assert!(!ok(&stack, &["registry", "show", "hub"]).all().contains(NOTE));
    assert!(!ok(&stack, &["registry", "update", "hub", "--no-export"]).all().contains(NOTE));
    let update = ["registry", "update", "hub", "--secret-stdin"];
    assert!(!with(&update, "6bytes").all().contains(NOTE));
    assert!(with(&update, "short").err.contains(NOTE));
    let shown: Value = serde_json::from_str(&with(&[&update[..], &["--json"]].concat(), "short").out).unwrap();
    assert!(shown["notes"].to_string().contains(NOTE), "{shown}");
    ok(&stack, &["workspace", "create", "net"]);
    let set = ["variable", "set", "PIN", "-w", "net", "--kind", "env", "--value-stdin"];
    let sensitive = [&set[..], &["--sensitive"]].concat();
    for (words, value, is_told) in
        [(&sensitive[..], "12345", true), (&sensitive[..], "123456", false), (&set[..], "12345", false)]
    {
        let said = with(words, value);
        assert_eq!(said.err.contains(NOTE), is_told, "{words:?} {value}: {}", said.all());
    }
    let as_file = ["variable", "set", "KEY_FILE", "-w", "net", "--kind", "file", "--value-stdin"];
    assert!(with(&as_file, "12345").err.contains(NOTE), "a file is sensitive");
}

#[test]
fn a_token_works_until_it_is_revoked() {
    let directory = tempfile::tempdir().unwrap();
    let stack = server(&directory);
    let path = directory.path().join("ci.token");
    let path = path.to_str().unwrap();
    let made = stack.json(&["token", "create", "ci", "--expires-in", "1h", "--out", path, "--json"]).unwrap();
    let id = made["id"].as_str().unwrap();
    let with = |arguments: &[&str]| stack.run(&[arguments, &["--token-file", path]].concat()).unwrap();
    assert!(with(&["whoami"]).succeeded().unwrap().out.contains("ci"));
    assert!(ok(&stack, &["token", "list"]).out.contains(id));
    ok(&stack, &["token", "revoke", id]);
    let refused = with(&["run", "list"]);
    assert_eq!(refused.code, Some(77), "{}", refused.all());
    assert!(refused.err.contains("hint: "), "{}", refused.err);
    let join = ok(&stack, &["token", "create", "hosts", "--kind", "join", "--uses", "2"]);
    assert!(join.out.starts_with("ngr_join_") && join.out.lines().count() == 1, "{}", join.out);
    assert_eq!(stack.json(&["token", "list", "--kind", "join", "--json"]).unwrap().as_array().unwrap().len(), 2);
}

#[test]
fn a_token_whose_text_cannot_be_kept_is_not_left_valid() {
    let directory = tempfile::tempdir().unwrap();
    let stack = server(&directory);
    let named = |name: &str, kind: &str| -> Vec<Value> {
        let listed = stack.json(&["token", "list", "--kind", kind, "--json"]).unwrap();
        listed.as_array().unwrap().iter().filter(|token| token["name"] == name).cloned().collect()
    };
    let kept = file(&directory.path().join("kept"), "theirs", 0o644);
    for (path, code, hint) in [("/nonexistent/x", 2, "hint: give the path of a directory"), (&kept, 1, "hint: choose")]
    {
        for kind in ["user", "join"] {
            refused(&stack, &["token", "create", "lost", "--kind", kind, "--out", path], code, hint);
            assert!(named("lost", kind).is_empty(), "{path}: a {kind} token was made");
        }
    }
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), "theirs");
    // Where no file can grow, the place can be found, and then the text cannot be written.
    for kind in ["user", "join"] {
        let out = directory.path().join("late").display().to_string();
        let nigari = stack.command(&["token", "create", "late", "--kind", kind, "--out", &out]);
        let mut shell = support::child::command("/bin/sh");
        shell.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$@\"", "sh"]).arg(nigari.get_program());
        shell.args(nigari.get_args()).env_clear();
        shell.envs(nigari.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let said = run(shell).unwrap();
        assert!(said.code == Some(1) && said.err.contains("is revoked again"), "{kind}: {}", said.all());
        assert!(said.err.contains("cannot write") && !said.all().contains("ngr_"), "{kind}: {}", said.all());
        let tokens = named("late", kind);
        assert_eq!((tokens.len(), &tokens[0]["revoked"]), (1, &true.into()), "{kind}: {tokens:?}");
        assert!(!std::path::Path::new(&out).exists());
    }
}

#[test]
fn login_stores_a_token_that_only_its_owner_reads() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let stack = server(&directory);
    let home = tempfile::tempdir().unwrap();
    let wrong = nigari(home.path(), &["login", "--server", stack.url(), "--token-stdin"]);
    let said = run_with_input(wrong, b"ngr_user_nothing\n").unwrap();
    assert_eq!(said.code, Some(77), "{}", said.all());
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0, "a token was stored that does not work");
    let token = std::fs::read(stack.token_file()).unwrap();
    let login = nigari(home.path(), &["login", "--server", stack.url(), "--token-stdin"]);
    run_with_input(login, &token).unwrap().succeeded().unwrap();
    for name in ["token", "context.json"] {
        let metadata = std::fs::metadata(home.path().join(".config/nigari").join(name)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{name}");
    }
    let whoami = run(nigari(home.path(), &["whoami", "--json"])).unwrap().succeeded().unwrap();
    assert_eq!(serde_json::from_str::<Value>(&whoami.out).unwrap()["role"], "admin");
    let doctor = run(nigari(home.path(), &["doctor"])).unwrap();
    for line in ["ok    token", "ok    clock"] {
        assert!(doctor.out.contains(line), "{}", doctor.out);
    }
}

#[test]
fn a_state_is_pushed_only_over_its_own_past() {
    let directory = tempfile::tempdir().unwrap();
    let stack = server(&directory);
    ok(&stack, &["workspace", "create", "net"]);
    let state = |serial: u32, lineage: &str| {
        let text = format!(
            r#"{{"version":4,"terraform_version":"1.12.6","serial":{serial},"lineage":"{lineage}","outputs":{{}},"resources":[],"check_results":null}}"#
        );
        file(&directory.path().join("x.tfstate"), &text, 0o600)
    };
    refused(&stack, &["state", "pull", "-w", "net"], 1, "hint: ");
    ok(&stack, &["state", "push", &state(3, "a"), "-w", "net"]);
    for path in [state(3, "a"), state(2, "a"), state(4, "b")] {
        refused(&stack, &["state", "push", &path, "-w", "net"], 1, "`--force`");
    }
    refused(&stack, &["state", "push", "/nonexistent", "-w", "net"], 2, "cannot read");
    ok(&stack, &["state", "push", &state(4, "a"), "-w", "net"]);
    ok(&stack, &["state", "push", &state(1, "b"), "-w", "net", "--force"]);
    let pulled: Value = serde_json::from_str(&ok(&stack, &["state", "pull", "-w", "net"]).out).unwrap();
    assert_eq!((pulled["serial"].as_u64(), pulled["lineage"].as_str()), (Some(1), Some("b")));
    assert_eq!(stack.json(&["state", "list", "-w", "net", "--json"]).unwrap().as_array().unwrap().len(), 3);
    assert!(stack.json(&["workspace", "show", "net", "--json"]).unwrap().get("state_lock").is_none());
    refused(&stack, &["state", "unlock", "nobodys", "-w", "net"], 1, "error: ");
    // It knows of no resource, as after a destroy.
    ok(&stack, &["workspace", "delete", "net", "--yes"]);
}

#[test]
fn what_there_is_not_is_said_on_stderr() {
    let directory = tempfile::tempdir().unwrap();
    let stack = server(&directory);
    for noun in ["workspace", "registry", "run", "agent"] {
        let said = ok(&stack, &[noun, "list"]);
        assert!(said.out.is_empty() && said.err.contains("nothing there"), "{noun}: {}", said.all());
        assert_eq!(stack.json(&[noun, "list", "--json"]).unwrap(), Value::Array(vec![]), "{noun}");
    }
    refused(&stack, &["agent", "drain", "nobody"], 1, "hint: `nigari agent list`");
    refused(&stack, &["workspace", "show", "none"], 1, "hint: `nigari workspace list`");
    refused(&stack, &["workspace", "show", "a; hint: b"], 1, "hint: `nigari workspace list`");
    refused(&stack, &["registry", "show", "none"], 1, "hint: `nigari registry list`");
    refused(&stack, &["token", "revoke", "tok-01a1fd86582072059141fd60117b5c25"], 1, "hint: `nigari token list`");
    refused(&stack, &["run", "show"], 1, "nigari plan DIR");
    refused(&stack, &["workspace", "create", "w", "--pool", "none"], 1, "`nigari agent pool list`");
    refused(&stack, &["run", "show", "run-01a1fd86582072059141fd60117b5c25"], 1, "error: ");
    let audit = stack.json(&["audit", "list", "--limit", "1", "--json"]).unwrap();
    assert_eq!(audit[0]["action"], "token:create");
    ok(&stack, &["workspace", "create", "w"]);
    refused(&stack, &["variable", "unset", "none", "-w", "w"], 1, "hint: `nigari variable list`");
}

#[test]
fn a_second_server_on_the_same_port_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let stack = server(&directory);
    let home = tempfile::tempdir().unwrap();
    let listen = stack.url().trim_start_matches("http://").trim_end_matches('/');
    let state = home.path().join("state").display().to_string();
    let said = super::typed(home.path(), &["server", "start", "--listen", listen, "--state-dir", &state]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(said.err.contains("hint: is another server running there?"), "{}", said.err);
}

#[test]
fn a_second_server_on_one_state_directory_says_so_and_is_not_started_again() {
    let directory = tempfile::tempdir().unwrap();
    let stack = server(&directory);
    let state = stack.directory().join("server").display().to_string();
    refused(
        &stack,
        &["server", "start", "--listen", "127.0.0.1:0", "--state-dir", &state],
        78,
        "another server runs with the state directory",
    );
}

#[test]
fn the_server_leaves_no_core() {
    let directory = tempfile::tempdir().unwrap();
    let mut stack = server(&directory);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", stack.server().unwrap().pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().filter(|word| *word == "0").count(), 2, "{core}");
}

#[test]
fn the_server_ends_with_0_when_it_is_asked_to() {
    let directory = tempfile::tempdir().unwrap();
    let mut stack = server(&directory);
    let server = stack.server().unwrap();
    server.signal(rustix::process::Signal::TERM).unwrap();
    assert_eq!(server.wait(Duration::from_secs(10)).unwrap().code(), Some(0));
    refused(&stack, &["run", "list"], 69, "hint: is the server running");
}
