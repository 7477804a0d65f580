//! What the program refuses before anything happens: its exit code and what it says to do.

use std::net::TcpListener;

use super::{file, nigari, typed};
use support::child::{run, run_with_input};

#[test]
fn wrong_words_end_with_2_and_help_with_0() {
    let home = tempfile::tempdir().unwrap();
    assert_eq!(typed(home.path(), &["frobnicate"]).code, Some(2));
    assert_eq!(typed(home.path(), &[]).code, Some(2));
    let help = typed(home.path(), &["--help"]);
    assert_eq!(help.code, Some(0));
    assert!(help.out.contains("nigari up") && help.out.contains("Exit codes"), "{}", help.out);
    assert!(help.err.is_empty(), "{}", help.err);
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_allowed_ones() {
    let home = tempfile::tempdir().unwrap();
    let config = file(&home.path().join("agent.toml"), "server = \"https://a.example\"\n\nconcurency = 3\n", 0o600);
    let said = typed(home.path(), &["agent", "start", "--config", &config]);
    assert_eq!(said.code, Some(78), "{}", said.err);
    assert!(said.err.contains("agent.toml:3: unknown key `concurency`"), "{}", said.err);
    assert!(said.err.contains("hint: did you mean `concurrency`? the keys are: server, "), "{}", said.err);
    let config = file(&home.path().join("server.toml"), "listn = 1\nlease = \"9\"\n", 0o600);
    let said = typed(home.path(), &["server", "start", "--config", &config]);
    assert_eq!(said.code, Some(78), "{}", said.err);
    assert!(said.err.contains("server.toml:1: ") && said.err.contains("server.toml:2: "), "{}", said.err);
}

#[test]
fn a_server_beyond_loopback_without_tls_does_not_start_and_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state").display().to_string();
    let said = typed(home.path(), &["server", "start", "--listen", "0.0.0.0:0", "--state-dir", &state]);
    assert_eq!(said.code, Some(78), "{}", said.err);
    assert!(said.err.contains("hint: give `tls_certificate`"), "{}", said.err);
    assert!(!home.path().join("state").exists());
}

#[test]
fn a_database_password_in_a_flag_is_refused_and_not_repeated() {
    let home = tempfile::tempdir().unwrap();
    let url = "postgres://nigari:hunter22hunter@db.example/nigari";
    let said = typed(home.path(), &["server", "start", "--database-url", url]);
    assert_eq!(said.code, Some(78), "{}", said.err);
    assert!(said.err.contains("database_url_file") && !said.all().contains("hunter22"), "{}", said.all());
    let mut help = nigari(home.path(), &["server", "start", "--help"]);
    help.env("NIGARI_DATABASE_URL", url);
    assert!(!run(help).unwrap().all().contains("hunter22"), "help shows the environment");
}

#[test]
fn an_agent_without_a_server_is_told_how_to_name_one() {
    let home = tempfile::tempdir().unwrap();
    let said = typed(home.path(), &["agent", "start"]);
    assert_eq!(said.code, Some(78), "{}", said.err);
    assert!(said.err.contains("hint: give `--server URL`"), "{}", said.err);
}

#[test]
fn without_a_context_a_command_says_how_to_get_one() {
    let home = tempfile::tempdir().unwrap();
    let said = typed(home.path(), &["run", "list"]);
    assert_eq!(said.code, Some(78), "{}", said.err);
    assert!(said.err.contains("nigari login --server URL") && said.err.contains("nigari up"), "{}", said.err);
    assert!(said.out.is_empty());
}

#[test]
fn a_token_that_others_can_read_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let token = file(&home.path().join("token"), "ngr_user_x\n", 0o644);
    let said = typed(home.path(), &["whoami", "--server", "https://a.example", "--token-file", &token]);
    assert_eq!(said.code, Some(78), "{}", said.err);
    assert!(said.err.contains(&format!("hint: chmod 600 {token}")), "{}", said.err);
}

#[test]
fn plain_http_beyond_loopback_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let token = file(&home.path().join("token"), "ngr_user_x\n", 0o600);
    let said = typed(home.path(), &["whoami", "--server", "http://a.example", "--token-file", &token]);
    assert_eq!(said.code, Some(78), "{}", said.err);
    assert!(said.err.contains("hint: use https"), "{}", said.err);
}

