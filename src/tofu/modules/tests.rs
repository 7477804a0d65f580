//! Whole configurations and their module sources.

use std::path::Path;

use super::{ModulesError, SourceKind, fetched, named};

fn configuration(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    directory
}

fn module(name: &str, source: &str) -> String {
    format!("module \"{name}\" {{\n  source = \"{source}\"\n}}\n")
}

#[test]
fn sources_of_local_modules_are_found_too_and_loops_end() {
    let root = configuration(&[
        ("live/main.tf", &(module("net", "../modules/net") + &module("gone", "./gone"))),
        ("live/x_override.tf.json", r#"{"module":{"net":{"source":"../modules/net"}}}"#),
        ("modules/net/main.tf", &(module("vpc", "oci://h.example/vpc?tag=1") + &module("back", "../../live"))),
        ("unused/main.tf", &module("unused", "oci://other.example/x")),
    ]);
    let sources = named(root.path(), Path::new("live")).unwrap();
    let names: Vec<_> = sources.iter().map(|source| source.name.as_str()).collect();
    assert_eq!(names, ["net", "gone", "net", "vpc", "back"]);
    assert_eq!(
        sources[3].kind,
        SourceKind::Oci { registry_host: "h.example".to_owned(), repository: "vpc".to_owned() }
    );
    assert_eq!(sources[3].file, Path::new("modules/net/main.tf"));
}

#[test]
fn a_path_out_of_the_configuration_is_refused_and_root_is_named() {
    let root = configuration(&[("live/main.tf", &module("net", "../modules/net")), ("modules/net/a.tf", "")]);
    named(root.path(), Path::new("live")).unwrap();
    let error = named(&root.path().join("live"), Path::new(".")).unwrap_err();
    assert!(matches!(&error, ModulesError::Leaves { name, .. } if name == "net"));
    assert!(error.hint().unwrap().contains("--root"));
    for source in ["./a/../../x", "..\\\\..\\\\x", "./.."] {
        let root = configuration(&[("main.tf", &module("m", source))]);
        assert!(matches!(named(root.path(), Path::new(".")), Err(ModulesError::Leaves { .. })), "{source}");
    }
    assert!(matches!(named(root.path(), Path::new("../x")), Err(ModulesError::Leaves { .. })));
    assert!(matches!(named(root.path(), Path::new("/etc")), Err(ModulesError::Leaves { .. })));
}

#[test]
fn absolute_sources_are_refused_and_expressions_are_left_for_later() {
    let root = configuration(&[("main.tf", &module("m", "/run/secrets"))]);
    let error = named(root.path(), Path::new("")).unwrap_err();
    assert!(matches!(error, ModulesError::Absolute { .. }) && error.hint().is_some());
    let root = configuration(&[("main.tf", "module \"m\" {\n  source = \"/${var.x}\"\n}\n")]);
    assert_eq!(named(root.path(), Path::new("")).unwrap()[0].kind, SourceKind::Expression);
}

#[test]
fn fetched_modules_are_listed_without_the_root() {
    let root = configuration(&[
        (".terraform/modules/vpc/main.tf", ""),
        ("main.tf", &module("m", "./m")),
        ("m/main.tf", &module("vpc", "git::https://u:p@h/x.git?ref=1")),
        (
            ".terraform/modules/modules.json",
            r#"{"Modules":[{"Key":"","Source":"","Dir":"."},{"Key":"m","Source":"./m","Dir":"m"},
               {"Key":"m.vpc","Source":"git::https://u:p@h/x.git?ref=1","Dir":".terraform/modules/vpc","Version":"1.0.0"}]}"#,
        ),
    ]);
    let modules = fetched(root.path(), root.path(), &root.path().join(".terraform")).unwrap();
    assert_eq!(modules.len(), 2);
    assert_eq!((modules[1].key.as_str(), modules[1].source.as_str()), ("m.vpc", "git::https://h/x.git?ref=1"));
    assert!(fetched(root.path(), root.path(), &root.path().join("m")).unwrap().is_empty());
}

#[test]
fn a_computed_source_is_not_shown() {
    let call = |source: &str| format!("module \"m\" {{\n  source = {source}\n}}\n");
    let record = r#"{"Modules":[{"Key":"m","Source":"git::https://h/x.git?ref=hunter22","Dir":"m"},
                    {"Key":"m.n","Source":"git::https://h/x.git?ref=hunter22","Dir":"m"}]}"#;
    let sources = |main: &str, more: &str, inner: &str| {
        let root = configuration(&[
            (".terraform/modules/modules.json", record),
            ("main.tf", main),
            ("m_override.tf", more),
            ("m/main.tf", inner),
        ]);
        let modules = fetched(root.path(), root.path(), &root.path().join(".terraform")).unwrap();
        modules.into_iter().map(|module| module.source).collect::<Vec<_>>()
    };
    let computed = call("\"git::https://h/x.git?ref=${file(\"/proc/self/environ\")}\"");
    let plain = call("\"git::https://h/x.git?ref=hunter22\"");
    let inner = "module \"n\" {\n  source = var.x\n}\n";
    assert_eq!(sources(&plain, "", inner), ["git::https://h/x.git?ref=hunter22", "…"]);
    for (main, more) in [(&*computed, ""), (&*plain, &*computed), (&*computed, &*plain), ("", ""), ("module {{{", "")] {
        assert_eq!(sources(main, more, inner), ["…", "…"], "{main} {more}");
    }
}

#[test]
fn a_fetched_link_out_of_the_configuration_is_refused() {
    let outside = tempfile::tempdir().unwrap();
    let record =
        |directory: &str| format!(r#"{{"Modules":[{{"Key":"s","Source":"{directory}","Dir":"{directory}"}}]}}"#);
    let check = |directory: &str| {
        let root = configuration(&[(".terraform/modules/modules.json", &record(directory))]);
        std::os::unix::fs::symlink(outside.path(), root.path().join(".terraform/modules/s")).unwrap();
        fetched(root.path(), root.path(), &root.path().join(".terraform"))
    };
    for directory in [".terraform/modules/s", "../..", outside.path().to_str().unwrap(), "gone"] {
        assert!(matches!(check(directory), Err(ModulesError::Outside { .. })), "{directory}");
    }
    let broken = configuration(&[(".terraform/modules/modules.json", "{")]);
    let data = broken.path().join(".terraform");
    assert!(matches!(fetched(broken.path(), broken.path(), &data), Err(ModulesError::Record { .. })));
}
