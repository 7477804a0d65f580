//! The root of the sandbox `namespace`: a small one in memory, with what the view names.
//!
//! Rule: what is not put in is not there: no sockets of the host, no state of the agent, no other run. The order is
//! what makes it so: first what may be read, with covers over what is hidden in it, then what may be changed, or read within
//! what is hidden, from the top downwards and covered in the same way, so that what belongs to the run comes last.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, unmount};
use rustix::process::{chdir, pivot_root, umask};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::bind::{self, Source, Use, failed};
use super::secrets::{Placed, place};
use crate::sandbox::protocol::{Launch, Refusal, View};

/// Programs and libraries, and the names that every program needs: what every step reads.
pub(super) const SYSTEM: [&str; 8] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc"];

/// Places for anything, in memory, of this step alone.
pub(super) const TEMPORARY: [&str; 2] = ["/tmp", "/dev/shm"];

/// What there is of `/etc`: names, certificates, the loader's cache, the clock. No keys, no passwords, no settings of
/// services. Files of `ssl` and `pki` by name, because private keys lie beside them.
const ETC: [&str; 28] = [
    "alternatives",
    "ca-certificates",
    "ca-certificates.conf",
    "crypto-policies",
    "debian_version",
    "gai.conf",
    "group",
    "host.conf",
    "hostname",
    "hosts",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "nsswitch.conf",
    "os-release",
    "passwd",
    "pki/ca-trust",
    "pki/tls/cert.pem",
    "pki/tls/certs",
    "protocols",
    "resolv.conf",
    "services",
    "ssh/ssh_known_hosts",
    "ssl/certs",
    "ssl/cert.pem",
    "ssl/openssl.cnf",
];

/// Devices that harm nobody.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Links that every program expects in `/dev`.
const DEVICE_LINKS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// A directory that every root has: the new one is mounted over it for a moment.
const ANYWHERE: &str = "/usr";

/// Where processes are seen.
const PROCESSES: &str = "/proc";

/// Where the host is while the root is being made.
const HOST: &str = "/.host";

/// What the sandbox has got.
pub(super) struct Inside {
    /// The secret directory, opened for changes.
    pub(super) secrets: Option<OwnedFd>,
    /// Where the step finds it.
    pub(super) secret_path: Option<PathBuf>,
    /// Whether there is a `/proc`.
    pub(super) has_processes: bool,
}

/// Leaves the host for a new root. Takes the secret files out of the launch.
pub(super) fn enter(launch: &mut Launch) -> Result<Inside, Refusal> {
    let namespace = |detail: String| Refusal::Namespace { detail };
    let before = umask(Mode::from_raw_mode(0o022));
    leave_mounts().map_err(namespace)?;
    let sources = Sources::open(&launch.view).map_err(namespace)?;
    let anywhere = below_host(Path::new(ANYWHERE)).map_err(namespace)?;
    new_root().map_err(namespace)?;
    sources.outer(&launch.view).and_then(|()| sources.own()).map_err(namespace)?;
    let placed = match launch.secret_directory.take() {
        // Over a directory of the host, which goes with the host: two trees that are left cost two waits for the kernel.
        Some(wanted) => Some(place(&wanted, &anywhere)?),
        None => None,
    };
    let (secrets, secret_path) = placed.map(|Placed { directory, path }| (directory, path)).unzip();
    sources.seal(secret_path.as_deref()).map_err(namespace)?;
    umask(before);
    let has_processes = Path::new(PROCESSES).join("self").symlink_metadata().is_ok();
    Ok(Inside { secrets, secret_path, has_processes })
}

/// Where a directory of the host will be found once the host lies below the new root. Its links are followed now: an
/// absolute one would lead into the new root then.
fn below_host(path: &Path) -> Result<PathBuf, String> {
    let real = fs::canonicalize(path).map_err(|error| failed("find", path, error))?;
    Ok(Path::new(HOST).join(real.strip_prefix("/").unwrap_or(&real)))
}

