//! The secret directory: where it may be, what is in it, that it is gone; and the sweep.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;

use nigari::process::ExitReason;
use nigari::sandbox::{Refusal, SecretFile, SecretRoot, StepError, Wiper, sweep};
use nigari::secret::Secret;
use rustix::fs::{FlockOperation, flock};

use super::agent_process::{self, Programs, User};
use super::{CANARY, Place, launcher, run, wait_until};

fn refusal(result: Result<super::Ran, StepError>) -> Refusal {
    match result.map(|ran| ran.end) {
        Err(StepError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn secret_files_are_private_and_gone_after_the_step() {
    let place = Place::new();
    let script =
        "stat -c '%a %F' $SECRETS $SECRETS/docker $SECRETS/docker/config.json; cat $SECRETS/docker/config.json";
    let ran = run(place.shell_with_secret(script)).await.unwrap();
    assert_eq!(ran.text(), format!("700 directory\n700 directory\n600 regular file\n{CANARY}"));
    assert_eq!(ran.end.wiped.unwrap().by, Wiper::Launcher);
    assert!(place.secrets_left().is_empty());
}

#[tokio::test]
async fn what_the_step_did_in_its_secret_directory_is_wiped_too() {
    let place = Place::new();
    let script = "cd $SECRETS; mkdir -p a/b/c; touch a/b/c/d; mkfifo f; ln -s /etc e; ln -s $PWD/a g; \
                  chmod 000 a/b docker; chmod 400 docker/config.json; touch -- '-rf' \"$(printf 'x\\ny')\"; exit 0";
    let ran = run(place.shell_with_secret(script)).await.unwrap();
    assert_eq!((ran.end.exit, ran.end.wiped.unwrap().by), (ExitReason::Code(0), Wiper::Launcher));
    assert!(place.secrets_left().is_empty() && fs::exists("/etc/passwd").unwrap());
}

#[test]
fn no_depth_and_no_mode_keeps_the_secret_directory_from_being_wiped() {
    // 64 and 1000 were limits once, of ours and of the kernel for open files; a root needs no right, a user does.
    let script = "cd $SECRETS && mkdir -p shut/deep none && touch shut/deep/file && chmod 500 shut/deep shut && chmod 000 none; \
                  mkdir nest && cd nest; n=0; while [ $n -lt 1500 ]; do mkdir d && cd d || exit 9; n=$((n+1)); done; exit 0";
    let programs = Programs::make();
    for user in agent_process::users() {
        let place = Place::new();
        let launch = place.shell_with_secret(script);
        let agent = match user {
            User::Ours => agent_process::start(launch, place.run.path()),
            User::Nobody => agent_process::start_as_nobody(place.given_to_nobody(launch), place.run.path(), &programs),
        };
        wait_until("the agent has an end", || place.path("ended").exists());
        let end = fs::read_to_string(place.path("ended")).unwrap();
        assert!(end.contains("exit: Code(0)") && end.contains("by: Launcher"), "{user:?}: {end}");
        assert!(agent.wait().unwrap().is_success());
        let left = fs::read_dir(place.memory.path()).unwrap().flatten().flat_map(|root| fs::read_dir(root.path()));
        // The secret root itself, of whichever user, may be there.
        assert!(left.flatten().next().is_none(), "{user:?}");
    }
}

#[tokio::test]
async fn a_link_in_place_of_the_secret_directory_is_not_followed() {
    let place = Place::new();
    let script = "mv $SECRETS $SECRETS-moved && mkdir kept && touch kept/file && ln -s $PWD/kept $SECRETS && exit 0";
    let ran = run(place.shell_with_secret(script)).await.unwrap();
    assert_eq!((ran.end.exit, ran.end.wiped.unwrap().by), (ExitReason::Code(0), Wiper::Launcher));
    assert!(place.path("kept/file").exists());
    // The directory was followed to where it went: it is there, and empty.
    let left = place.secrets_left();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(fs::read_dir(&left[0]).unwrap().count(), 0);
}

#[tokio::test]
async fn a_secret_file_that_was_moved_or_linked_elsewhere_is_emptied() {
    let place = Place::new();
    let script = "ln $SECRETS/docker/config.json $SECRETS/../linked && exit 0";
    let ran = run(place.shell_with_secret(script)).await.unwrap();
    assert_eq!(ran.end.exit, ExitReason::Code(0));
    let left = place.secrets_left();
    assert_eq!((left.len(), fs::read(&left[0]).unwrap().len()), (1, 0), "{left:?}");
    let moved = place.secret_root().path().join("moved");
    let script = format!("mv $SECRETS/docker/config.json {} && exit 0", moved.display());
    assert_eq!(run(place.shell_with_secret(&script)).await.unwrap().end.exit, ExitReason::Code(0));
    assert_eq!(fs::read(moved).unwrap().len(), 0);
}

#[tokio::test]
async fn a_secret_root_on_disk_is_refused_unless_it_is_allowed() {
    let place = Place::new();
    let root = place.path("secrets");
    fs::create_dir(&root).unwrap();
    fs::set_permissions(&root, fs::Permissions::from_mode(0o700)).unwrap();
    let mut launch = place.shell_with_secret("cat $SECRETS/docker/config.json");
    launch.secret_directory.as_mut().unwrap().root.clone_from(&root);
    assert!(matches!(refusal(run(launch).await), Refusal::SecretRootOnDisk { .. }));
    assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
    let mut launch = place.shell_with_secret("echo $SECRETS");
    let directory = launch.secret_directory.as_mut().unwrap();
    directory.root.clone_from(&root);
    directory.allow_disk = true;
    assert!(run(launch).await.unwrap().end.wiped.is_some());
    assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
    let said = SecretRoot::choose(&[place.run.path().to_owned()], false).unwrap_err().to_string();
    assert!(said.contains("it is on a disk") && said.contains("hint: choose a directory on a tmpfs"), "{said}");
    let chosen = SecretRoot::choose(&[place.run.path().to_owned(), place.memory.path().to_owned()], true).unwrap();
    assert!(chosen.path().starts_with(place.memory.path()), "memory is taken before a disk: {chosen:?}");
}

#[tokio::test]
async fn a_secret_root_that_others_could_use_is_refused() {
    let place = Place::new();
    let root = place.secret_root();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o750)).unwrap();
    let launch = |root: PathBuf| {
        let mut launch = place.shell("exit 0");
        let file = SecretFile { path: "f".into(), content: Secret::from(CANARY) };
        let mut directory = root_of(&place).directory(vec![file]);
        directory.root = root;
        launch.secret_directory = Some(directory);
        launch
    };
    let with_open_root = launch(root.path().to_owned());
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o750)).unwrap();
    let said = SecretRoot::choose(&[place.memory.path().to_owned()], false).unwrap_err().to_string();
    assert!(said.ends_with(&format!("hint: chmod 700 {}", root.path().display())), "{said}");
    assert!(matches!(refusal(run(with_open_root).await), Refusal::SecretRoot { .. }));
    let link = place.memory.path().join("link");
    let with_link = launch(link.clone());
    symlink(root.path(), &link).unwrap();
    assert!(matches!(refusal(run(with_link).await), Refusal::SecretRoot { .. }));
    assert!(matches!(refusal(run(launch(place.path("nowhere"))).await), Refusal::SecretRoot { .. }));
}

