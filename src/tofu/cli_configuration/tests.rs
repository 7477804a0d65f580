//! The scanner on every form of HCL 1, and what is merged of it. That the real tofu reads the results the same way is
//! tested in `tests/it/tofu/`.

use std::ops::Range;
use std::path::Path;

use proptest::prelude::*;

use super::item::{Item, Value};
use super::{CliConfigurationError, KeptTokens, OperatorConfiguration, SourceFile, json, native};

fn operator(files: &[(&str, &str)]) -> Result<OperatorConfiguration, CliConfigurationError> {
    let files = files
        .iter()
        .map(|(path, text)| SourceFile::scan(Path::new(path), (*text).to_owned()))
        .collect::<Result<_, _>>()?;
    Ok(OperatorConfiguration { files })
}

fn fetch(files: &[(&str, &str)]) -> String {
    operator(files).unwrap().for_fetch(Path::new("/run/1/docker/config.json")).unwrap().expose().to_owned()
}

fn steps(files: &[(&str, &str)]) -> String {
    operator(files).unwrap().for_steps(false, MIRROR.as_ref()).unwrap().expose().to_owned()
}

fn refused(text: &str) -> CliConfigurationError {
    match operator(&[("/etc/x.tfrc", text)]) {
        Err(error) => error,
        Ok(configuration) => configuration.for_steps(false, MIRROR.as_ref()).unwrap_err(),
    }
}

const MIRROR: &str = "/run/1/providers";
const OURS: &str = "oci_default_credentials {\n  docker_style_config_files = [\"/run/1/docker/config.json\"]\n}\n";
const NONE: &str = "oci_default_credentials {\n  docker_style_config_files = []\n}\n";

#[test]
fn without_an_operators_file_there_is_only_our_block() {
    assert_eq!(fetch(&[]), OURS);
    assert_eq!(steps(&[]), NONE);
    assert_eq!(steps(&[("/x", ""), ("/y", "# nothing\n"), ("/z.json", "{}")]), NONE);
}

#[test]
fn items_are_cut_out_byte_for_byte() {
    let text = "# a comment\r\nplugin_cache_dir = \"/cache\" /* c */ , disable_checkpoint=true // end\r\n\
        \"oci_\\u0064efault_credentials\" { docker_style_config_files = [\"x}\"] }\n\
        OCI_Credentials \"ghcr.io/o\" {\n  username = \"u${\"x\"}\"\n  password = <<-EOT\n    } \"\n    EOT\n}\n\
        credentials \"app.example\" { token = \"t\" }\n\
        credentials_helper \"x\" { args = [] }\n\
        host \"h\" { services { \"modules.v1\" = \"https://h/\" } }\n\
        provider_installation {\n  dev_overrides { \"ns/name\" = \"/p\" }\n  direct {}\n}";
    let kept = "plugin_cache_dir = \"/cache\"\ndisable_checkpoint=true\n";
    let rest = "host \"h\" { services { \"modules.v1\" = \"https://h/\" } }\n\
        provider_installation {\n  dev_overrides { \"ns/name\" = \"/p\" }\n  direct {}\n}\n";
    assert_eq!(fetch(&[("/x", text)]), format!("{kept}credentials \"app.example\" {{ token = \"t\" }}\n{rest}{OURS}"));
    assert_eq!(steps(&[("/x", text)]), format!("{kept}{rest}{NONE}"));
}

#[test]
fn tokens_and_services_are_read_from_both_syntaxes_and_stay_out_of_the_brokers_text() {
    let native = "credentials \"GitLab.example\" {\n  token = \"first\"\n}\ncredentials \"h.example:443\" { token = \"t\\u0024{x}\" \
                  }\ncredentials \"none.example\" {}\nhost \"h.example\" {\n  services = {\n    \"modules.v1\" = \
                  \"https://h.example/m/\"\n  }\n}\n";
    let json = r#"{"credentials":{"gitlab.example":{"token":"later"},"localhost:8443":{"token":"near"}}}"#;
    let operator = operator(&[("/x", native), ("/y.json", json)]).unwrap();
    let tokens: Vec<_> = operator.tokens().into_iter().map(|(host, token)| (host, token.expose().to_owned())).collect();
    let expected = [("gitlab.example", "later"), ("h.example", "t${x}"), ("localhost:8443", "near")];
    assert_eq!(tokens, expected.map(|(host, token)| (host.to_owned(), token.to_owned())));
    assert_eq!(operator.services(), [("h.example".to_owned(), "https://h.example/m/".to_owned())]);
    let text = operator.for_fetch_with(Path::new("/run/1/docker/config.json"), &KeptTokens::none()).unwrap();
    assert!(!text.expose().contains("token") && text.expose().ends_with(OURS), "{}", text.expose());
}

