//! Configurations that print secrets: through outputs, checks, programs and error texts, in many encodings.
//!
//! Rule: what is printed is `nonsensitive`, so that tofu itself hides nothing. The search at each test's end looks in
//! everything that commands said and that stayed anywhere, in forms that are made by other code than the redactor's.

use support::canary::Canary;

use super::shelf::Shelf;
use super::world::{Setup, USER, World};
use super::write;

/// Prints `local.secret`.
const PRINTS: &str = r#"
locals {
  login = "reader:${local.secret}"
  auth  = base64encode(local.login)
}
output "plain" { value = local.secret }
output "list" { value = [local.secret, "x${local.secret}y"] }
output "base64" { value = [base64encode(local.secret), base64encode("a${local.secret}"), base64encode("ab${local.secret}c")] }
output "auth" { value = local.auth }
output "docker" { value = base64encode(jsonencode({ auths = { h = { auth = local.auth } } })) }
output "url" { value = "https://reader:${urlencode(local.secret)}@example.com/" }
output "json" { value = jsonencode({ a = local.secret, b = jsonencode([local.secret]) }) }
output "wide" { value = textencodebase64(local.secret, "UTF-16LE") }
output "quoted" { value = format("%q", local.secret) }
output "lines" { value = "one\n${local.secret}\nthree\n" }
resource "terraform_data" "a" {
  input = { "key" = local.secret }
  provisioner "local-exec" {
    command = "echo \"$S\"; echo \"to stderr: $S\" >&2; printf %s \"$S\" | base64; printf '%s\\n' \"$L\" | base64; echo $S"
    environment = { S = local.secret, L = local.login }
  }
  provisioner "local-exec" {
    command = "for at in $(seq 1 ${length(local.secret)}); do printf '%s' \"$S\" | cut -c \"$at\" | tr -d '\\n'; done; echo; set -x; : \"$S\""
    environment = { S = local.secret }
  }
}
check "told" {
  assert {
    condition     = terraform_data.a.id == ""
    error_message = "the value is ${local.secret}, said in a long sentence that has to be broken where tofu breaks lines: ${local.secret}"
  }
}
"#;

const VARIABLE: &str =
    "variable \"password\" {\n  sensitive = true\n}\nlocals {\n  secret = nonsensitive(var.password)\n}\n";

fn places_of(text: &str) -> usize {
    text.matches("(redacted)").count()
}

fn world(canary: &Canary) -> Option<World> {
    let world = World::with(Setup { canaries: vec![canary.clone()], ..Setup::default() })?;
    world.ends(&["workspace", "create", "demo"], 0);
    let set = ["variable", "set", "-w", "demo", "password", "--sensitive", "--value-stdin"];
    world.types_with(&set, &canary.password).succeeded().unwrap();
    // In the environment of the run's own processes it is by design.
    world.forgive("environment or arguments of ");
    Some(world)
}

#[test]
fn a_sensitive_variable_is_printed_in_many_encodings_and_shown_in_none() {
    for canary in [Canary::new(USER), Canary::hard(USER)] {
        let Some(world) = world(&canary) else { return };
        world.apply(&world.configuration(&[VARIABLE, PRINTS].concat()), 0);
        let log = world.log(&world.newest());
        assert!(places_of(&log) > 20 && log.contains("to stderr: "), "{log}");
        assert!(log.contains("https://reader:(redacted)@example.com/"), "{log}");
    }
}

#[test]
fn a_registrys_password_that_a_configuration_prints_is_shown_nowhere() {
    let canary = Canary::new(USER);
    let Some(world) = World::with(Setup { canaries: vec![canary.clone()], ..Setup::default() }) else { return };
    let Some(shelf) = Shelf::start(&canary.password) else { return };
    shelf.store(&world);
    let directory = world.configuration(
        &[&shelf.main(), "variable \"secret\" {}\nlocals {\n  secret = var.secret\n}\n", PRINTS].concat(),
    );
    let values = serde_json::json!({ "secret": canary.password });
    write(&directory.join("x.auto.tfvars.json"), &values.to_string());
    world.apply(&directory, 0);
    assert!(places_of(&world.log(&world.newest())) > 20);
    // The shell of the provisioner has it in its environment.
    world.forgive("environment or arguments of ");
}

#[test]
fn an_error_that_quotes_a_secret_is_told_without_it() {
    let mut canary = Canary::new("");
    canary.password = format!("{} with some words that are broken over lines", canary.password);
    let Some(world) = world(&canary) else { return };
    let main = "resource \"terraform_data\" \"a\" {\n  lifecycle {\n    precondition {\n      condition     = \
                local.secret == \"\"\n      error_message = \"This is refused, whatever it may be good for: \
                ${local.secret}; and once more: ${base64encode(local.secret)}\"\n    }\n  }\n}\n";
    let said = world.apply(&world.configuration(&[VARIABLE, main].concat()), 1);
    assert!(said.contains("This is refused"), "{said}");
    let run = world.run(&world.newest());
    let failure = run["failure"]["message"].as_str().unwrap();
    assert!(failure.contains("This is refused") && places_of(failure) >= 2, "{failure}");
}

#[test]
fn of_a_plan_only_counts_leave_the_host() {
    let canary = Canary::new("");
    let Some(world) = world(&canary) else { return };
    let main = "variable \"password\" {\n  sensitive = true\n}\nresource \"terraform_data\" \"a\" {\n  input = { deep = [{ \
                p = var.password }], plain = 1 }\n}\noutput \"o\" {\n  value     = terraform_data.a.output\n  sensitive \
                = true\n}\n";
    let id = world.plans(&world.configuration(main));
    let plan = world.run(&id)["plan"].clone();
    assert_eq!((plan["add"].as_u64(), plan["outputs"].as_u64()), (Some(1), Some(1)), "{plan}");
    assert!(plan.as_object().unwrap().values().all(serde_json::Value::is_u64), "{plan}");
    world.ends(&["run", "discard", &id], 0);
}

#[test]
fn the_password_of_the_runs_own_door_is_shown_nowhere() {
    let Some(world) = World::start() else { return };
    let main = "resource \"terraform_data\" \"a\" {\n  provisioner \"local-exec\" {\n    command = \"echo it is \
                $TF_HTTP_PASSWORD; printf 'run:%s' $TF_HTTP_PASSWORD | base64 -w 0\"\n  }\n}\n";
    let said = world.apply(&world.configuration(main), 0);
    assert!(said.contains("it is (redacted)") && places_of(&said) == 2, "{said}");
}

#[test]
fn what_begins_like_a_secret_comes_before_the_rest_of_it() {
    let mut canary = Canary::new("");
    canary.password = format!("ok{}", canary.password);
    let Some(world) = world(&canary) else { return };
    let main = "resource \"terraform_data\" \"a\" {\n  input = local.secret\n  provisioner \"local-exec\" {\n    command \
                = \"printf 'all is ok'; sleep 30; echo\"\n  }\n}\n";
    let id = world.begin(&world.configuration(&[VARIABLE, main].concat()), &["--auto-approve"]);
    let begun = std::time::Instant::now();
    while !world.log(&id).contains("all is ok") {
        assert!(begun.elapsed().as_secs() < 90, "{}", world.log(&id));
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    world.ends(&["run", "cancel", &id], 0);
    world.wait(&id, "an end", |run| {
        run["state"] == "errored" || run["state"] == "canceled" || run["state"] == "applied"
    });
}
