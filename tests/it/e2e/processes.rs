//! What the processes of a run are given: the password never, the agent's own tokens never, the state's door only
//! where the state is ours.

use super::recorder::{Recorder, Start};
use super::shelf::Shelf;
use super::world::{Setup, World};

#[test]
fn each_step_gets_what_it_needs_and_no_more() {
    let Some(recorder) = Recorder::start() else { return };
    let tofu = recorder.program();
    let Some(world) = World::with(Setup { tofu: Some(&tofu), ..Setup::default() }) else { return };
    let Some(shelf) = Shelf::start(&world.canaries[0].password) else { return };
    shelf.store(&world);
    world.apply(&world.configuration(&shelf.main()), 0);
    let password = support::canary::Canary::of(&shelf.password);
    for command in ["get", "init", "plan", "show", "apply"] {
        let start = recorder.only(command);
        is_clean(command, &start);
        let mut given = support::search::Search::new(std::slice::from_ref(&password));
        given.bytes("environment", start.environment.join("\n").as_bytes());
        given.bytes("CLI configuration", start.cli_configuration.as_bytes());
        given.verdict().unwrap();
        let is_fetch = command == "get";
        assert_eq!(!start.docker_config.is_empty(), is_fetch, "{command}");
        assert_eq!(start.variable("DOCKER_CONFIG").is_some(), is_fetch, "{command}: {:?}", start.environment);
        assert_eq!(start.variable("SSL_CERT_FILE").is_some(), is_fetch, "{command}: {:?}", start.environment);
        assert_eq!(start.variable("TF_HTTP_ADDRESS").is_none(), is_fetch, "{command}: {:?}", start.environment);
    }
    // The control: the delivery was there for the one step.
    assert!(recorder.only("get").docker_config.contains(&shelf.host()));
}

/// All that a step may have besides the door to the state and the run's variables.
const KNOWN: [&str; 42] = [
    "NIGARI_HELPER_SOCKET",
    "NIGARI_SEARCH_PATH",
    "PATH",
    "PWD",
    "HOME",
    "TMPDIR",
    "LANG",
    "TZ",
    "XDG_CONFIG_HOME",
    "XDG_CACHE_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
    "XDG_RUNTIME_DIR",
    "TF_IN_AUTOMATION",
    "TF_INPUT",
    "TF_CLI_CONFIG_FILE",
    "DOCKER_CONFIG",
    "REGISTRY_AUTH_FILE",
    "HELM_REGISTRY_CONFIG",
    "SSL_CERT_FILE",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_CONFIG_GLOBAL",
    "GIT_ATTR_NOSYSTEM",
    "GIT_CEILING_DIRECTORIES",
    "GIT_TERMINAL_PROMPT",
    "GIT_ASKPASS",
    "GIT_SSH_COMMAND",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_KEY_0",
    "GIT_CONFIG_VALUE_0",
    "GIT_CONFIG_KEY_1",
    "GIT_CONFIG_VALUE_1",
    "GIT_CONFIG_KEY_2",
    "GIT_CONFIG_VALUE_2",
    "GIT_CONFIG_KEY_3",
    "GIT_CONFIG_VALUE_3",
    "GIT_CONFIG_KEY_4",
    "GIT_CONFIG_VALUE_4",
    "GIT_PROXY_COMMAND",
    "AWS_CONFIG_FILE",
    "GOOGLE_API_USE_CLIENT_CERTIFICATE",
    "AWS_SHARED_CREDENTIALS_FILE",
];

/// Nothing of agent and server but what the design names.
fn is_clean(command: &str, start: &Start) {
    for entry in &start.environment {
        assert!(!entry.contains("ngr_"), "{command}: {entry}");
        let names = ["NIGARI_HELPER_SOCKET=", "NIGARI_SEARCH_PATH="];
        let is_helpers = command == "get" && names.iter().any(|name| entry.starts_with(name));
        assert!(is_helpers || !entry.starts_with("NIGARI_"), "{command}: {entry}");
        let name = entry.split('=').next().unwrap();
        assert!(KNOWN.contains(&name) || name.starts_with("TF_HTTP_"), "{command}: {entry}");
    }
    assert_eq!(start.variable("TF_INPUT"), Some("0"), "{command}");
}

