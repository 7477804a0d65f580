//! Logging in and out: where the token comes from, and where it goes.

use std::path::Path;

use serde_json::Value;
use support::child::{Finished, run, run_with_input};
use support::nigari::Stack;

use super::waits::alone;
use super::{file, nigari};

fn said(home: &Path, arguments: &[&str]) -> Finished {
    run(nigari(home, arguments)).unwrap()
}

fn token(stack: &Stack) -> Vec<u8> {
    std::fs::read(stack.token_file()).unwrap()
}

#[test]
fn a_token_of_the_environment_is_named_and_one_that_is_given_wins_over_it() {
    let directory = tempfile::tempdir().unwrap();
    let stack = alone(directory.path());
    let home = tempfile::tempdir().unwrap();
    let path = stack.token_file();
    let mut login = nigari(home.path(), &["login", "--server", stack.url()]);
    login.env("NIGARI_TOKEN_FILE", &path);
    let told = run(login).unwrap().succeeded().unwrap().err;
    assert!(told.contains(&format!("taken from {}, which NIGARI_TOKEN_FILE names", path.display())), "{told}");
    let wrong = file(&home.path().join("wrong"), "ngr_user_nothing", 0o600);
    let mut login = nigari(home.path(), &["login", "--server", stack.url(), "--token-stdin"]);
    login.env("NIGARI_TOKEN_FILE", &wrong);
    run_with_input(login, &token(&stack)).unwrap().succeeded().unwrap();
}

#[test]
fn whoami_names_the_server_and_logout_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let stack = alone(directory.path());
    let home = tempfile::tempdir().unwrap();
    let login = nigari(home.path(), &["login", "--server", stack.url(), "--token-stdin"]);
    run_with_input(login, &token(&stack)).unwrap().succeeded().unwrap();
    assert!(said(home.path(), &["whoami"]).out.contains(stack.url()));
    let json: Value = serde_json::from_str(&said(home.path(), &["whoami", "--json"]).out).unwrap();
    assert_eq!(json["server"], format!("{}/", stack.url().trim_end_matches('/')));
    let out = said(home.path(), &["logout"]);
    assert_eq!(out.code, Some(0), "{}", out.all());
    assert!(out.err.contains(stack.url()) && out.err.contains("nigari token revoke"), "{}", out.err);
    assert_eq!(std::fs::read_dir(home.path().join(".config/nigari")).unwrap().count(), 0, "a token is left");
    assert_eq!(said(home.path(), &["whoami"]).code, Some(78));
    assert!(said(home.path(), &["logout"]).err.contains("nobody is logged in"));
}

#[test]
fn a_token_that_login_did_not_store_is_left_by_logout() {
    let directory = tempfile::tempdir().unwrap();
    let stack = alone(directory.path());
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join(".config/nigari");
    std::fs::create_dir_all(&config).unwrap();
    let context = serde_json::json!({ "server": stack.url(), "token_file": stack.token_file() });
    file(&config.join("context.json"), &context.to_string(), 0o600);
    let out = said(home.path(), &["logout"]);
    assert!(out.err.contains(&format!("{} stays", stack.token_file().display())), "{}", out.err);
    assert!(stack.token_file().exists() && !config.join("context.json").exists());
}

#[test]
fn logout_removes_the_token_whatever_the_context_is() {
    for context in [None, Some("{ broken")] {
        let home = tempfile::tempdir().unwrap();
        let config = home.path().join(".config/nigari");
        std::fs::create_dir_all(&config).unwrap();
        file(&config.join("token"), "ngr_user_x", 0o600);
        context.map(|text| file(&config.join("context.json"), text, 0o600));
        let out = said(home.path(), &["logout"]);
        assert_eq!(out.code, Some(0), "{context:?}: {}", out.all());
        assert!(out.err.contains("nigari token revoke") && !out.err.contains("nobody"), "{context:?}: {}", out.err);
        assert_eq!(std::fs::read_dir(&config).unwrap().count(), 0, "{context:?}: something is left");
    }
}

#[test]
fn a_file_that_was_typed_and_is_not_there_is_a_wrong_word_everywhere() {
    let directory = tempfile::tempdir().unwrap();
    let stack = alone(directory.path());
    stack.run(&["workspace", "create", "net"]).unwrap().succeeded().unwrap();
    let add = ["registry", "add", "hub", "--url", "https://hub.localhost:1", "--username", "u", "--export"];
    let with = |more: &[&'static str]| [&add[..], more].concat();
    for arguments in [
        vec!["plan", "/nonexistent"],
        vec!["explain", "/nonexistent"],
        vec!["state", "push", "/nonexistent", "-w", "net"],
        vec!["variable", "set", "A", "-w", "net", "--value-file", "/nonexistent"],
        vec!["variable", "set", "A", "-w", "net", "--kind", "file", "--value-file", "/nonexistent"],
        with(&["--secret-file", "/nonexistent"]),
        with(&["--secret-stdin", "--registry-ca-file", "/nonexistent"]),
        vec!["run", "list", "--token-file", "/nonexistent"],
        vec!["run", "list", "--ca-file", "/nonexistent", "--server", "https://a.example"],
    ] {
        let out = stack.run(&arguments).unwrap();
        assert_eq!(out.code, Some(2), "{arguments:?}: {}", out.all());
        assert!(out.err.contains("/nonexistent") && out.err.contains("hint: "), "{arguments:?}: {}", out.err);
    }
}