/// The place's secret root, closed to others again.
fn root_of(place: &Place) -> SecretRoot {
    let name = format!("nigari-{}", rustix::process::geteuid().as_raw());
    fs::set_permissions(place.memory.path().join(name), fs::Permissions::from_mode(0o700)).unwrap();
    place.secret_root()
}

#[tokio::test]
async fn a_name_that_exists_or_leaves_the_root_is_refused() {
    let place = Place::new();
    let taken = place.secret_root().path().join("taken");
    symlink(place.run.path(), &taken).unwrap();
    for name in ["taken", "", ".", "..", "../x", "a/b", "/tmp/x"] {
        let mut launch = place.shell_with_secret("exit 0");
        launch.secret_directory.as_mut().unwrap().name = name.into();
        assert!(matches!(refusal(run(launch).await), Refusal::SecretDirectory { .. }), "{name:?}");
    }
    for path in ["../x", "/tmp/x", "", "a/../../x", "docker/config.json"] {
        let mut launch = place.shell_with_secret("exit 0");
        let file = SecretFile { path: path.into(), content: Secret::from(CANARY) };
        launch.secret_directory.as_mut().unwrap().files.push(file);
        assert!(matches!(refusal(run(launch).await), Refusal::SecretDirectory { .. }), "{path:?}");
    }
    assert_eq!(place.secrets_left(), [taken]);
    assert!(fs::read_dir(place.run.path()).unwrap().next().is_none());
}

