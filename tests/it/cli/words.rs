//! The words themselves, as clap knows them.

use clap::Command;
use nigari::cli::{check_words, vocabulary};

fn each(command: &Command, look: &mut impl FnMut(&str, &Command)) {
    fn walk(path: &str, command: &Command, look: &mut impl FnMut(&str, &Command)) {
        look(path, command);
        for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
            walk(&format!("{path} {}", below.get_name()), below, look);
        }
    }
    walk(command.get_name(), command, look);
}

#[test]
fn clap_finds_no_fault_with_the_words() {
    vocabulary().debug_assert();
}

#[test]
fn every_command_and_every_argument_says_what_it_is_for() {
    each(&vocabulary(), &mut |path, command| {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        assert!(about.split_whitespace().count() >= 2, "`{path}` says nothing: {about:?}");
        assert!(!about.ends_with('.'), "`{path}`: {about:?}");
        for argument in command.get_arguments() {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(!help.is_empty(), "`{path}`: {} says nothing", argument.get_id());
        }
    });
}

#[test]
fn no_secret_can_be_an_argument() {
    let secret = |name: &str| ["secret", "password", "token", "key"].iter().any(|word| name.contains(word));
    // Names of files, and switches that take nothing.
    let harmless = |name: &str| name.ends_with("_file") || ["secret_root", "tls_key"].contains(&name);
    each(&vocabulary(), &mut |path, command| {
        for argument in command.get_arguments().filter(|argument| argument.get_action().takes_values()) {
            let name = argument.get_id().as_str();
            assert!(!secret(name) || harmless(name), "`{path}`: {name} could hold a secret");
        }
    });
}

/// One line for each that the design has.
const KNOWN: &[&str] = &[
    "up",
    "server start --listen 127.0.0.1:0 --state-dir d --behind-proxy",
    "server start --database-url postgres://h/d --tls-certificate c --tls-key k --config f",
    "agent start --server https://h --join-token-file f --state-dir d --run-root r --secret-root s --tofu /t",
    "agent start --config f --name n --concurrency 3 --ca-file c --cli-config t",
    "agent drain a",
    "agent resume a",
    "agent pool list",
    "run show -w w",
    "agent remove a --force",
    "agent sweep",
    "plan",
    "plan d -w w --detailed-exitcode --root . -m why",
    "apply d --workspace w --create --auto-approve --detach",
    "destroy --auto-approve",
    "run list -w w --state lost",
    "run show",
    "run show 01a1",
    "run approve run-01a1 --follow",
    "run discard -w w",
    "run cancel -w w --kill",
    "run resolve -w w --applied",
    "run logs -w w --json",
    "logout",
    "run logs run-01a1fd86582072059141fd60117b5c25 -f",
    "run approve run-01a1fd86582072059141fd60117b5c25",
    "run discard run-01a1fd86582072059141fd60117b5c25",
    "run cancel run-01a1fd86582072059141fd60117b5c25 --kill",
    "run resolve run-01a1fd86582072059141fd60117b5c25 --applied",
    "run resolve run-01a1fd86582072059141fd60117b5c25 --not-applied",
    "workspace create w --auto-apply",
    "workspace list",
    "workspace show w",
    "workspace update w --auto-apply false",
    "workspace delete w --yes",
    "registry add n --url https://h --username u --secret-file f --no-export --registry-ca-file c",
    "registry add n --url https://h --username u --secret-stdin --export",
    "registry list --json",
    "registry show n",
    "registry update n --export",
    "registry test n --repository a/b",
    "registry remove n --yes",
    "variable set n v -w w --kind env",
    "variable set n -w w --sensitive --value-stdin",
    "variable set N -w w --kind file --value-file f",
    "variable set N -w w --kind file --value-stdin --sensitive=false",
    "variable list -w w",
    "variable unset n -w w",
    "state pull -w w",
    "state push f -w w --force",
    "state list -w w",
    "token create n --kind join --uses 3 --expires-in 1h",
    "token list --kind join",
    "token revoke tok-01a1fd86582072059141fd60117b5c25",
    "audit list --after 3 --limit 4",
    "login --server https://h --token-stdin",
    "whoami",
    "version --json",
    "doctor",
    "explain oci://h/r?tag=1",
    "explain d --root . -w w --json",
    "explain oci://h/r --test",
];

#[test]
fn the_words_of_the_design_are_known() {
    for line in KNOWN {
        let words = std::iter::once("nigari").chain(line.split(' '));
        if let Err(error) = check_words(words) {
            panic!("`nigari {line}`: {error}");
        }
    }
}

#[test]
fn words_that_contradict_each_other_are_refused() {
    let lines = [
        "",
        "frobnicate",
        "run show not-an-id",
        "run cancel run-01a1 -w w",
        "run resolve -w w",
        "run show run-01a1fd86582072059141fd60117b5c25 -w w",
        "run show ws-01a1fd86582072059141fd60117b5c25",
        "run resolve run-01a1fd86582072059141fd60117b5c25",
        "run resolve run-01a1fd86582072059141fd60117b5c25 --applied --not-applied",
        "registry add n --url https://h --username u --export --no-export",
        "registry add n --url https://h --username u --secret-file f --secret-stdin",
        "registry update n --disable --enable",
        "variable set n v -w w --sensitive",
        "variable set n v -w w --value-stdin",
        "variable set n v",
        "variable set n v -w w --sensitive=false",
        "variable set n -w w --sensitive=perhaps",
        "token create n --expires-in 3",
        "agent start --concurrency many",
        "agent start --delivery magic",
        "workspace create w --delivery magic",
        "workspace create w --delivery FILE",
        "workspace update w --delivery",
        "workspace update w --whole-run perhaps",
        "registry add n --url https://h --username u --permit-file --no-permit-file",
        "registry update n --permit-whole-run --no-permit-whole-run",
        "server start --lease 3",
        "explain",
    ];
    for line in lines {
        let words = std::iter::once("nigari").chain(line.split_whitespace());
        assert!(check_words(words).is_err(), "`nigari {line}` was taken");
    }
}
