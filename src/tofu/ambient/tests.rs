//! Files of a user's own, and what OpenTofu makes of them.

use std::path::{Path, PathBuf};

use super::docker_file;
use super::{Content, Origin, Outcome, Place, Shape, Surroundings, look, outcome};

/// `u:p`, `u:` and `up`.
const PAIR: &str = r#"{"auth":"dTpw"}"#;
const NO_PAIR: &str = r#"{"auth":"dXA="}"#;

/// A home with these files.
fn home(files: &[(&str, &str)]) -> (tempfile::TempDir, Surroundings) {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let file = directory.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    let at = Surroundings { home: Some(directory.path().to_owned()), ..Surroundings::default() };
    (directory, at)
}

fn found(text: &str, host: &str, repository: &str) -> Content {
    let (directory, _) = home(&[("config.json", text)]);
    docker_file::look(directory.path().join("config.json"), Origin::Searched, host, repository).content
}

fn keys(text: &str, host: &str, repository: &str) -> Vec<(String, Shape)> {
    match found(text, host, repository) {
        Content::Keys(keys) => keys.into_iter().map(|found| (found.key, found.shape)).collect(),
        _ => Vec::new(),
    }
}

/// The key that is taken, with the name of its file; otherwise what becomes of it.
fn taken(at: &Surroundings, host: &str, repository: &str) -> Result<(String, String), Outcome> {
    let places = look(at, host, repository);
    match outcome(&places, host) {
        Outcome::Takes(place, key) => {
            let name = places[place].file.file_name().unwrap().to_string_lossy().into_owned();
            let Content::Keys(keys) = &places[place].content else { panic!("{places:?}") };
            Ok((name, keys[key].key.clone()))
        }
        other => Err(other),
    }
}

fn of(file: &str, key: &str) -> (String, String) {
    (file.to_owned(), key.to_owned())
}

#[test]
fn the_places_and_their_order_are_tofus() {
    let names = |runtime: Option<&str>, configuration: Option<&str>| -> Vec<String> {
        let path = |text: Option<&str>| text.map(PathBuf::from);
        let home = path(Some("/h"));
        let at = Surroundings { named: None, runtime: path(runtime), configuration: path(configuration), home };
        docker_file::searched(&at).iter().map(|path| path.display().to_string()).collect()
    };
    let home = ["/h/.config/containers/auth.json", "/h/.docker/config.json", "/h/.dockercfg"];
    assert_eq!(names(None, None), home);
    assert_eq!(
        names(Some("/r"), Some("/c"))[..2],
        ["/r/containers/auth.json".to_owned(), "/c/containers/auth.json".to_owned()]
    );
    assert!(look(&Surroundings::default(), "h", "a").is_empty());
}

#[test]
fn keys_match_letter_by_letter_and_by_whole_segments() {
    let text = r#"{"auths":{"h":{"auth":"dTpw"},"h/team":{"auth":"dTpw"},"h/te":{"auth":"dTpw"},"n":{"auth":"dTo="},
        "x":{"auth":"dXA="},"empty":{},"nothing":null,"blank":{"auth":""},"https://s/v1/":{"auth":"dTpw"},
        "t":{"identitytoken":"x"}}}"#;
    let pair = |key: &str| (key.to_owned(), Shape::Pair);
    assert_eq!(keys(text, "h", "team/net"), [pair("h"), pair("h/team")]);
    assert_eq!(keys(text, "h", "teams/net"), [pair("h")]);
    assert_eq!(keys(text, "H", "team/net"), []);
    assert_eq!(keys(text, "h:443", "team/net"), []);
    assert_eq!(keys(text, "n", "a"), [("n".into(), Shape::NoPassword)]);
    assert_eq!(keys(text, "x", "a"), [("x".into(), Shape::NoPair)]);
    for host in ["empty", "nothing", "blank", "s", "t", "index.docker.io"] {
        assert_eq!(keys(text, host, "a"), [], "{host}");
    }
}

