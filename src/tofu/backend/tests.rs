//! Configurations of every kind and the backend they get.

use std::path::Path;

use super::{Backend, BackendError, OVERRIDE_NAME, check_chosen, choose, is_override_name, write_override};

fn configuration(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

fn chosen(files: &[(&str, &str)]) -> Result<Backend, BackendError> {
    choose(configuration(files).path())
}

fn kept(kind: &str) -> Backend {
    Backend::Kept(kind.to_owned())
}

const EMPTY_HTTP: &str = "terraform {\n  backend \"http\" {}\n}\n";
const S3: &str = "terraform {\n  backend \"s3\" {\n    bucket = \"b\"\n  }\n}\n";
const CLOUD: &str = "terraform {\n  cloud {}\n}\n";

#[test]
fn without_a_backend_or_with_an_empty_http_the_state_is_ours() {
    assert_eq!(chosen(&[]).unwrap(), Backend::Ours);
    assert_eq!(chosen(&[("main.tf", "locals {}\n")]).unwrap(), Backend::Ours);
    assert_eq!(chosen(&[("main.tf", EMPTY_HTTP)]).unwrap(), Backend::Ours);
    assert_eq!(chosen(&[("x.tofu.json", r#"{"terraform":{"backend":{"http":{}}}}"#)]).unwrap(), Backend::Ours);
    let directory = configuration(&[("main.tf", EMPTY_HTTP)]);
    std::fs::create_dir(directory.path().join("module")).unwrap();
    std::fs::write(directory.path().join("module/main.tf"), S3).unwrap();
    assert_eq!(choose(directory.path()).unwrap(), Backend::Ours, "a module's backend does not count");
}

#[test]
fn every_other_backend_is_kept() {
    let http = "terraform {\n  backend \"http\" {\n    address = \"https://x\"\n  }\n}\n";
    assert_eq!(chosen(&[("main.tf", http)]).unwrap(), kept("http"));
    assert_eq!(chosen(&[("main.tf", S3)]).unwrap(), kept("s3"));
    assert_eq!(chosen(&[("main.tf", CLOUD)]).unwrap(), kept("cloud"));
    assert_eq!(chosen(&[("a.tf.json", r#"{"terraform":[{"backend":{"gcs":{}}}]}"#)]).unwrap(), kept("gcs"));
}

#[test]
fn the_last_override_counts_as_it_does_for_tofu() {
    assert_eq!(chosen(&[("main.tf", S3), ("a_override.tf", EMPTY_HTTP)]).unwrap(), Backend::Ours);
    assert_eq!(chosen(&[("main.tf", EMPTY_HTTP), ("zz_override.tf", S3)]).unwrap(), kept("s3"));
    assert_eq!(
        chosen(&[("a_override.tf", S3), ("override.tf.json", r#"{"terraform":{"cloud":{}}}"#)]).unwrap(),
        kept("cloud")
    );
    assert_eq!(chosen(&[("main.tf", S3), ("main.tofu", "locals {}\n")]).unwrap(), Backend::Ours, "hidden by .tofu");
    assert_eq!(chosen(&[(".x.tf", S3), ("x.tf~", S3), ("#x.tf#", S3), ("x.txt", S3)]).unwrap(), Backend::Ours);
}

#[test]
fn a_backend_whose_state_would_be_wiped_is_refused() {
    for kind in ["local", "inmem"] {
        let error = chosen(&[("main.tf", &format!("terraform {{\n  backend \"{kind}\" {{}}\n}}\n"))]).unwrap_err();
        assert!(matches!(&error, BackendError::Lost { .. }), "{error}");
        assert!(error.hint().unwrap().contains("state push"));
    }
}

#[test]
fn what_is_ambiguous_or_cannot_be_parsed_stops() {
    for files in [
        &[("a.tf", S3), ("b.tf", CLOUD)][..],
        &[("a.tf", S3), ("b.tf", S3)],
        &[("a_override.tf", "terraform {\n  cloud {}\n  backend \"http\" {}\n}\n")],
    ] {
        assert!(matches!(chosen(files), Err(BackendError::Several { .. })));
    }
    let error = chosen(&[("main.tf", "terraform {\n backend \"s3\" {")]).unwrap_err();
    assert!(matches!(error, BackendError::Language(_)) && error.hint().is_some());
    assert!(chosen(&[("bad_override.tf.json", "{")]).is_err());
    assert!(choose(Path::new("/nonexistent")).is_err());
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("main.tf"), b"a = \"\xff\"").unwrap();
    assert!(choose(directory.path()).is_err());
}

#[test]
fn a_file_of_our_name_in_any_spelling_is_refused() {
    for name in ["nigari_override.tf", "nigari_override.tofu", "NIGARI_override.tf.json", OVERRIDE_NAME] {
        assert!(is_override_name(name), "{name}");
        assert!(matches!(chosen(&[(name, "{}")]), Err(BackendError::NameTaken(_))), "{name}");
    }
    for name in ["nigari_override", "x_nigari_override.tf", "nigari_override.tf.bak", "override.tf"] {
        assert!(!is_override_name(name), "{name}");
    }
}

#[test]
fn the_override_file_is_never_written_over_another() {
    let directory = configuration(&[("main.tf", S3)]);
    write_override(directory.path()).unwrap();
    assert!(matches!(write_override(directory.path()), Err(BackendError::Write { .. })));
}

#[test]
fn the_backend_that_tofu_wrote_down_is_compared() {
    let check = |record: &str, expected: &Backend| {
        let directory = configuration(&[("terraform.tfstate", record)]);
        check_chosen(directory.path(), expected)
    };
    let ours = r#"{"version":3,"backend":{"type":"http","config":{"address":null,"username":null},"hash":1}}"#;
    let other_http = r#"{"version":3,"backend":{"type":"http","config":{"address":"https://x","username":null}}}"#;
    let s3 = r#"{"version":3,"backend":{"type":"s3","config":{"bucket":"b"}}}"#;
    check(ours, &Backend::Ours).unwrap();
    check(s3, &kept("s3")).unwrap();
    check(other_http, &kept("http")).unwrap();
    for (record, expected) in
        [(other_http, Backend::Ours), (s3, Backend::Ours), (ours, kept("s3")), ("{}", Backend::Ours)]
    {
        assert!(matches!(check(record, &expected), Err(BackendError::Other { .. })), "{record}");
    }
    assert!(matches!(check("{", &Backend::Ours), Err(BackendError::Chosen { .. })));
    let none = tempfile::tempdir().unwrap();
    for expected in [Backend::Ours, kept("s3")] {
        assert!(matches!(check_chosen(none.path(), &expected), Err(BackendError::Other { .. })));
    }
}
