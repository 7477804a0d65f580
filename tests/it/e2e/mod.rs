//! The whole way, with real tofu and real registries, through the commands as a person types them.
//!
//! Rule: at the end of each test every byte that a command wrote, that stayed on disk or in memory, and every
//! environment and argument list of every process below is searched for the passwords, whatever the test was about.

mod approval;
mod attacks;
mod broker;
mod cancel;
mod company;
mod configurations;
mod credential_helper;
mod credential_hosts;
mod echoes;
mod environment;
mod evil_git;
mod files;
mod guard;
mod hints;
mod hostile_registries;
mod hosts;
mod integrations;
mod kills;
mod limits;
mod matrix;
mod meddler;
mod module_registry;
mod moved;
mod oci_mirror;
mod old_registry;
mod operator;
mod operator_token;
mod orphaned_plan;
mod passwords;
mod permits;
mod planted;
mod processes;
mod provider;
mod recorder;
mod redaction;
mod scene;
mod shelf;
mod sources;
mod sshd;
mod states;
mod tofu;
mod two_at_once;
mod variables;
mod whole_run;
mod world;

use std::fs;
use std::path::Path;

use world::World;

/// A configuration that needs nothing.
const PLAIN: &str =
    "resource \"terraform_data\" \"a\" {\n  input = \"x\"\n}\noutput \"o\" {\n  value = terraform_data.a.output\n}\n";

/// A configuration with these modules: (name, source).
fn with_modules(modules: &[(&str, String)]) -> String {
    let module = |(name, source): &(&str, String)| {
        format!(
            "module \"{name}\" {{\n  source = \"{source}\"\n  name   = \"{name}\"\n}}\noutput \"{name}\" {{\n  value = \
             module.{name}.text\n}}\n"
        )
    };
    modules.iter().map(module).collect()
}

/// Writes a file and the directories above it.
fn write(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// A program that a shell runs.
fn script(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    write(path, &format!("#!/bin/sh\n{text}\n"));
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
