//! What a step sees in the sandbox `namespace`, and what it can change.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nigari::process::ExitReason;
use nigari::sandbox::{Refusal, Sandbox, SecretFile, StepError};
use nigari::secret::Secret;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::agent_process::{self, Programs, User};
use super::{CANARY, Place, has_namespaces, run, wait_until};

/// `None`, said aloud, where there are no namespaces.
fn place() -> Option<Place> {
    has_namespaces().then(|| Place::of(Sandbox::Namespace))
}

/// Runs `script`, which must end well, and gives what it wrote.
async fn says(place: &Place, script: &str) -> String {
    let ran = run(place.shell(script)).await.unwrap();
    assert_eq!(ran.end.exit, ExitReason::Code(0), "{}", String::from_utf8_lossy(&ran.stderr));
    ran.text()
}

#[tokio::test]
async fn a_step_sees_its_own_processes_alone() {
    let Some(place) = place() else { return };
    let text = says(&place, "sleep 100 & ls /proc; cat /proc/1/environ /proc/1/maps 2>/dev/null; exit 0").await;
    let mut numbers: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    numbers.sort_unstable();
    // init, the shell, sleep, ls.
    assert_eq!(numbers.len(), 4, "{text}");
    assert!(numbers[0] == 1 && numbers[3] < 10, "{text}");
    assert!(!text.contains("00-"), "init's memory can be read: {text}");
}

#[tokio::test]
async fn a_step_sees_nothing_of_the_host_but_its_system() {
    let Some(place) = place() else { return };
    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join("file"), "secret").unwrap();
    let elsewhere = other.path().display();
    let paths = format!(
        "{elsewhere} {elsewhere}/file {} /home /root /srv /opt /mnt /boot /sys /var/lib /var/log /var/run /etc/shadow \
         /etc/ssl/private /etc/ssh/ssh_host_ed25519_key /etc/systemd /run/systemd /run/user /run/dbus /dev/mem /dev/kmsg \
         /dev/pts /.host /.secrets",
        place.memory.path().display()
    );
    let text = says(&place, &format!("for path in {paths}; do test -e $path && echo $path; done; exit 0")).await;
    assert_eq!(text, "");
    let there = "/usr/bin /bin/sh /etc/passwd /etc/resolv.conf /dev/null /dev/urandom /tmp /proc/meminfo /dev/shm";
    let there: String = there.split(' ').filter(|path| Path::new(path).exists()).collect::<Vec<_>>().join(" ");
    let text = says(&place, &format!("for path in {there}; do test -e $path || echo $path; done; exit 0")).await;
    assert_eq!(text, "");
}

#[tokio::test]
async fn a_step_can_write_in_its_own_places_alone() {
    let Some(place) = place() else { return };
    let read = tempfile::tempdir().unwrap();
    let mut launch = place.shell(&format!(
        "for path in / /usr /etc /run /proc /dev /proc/sys/kernel /var /var/tmp {}; do \
           touch $path/x 2>/dev/null && echo $path; mkdir $path/d 2>/dev/null && echo $path; done; \
         echo x 2>/dev/null > /etc/passwd && echo passwd; chmod 777 / /etc 2>/dev/null && echo chmod; \
         echo 1 2>/dev/null > /proc/sys/kernel/core_pattern && echo core_pattern; \
         mount -t tmpfs none /tmp 2>/dev/null && echo mount; mknod /tmp/mem c 1 1 2>/dev/null && echo mknod; \
         touch own /tmp/temporary /dev/shm/shared && echo x > /dev/null && ls /tmp /dev/shm",
        read.path().display()
    ));
    launch.view.readable.push(read.path().to_owned());
    let ran = run(launch).await.unwrap();
    assert_eq!(ran.text(), "/dev/shm:\nshared\n\n/tmp:\ntemporary\n");
    assert!(place.path("own").exists() && !Path::new("/tmp/temporary").exists());
    assert!(fs::read_dir(read.path()).unwrap().next().is_none());
}