#[test]
fn a_server_that_is_not_there_is_69() {
    let home = tempfile::tempdir().unwrap();
    // A port that was free a moment ago and that nobody listens on.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let token = file(&home.path().join("token"), "ngr_user_x\n", 0o600);
    let said = typed(home.path(), &["whoami", "--server", &format!("http://{free}"), "--token-file", &token]);
    assert_eq!(said.code, Some(69), "{}", said.err);
    assert!(said.err.starts_with("error: ") && said.err.contains("\nhint: is the server running"), "{}", said.err);
}

#[test]
fn a_secret_is_never_asked_for_without_a_terminal() {
    let home = tempfile::tempdir().unwrap();
    let token = file(&home.path().join("token"), "ngr_user_x\n", 0o600);
    let registry = ["registry", "add", "n", "--url", "https://a.example", "--username", "u"];
    let context = ["--server", "https://a.example", "--token-file", &token];
    for (more, hint) in [(&["--export"][..], "`--secret-stdin`"), (&["--secret-stdin"], "`--no-export`")] {
        let said = typed(home.path(), &[&registry[..], more, &context].concat());
        assert_eq!(said.code, Some(2), "{}", said.err);
        assert!(said.err.contains(hint), "{}", said.err);
    }
    let said = typed(home.path(), &[&["variable", "set", "n", "-w", "w"][..], &context].concat());
    assert_eq!(said.code, Some(2), "{}", said.err);
    let said = typed(home.path(), &["login", "--server", "https://a.example"]);
    assert_eq!(said.code, Some(2), "{}", said.err);
}

#[test]
fn an_empty_token_is_told_before_anybody_is_asked() {
    let home = tempfile::tempdir().unwrap();
    for input in ["", "\n"] {
        // Nobody is there, which would be 69.
        let login = nigari(home.path(), &["login", "--server", "https://127.0.0.1:1", "--token-stdin"]);
        let said = run_with_input(login, input.as_bytes()).unwrap();
        assert_eq!(said.code, Some(2), "{input:?}: {}", said.err);
        assert!(said.err.contains("the token is empty\nhint: "), "{input:?}: {}", said.err);
    }
}

#[test]
fn a_file_without_a_certificate_is_named_with_what_it_was_given_for() {
    let home = tempfile::tempdir().unwrap();
    let token = file(&home.path().join("token"), "ngr_user_x\n", 0o600);
    let context = ["--server", "https://127.0.0.1:1", "--token-file", &token];
    let add = ["registry", "add", "n", "--url", "https://a.example", "--username", "u", "--export"];
    for (name, content) in [("empty.pem", ""), ("text.pem", "hello\n")] {
        let pem = file(&home.path().join(name), content, 0o644);
        let of = |arguments: &[&str], code: i32, words: &str| {
            let said = typed(home.path(), &[arguments, &context].concat());
            assert_eq!(said.code, Some(code), "{arguments:?}: {}", said.err);
            assert!(
                said.err.contains(&format!("{words}: {pem} cannot be used: there is no certificate")),
                "{}",
                said.err
            );
            assert!(said.err.contains("hint: PEM text") && !said.err.contains("ca_pem"), "{}", said.err);
        };
        of(&["whoami", "--ca-file", &pem], 78, "ca_file");
        let given = ["--secret-file", &token, "--registry-ca-file", &pem];
        of(&[&add[..], &given].concat(), 2, "`--registry-ca-file`");
        of(&[&["registry", "update", "n"][..], &given].concat(), 2, "`--registry-ca-file`");
    }
}

#[test]
fn a_directory_that_is_not_there_is_called_one() {
    let home = tempfile::tempdir().unwrap();
    let token = file(&home.path().join("token"), "ngr_user_x\n", 0o600);
    for verb in ["plan", "apply", "destroy"] {
        let there = ["--server", "https://127.0.0.1:1", "--token-file", &token];
        let said = typed(home.path(), &[&[verb, "/nonexistent/nope"][..], &there].concat());
        assert_eq!(said.code, Some(2), "{verb}: {}", said.err);
        assert!(said.err.contains("hint: give the path of a directory that is there"), "{verb}: {}", said.err);
    }
}

#[test]
fn a_state_directory_that_cannot_be_made_says_what_it_has_to_be() {
    let home = tempfile::tempdir().unwrap();
    let said = typed(home.path(), &["server", "start", "--listen", "127.0.0.1:0", "--state-dir", "/proc/nigari"]);
    assert_eq!(said.code, Some(78), "{}", said.err);
    assert!(said.err.contains("/proc/nigari") && said.err.contains("able to write there"), "{}", said.err);
}