#[test]
fn when_init_begins_the_delivery_is_gone() {
    // Everything in memory that belongs to the agent, as the step's own process finds it; where the fence keeps it from
    // looking around, what it can still list is its run's own.
    let list =
        "d=\"$(dirname \"$TF_CLI_CONFIG_FILE\")\"; find \"$d/..\" \"$d\" -type f > $to/memory 2> $to/refused || true";
    let Some(recorder) = Recorder::with(list) else { return };
    let tofu = recorder.program();
    let Some(world) = World::with(Setup { tofu: Some(&tofu), ..Setup::default() }) else { return };
    let Some(shelf) = Shelf::start(&world.canaries[0].password) else { return };
    shelf.store(&world);
    world.apply(&world.configuration(&shelf.main()), 0);
    // The control: it was there, and only who knew its path could find it.
    let fetch = recorder.only("get");
    assert!(fetch.docker_config.contains(&shelf.host()), "{}", fetch.docker_config);
    assert!(!fetch.memory.contains("config.json"), "{}", fetch.memory);
    for command in ["init", "plan", "show", "apply"] {
        let found = recorder.only(command).memory;
        assert!(found.contains("tofu.tfrc") && !found.contains("config.json"), "{command}: {found}");
        assert!(!found.contains("ca.pem") && !found.contains("docker"), "{command}: {found}");
    }
}

#[test]
fn what_the_agent_was_started_with_stays_with_the_agent() {
    let Some(recorder) = Recorder::start() else { return };
    let tofu = recorder.program();
    let Some(world) = World::with(Setup { tofu: Some(&tofu), without_agent: true, ..Setup::default() }) else {
        return;
    };
    // `another_agent` has NIGARI_SERVER and NIGARI_TOKEN_FILE in its environment, as an administrator's shell has.
    let agent = world.another_agent("shell", &[]);
    world.apply(&world.configuration(super::PLAIN), 0);
    for command in ["version", "get", "init", "plan", "apply"] {
        for start in recorder.starts(command) {
            // That is ours, for git in the fetch step.
            let all = start.environment.join("\n").replace("NIGARI_SEARCH_PATH=", "");
            assert!(!all.contains("NIGARI_") && !all.contains("admin.token"), "{command}: {all}");
        }
    }
    drop(agent);
}

#[test]
#[should_panic(expected = "Hit {")]
fn the_search_at_the_end_of_each_test_finds_what_is_there() {
    let Some(world) = World::with(Setup { without_agent: true, ..Setup::default() }) else { panic!("Hit {{") };
    let directory = world.configuration(super::PLAIN).display().to_string();
    let message = world.canaries[0].password.clone();
    // It is in the arguments of a process, and in the database.
    world.ends(&["apply", &directory, "-w", "demo", "--create", "--detach", "-m", &message], 0);
    world.forgive("environment or arguments of ");
}

#[test]
fn after_a_run_no_process_of_it_lives() {
    let Some(mut world) = World::start() else { return };
    let Some(shelf) = Shelf::start(&world.canaries[0].password) else { return };
    shelf.store(&world);
    // Tries to outlive its step.
    let main = format!(
        "{}resource \"terraform_data\" \"d\" {{\n  provisioner \"local-exec\" {{\n    command = \"(sleep 301 >&- 2>&- &) ; setsid \
         sleep 302 >&- 2>&- & true\"\n  }}\n}}\n",
        shelf.main()
    );
    world.apply(&world.configuration(&main), 0);
    world.wait_for_wipe();
    let agent = world.stack.agent().unwrap().pid();
    let begun = std::time::Instant::now();
    loop {
        let left = below(agent);
        let alive: Vec<&String> = left.iter().filter(|line| line.contains("sleep") || line.contains("tofu")).collect();
        if alive.is_empty() {
            break;
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(30), "{alive:?}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// The command lines of all processes below one.
fn below(pid: u32) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let children: Vec<u32> =
        lists.flat_map(|list| list.split_whitespace().flat_map(str::parse).collect::<Vec<u32>>()).collect();
    let line = |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let lines: Vec<String> = children.iter().map(line).collect();
    lines.into_iter().chain(children.iter().flat_map(|pid| below(*pid))).collect()
}
