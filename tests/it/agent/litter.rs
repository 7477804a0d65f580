//! What a configuration leaves in its run's directories, to be in the way when they are removed.

use super::{Scene, found, wait_until};

/// Makes directories in the place that `$1` names: one in the other, and some that are shut.
const LITTER: &str = "litter() { cd \\\"$1\\\" && mkdir -p shut/deep none nest && touch shut/deep/file && chmod 500 \
                      shut/deep shut && chmod 000 none && cd nest && n=0 && while [ $n -lt 1200 ]; do mkdir d && cd -P \
                      d || exit 9; n=$((n+1)); done; }";

#[test]
fn an_agent_goes_on_after_a_run_that_left_deep_and_shut_directories_in_disk_and_memory() {
    let Some(mut scene) = Scene::start() else { return };
    // With as many open files as most hosts give a process: whoever keeps one per level comes to its end.
    scene.stack.agent().unwrap().stop().unwrap();
    let usual = scene.other_agent_command(&[]);
    let mut command = support::child::command("sh");
    command.args(["-c", "ulimit -n 1024 && exec \"$0\" \"$@\""]).arg(usual.get_program()).args(usual.get_args());
    command.envs(usual.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut agent = scene.start_other_agent(command);
    // The plan's path is the last word of the apply's command line, and the directory in memory is where it lies.
    let main = |round: u32| {
        format!(
            "resource \"terraform_data\" \"litter\" {{\n  triggers_replace = [{round}]\n  provisioner \"local-exec\" {{\n    command = \"{LITTER}; (litter \
         $PWD) && plan=$(tr '\\\\0' '\\\\n' < /proc/$PPID/cmdline | tail -n 1) && litter \\\"$(dirname \
         \\\"$plan\\\")\\\"\"\n  }}\n}}\n"
        )
    };
    for round in 0..2 {
        let run = scene.begin(&scene.configuration(&main(round)), &["--auto-approve"]);
        let run = scene.wait(&run, "the end", |run| ["errored", "applied"].contains(&found(run, "state").as_str()));
        assert_eq!(found(&run, "state"), "applied", "{run:#}\n{}", agent.log());
        wait_until("the wipe", || scene.run_directories().is_empty() && scene.secrets().is_empty());
        assert!(agent.ended().unwrap().is_none(), "{}", agent.log());
    }
}