fn leave_mounts() -> Result<(), String> {
    #[expect(unsafe_code, reason = "the call is unsafe for shared descriptor tables, which this one leaves alone")]
    // SAFETY: only the flag for mounts is given, so no descriptor changes its meaning for anybody.
    let unshared = unsafe { unshare_unsafe(UnshareFlags::NEWNS) };
    unshared.map_err(|errno| format!("no mount namespace: {}", std::io::Error::from(errno)))?;
    let root = Path::new("/");
    mount_change(root, MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(|errno| failed("detach the mounts of", root, errno))
}

/// What was opened on the host, in the order in which it is put in.
#[derive(Default)]
struct Sources {
    links: Vec<(&'static str, PathBuf)>,
    read: Vec<Source>,
    devices: Vec<Source>,
    covers: Vec<PathBuf>,
    /// What may be changed, and what may be read although it lies in what is hidden: behind those covers, parents before
    /// what is below them, each with what covers it.
    own: Vec<(Source, Vec<PathBuf>)>,
}

impl Sources {
    fn open(view: &View) -> Result<Self, String> {
        let mut sources = Self::default();
        let hidden: Vec<PathBuf> = view.hidden.iter().filter_map(|path| fs::canonicalize(path).ok()).collect();
        let mut real_paths = RealPaths::default();
        let mut system: Vec<PathBuf> = ETC.into_iter().map(|name| Path::new("/etc").join(name)).collect();
        for name in SYSTEM.into_iter().filter(|name| *name != "/etc") {
            match fs::read_link(name) {
                Ok(link) => sources.links.push((name, link)),
                Err(_) => system.push(name.into()),
            }
        }
        let mut readable: Vec<PathBuf> = view.readable.iter().filter(|path| !is_system(path)).cloned().collect();
        readable.sort();
        readable.dedup();
        let mut own: Vec<(PathBuf, Use)> = Vec::new();
        for path in system.into_iter().chain(readable) {
            let real = real_paths.of(&path).unwrap_or_default();
            // What is hidden by its own name stays so wherever it lies.
            if !hidden.contains(&real) && hidden.iter().any(|hidden| real.starts_with(hidden)) {
                own.push((path, Use::Read));
                continue;
            }
            sources.covers.extend(covers_of(&hidden, &path, &mut real_paths));
            sources.read.extend(bind::open(&path, Use::Read)?);
        }
        for name in DEVICES {
            sources.devices.extend(bind::open(&Path::new("/dev").join(name), Use::Device)?);
        }
        own.extend(view.writable.iter().map(|path| (path.clone(), Use::Change)));
        own.extend(view.sockets.iter().map(|path| (path.clone(), Use::Device)));
        own.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (path, usage) in own {
            let covers = covers_of(&hidden, &path, &mut real_paths);
            sources.own.extend(bind::open(&path, usage)?.map(|source| (source, covers)));
        }
        Ok(sources)
    }

    /// Everything around the run.
    fn outer(&self, view: &View) -> Result<(), String> {
        for (name, link) in &self.links {
            symlink(link, name).map_err(|error| failed("link", Path::new(name), error))?;
        }
        for directory in ["/dev", "/etc", "/proc", "/run", "/var/tmp"].iter().chain(&TEMPORARY) {
            bind::make(Path::new(directory), true).map_err(|errno| failed("make", Path::new(directory), errno))?;
        }
        for directory in TEMPORARY {
            bind::mount_memory(Path::new(directory), "tmpfs", "mode=1777")?;
        }
        for (name, link) in DEVICE_LINKS {
            let path = Path::new("/dev").join(name);
            symlink(link, &path).map_err(|error| failed("link", &path, error))?;
        }
        self.read.iter().chain(&self.devices).try_for_each(Source::attach)?;
        self.covers.iter().try_for_each(|path| cover(path))?;
        if view.has_processes { mount_processes() } else { Ok(()) }
    }

    /// The rest.
    fn own(&self) -> Result<(), String> {
        self.own.iter().try_for_each(|(source, covers)| {
            source.attach()?;
            covers.iter().try_for_each(|path| cover(path))
        })
    }

    /// Leaves nothing that could be changed but what is for that, and nothing of the host.
    fn seal(&self, secrets: Option<&Path>) -> Result<(), String> {
        let host = Path::new(HOST);
        let mounts = host.join("proc/self/mountinfo");
        let mounts = fs::read_to_string(&mounts).map_err(|error| failed("read", &mounts, error))?;
        let (own_read, own): (Vec<&Source>, Vec<&Source>) =
            self.own.iter().map(|(source, _)| source).partition(|source| source.is_for_reading());
        let own = own.into_iter().map(Source::target);
        let read = self.read.iter().chain(own_read).map(Source::target);
        bind::restrict_below(&mounts, &read.collect::<Vec<_>>(), &own.chain(secrets).collect::<Vec<_>>())?;
        // Where the secrets are is not to be found by listing.
        if let Some(parent) = secrets.and_then(Path::parent) {
            // Not ours to change in a directory that was bound; then it is no place of secrets either.
            let _ = fs::set_permissions(parent, fs::Permissions::from_mode(0o111));
        }
        let covers = self.covers.iter().chain(self.own.iter().flat_map(|(_, covers)| covers));
        for cover in covers.filter(|cover| cover.exists()) {
            bind::restrict(cover, MountFlags::RDONLY)?;
        }
        unmount(host, UnmountFlags::DETACH).map_err(|errno| failed("leave", host, errno))?;
        fs::remove_dir(host).map_err(|error| failed("remove", host, error))?;
        bind::restrict(Path::new("/"), MountFlags::RDONLY)
    }
}

/// Paths without links, where many lie in one directory: that is resolved once.
#[derive(Default)]
struct RealPaths(BTreeMap<PathBuf, Option<PathBuf>>);

impl RealPaths {
    /// `None` if there is nothing, or if it cannot be seen.
    fn of(&mut self, path: &Path) -> Option<PathBuf> {
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return fs::canonicalize(path).ok();
        };
        let known = self.0.entry(directory.to_owned()).or_insert_with(|| fs::canonicalize(directory).ok());
        let real = known.as_ref()?.join(name);
        match fs::read_link(&real) {
            // No link, but there.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Some(real),
            Err(_) => None,
            Ok(_) => fs::canonicalize(&real).ok(),
        }
    }
}

/// Whether it is there anyway.
fn is_system(path: &Path) -> bool {
    SYSTEM.into_iter().any(|system| system != "/etc" && path.starts_with(system))
}

/// Where what is hidden (real paths) would be seen within `path`, whatever links lead there.
fn covers_of(hidden: &[PathBuf], path: &Path, real_paths: &mut RealPaths) -> Vec<PathBuf> {
    let Some(real) = real_paths.of(path) else { return Vec::new() };
    let below = hidden.iter().filter_map(|hidden| hidden.strip_prefix(&real).ok());
    // Joined to nothing, a file's name would end like a directory's.
    below.map(|rest| if rest.as_os_str().is_empty() { path.to_owned() } else { path.join(rest) }).collect()
}

/// Lays something empty over a path, if it is there.
fn cover(path: &Path) -> Result<(), String> {
    if path.is_dir() {
        bind::mount_memory(path, "tmpfs", "mode=0755")
    } else if path.exists() {
        mount_bind("/dev/null", path).map_err(|errno| failed("cover", path, errno))
    } else {
        Ok(())
    }
}

/// The root in memory becomes the root, and the host lies below it until the end.
fn new_root() -> Result<(), String> {
    let anywhere = Path::new(ANYWHERE);
    bind::mount_memory(anywhere, "tmpfs", "mode=0755")?;
    let moved = || {
        chdir(anywhere)?;
        rustix::fs::mkdirat(rustix::fs::CWD, HOST.trim_start_matches('/'), Mode::RWXU)?;
        pivot_root(".", HOST.trim_start_matches('/'))?;
        chdir("/")
    };
    moved().map_err(|errno| failed("change", Path::new("/"), errno))
}

/// The processes of this sandbox alone, for reading: root without capabilities would own the kernel's switches in it.
/// Where the host hides parts of its own `/proc`, the kernel gives none, and the directory stays empty.
fn mount_processes() -> Result<(), String> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::RDONLY;
    match mount("proc", PROCESSES, "proc", flags, None::<&std::ffi::CStr>) {
        Ok(()) | Err(Errno::PERM | Errno::BUSY) => Ok(()),
        Err(errno) => Err(failed("mount", Path::new(PROCESSES), errno)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::{HOST, RealPaths, below_host};

    #[test]
    fn a_real_path_is_the_one_without_any_link() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        fs::create_dir_all(at("real/directory")).unwrap();
        fs::write(at("real/file"), "").unwrap();
        symlink(at("real"), at("linked")).unwrap();
        symlink("file", at("real/link")).unwrap();
        symlink(at("nothing"), at("real/dangling")).unwrap();
        let mut real_paths = RealPaths::default();
        for name in [
            "real/file",
            "linked/file",
            "linked/link",
            "linked/directory",
            "linked",
            "linked/dangling",
            "linked/none",
            "real/directory/..",
            "nowhere/file",
        ] {
            assert_eq!(real_paths.of(&at(name)), fs::canonicalize(at(name)).ok(), "{name}");
        }
        assert_eq!(real_paths.of(Path::new("/")), Some("/".into()));
    }

    #[test]
    fn an_absolute_link_of_the_host_is_followed_on_the_host() {
        let home = tempfile::tempdir().unwrap();
        let real = fs::canonicalize(home.path()).unwrap().join("system/usr");
        let link = home.path().join("usr");
        fs::create_dir_all(&real).unwrap();
        symlink(&real, &link).unwrap();
        assert_eq!(below_host(&link).unwrap(), Path::new(&format!("{HOST}{}", real.display())));
        assert!(below_host(&home.path().join("nothing")).is_err());
    }
}
