//! What a sandbox costs a step: the same step in each, in turn.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use nigari::sandbox::{Environment, Launch, Launcher, Limits, Sandbox, SecretFile, SecretRoot, View, WhenAgentDies};
use nigari::secret::Secret;
use support::child::{command, run};
use support::{Outcome, loops};
use tokio::io::AsyncReadExt as _;
use tokio::runtime::{Builder, Runtime};

use crate::figures::{Series, print, title};
use crate::world::{micros, milliseconds};

/// About what an agent and its server need between two steps.
const BETWEEN_STEPS: Duration = Duration::from_millis(5);

/// Starts and ends a step that does nothing, with a secret file, in both sandboxes.
pub(crate) fn report(nigari: &Path, directory: &Path) -> Outcome<()> {
    let launcher = Launcher::with_program(nigari).map_err(io::Error::other)?;
    let root = SecretRoot::choose(&["/dev/shm".into()], false).map_err(io::Error::other)?;
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let mut namespace = Series::default();
    let mut process = Series::default();
    let mut difference = Series::default();
    let mut bare = Series::default();
    let count = loops::times(200);
    for round in 0..count + 3 {
        let mut took = [0.0; 2];
        for (sandbox, took) in [Sandbox::Namespace, Sandbox::Process].into_iter().zip(&mut took) {
            let launch = launch(sandbox, directory, &root)?;
            let begun = Instant::now();
            let ended = runtime.block_on(async { launcher.start(launch).await?.wait().await });
            *took = begun.elapsed().as_secs_f64() * 1000.0;
            // As in an agent, where it begins while the server is told of the step before.
            runtime.block_on(async {
                launcher.stand_by(if sandbox == Sandbox::Namespace { Sandbox::Process } else { Sandbox::Namespace });
                tokio::time::sleep(BETWEEN_STEPS).await;
            });
            ended.map_err(io::Error::other)?;
        }
        // The first rounds warm caches.
        if round >= 3 {
            let [in_namespace, in_process] = took;
            let begun = Instant::now();
            run(command("/bin/true"))?.succeeded()?;
            bare.add(begun.elapsed().as_secs_f64() * 1000.0);
            namespace.add(in_namespace);
            process.add(in_process);
            difference.add(in_namespace - in_process);
        }
    }
    title("a step that does nothing, with a secret file, its launcher standing by (milliseconds)");
    print("sandbox `namespace`", format_args!("{namespace}"));
    print("sandbox `process`", format_args!("{process}"));
    print("difference", format_args!("{difference}"));
    print("the same program, started and waited for by hand", format_args!("{bare}"));
    gone(&launcher, directory, &root, &runtime)
}

/// From the last thing that a step's process does to the moment when its secret directory is wiped and that was verified.
fn gone(launcher: &Launcher, directory: &Path, root: &SecretRoot, runtime: &Runtime) -> Outcome<()> {
    title("end of a step → its secret files gone, verified (milliseconds)");
    for sandbox in [Sandbox::Namespace, Sandbox::Process] {
        let mut series = Series::default();
        for _ in 0..loops::times(200) {
            let mut launch = launch(sandbox, directory, root)?;
            launch.program = "/bin/bash".into();
            launch.arguments = vec!["-c".to_owned(), "printf %s \"$EPOCHREALTIME\"".to_owned()];
            let (text, end) = runtime.block_on(async {
                let mut step = launcher.start(launch).await.map_err(io::Error::other)?;
                let mut text = String::new();
                if let Some(mut stdout) = step.stdout() {
                    stdout.read_to_string(&mut text).await?;
                }
                step.wait().await.map_err(io::Error::other)?;
                Ok::<_, io::Error>((text, micros()))
            })?;
            let begun: u64 = text.replace('.', "").parse().map_err(io::Error::other)?;
            series.add(milliseconds(begun, end));
        }
        print(&format!("sandbox `{}`", sandbox.name()), format_args!("{series}"));
    }
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