#[tokio::test]
async fn what_the_operator_names_can_be_read_and_what_is_hidden_in_it_cannot() {
    let Some(place) = place() else { return };
    let read = tempfile::tempdir().unwrap();
    let at = |name: &str| read.path().join(name);
    for directory in ["hidden/deep", "open", "link-target"] {
        fs::create_dir_all(at(directory)).unwrap();
    }
    for file in ["hidden/deep/file", "hidden-file", "open/file", "link-target/file"] {
        fs::write(at(file), "seen").unwrap();
    }
    symlink(at("link-target"), at("link")).unwrap();
    let outside = tempfile::tempdir().unwrap();
    symlink(read.path(), outside.path().join("way")).unwrap();
    let way = outside.path().join("way");
    let script = format!(
        "cd {}; cat open/file link/file; cat hidden/deep/file hidden-file {way}/hidden/deep/file; echo; \
         cat {way}/open/file; ls -d hidden; touch hidden/x; exit 0",
        read.path().display(),
        way = way.display()
    );
    let mut launch = place.shell(&script);
    launch.view.readable.extend([read.path().to_owned(), way.clone(), PathBuf::from("/nonexistent/at/all")]);
    launch.view.hidden.extend([at("hidden"), at("hidden-file"), at("nowhere")]);
    let ran = run(launch).await.unwrap();
    assert_eq!(ran.text(), "seenseen\nseenhidden\n");
    assert!(!at("hidden/x").exists());
}

#[tokio::test]
async fn what_is_hidden_in_what_may_be_changed_or_is_the_systems_cannot_be_seen() {
    for place in Place::each() {
        if place.sandbox == Sandbox::Process && nigari::sandbox::landlock_version() == 0 {
            support::require::missing("Landlock");
            continue;
        }
        // As a plugin cache above the agent's own directories, with the run's directory in what is hidden.
        let above = tempfile::tempdir().unwrap();
        let at = |name: &str| above.path().join(name);
        for directory in ["hidden/run", "hidden/home", "open"] {
            fs::create_dir_all(at(directory)).unwrap();
        }
        let within = ["hidden/home/file", "hidden/home/key", "hidden/named"];
        let outside = ["hidden/other", "hidden-file", "named-file", "open/file", "hidden/run/file"];
        for file in outside.iter().chain(&within) {
            fs::write(at(file), "seen ").unwrap();
        }
        let system = Path::new("/usr/share").join(format!("nigari-test-{}", uuid::Uuid::new_v4().simple()));
        let is_written = fs::write(&system, "seen ").is_ok();
        let script = format!(
            "cd {}; cat open/file hidden/run/file hidden/home/file; cat hidden/home/key hidden/named; \
             cat hidden/other hidden-file named-file {system}; echo x > open/new; echo x > hidden/home/file; \
             echo x > hidden/run/new; echo x >> hidden-file; rm -f named-file; echo x > hidden/new; exit 0",
            above.path().display(),
            system = system.display()
        );
        let mut launch = place.shell(&script);
        // The run's own first: the order is not the caller's business.
        launch.view.writable.extend([at("hidden/run"), above.path().to_owned()]);
        launch.view.readable.extend([at("named-file"), at("hidden/home"), at("hidden/named")]);
        launch.view.hidden.extend([at("hidden"), at("hidden-file"), at("named-file"), system.clone()]);
        launch.view.hidden.extend([at("hidden/home/key"), at("hidden/named")]);
        let ran = run(launch).await;
        let _ = fs::remove_file(&system);
        assert_eq!(ran.unwrap().text(), "seen seen seen ", "{:?}, {is_written}", place.sandbox);
        assert!(at("open/new").exists() && at("hidden/run/new").exists(), "{:?}", place.sandbox);
        assert!(!at("hidden/new").exists(), "{:?}", place.sandbox);
        assert_eq!(fs::read_to_string(at("hidden/home/file")).unwrap(), "seen ", "{:?}", place.sandbox);
        assert_eq!(fs::read_to_string(at("hidden-file")).unwrap(), "seen ", "{:?}", place.sandbox);
        assert_eq!(fs::read_to_string(at("named-file")).unwrap(), "seen ", "{:?}", place.sandbox);
    }
}

#[tokio::test]
async fn what_is_mounted_below_a_readable_directory_is_read_only_too() {
    let Some(place) = place() else { return };
    let read = tempfile::tempdir().unwrap();
    let below = read.path().join("with blank");
    fs::create_dir(&below).unwrap();
    if let Err(errno) = mount("test", &below, "tmpfs", MountFlags::empty(), None::<&std::ffi::CStr>) {
        return support::require::missing(&format!("the right to mount a tmpfs ({errno})"));
    }
    fs::write(below.join("file"), "seen").unwrap();
    let mut launch = place.shell(&format!("cd '{}'; cat file; touch x; touch ../y; exit 0", below.display()));
    launch.view.readable.push(read.path().to_owned());
    let ran = run(launch).await;
    let changed = below.join("x").exists() || read.path().join("y").exists();
    unmount(&below, UnmountFlags::DETACH).unwrap();
    assert_eq!(ran.unwrap().text(), "seen");
    assert!(!changed);
}