#[test]
fn the_narrowest_key_is_taken_and_helpers_come_after_keys_of_the_same_reach() {
    let text = r#"{"auths":{"h":{"auth":"dTpw"},"h/team":{"auth":"dTpw"}},"credHelpers":{"h":"x","g":"y"},"credsStore":"all"}"#;
    let (_home, at) = home(&[(".docker/config.json", text)]);
    assert_eq!(taken(&at, "h", "a"), Ok(of("config.json", "h")));
    assert_eq!(taken(&at, "h", "team/a"), Ok(of("config.json", "h/team")));
    assert_eq!(taken(&at, "g", "a"), Ok(of("config.json", "y")));
    assert_eq!(taken(&at, "other", "a"), Ok(of("config.json", "all")));
}

#[test]
fn a_broken_file_is_told_without_what_is_in_it_and_switches_the_search_off() {
    let secret = "geheim-4711";
    for text in ["", "{", "[]", r#"{"auths":[]}"#, r#"{"auths":{"h":{"auth":"geheim-4711"}}}"#] {
        let Content::Broken(why) = found(text, "h", "a") else { panic!("{text}") };
        assert!(!why.contains(secret), "{why}");
    }
    let docker = format!("{{\"auths\":{{\"h\":{PAIR}}}}}");
    let (_home, at) = home(&[(".docker/config.json", &docker)]);
    assert_eq!(taken(&at, "h", "a"), Ok(of("config.json", "h")));
    let (_home, at) = home(&[(".docker/config.json", &docker), (".dockercfg", "{")]);
    assert_eq!(taken(&at, "h", "a"), Err(Outcome::Without));
}

#[test]
fn what_is_no_pair_counts_for_nothing_alone_and_beside_another_everything_fails() {
    let alone = format!("{{\"auths\":{{\"h\":{NO_PAIR},\"other\":{PAIR}}}}}");
    let beside = format!("{{\"auths\":{{\"h\":{NO_PAIR},\"h/team\":{PAIR}}}}}");
    let (_home, at) = home(&[(".docker/config.json", &alone)]);
    assert_eq!(taken(&at, "h", "a"), Err(Outcome::Without));
    let (_home, at) = home(&[(".docker/config.json", &beside)]);
    assert_eq!(taken(&at, "h", "team/a"), Err(Outcome::Quarrels));
    assert_eq!(taken(&at, "h", "a"), Err(Outcome::Without));
    let store = r#"{"credsStore":"all"}"#;
    let (_home, at) = home(&[(".docker/config.json", &alone), (".dockercfg", store)]);
    assert_eq!(taken(&at, "h", "a"), Err(Outcome::Quarrels));
}

#[test]
fn nothing_is_ever_sent_to_docker_io() {
    let docker = format!("{{\"auths\":{{\"docker.io\":{PAIR},\"registry-1.docker.io\":{PAIR}}}}}");
    let (_home, at) = home(&[(".docker/config.json", &docker)]);
    assert_eq!(taken(&at, "docker.io", "acme/a"), Err(Outcome::Without));
    assert_eq!(taken(&at, "registry-1.docker.io", "acme/a"), Ok(of("config.json", "registry-1.docker.io")));
}

