//! The root file system of the containers: this host's own distribution with systemd, nothing more.
//!
//! Rule: made once per target directory under a file lock, and never written to again, so that one serves every test.
//! The same release as the host's, so that a program built here finds its C library there.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::child::{command, find_program, read_text, run};
use crate::failure::{During as _, Failure, Outcome};
use crate::tools::target_directory;

/// What is in it beside the essential packages.
const PACKAGES: &str = "--include=systemd,systemd-sysv,dbus,ca-certificates";

/// The directory; made if it is not there: unpacked from the archive beside it, which a cache can keep, or else
/// downloaded.
///
/// # Errors
/// When the host is no Debian or one of its relatives, or cannot download.
pub fn find_or_make() -> Outcome<PathBuf> {
    let release = release()?;
    let place = target_directory().join("tools").join(format!("systemd-{release}"));
    let (root, archive) = (place.join("root"), place.join("root.tar.gz"));
    if root.is_dir() {
        return Ok(root);
    }
    fs::create_dir_all(&place).during(place.display())?;
    let lock = File::create(place.join("lock")).during("lock of the root file system")?;
    lock.lock().during("lock of the root file system")?;
    // Another process may have made it while this one waited for the lock.
    if !root.is_dir() {
        let new = place.join("new");
        if new.exists() {
            fs::remove_dir_all(&new).during(new.display())?;
        }
        if archive.is_file() {
            fs::create_dir(&new).during(new.display())?;
            tar(&["--extract", "--gzip", "--preserve-permissions"], &archive, &new)?;
        } else {
            download(&release, &new)?;
            finish(&new)?;
            let written = place.join("new.tar.gz");
            tar(&["--create", "--use-compress-program=gzip -1"], &written, &new)?;
            fs::rename(&written, &archive).during(archive.display())?;
        }
        fs::rename(&new, &root).during(root.display())?;
    }
    Ok(root)
}

/// The host's release by the name that `debootstrap` knows.
fn release() -> Outcome<String> {
    let text = read_text(Path::new("/etc/os-release"));
    let name = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let name = name.map(|name| name.trim_matches('"')).filter(|name| !name.is_empty());
    name.map(str::to_owned).ok_or_else(|| Failure::new("this is no Debian or relative of it (/etc/os-release)"))
}

fn download(release: &str, new: &Path) -> Outcome<()> {
    if find_program("debootstrap").is_none() {
        return Err(Failure::new("debootstrap is missing (Debian: debootstrap)"));
    }
    let mut debootstrap = command("debootstrap");
    debootstrap.args(["--variant=minbase", PACKAGES, release]).arg(new);
    run(debootstrap)?.succeeded().during("debootstrap").map(drop)
}

/// Removes what only takes room, and adds what an installer would. An empty machine id is filled at each boot, and is
/// not taken for a first boot.
fn finish(new: &Path) -> Outcome<()> {
    let useless = ["var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale", "usr/share/man"];
    for path in useless.map(|name| new.join(name)).iter().filter(|path| path.exists()) {
        fs::remove_dir_all(path).during(path.display())?;
    }
    fs::write(new.join("etc/hosts"), "127.0.0.1 localhost\n::1 localhost\n").during("host names")?;
    fs::write(new.join("etc/machine-id"), "").during("machine id")
}

fn tar(words: &[&str], archive: &Path, directory: &Path) -> Outcome<()> {
    let mut tar = command("tar");
    tar.args(words).args(["--numeric-owner", "--xattrs", "--file"]).arg(archive).arg("--directory").arg(directory);
    if words.contains(&"--create") {
        tar.arg(".");
    }
    run(tar)?.succeeded().during("tar").map(drop)
}
