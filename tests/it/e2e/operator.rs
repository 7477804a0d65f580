//! The operator's own CLI configuration of tofu: what of it reaches which step, and what is refused.

use std::time::Duration;

use support::canary::Canary;

use super::PLAIN;
use super::recorder::Recorder;
use super::scene::Operator;
use super::shelf::Shelf;
use super::world::{Setup, USER, World};

/// A token for a module registry, in the operator's file.
const TOKEN: &str = "canary-operators-token-81c2a7";

/// Starts an agent that must not start; gives what it said.
fn refused(world: &World, more: &[&str]) -> String {
    let mut agent = world.another_agent("refused", more);
    assert_eq!(agent.wait(Duration::from_mins(1)).unwrap().code(), Some(78), "{}", agent.log());
    agent.log()
}

fn without_agent() -> Option<World> {
    World::with(Setup { without_agent: true, ..Setup::default() })
}

#[test]
fn an_agent_with_a_broken_file_does_not_start() {
    for text in ["provider_installation {", "plugin_cache_dir = \"/nonexistent/cache\"\n", "a = = 1"] {
        let Some(world) = without_agent() else { return };
        let operator = Operator::new(text);
        let said = refused(&world, &["--cli-config", &operator.file()]);
        assert!(said.contains("hint: ") && !said.contains("panicked"), "{text}: {said}");
    }
}

#[test]
fn a_missing_file_is_no_mere_warning() {
    let Some(world) = without_agent() else { return };
    let said = refused(&world, &["--cli-config", "/nonexistent/operator.tfrc"]);
    assert!(said.contains("hint: ") && said.contains("/nonexistent/operator.tfrc"), "{said}");
}

#[test]
fn an_oci_mirror_that_cannot_be_one_is_refused_with_what_to_write() {
    for (template, told) in [
        // What tofu itself finds.
        ("example.com/tofu/provider", "must refer to the \"namespace\" symbol"),
        ("example.com/${name}/${namespace}/${type}", "the symbol \"name\" is not available"),
        // What is found before it is asked.
        ("https://example.com/${namespace}/${type}", "does not begin with the host of a registry"),
        ("", "has no `repository_template`"),
    ] {
        let Some(world) = without_agent() else { return };
        let operator = Operator::new(&format!(
            "provider_installation {{\n  oci_mirror {{\n    repository_template = \"{template}\"\n    include = \
             [\"registry.opentofu.org/*/*\"]\n  }}\n}}\n"
        ));
        let said = refused(&world, &["--cli-config", &operator.file()]);
        // tofu breaks its lines.
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains("oci_mirror") && said.contains(told) && said.contains("hint: "), "{template}: {said}");
    }
}

#[test]
fn a_file_that_breaks_later_fails_the_run_before_any_secret_is_asked_for() {
    let operator = Operator::new("disable_checkpoint = true\n");
    let Some(world) = World::with(Setup { agent: &["--cli-config", &operator.file()], ..Setup::default() }) else {
        return;
    };
    let Some(shelf) = Shelf::start(&world.canaries[0].password) else { return };
    shelf.store(&world);
    operator.write("provider_installation {");
    let said = world.apply(&world.configuration(&shelf.main()), 1);
    assert!(said.contains("operator.tfrc, line 1") && said.contains("hint: "), "{said}");
    assert!(world.audited("registry_integration:release").is_empty());
    // Mended, it works again without a new start.
    operator.write("disable_checkpoint = false\n");
    world.apply(&world.configuration(&shelf.main()), 0);
    assert_eq!(world.audited("registry_integration:release").len(), 1);
}

#[test]
fn its_own_oci_credentials_are_replaced() {
    let Some(recorder) = Recorder::start() else { return };
    let operator = Operator::new(
        "oci_default_credentials {\n  docker_style_config_files = [\"/nowhere/config.json\"]\n}\noci_credentials \
         \"localhost\" {\n  username = \"operator\"\n  password = \"operators-own\"\n}\ndisable_checkpoint = true\n",
    );
    let tofu = recorder.program();
    let setup = Setup { tofu: Some(&tofu), agent: &["--cli-config", &operator.file()], ..Setup::default() };
    let Some(world) = World::with(setup) else { return };
    let Some(shelf) = Shelf::start(&world.canaries[0].password) else { return };
    shelf.store(&world);
    world.apply(&world.configuration(&shelf.main()), 0);
    for command in ["get", "init", "plan", "apply"] {
        let given = recorder.only(command).cli_configuration;
        assert_eq!(given.matches("oci_default_credentials").count(), 1, "{command}: {given}");
        assert!(given.contains("disable_checkpoint"), "{command}: {given}");
        assert!(!given.contains("nowhere") && !given.contains("operators-own"), "{command}: {given}");
    }
}