#[tokio::test]
async fn secrets_can_be_read_by_name_but_neither_listed_nor_changed_and_are_nowhere_on_the_host() {
    let Some(place) = place() else { return };
    let script = "cat $SECRETS/docker/config.json; ls $SECRETS $SECRETS/.. $SECRETS/docker; touch $SECRETS/x; \
                  rm $SECRETS/docker/config.json; echo x > $SECRETS/docker/config.json; mv $SECRETS ../moved; \
                  ln $SECRETS/docker/config.json here; stat -f -c %T $SECRETS; touch ready; \
                  while [ ! -e go ]; do sleep 0.01; done; exit 0";
    let step = super::launcher().start(place.shell_with_secret(script)).await.unwrap();
    wait_until("the step is ready", || place.path("ready").exists());
    assert!(place.secrets_left().is_empty());
    fs::write(place.path("go"), "").unwrap();
    let ran = super::follow(step).await.unwrap();
    assert_eq!(ran.text(), format!("{CANARY}ramfs\n"));
    assert!(ran.end.wiped.is_some());
}

#[tokio::test]
async fn without_processes_there_is_nothing_in_proc() {
    for place in Place::each() {
        let mut launch = place.shell("cat /proc/self/environ /proc/$$/environ /proc/meminfo; exit 0");
        launch.view.has_processes = false;
        launch.view.hidden.push("/nonexistent".into());
        let ran = run(launch).await.unwrap();
        assert_eq!(ran.text(), "", "{:?}", place.sandbox);
    }
}

#[tokio::test]
async fn a_socket_is_there_if_it_is_named_and_not_otherwise() {
    let Some(place) = place() else { return };
    if support::require::program("perl").is_none() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let named = directory.path().join("named");
    let mut launch = place.shell_with_secret("exit 1");
    // One of them below the secret root, where a credential helper's would be.
    let inside = place.secret_root().path().join("helper/socket");
    fs::create_dir(inside.parent().unwrap()).unwrap();
    let unnamed = directory.path().join("unnamed");
    for path in [&named, &inside, &unnamed] {
        let listener = UnixListener::bind(path).unwrap();
        std::thread::spawn(move || {
            while let Ok((mut connection, _)) = listener.accept() {
                let _ = connection.write_all(b"answer\n");
            }
        });
    }
    let connect =
        "use IO::Socket::UNIX; my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]); print $s ? <$s> : \"none\\n\"";
    let [named_text, inside_text, unnamed_text] = [&named, &inside, &unnamed].map(|path| path.display().to_string());
    let script =
        format!("for socket in {named_text} {inside_text} {unnamed_text}; do perl -e '{connect}' $socket; done");
    launch.arguments = vec!["-c".into(), script];
    launch.view.sockets = vec![named, inside];
    let ran = run(launch).await.unwrap();
    assert_eq!(ran.text(), "answer\nanswer\nnone\n", "{}", String::from_utf8_lossy(&ran.stderr));
}

#[tokio::test]
async fn an_abstract_socket_of_the_host_is_out_of_reach() {
    use std::os::linux::net::SocketAddrExt as _;
    if support::require::program("perl").is_none() || nigari::sandbox::landlock_version() < 6 {
        return;
    }
    let name = format!("nigari-test-{}", uuid::Uuid::new_v4().simple());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let _listener = UnixListener::bind_addr(&address).unwrap();
    let script = format!(
        "perl -e 'use Socket; socket(my $s, AF_UNIX, SOCK_STREAM, 0); \
         exit(connect($s, pack(\"S\", AF_UNIX) . \"\\0{name}\") ? 0 : 1)'"
    );
    let control = std::os::unix::net::UnixStream::connect_addr(&address);
    assert!(control.is_ok());
    for place in Place::each() {
        let ran = run(place.shell(&script)).await.unwrap();
        assert_eq!(ran.end.exit, ExitReason::Code(1), "{:?}", place.sandbox);
    }
}