#[test]
fn of_several_tokens_those_stay_that_tofu_has_to_find_itself() {
    let near = KeptTokens::Of(vec!["localhost:8443".to_owned()]);
    let kept = |files: &[(&str, &str)]| {
        let text = operator(files).unwrap().for_fetch_with(Path::new("/run/1/docker/config.json"), &near).unwrap();
        text.expose().to_owned()
    };
    let (far, native) =
        ("credentials \"gitlab.com\" { token = \"far\" }\n", "credentials \"LocalHost:8443\" { token = \"near\" }\n");
    assert_eq!(kept(&[("/x", &[far, native].concat())]), format!("{native}{OURS}"));
    assert_eq!(kept(&[("/x", far)]), OURS);
    for (before, after) in [("", ""), ("= ", ""), ("= [", "]")] {
        let both = format!(
            "credentials {before}{{\n  \"gitlab.com\" {{ token = \"far\" }}\n  \"localhost:8443\" {{ token = \"near\" \
             }}\n}}{after}\n"
        );
        let one = format!("credentials {before}{{\n\"localhost:8443\" {{ token = \"near\" }}\n}}{after}\n");
        assert_eq!(kept(&[("/x", &both)]), format!("{one}{OURS}"));
    }
    let json = r#"{"credentials": {"gitlab.com": {"token": "far"}, "localhost:8443": {"token": "near"}}}"#;
    let one = r#""credentials": {"localhost:8443": {"token": "near"}},"#;
    assert!(kept(&[("/x", json)]).starts_with(&format!("{{\n{one}\n\"oci_")), "{}", kept(&[("/x", json)]));
    let list = r#"{"credentials": [{"gitlab.com": {"token": "far"}}, {"localhost:8443": {"token": "near"}}]}"#;
    assert!(
        kept(&[("/x", list)]).starts_with("{\n\"credentials\": [{\n\"localhost:8443\": {\"token\": \"near\"}\n}],")
    );
    let beside = kept(&[("/x", "disable_checkpoint = true"), ("/d/credentials.tfrc.json", json)]);
    let translated = "credentials \"localhost:8443\" {\n  \"token\" = \"near\"\n}\n";
    assert_eq!(beside, format!("disable_checkpoint = true\n{translated}{OURS}"));
}

#[test]
fn hosts_that_are_none_have_no_token() {
    for host in ["", "a b", "u@h", "h/path", "h:x", "https://h"] {
        let operator = operator(&[("/x", &format!("credentials {host:?} {{ token = \"t\" }}\n"))]).unwrap();
        assert!(operator.token_hosts().is_empty(), "{host}");
    }
}

#[test]
fn json_stays_json() {
    let text = r#" {"plugin_cache_dir": "/c", "credentials": {"h": {"token": "t"}}, "oci_credentials": {"g": {}},
        "oci_default_credentials": [{}], "provider_installation": [{"direct": [{}]}],}"#;
    assert_eq!(
        fetch(&[("/x", text)]),
        "{\n\"plugin_cache_dir\": \"/c\",\n\"credentials\": {\"h\": {\"token\": \"t\"}},\n\
         \"provider_installation\": [{\"direct\": [{}]}],\n\
         \"oci_default_credentials\": {\"docker_style_config_files\": [\"/run/1/docker/config.json\"]}\n}\n"
    );
    assert!(!steps(&[("/x", text)]).contains("token"));
}

