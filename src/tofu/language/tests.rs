//! Both syntaxes, by what they say.

use super::{Facts, LanguageError, ModuleCall, Source, StateBlock, json, native, read};

fn native_facts(text: &str) -> Facts {
    native::facts(text).map_err(|broken| format!("{}: {}", broken.line, broken.message)).unwrap()
}

fn json_facts(text: &str) -> Facts {
    json::facts(text).map_err(|broken| format!("{}: {}", broken.line, broken.message)).unwrap()
}

fn backend(kind: &str, has_arguments: bool) -> StateBlock {
    StateBlock::Backend { kind: kind.to_owned(), has_arguments }
}

fn call(name: &str, source: Option<Source>) -> ModuleCall {
    ModuleCall { name: name.to_owned(), source }
}

fn literal(text: &str) -> Source {
    Source::Literal(text.to_owned())
}

fn expression(text: &str) -> Source {
    Source::Expression(text.to_owned())
}

#[test]
fn native_state_blocks_are_found_wherever_they_stand() {
    let facts = native_facts(
        r#"
        # backend "commented" {}
        /* terraform {
          backend "commented" {}
        } */
        terraform {
          backend "http" {}
        }
        terraform {
          required_version = ">= 1.10"
          backend "s3" { bucket = "b" }
          backend "kubernetes" {
            exec {}
          }
          cloud { organization = "o" }
        }
        resource "x" "y" {
          backend "nested" {}
        }
        locals {
          text = <<-EOT
          terraform {
            backend "in a string" {}
          }
          EOT
        }
        "#,
    );
    assert_eq!(
        facts.state_blocks,
        [backend("http", false), backend("s3", true), backend("kubernetes", true), StateBlock::Cloud]
    );
}

#[test]
fn native_module_sources_are_literals_or_expressions() {
    let facts = native_facts(
        r#"
        module "a" { source = "oci://h.example/x?tag=1" }
        module "b" { source = "./b\u002fc" }
        module "c" { source = "${local.x}/c" }
        module "d" { source = var.source }
        module "e" { version = 1 }
        module f { source = "./f" }
        "#,
    );
    assert_eq!(
        facts.module_calls,
        [
            call("a", Some(literal("oci://h.example/x?tag=1"))),
            call("b", Some(literal("./b/c"))),
            call("c", Some(expression(r#""${local.x}/c""#))),
            call("d", Some(expression("var.source"))),
            call("e", None),
            call("f", Some(literal("./f"))),
        ]
    );
}

#[test]
fn json_is_read_in_each_form_that_tofu_takes() {
    for text in [
        r#"{"terraform":{"backend":{"s3":{"bucket":"b"}}}}"#,
        r#"{"terraform":[{"backend":[{"s3":[{"bucket":"b"}]}]}]}"#,
        r#"[{"terraform":null},{"terraform":{"backend":{"s3":{"bucket":"b"}}}}]"#,
        r#"{"terraform":{},"//":"x","terraform":{"backend":{"s3":{"//":"x","bucket":null}}}}"#,
    ] {
        assert_eq!(json_facts(text).state_blocks, [backend("s3", true)], "{text}");
    }
    let empty = r#"{"terraform":{"backend":{"http":{"//":"comment"},"gcs":null},"cloud":{}}}"#;
    assert_eq!(json_facts(empty).state_blocks, [backend("http", false), StateBlock::Cloud]);
    let twice = r#"{"terraform":{"backend":{"http":{},"http":{"address":"x"}}}}"#;
    assert_eq!(json_facts(twice).state_blocks, [backend("http", false), backend("http", true)]);
}

#[test]
fn json_module_sources_are_templates() {
    let facts = json_facts(r#"{"module":{"a":{"source":"./a"},"b":[{"source":"${var.x}"}],"c":{"source":1},"d":{}}}"#);
    let sources: Vec<_> = facts.module_calls.into_iter().map(|call| call.source).collect();
    assert_eq!(
        sources,
        [Some(literal("./a")), Some(expression("${var.x}")), Some(expression("(not a string)")), None,]
    );
}

#[test]
fn what_cannot_be_parsed_is_an_error_with_its_line() {
    for (text, line) in
        [("terraform {", 1), ("a = 1\nterraform {\nbackend \"s3\" {\n", 3), ("\n\n}}", 3), ("a = \"${\"", 1)]
    {
        let broken = native::facts(text).err().unwrap();
        assert_eq!(broken.line, line, "{text:?}: {}", broken.message);
    }
    for text in ["", "{", r#"{"terraform":"x"}"#, r#"{"terraform":{"backend":["http"]}}"#, r"{} {}", "{'a':1}"] {
        assert!(json::facts(text).is_err(), "{text:?}");
    }
    for hostile in ["\"%{if ", "\"%{for x in ", "(", "[for a in ", "\"${", "b {\n"] {
        assert!(native::facts(&format!("a = {}", hostile.repeat(100))).is_err(), "{hostile}");
    }
    let deep = "[".repeat(100_000);
    assert!(json::facts(&deep).is_err() && native::facts(&format!("a = {deep}")).is_err());
}

#[test]
fn a_file_beyond_the_limit_of_its_syntax_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, size: usize| {
        let path = directory.path().join(name);
        std::fs::write(&path, " ".repeat(size) + if name.ends_with("json") { "{}" } else { "#" }).unwrap();
        read(&path)
    };
    write("a.tf", (1 << 20) - 1).unwrap();
    write("a.tf.json", (8 << 20) - 2).unwrap();
    for (name, size) in [("b.tf", 1 << 20), ("b.tofu.json", (8 << 20) - 1)] {
        let error = write(name, size).unwrap_err();
        assert!(matches!(error, LanguageError::TooLarge { .. }) && error.hint().is_some(), "{error}");
    }
}