#[test]
fn its_tokens_are_there_for_the_fetch_step_alone() {
    let Some(recorder) = Recorder::start() else { return };
    let operator = Operator::new(&format!(
        "credentials \"modules.example.com\" {{\n  token = \"{TOKEN}\"\n}}\ncredentials_helper \"own\" {{}}\n"
    ));
    let canaries = vec![Canary::new(USER), Canary::of(TOKEN)];
    let tofu = recorder.program();
    // With a file; the broker keeps them to itself.
    let agent = ["--cli-config", &operator.file(), "--delivery", "file"];
    let setup = Setup { tofu: Some(&tofu), agent: &agent, canaries, without_agent: false };
    let Some(world) = World::with(setup) else { return };
    let id = world.plans(&world.configuration(PLAIN));
    world.ends(&["run", "approve", &id, "--follow"], 0);
    let given = recorder.only("get").cli_configuration;
    assert!(given.contains(TOKEN) && !given.contains("credentials_helper"), "{given}");
    for command in ["init", "plan", "show", "apply"] {
        for start in recorder.starts(command) {
            let given = start.cli_configuration;
            assert!(given.contains("docker_style_config_files = []"), "{command}: {given}");
            assert!(!given.contains(TOKEN) && !given.contains("modules.example.com"), "{command}: {given}");
        }
    }
}

#[test]
fn an_operator_who_needs_them_may_leave_its_tokens_to_every_step() {
    let Some(recorder) = Recorder::start() else { return };
    let operator = Operator::new(&format!("credentials \"app.example.com\" {{\n  token = \"{TOKEN}\"\n}}\n"));
    let tofu = recorder.program();
    let agent = ["--cli-config", &operator.file(), "--keep-cli-credentials", "--delivery", "file"];
    let canaries = vec![Canary::of(TOKEN)];
    let Some(world) = World::with(Setup { tofu: Some(&tofu), agent: &agent, canaries, without_agent: false }) else {
        return;
    };
    world.apply(&world.configuration(PLAIN), 0);
    for command in ["get", "init", "plan", "show", "apply"] {
        assert!(recorder.only(command).cli_configuration.contains(TOKEN), "{command}");
    }
}

#[test]
fn what_is_only_a_warning_passes() {
    // The real tofu warns of nothing but a missing file, which never is missing here.
    let warns = "case $1 in version|get)\n  echo 'There are some problems with the CLI configuration:' >&2\n  printf \
                 '\\nWarning: Something is deprecated\\n\\nIt still works.\\n\\n' ;;\nesac";
    let Some(recorder) = Recorder::with(warns) else { return };
    let operator = Operator::new("disable_checkpoint = true\n");
    let tofu = recorder.program();
    let setup = Setup { tofu: Some(&tofu), agent: &["--cli-config", &operator.file()], ..Setup::default() };
    let Some(world) = World::with(setup) else { return };
    let said = world.apply(&world.configuration(PLAIN), 0);
    assert!(said.contains("Something is deprecated"), "{said}");
}

#[test]
fn an_error_that_tofu_sees_in_the_merged_file_stops_the_agent() {
    let errs = "if [ $1 = version ]; then\n  printf 'There are some problems with the CLI configuration:\\n\\nError: No \
                good\\n\\nAs a result of the above problems, OpenTofu may not behave as intended.\\n\\n' >&2\nfi";
    let Some(recorder) = Recorder::with(errs) else { return };
    let tofu = recorder.program();
    let setup = Setup { tofu: Some(&tofu), without_agent: true, ..Setup::default() };
    let Some(world) = World::with(setup) else { return };
    let operator = Operator::new("disable_checkpoint = true\n");
    let said = refused(&world, &["--cli-config", &operator.file()]);
    assert!(said.contains("No good") && said.contains("hint: "), "{said}");
}