#[test]
fn the_cli_configuration_decides_what_is_taken() {
    let docker = format!("{{\"auths\":{{\"h\":{PAIR},\"h/team\":{PAIR}}}}}");
    let block = "oci_credentials \"h\" {\n  username = \"u\"\n  password = \"p\"\n}\n";
    let (_home, at) = home(&[(".docker/config.json", &docker), (".tofurc", block)]);
    assert_eq!(taken(&at, "h", "a"), Ok(of(".tofurc", "oci_credentials \"h\"")));
    assert_eq!(taken(&at, "h", "team/a"), Ok(of("config.json", "h/team")));
    // Blocks count also where the search found something broken.
    let (_home, at) = home(&[(".docker/config.json", "{"), (".tofurc", block)]);
    assert_eq!(taken(&at, "h", "a"), Ok(of(".tofurc", "oci_credentials \"h\"")));
    // A file that is named is taken instead of all that are searched for, seen from the file that names it.
    let named = "oci_default_credentials {\n  docker_style_config_files = [\"x/auth.json\"]\n}\n";
    let (_home, at) = home(&[("x/auth.json", &docker), (".dockercfg", "{"), (".tofurc", named)]);
    assert_eq!(taken(&at, "h", "a"), Ok(of("auth.json", "h")));
    for text in ["{", "[]"] {
        let (_home, at) = home(&[("x/auth.json", text), (".tofurc", named)]);
        assert_eq!(taken(&at, "h", "a"), Err(Outcome::Fails), "{text}");
    }
    let (_home, at) = home(&[(".docker/config.json", &docker), (".tofurc", named)]);
    assert_eq!(taken(&at, "h", "a"), Err(Outcome::Fails));
    for off in ["discover_ambient_credentials = false", "docker_style_config_files = []"] {
        let text = format!("oci_default_credentials {{\n  {off}\n}}\n");
        let (_home, at) = home(&[(".docker/config.json", &docker), (".tofurc", &text)]);
        assert_eq!(taken(&at, "h", "a"), Err(Outcome::Without), "{off}");
    }
    let helper = "oci_default_credentials {\n  docker_credentials_helper = \"all\"\n}\n";
    let (_home, at) = home(&[(".docker/config.json", &docker), (".tofurc", helper)]);
    assert_eq!(taken(&at, "h", "a"), Ok(of("config.json", "h")));
    assert_eq!(taken(&at, "other", "a"), Ok(of(".tofurc", "all")));
}

#[test]
fn the_files_of_the_cli_configuration_are_tofus() {
    let block = |label: &str| format!("oci_credentials \"{label}\" {{\n  username = \"u\"\n  password = \"p\"\n}}\n");
    let (new, old, more) = (block("new"), block("old"), block("more"));
    let (directory, mut at) = home(&[
        (".tofurc", &new),
        (".terraformrc", &old),
        (".terraform.d/a.tfrc", "broken {"),
        (".terraform.d/b.tfrc", &more),
        ("xdg/opentofu/tofurc", &block("xdg")),
        ("xdg/opentofu/c.tfrc", &block("below")),
        ("own", &block("own")),
    ]);
    at.configuration = Some(directory.path().join("xdg"));
    let known = |at: &Surroundings| {
        let is_known = |host: &&str| taken(at, host, "a").is_ok();
        ["new", "old", "more", "xdg", "below", "own"].into_iter().filter(is_known).collect::<Vec<_>>()
    };
    assert_eq!(known(&at), ["new", "more"]);
    let broken = |place: &Place| matches!(&place.content, Content::Broken(why) if why.starts_with("line 1"));
    assert!(look(&at, "new", "a").iter().any(|place| place.file.ends_with("a.tfrc") && broken(place)));
    std::fs::remove_file(directory.path().join(".tofurc")).unwrap();
    assert_eq!(known(&at), ["old", "more"]);
    std::fs::remove_file(directory.path().join(".terraformrc")).unwrap();
    assert_eq!(known(&at), ["more", "xdg"]);
    std::fs::remove_dir_all(directory.path().join(".terraform.d")).unwrap();
    assert_eq!(known(&at), ["xdg", "below"]);
    at.named = Some(directory.path().join("own"));
    assert_eq!(known(&at), ["own"]);
    at.named = Some(Path::new("/nonexistent/tofurc").to_owned());
    assert_eq!((known(&at), &look(&at, "h", "a")[0].content), (vec![], &Content::Missing));
}

#[test]
fn two_blocks_that_may_be_one_make_tofu_crash() {
    let defaults = "oci_default_credentials {}\n";
    let (_home, at) = home(&[(".tofurc", defaults), (".terraform.d/a.tfrc", defaults)]);
    let places = look(&at, "h", "a");
    assert_eq!((outcome(&places, "h"), places[1].fails), (Outcome::Fails, true));
    assert!(places[1].notes[0].contains("crashes") && places[0].notes.is_empty(), "{places:?}");
}