#[tokio::test]
async fn a_full_secret_root_is_refused_and_left_clean() {
    let place = Place::new();
    let mount = place.memory.path().join("small");
    fs::create_dir(&mount).unwrap();
    if let Err(errno) =
        rustix::mount::mount("small", &mount, "tmpfs", rustix::mount::MountFlags::empty(), Some(c"size=64k,mode=0700"))
    {
        println!("skipped: needs the right to mount a tmpfs ({errno})");
        return;
    }
    let mut launch = place.shell("exit 0");
    let file = SecretFile { path: "big".into(), content: Secret::from("x".repeat(1 << 20)) };
    let mut directory = place.secret_root().directory(vec![file]);
    directory.root.clone_from(&mount);
    launch.secret_directory = Some(directory);
    let result = run(launch).await;
    let left = fs::read_dir(&mount).unwrap().count();
    rustix::mount::unmount(&mount, rustix::mount::UnmountFlags::DETACH).unwrap();
    assert!(matches!(refusal(result), Refusal::NoSpace { .. }));
    assert_eq!(left, 0);
}

#[tokio::test]
async fn the_sweep_takes_what_is_left_and_leaves_what_is_in_use() {
    let place = Place::new();
    let root = place.secret_root();
    let mut step = launcher().start(place.shell_with_secret("sleep 600")).await.unwrap();
    let in_use = place.secrets_left();
    let left = root.path().join("left");
    fs::create_dir_all(left.join("docker")).unwrap();
    fs::write(left.join("docker/config.json"), CANARY).unwrap();
    symlink(place.run.path(), root.path().join("link")).unwrap();
    fs::write(place.path("kept"), "").unwrap();
    let mut swept = sweep(root.path()).unwrap();
    swept.swept.sort();
    assert_eq!((swept.swept, swept.in_use), (vec![left, root.path().join("link")], in_use.clone()));
    assert_eq!(place.secrets_left(), in_use);
    assert!(place.path("kept").exists());
    step.kill();
    assert!(step.wait().await.unwrap().wiped.is_some());
    assert_eq!(sweep(root.path()).unwrap(), nigari::sandbox::Sweep::default());
}

#[tokio::test]
async fn a_sweep_never_takes_a_directory_from_a_launcher_that_is_making_it() {
    let place = Place::new();
    let root = place.secret_root();
    let is_over = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let sweeper = std::thread::spawn({
        let (root, is_over) = (root.clone(), is_over.clone());
        move || {
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                sweep(root.path()).unwrap();
            }
        }
    });
    for _ in 0..super::loops(20) {
        let ran = run(place.shell_with_secret("cat $SECRETS/docker/config.json")).await.unwrap();
        assert_eq!((ran.text().as_str(), ran.end.exit), (CANARY, ExitReason::Code(0)));
    }
    is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    sweeper.join().unwrap();
    assert!(place.secrets_left().is_empty());
}

#[test]
fn a_sweep_of_a_root_that_is_not_ours_alone_is_an_error() {
    let place = Place::new();
    let root = place.secret_root();
    let left = root.path().join("left");
    fs::create_dir(&left).unwrap();
    let held = fs::File::open(&left).unwrap();
    flock(&held, FlockOperation::LockExclusive).unwrap();
    assert_eq!(sweep(root.path()).unwrap().in_use, [left]);
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(sweep(root.path()).is_err());
}