#[test]
fn what_tofu_login_wrote_is_translated_beside_a_native_file() {
    let login = r#"{"credentials": {"app.example": {"token": "a\"b\\c${d}\n"}}}"#;
    let files = [("/x", "disable_checkpoint = true"), ("/d/credentials.tfrc.json", login)];
    let expected =
        "disable_checkpoint = true\ncredentials \"app.example\" {\n  \"token\" = \"a\\\"b\\\\c\\u0024{d}\\u000a\"\n}\n";
    assert_eq!(fetch(&files), format!("{expected}{OURS}"));
    assert_eq!(steps(&files), format!("disable_checkpoint = true\n{NONE}"));
    let other = [files[0], ("/d/y.tfrc.json", r#"{"host": {"h": {}}}"#)];
    let error = operator(&other).unwrap().for_steps(false, MIRROR.as_ref()).unwrap_err();
    assert!(matches!(error, CliConfigurationError::MixedSyntax { line: 1, .. }) && error.hint().is_some());
}

#[test]
fn of_two_files_the_same_wins_as_for_tofu() {
    let main = ("/x", "plugin_cache_dir = \"/a\"\ncredentials \"h\" { token = \"old\" }\nhost \"k\" {}\n");
    let later = ("/d/y.tfrc", "plugin_cache_dir = \"/b\"\ncredentials \"h\" { token = \"new\" }\n");
    assert_eq!(
        fetch(&[main, later]),
        format!("plugin_cache_dir = \"/a\"\nhost \"k\" {{}}\ncredentials \"h\" {{ token = \"new\" }}\n{OURS}")
    );
    let flag = "plugin_cache_may_break_dependency_lock_file = true";
    let error = operator(&[("/x", flag), ("/y", flag)]).unwrap().for_steps(false, MIRROR.as_ref()).unwrap_err();
    assert!(matches!(error, CliConfigurationError::Twice { line: 1, .. }));
}

#[test]
fn what_depends_on_the_runs_directory_is_refused() {
    for (text, line) in [
        ("\nplugin_cache_dir = \"cache\"", 2),
        ("provider_installation {\n  filesystem_mirror {\n    path = \"./m\"\n  }\n}", 3),
        ("provider_installation { dev_overrides { \"a/b\" = \"../p\" } }", 1),
        (r#"{"provider_installation": [{"filesystem_mirror": [{"path": "m"}]}]}"#, 1),
    ] {
        let error = refused(text);
        assert!(matches!(&error, CliConfigurationError::Relative { line: found, .. } if *found == line), "{error}");
    }
    operator(&[("/x", "plugin_cache_dir = \"$HOME/cache\"")]).unwrap().for_steps(false, MIRROR.as_ref()).unwrap();
}

#[test]
fn broken_files_are_refused_with_their_line() {
    for (text, line) in [
        ("a = = 1", 1),
        ("a = 1\nb", 2),
        ("a {\n\n", 1),
        ("a = 1\n}", 2),
        ("a \"b\" = 1", 1),
        ("{ \"a\": 1 } x", 1),
        ("\n\n\"a", 3),
        ("a = \"b\n\"", 1),
        ("a = \"${\"", 1),
        ("/* ", 1),
        ("a = <<EOT\nx\nEOT", 1),
        ("a = [1 2]", 1),
        ("a = [\n", 1),
        ("a = $b", 1),
        ("\u{feff}a = 1", 1),
        ("a = 1 \0", 1),
        ("{\"\\/\": 1}", 1),
        ("{\n\"a\": \"\\/\"}", 2),
        ("a = \"\\q\"", 1),
        ("a = 1\nb = 2\na = 3", 3),
        ("{\"a\": nope}", 1),
        ("{\"a\" 1}", 1),
        ("{\"a\": [1 2]}", 1),
    ] {
        match refused(text) {
            CliConfigurationError::Syntax { line: found, .. } => assert_eq!(found, line, "{text:?}"),
            other => panic!("{text:?}: {other}"),
        }
    }
    let deep = "a {".repeat(100_000);
    assert!(matches!(refused(&deep), CliConfigurationError::Syntax { .. }));
    assert!(matches!(refused(&"{\"a\":[".repeat(100_000)), CliConfigurationError::Syntax { .. }));
    assert!(matches!(refused(&format!("a = {}", "[".repeat(100_000))), CliConfigurationError::Syntax { .. }));
}

#[test]
fn files_are_read_in_tofus_order() {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in
        [("b.tfrc", "host \"b\" {}"), ("a.tfrc.json", "{}"), ("a.tfrc", "host \"a\" {}"), ("c.txt", "?")]
    {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    let main = directory.path().join("tofurc");
    std::fs::write(&main, "host \"main\" {}").unwrap();
    let configuration = OperatorConfiguration::read(Some(&main), Some(directory.path())).unwrap();
    let text = configuration.for_steps(false, MIRROR.as_ref()).unwrap();
    assert_eq!(text.expose(), format!("host \"main\" {{}}\nhost \"a\" {{}}\nhost \"b\" {{}}\n{NONE}"));
    assert!(!format!("{configuration:?}").contains("host"));
    assert!(OperatorConfiguration::read(Some(&directory.path().join("none")), None).is_err());
    OperatorConfiguration::read(None, Some(&directory.path().join("none"))).unwrap();
    std::fs::write(&main, b"a = \"\xff\"").unwrap();
    assert!(OperatorConfiguration::read(Some(&main), None).is_err());
    assert!(configuration.for_fetch(Path::new("relative/config.json")).is_err());
}

/// Every byte is in an item or between two, in order; nested items are inside of theirs.
fn assert_ordered(text: &str, items: &[Item], within: Range<usize>) {
    let mut at = within.start;
    for item in items {
        assert!(at <= item.range.start && item.range.start < item.range.end && item.range.end <= within.end);
        assert!(text.is_char_boundary(item.range.start) && text.is_char_boundary(item.range.end));
        at = item.range.end;
        if let Value::Object(inner) = &item.value {
            assert_ordered(text, inner, item.range.clone());
        }
    }
}

/// Texts that are nearly HCL: random pieces of it in random order.
fn nearly_hcl() -> impl Strategy<Value = String> {
    let pieces = proptest::sample::select(vec![
        "a",
        "b.c",
        "\"x\"",
        "\"${\"y\"}\"",
        "\\",
        "=",
        "{",
        "}",
        "[",
        "]",
        ",",
        "1",
        "-2.5e3",
        "true",
        "null",
        ":",
        "\n",
        " ",
        "#",
        "//",
        "/*",
        "*/",
        "<<EOT\n",
        "<<-E\n",
        "EOT\n",
        "E\n",
        "\"",
        "$",
        "${",
        "é",
        "\r\n",
        "\0",
        "0x",
        ".",
    ]);
    proptest::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(support::loops::times(256)))]

    #[test]
    fn the_scanners_take_any_text(text in ".*|\\PC*") {
        let _ = (native::scan(&text), json::scan(&text));
    }

    #[test]
    fn ranges_are_in_order_and_whole(text in nearly_hcl()) {
        for items in [native::scan(&text), json::scan(&text)].into_iter().flatten() {
            assert_ordered(&text, &items, 0..text.len());
        }
    }

    #[test]
    fn what_was_cut_out_scans_to_the_same_items(text in nearly_hcl()) {
        if let Ok(items) = native::scan(&text) {
            let pieces: Vec<&str> = items.iter().map(|item| &text[item.range.clone()]).collect();
            let again = pieces.join("\n") + "\n";
            let second = native::scan(&again).unwrap();
            let keys = |items: &[Item]| items.iter().map(|item| item.keys.clone()).collect::<Vec<_>>();
            prop_assert_eq!(keys(&items), keys(&second));
        }
    }
}

#[test]
fn the_directories_that_steps_must_see_are_found() {
    let text = "plugin_cache_dir = \"$HOME/cache\"\nprovider_installation {\n  filesystem_mirror {\n    path = \"/m\"\n  }\n  \
                dev_overrides {\n    \"a/b\" = \"/d\"\n  }\n  network_mirror {\n    url = \"https://m/\"\n  }\n  direct {}\n}\n";
    let paths = |names: &[&str]| names.iter().map(std::path::PathBuf::from).collect::<Vec<_>>();
    for (home, cache) in [(Some(Path::new("/h")), Some("/h/cache".into())), (None, None)] {
        let places = operator(&[("/x", text)]).unwrap().places(home);
        assert_eq!((places.mirrors, places.cache), (paths(&["/m", "/d"]), cache));
    }
    let json = r#"{"provider_installation": [{"filesystem_mirror": [{"path": "/m"}]}], "plugin_cache_dir": "/c"}"#;
    let places = operator(&[("/x.json", json)]).unwrap().places(None);
    assert_eq!((places.mirrors, places.cache), (paths(&["/m"]), Some("/c".into())));
    assert_eq!(operator(&[]).unwrap().places(None), super::Places::default());
}