#[tokio::test]
async fn shared_memory_of_the_host_is_another_steps() {
    if support::require::program("perl").is_none() {
        return;
    }
    let Some(place) = place() else { return };
    // A key of its own: shared memory that a process of the host has made, for everybody.
    let key = 0x4e00_0000 | (u32::from_le_bytes(*uuid::Uuid::new_v4().as_bytes().first_chunk().unwrap()) & 0x00ff_ffff);
    let make = format!("my $id = shmget({key}, 64, 0666 | 01000); defined($id) or die; print $id");
    let look = format!("print defined(shmget({key}, 64, 0)) ? 'found' : 'nothing'");
    let on_host = |script: &str| {
        let mut perl = support::child::command("perl");
        perl.args(["-e", script]);
        support::child::run(perl).unwrap().succeeded().unwrap().out
    };
    let id = on_host(&make);
    assert_eq!(on_host(&look), "found", "the control");
    let text = run(place.shell(&format!("perl -e \"{look}\""))).await.map(|ran| ran.text());
    on_host(&format!("shmctl({id}, 0, 0)"));
    assert_eq!(text.unwrap(), "nothing");
}

#[tokio::test]
async fn names_of_secrets_that_lead_elsewhere_are_refused() {
    let Some(place) = place() else { return };
    for name in ["", ".", "..", "../x", "a/b", "/tmp/x"] {
        let mut launch = place.shell_with_secret("exit 0");
        launch.secret_directory.as_mut().unwrap().name = name.into();
        let refused = run(launch).await.map(|ran| ran.end);
        assert!(matches!(refused, Err(StepError::Refused(Refusal::SecretDirectory { .. }))), "{name:?}: {refused:?}");
    }
    for path in ["../x", "/tmp/x", "", "a/../../x", "docker/config.json"] {
        let mut launch = place.shell_with_secret("exit 0");
        let file = SecretFile { path: path.into(), content: Secret::from(CANARY) };
        launch.secret_directory.as_mut().unwrap().files.push(file);
        let refused = run(launch).await.map(|ran| ran.end);
        assert!(matches!(refused, Err(StepError::Refused(Refusal::SecretDirectory { .. }))), "{path:?}: {refused:?}");
    }
    assert!(place.secrets_left().is_empty());
}

#[tokio::test]
async fn a_file_that_is_too_long_ends_the_step() {
    for place in Place::each() {
        let mut launch = place.shell("exec head -c 2000000 /dev/zero > long");
        launch.limits.file_size_bytes = Some(1_000_000);
        let end = run(launch).await.unwrap().end;
        assert_eq!((end.exit, fs::metadata(place.path("long")).unwrap().len()), (ExitReason::Signal(25), 1_000_000));
    }
}

#[test]
fn an_ordinary_users_step_has_no_more_processes_than_it_may() {
    let Some(place) = place() else { return };
    if !agent_process::users().contains(&User::Nobody) {
        return;
    }
    let script =
        "for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 60 & echo $n >> begun; done; exit 0";
    let mut launch = place.given_to_nobody(place.shell(script));
    launch.limits.processes = Some(10);
    let programs = Programs::make();
    let agent = agent_process::start_as_nobody(launch, place.run.path(), &programs);
    wait_until("the agent has an end", || place.path("ended").exists());
    agent.wait().unwrap();
    let begun = fs::read_to_string(place.path("begun")).unwrap().lines().count();
    assert!((1..10).contains(&begun), "{begun} of 20 began");
}

#[test]
fn a_host_without_namespaces_is_told_with_its_reason() {
    let Some(place) = place() else { return };
    let agent = agent_process::start_without_namespaces(place.shell("exit 0"), place.run.path());
    wait_until("the agent has an end", || place.path("ended").exists());
    agent.wait().unwrap();
    let end = fs::read_to_string(place.path("ended")).unwrap();
    assert!(end.contains("cannot make the sandbox `namespace`: no namespaces for this user"), "{end}");
    assert!(end.contains("hint: `nigari doctor`"), "{end}");
}

#[test]
fn a_host_that_masks_parts_of_proc_gives_one_where_a_whole_one_is_besides_and_none_otherwise() {
    if place().is_none() || !agent_process::users().contains(&User::Nobody) {
        return;
    }
    let programs = Programs::make();
    for has_whole in [true, false] {
        let Some(place) = place() else { return };
        let script = "test -e /proc/self/status && echo seen > found; echo x > /proc/sys/kernel/hostname; exit 0";
        let launch = place.given_to_nobody(place.shell(script));
        let agent = agent_process::start_masked(launch, place.run.path(), &programs, has_whole);
        wait_until("the agent has an end", || place.path("ended").exists());
        agent.wait().unwrap();
        let end = fs::read_to_string(place.path("ended")).unwrap();
        assert!(end.contains("Code(0)"), "{end}");
        assert_eq!(place.path("found").exists(), has_whole, "{end}");
    }
}
