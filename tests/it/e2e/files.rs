//! Variables of the kind `file`: cloud credentials as the tools of the clouds want them.

use std::time::{Duration, Instant};

use support::canary::Canary;
use support::module::digest;

use super::recorder::Recorder;
use super::world::{Setup, World};

fn set(world: &World, arguments: &[&str], value: &str) {
    let words = [&["variable", "set", "-w", "demo"], arguments, &["--value-stdin"]].concat();
    world.types_with(&words, value).succeeded().unwrap();
}

fn sum(value: &str) -> String {
    digest(value.as_bytes()).replace("sha256:", "")
}

/// A resource whose provisioner does this in a shell, as a provider would.
fn doing(command: &str) -> String {
    format!(
        "resource \"terraform_data\" \"cloud\" {{\n  provisioner \"local-exec\" {{\n    command = <<-EOT\n{command}\n    \
         EOT\n  }}\n}}\n"
    )
}

#[test]
fn a_file_is_there_from_init_on_with_its_value_and_is_nowhere_in_the_fetch_step() {
    let look = "[ -z \"$CLOUD_FILE\" ] || { stat -c '%a %U' \"$CLOUD_FILE\"; stat -f -c %T \"$CLOUD_FILE\"; sha256sum < \
                \"$CLOUD_FILE\"; } > $to/memory 2>&1\n[ $1 != get ] || find .. > $to/memory";
    let Some(recorder) = Recorder::with(look) else { return };
    let tofu = recorder.program();
    let value = Canary::hard("");
    let setup = Setup { tofu: Some(&tofu), canaries: vec![value.clone()], ..Setup::default() };
    let Some(world) = World::with(setup) else { return };
    world.ends(&["workspace", "create", "demo"], 0);
    // With a line end, which a key has to keep.
    let text = format!("{}\n", value.password);
    set(&world, &["CLOUD_FILE", "--kind", "file"], &text);
    world.apply(&world.configuration(super::PLAIN), 0);
    let mut paths = Vec::new();
    for step in ["init", "plan", "show", "apply"] {
        let start = recorder.only(step);
        assert!(start.memory.starts_with("600 ") && start.memory.contains(&sum(&text)), "{step}: {}", start.memory);
        assert!(start.memory.contains("tmpfs") || start.memory.contains("ramfs"), "{step}: {}", start.memory);
        paths.push(start.variable("CLOUD_FILE").unwrap().to_owned());
    }
    paths.dedup();
    let expected = world.stack.run_root().join(world.newest()).join("files/CLOUD_FILE").display().to_string();
    assert_eq!(paths, [expected]);
    let fetch = recorder.only("get");
    assert_eq!(fetch.variable("CLOUD_FILE"), None);
    assert!(fetch.memory.contains("configuration") && !fetch.memory.contains("files"), "{}", fetch.memory);
    world.wait_for_wipe();
}

#[test]
fn its_path_is_the_same_for_another_agent_that_applies_the_plan() {
    let value = Canary::new("");
    let Some(mut world) = World::with(Setup { canaries: vec![value.clone()], ..Setup::default() }) else { return };
    world.ends(&["workspace", "create", "demo"], 0);
    // A saved plan cannot be applied when the value of an input variable has changed: here the path.
    set(&world, &["TF_VAR_path", "--kind", "file"], &value.password);
    let main = "variable \"path\" {}\nresource \"terraform_data\" \"a\" {\n  input = filesha256(var.path)\n}\noutput \"sum\" \
                {\n  value = terraform_data.a.output\n}\n";
    let id = world.plans(&world.configuration(main));
    world.wait_for_wipe();
    world.stack.agent().unwrap().stop().unwrap();
    let second = world.another_agent("second", &[]);
    let said = world.ends(&["run", "approve", &id, "--follow"], 0);
    assert!(said.contains(&format!("sum = \"{}\"", sum(&value.password))), "{said}");
    assert_eq!(world.run(&id)["agent_name"], "second");
    world.wait_for_wipe();
    drop(second);
}

#[test]
fn the_next_agent_removes_what_a_killed_one_left() {
    let value = Canary::new("");
    let Some(mut world) = World::with(Setup { canaries: vec![value.clone()], ..Setup::default() }) else { return };
    world.ends(&["workspace", "create", "demo"], 0);
    set(&world, &["CLOUD_FILE", "--kind", "file"], &value.password);
    let run = world.begin(&world.configuration(&doing("      sleep 3")), &["--auto-approve"]);
    world.wait_for_step(&run, "apply");
    let has_file = |world: &World| world.secrets().iter().any(|path| path.join("files/CLOUD_FILE").is_file());
    let begun = Instant::now();
    while !has_file(&world) {
        assert!(begun.elapsed() < Duration::from_secs(30), "the control: the file is there while the apply runs");
        std::thread::sleep(Duration::from_millis(10));
    }
    world.stack.agent().unwrap().kill().unwrap();
    world.stack.start_agent(&[]).unwrap();
    world.wait_for_wipe();
    world.wait(&run, "the end", |run| ["errored", "applied", "lost"].iter().any(|end| run["state"] == *end));
}

#[test]
fn each_cloud_finds_its_files() {
    let Some(world) = World::with(Setup { canaries: vec![Canary::new("")], ..Setup::default() }) else { return };
    world.ends(&["workspace", "create", "demo"], 0);
    let token = &world.canaries[0].password;
    // AWS: a role and a web identity token. Azure: a client and a token. Kubernetes: a kubeconfig. Google: a
    // description that names the token's file, relative to where tofu works.
    for (name, value) in [
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/deploy"),
        ("ARM_USE_OIDC", "true"),
        ("ARM_CLIENT_ID", "00000000-0000-0000-0000-000000000001"),
    ] {
        world.ends(&["variable", "set", "-w", "demo", "--kind", "env", name, value], 0);
    }
    let google = "{\"type\":\"external_account\",\"credential_source\":{\"file\":\"../files/GOOGLE_TOKEN\"}}\n";
    for (name, value) in [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.as_str()),
        ("ARM_OIDC_TOKEN_FILE_PATH", token),
        ("KUBE_CONFIG_PATH", token),
        ("GOOGLE_TOKEN", token),
        ("GOOGLE_APPLICATION_CREDENTIALS", google),
    ] {
        set(&world, &[name, "--kind", "file"], value);
    }
    let command = "      for path in \"$AWS_WEB_IDENTITY_TOKEN_FILE\" \"$ARM_OIDC_TOKEN_FILE_PATH\" \"$KUBE_CONFIG_PATH\"; do\n      \
                   \x20 echo \"mode $(stat -c %a \"$path\") sum $(sha256sum < \"$path\")\"\n      done\n      \
                   echo \"google $(stat -c %a \"$GOOGLE_APPLICATION_CREDENTIALS\")\"\n      \
                   source=$(sed 's/.*\"file\":\"\\([^\"]*\\)\".*/\\1/' \"$GOOGLE_APPLICATION_CREDENTIALS\")\n      \
                   echo \"token of google $(sha256sum < \"$source\")\"\n      \
                   echo \"role $AWS_ROLE_ARN, client $ARM_CLIENT_ID\"";
    let said = world.apply(&world.configuration(&doing(command)), 0);
    assert_eq!(said.matches(&format!("mode 600 sum {}", sum(token))).count(), 3, "{said}");
    assert!(said.contains("google 600") && said.contains(&format!("token of google {}", sum(token))), "{said}");
    assert!(said.contains("role arn:aws:iam::123456789012:role/deploy, client 00000000"), "{said}");
    world.wait_for_wipe();
}
