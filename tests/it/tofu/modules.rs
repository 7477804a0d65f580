//! What is fetched, by tofu's own list, and what must not be.

use nigari::tofu::arguments;
use nigari::tofu::modules::{ModulesError, SourceKind, fetched, named};

use super::Bench;

#[test]
fn tofus_own_list_is_read() {
    let files = [
        ("live/main.tf", "module \"net\" {\n  source = \"../modules/net\"\n}\n"),
        ("modules/net/main.tf", "module \"inner\" {\n  source = \"./inner\"\n}\n"),
        ("modules/net/inner/main.tf", "locals {}\n"),
    ];
    let Some(bench) = Bench::new(&files) else { return };
    let root = bench.configuration();
    let mut tofu = support::child::command(&bench.tofu);
    tofu.args(arguments::get()).current_dir(root.join("live")).env("TF_CLI_CONFIG_FILE", bench.path("cli.tfrc"));
    support::child::run(tofu).unwrap().succeeded().unwrap();
    let modules = fetched(&root, &root.join("live"), &root.join("live/.terraform")).unwrap();
    let keys: Vec<_> = modules.iter().map(|module| module.key.as_str()).collect();
    assert_eq!(keys, ["net", "net.inner"]);
    assert_eq!(named(&root, std::path::Path::new("live")).unwrap().len(), 2);
    let narrow = fetched(&root.join("live"), &root.join("live"), &root.join("live/.terraform"));
    assert!(matches!(narrow, Err(ModulesError::Outside { .. })), "a smaller root does not have the module");
}

/// The attack: an absolute path that only tofu can compute brings a directory of the host in, by a link.
#[test]
fn a_computed_absolute_source_is_noticed_after_the_fetch() {
    let Some(bench) = Bench::new(&[]) else { return };
    let secret = bench.write("secret/main.tf", "locals {}\n");
    let source = secret.parent().unwrap().to_str().unwrap();
    let text = format!("locals {{\n  where = \"{source}\"\n}}\n\nmodule \"m\" {{\n  source = local.where\n}}\n");
    bench.write("configuration/main.tf", &text);
    let root = bench.configuration();
    assert_eq!(named(&root, std::path::Path::new("")).unwrap()[0].kind, SourceKind::Expression);
    bench.tofu(&arguments::get()).succeeded().unwrap();
    let error = fetched(&root, &root, &bench.data()).unwrap_err();
    assert!(matches!(error, ModulesError::Outside { .. }), "{error}");
}
