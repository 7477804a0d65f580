//! Variables reach tofu, and a sensitive one nobody else.

use support::canary::Canary;

use super::recorder::Recorder;
use super::world::{Setup, World};

const MAIN: &str = "variable \"size\" {\n  type = number\n}\nvariable \"names\" {\n  type = list(string)\n}\nvariable \
                    \"password\" {\n  sensitive = true\n}\nresource \"terraform_data\" \"a\" {\n  input = \
                    \"${var.size}-${join(\"+\", var.names)}-${sha256(var.password)}\"\n}\noutput \"o\" {\n  value = \
                    nonsensitive(terraform_data.a.output)\n}\n";

#[test]
fn each_kind_reaches_tofu_as_it_should() {
    let Some(recorder) = Recorder::start() else { return };
    let tofu = recorder.program();
    let canary = Canary::hard("");
    let setup = Setup { tofu: Some(&tofu), canaries: vec![canary.clone()], ..Setup::default() };
    let Some(world) = World::with(setup) else { return };
    world.ends(&["workspace", "create", "demo"], 0);
    let set = |more: &[&str], input: &str| {
        let said = world.types_with(&[&["variable", "set", "-w", "demo"], more].concat(), input);
        assert_eq!(said.code, Some(0), "{more:?}: {}", said.all());
    };
    set(&["size", "7"], "");
    set(&["names", "[\"a\", \"b\"]"], "");
    set(&["password", "--sensitive", "--value-stdin"], &canary.password);
    set(&["API_TOKEN", "--kind", "env", "--sensitive", "--value-stdin"], &canary.password);
    set(&["REGION", "here", "--kind", "env"], "");
    let said = world.apply(&world.configuration(MAIN), 0);
    let sum = support::module::digest(canary.password.as_bytes()).replace("sha256:", "");
    assert!(said.contains(&format!("o = \"7-a+b-{sum}\"")), "{said}");
    for command in ["get", "init", "plan", "apply"] {
        let start = recorder.only(command);
        assert_eq!(start.variable("REGION"), Some("here"), "{command}");
        assert_eq!(start.variable("API_TOKEN"), Some(canary.password.as_str()), "{command}");
        assert_eq!(start.variable("TF_VAR_password"), Some(canary.password.as_str()), "{command}");
    }
    let listed = world.ends(&["variable", "list", "-w", "demo", "--json"], 0);
    assert!(listed.contains("here") && !listed.contains(&sum), "{listed}");
    // The search at the end looks for the value in database, logs and answers; in the environment of the run's own
    // processes (the recorder's among them) it is by design.
    world.forgive("environment or arguments of ");
}

#[test]
fn every_name_that_tofu_takes_for_an_input_variable_arrives() {
    let Some(world) = World::start() else { return };
    world.ends(&["workspace", "create", "demo"], 0);
    let names = ["my-var", "größe", "http_proxy", "_x"];
    let mut blocks = Vec::new();
    for (number, name) in names.iter().enumerate() {
        world.ends(&["variable", "set", "-w", "demo", name, &format!("value of {name}")], 0);
        blocks.push(format!("variable \"{name}\" {{}}\noutput \"o{number}\" {{\n  value = var.{name}\n}}\n"));
    }
    let said = world.apply(&world.configuration(&blocks.concat()), 0);
    for (number, name) in names.iter().enumerate() {
        assert!(said.contains(&format!("o{number} = \"value of {name}\"")), "{name}: {said}");
    }
}

#[test]
fn a_sensitive_value_in_plan_and_state_is_nowhere_in_clear_while_the_plan_waits_and_after() {
    let canary = Canary::new("");
    let Some(world) = World::with(Setup { canaries: vec![canary.clone()], ..Setup::default() }) else { return };
    world.ends(&["workspace", "create", "demo"], 0);
    let set = ["variable", "set", "-w", "demo", "password", "--sensitive", "--value-stdin"];
    world.types_with(&set, &canary.password).succeeded().unwrap();
    let main = "variable \"password\" {\n  sensitive = true\n}\nresource \"terraform_data\" \"a\" {\n  input = \
                var.password\n}\noutput \"o\" {\n  value     = terraform_data.a.output\n  sensitive = true\n}\n";
    let id = world.plans(&world.configuration(main));
    world.wait_for_wipe();
    world.stack.search(&world.canaries).verdict().unwrap();
    world.ends(&["run", "approve", &id, "--follow"], 0);
    for shown in
        [&["run", "show", &id][..], &["run", "logs", &id], &["variable", "list", "-w", "demo"], &["audit", "list"]]
    {
        world.ends(&[shown, &["--json"]].concat(), 0);
    }
    // The control: the state, which is stored sealed and given to whoever may read it, has the value.
    let state = world.stack.run(&["state", "pull", "-w", "demo"]).unwrap().succeeded().unwrap().out;
    assert!(state.contains(&canary.password.replace('&', "\\u0026")), "{state}");
    world.forgive("environment or arguments of ");
}

#[test]
fn a_missing_value_is_named_with_the_command_that_sets_it() {
    let Some(world) = World::start() else { return };
    let said = world.apply(&world.configuration("variable \"size\" {}\noutput \"o\" {\n  value = var.size\n}\n"), 1);
    assert!(said.contains("No value for required variable") && said.contains("hint: "), "{said}");
    assert!(said.contains("nigari variable set"), "{said}");
}

#[test]
fn names_that_would_change_tofu_itself_are_refused() {
    let Some(world) = World::with(Setup { without_agent: true, ..Setup::default() }) else { return };
    world.ends(&["workspace", "create", "demo"], 0);
    for name in ["TF_CLI_ARGS", "LD_PRELOAD", "TF_HTTP_ADDRESS", "DOCKER_CONFIG", "https_proxy", "PATH", "1a", "a b"] {
        let said = world.types(&["variable", "set", "-w", "demo", "--kind", "env", name, "x"]);
        assert_eq!(said.code, Some(1), "{name}: {}", said.all());
        assert!(said.all().contains("hint: "), "{name}: {}", said.all());
    }
}

#[test]
fn an_uploaded_file_of_values_wins_and_the_run_says_so() {
    let Some(world) = World::start() else { return };
    world.ends(&["workspace", "create", "demo"], 0);
    world.ends(&["variable", "set", "-w", "demo", "size", "1"], 0);
    let directory = world.configuration("variable \"size\" {}\noutput \"o\" {\n  value = var.size\n}\n");
    super::write(&directory.join("x.auto.tfvars"), "size = \"from the file\"\n");
    let said = world.apply(&directory, 0);
    assert!(said.contains("from the file"), "{said}");
    assert!(world.ends(&["run", "show", &world.newest()], 0).contains("*.auto.tfvars win"));
}
