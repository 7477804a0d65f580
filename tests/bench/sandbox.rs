//! What a sandbox costs a step: the same step in each, in turn.

use std::io;
use std::path::Path;
use std::time::Instant;

use nigari::sandbox::{Environment, Launch, Launcher, Limits, Sandbox, SecretFile, SecretRoot, View, WhenAgentDies};
use nigari::secret::Secret;
use support::{Outcome, loops};

use crate::figures::{Series, print, title};

/// Starts and ends a step that does nothing, with a secret file, in both sandboxes.
pub(crate) fn report(nigari: &Path, directory: &Path) -> Outcome<()> {
    let launcher = Launcher::with_program(nigari).map_err(io::Error::other)?;
    let root = SecretRoot::choose(&["/dev/shm".into()], false).map_err(io::Error::other)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut namespace = Series::default();
    let mut process = Series::default();
    let mut difference = Series::default();
    let count = loops::times(200);
    for round in 0..count + 3 {
        let mut took = [0.0; 2];
        for (sandbox, took) in [Sandbox::Namespace, Sandbox::Process].into_iter().zip(&mut took) {
            let launch = launch(sandbox, directory, &root)?;
            let begun = Instant::now();
            let ended = runtime.block_on(async { launcher.start(launch).await?.wait().await });
            *took = begun.elapsed().as_secs_f64() * 1000.0;
            ended.map_err(io::Error::other)?;
        }
        // The first rounds warm caches.
        if round >= 3 {
            let [in_namespace, in_process] = took;
            namespace.add(in_namespace);
            process.add(in_process);
            difference.add(in_namespace - in_process);
        }
    }
    title("a step that does nothing, with a secret file (milliseconds)");
    print("sandbox `namespace`", format_args!("{namespace}"));
    print("sandbox `process`", format_args!("{process}"));
    print("difference", format_args!("{difference}"));
    Ok(())
}

fn launch(sandbox: Sandbox, directory: &Path, root: &SecretRoot) -> Outcome<Launch> {
    let file = SecretFile { path: "docker/config.json".into(), content: Secret::from("{}") };
    let mut environment = Environment::new();
    environment.set("PATH", "/usr/bin:/bin").map_err(io::Error::other)?;
    let view = View {
        writable: vec![directory.to_owned()],
        hidden: vec![directory.join("nigari"), root.path().to_owned()],
        ..View::default()
    };
    Ok(Launch {
        sandbox,
        view,
        program: "/bin/true".into(),
        arguments: Vec::new(),
        environment,
        working_directory: directory.to_owned(),
        lock_directories: vec![directory.to_owned()],
        secret_directory: Some(root.directory(vec![file])),
        when_agent_dies: WhenAgentDies::Kill,
        limits: Limits::default(),
    })
}
