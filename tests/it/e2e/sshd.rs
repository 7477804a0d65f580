//! A real sshd on loopback with one git repository, and the keys of both sides.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use support::child::{Child, command, run};
use support::require;
use tempfile::TempDir;

use super::write;

/// How long it may take until it listens.
const START: Duration = Duration::from_secs(20);

/// The server; everything that belongs to it is in one directory.
pub(super) struct Sshd {
    directory: TempDir,
    port: u16,
    user: String,
    child: Child,
}

impl Sshd {
    /// `None`, said aloud, when there is no sshd, ssh or git.
    pub(super) fn start() -> Option<Self> {
        let program = require::program("sshd")?;
        require::program("ssh-keygen")?;
        require::program("git")?;
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        make_key(&at.join("host_key"));
        make_key(&at.join("user_key"));
        fs::copy(at.join("user_key.pub"), at.join("authorized_keys")).unwrap();
        make_repository(&at.join("repository"));
        if rustix::process::geteuid().is_root() {
            // Where the unprivileged half of sshd lives; the package's service makes it.
            fs::create_dir_all("/run/sshd").unwrap();
        }
        let (port, child) = listen(&program, at);
        let user = said("id", &["-un"]);
        Some(Self { directory, port, user, child })
    }

    /// The module's source.
    pub(super) fn source(&self) -> String {
        let repository = self.directory.path().join("repository");
        format!("git::ssh://{}@localhost:{}{}?ref=v1", self.user, self.port, repository.display())
    }

    /// The private key that it lets in.
    pub(super) fn key(&self) -> String {
        self.directory.path().join("user_key").display().to_string()
    }

    /// A file of known hosts with its key, or with another one for the same name.
    pub(super) fn known_hosts(&self, is_right: bool) -> String {
        let key = if is_right { "host_key.pub" } else { "user_key.pub" };
        let key = fs::read_to_string(self.directory.path().join(key)).unwrap();
        let path = self.directory.path().join(if is_right { "known_hosts" } else { "wrong_hosts" });
        write(&path, &format!("[localhost]:{} {key}", self.port));
        path.display().to_string()
    }

    /// Everything that it wrote.
    pub(super) fn log(&self) -> String {
        self.child.log()
    }

    /// An ssh agent with the key, and the path of its socket.
    pub(super) fn agent(&self) -> Option<(Child, PathBuf)> {
        require::program("ssh-agent")?;
        let socket = self.directory.path().join("agent.socket");
        let mut agent = command("ssh-agent");
        agent.arg("-D").arg("-a").arg(&socket);
        let mut child = Child::start("ssh-agent", agent, &self.directory.path().join("agent.log")).unwrap();
        child.wait_for_line("SSH_AUTH_SOCK=", START).unwrap();
        let mut add = command("ssh-add");
        add.arg("-q").arg(self.key()).env("SSH_AUTH_SOCK", &socket);
        run(add).unwrap().succeeded().unwrap();
        Some((child, socket))
    }
}

/// A free port may be taken by somebody else before sshd has it: then another one.
fn listen(program: &Path, at: &Path) -> (u16, Child) {
    for _ in 0..5 {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let settings = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {0}/host_key\nAuthorizedKeysFile {0}/authorized_keys\n\
             PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             PermitRootLogin prohibit-password\n",
            at.display()
        );
        write(&at.join("sshd_config"), &settings);
        let mut sshd = command(program);
        sshd.args(["-D", "-e", "-f"]).arg(at.join("sshd_config"));
        let mut child = Child::start("sshd", sshd, &at.join("sshd.log")).unwrap();
        if child.wait_for_line("Server listening on 127.0.0.1", START).is_ok() {
            return (port, child);
        }
    }
    panic!("sshd does not listen: {}", support::child::read_text(&at.join("sshd.log")));
}

fn make_key(path: &Path) {
    let mut keygen = command("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f"]).arg(path);
    run(keygen).unwrap().succeeded().unwrap();
}

/// A module of the tag `v1`, as a private repository has it.
fn make_repository(at: &Path) {
    write(&at.join("main.tf"), "variable \"name\" {}\noutput \"text\" {\n  value = \"over ssh, ${var.name}\"\n}\n");
    let git = |arguments: &[&str]| {
        let mut git = command("git");
        git.arg("-C").arg(at).args(["-c", "user.name=t", "-c", "user.email=t@localhost"]).args(arguments);
        run(git).unwrap().succeeded().unwrap();
    };
    git(&["init", "-q"]);
    git(&["add", "main.tf"]);
    git(&["commit", "-q", "-m", "module"]);
    git(&["tag", "v1"]);
}

fn said(program: &str, arguments: &[&str]) -> String {
    let mut one = command(program);
    one.args(arguments);
    run(one).unwrap().succeeded().unwrap().out.trim().to_owned()
}
