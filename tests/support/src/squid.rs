//! A real proxy for `CONNECT`, as companies have one: squid, with a user and a password, in plain and with TLS.
//!
//! Rule: it alone knows the names below [`DOMAIN`], so whoever reaches one of them went through it.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::certificate::Authority;
use crate::child::{Child, command, read_text};
use crate::failure::{During as _, Failure, Outcome};

/// Names below it are this host, for the proxy alone.
pub const DOMAIN: &str = "corp.test";

/// Where Debian and others keep the program that checks passwords.
const CHECKERS: [&str; 3] =
    ["/usr/lib/squid/basic_ncsa_auth", "/usr/lib64/squid/basic_ncsa_auth", "/usr/libexec/squid/basic_ncsa_auth"];
/// How long it may take until it listens.
const START: Duration = Duration::from_mins(1);
/// bcrypt's lowest cost.
const COST: u32 = 4;

/// A running proxy. Dropping it stops it.
#[derive(Debug)]
pub struct Squid {
    child: Child,
    directory: TempDir,
    ports: [u16; 2],
    login: [String; 2],
}

impl Squid {
    /// Starts `program` for one user; it knows `names` (whole, below [`DOMAIN`]). Its certificate is of `authority`, for
    /// `localhost`.
    pub fn start(program: &Path, authority: &Authority, login: [&str; 2], names: &[&str]) -> Outcome<Self> {
        let directory = tempfile::Builder::new().prefix("squid").tempdir().during("directory of squid")?;
        // Started by root, it changes to a user of its own.
        fs::set_permissions(directory.path(), Permissions::from_mode(0o777)).during("directory of squid")?;
        let ports = free_ports()?;
        let settings = write(directory.path(), "squid.conf", &settings(directory.path(), ports)?)?;
        let leaf = authority.leaf(&["localhost"]);
        write(directory.path(), "certificate.pem", &leaf.certificate)?;
        write(directory.path(), "key.pem", &leaf.key)?;
        let hosts: Vec<String> = names.iter().map(|name| format!("127.0.0.1 {name}\n")).collect();
        write(directory.path(), "hosts", &hosts.concat())?;
        let hash = bcrypt::hash(login[1], COST).during("bcrypt")?;
        write(directory.path(), "passwords", &format!("{}:{hash}\n", login[0]))?;
        let mut squid = command(program);
        squid.args(["-N", "-d", "1", "-f"]).arg(settings).current_dir(directory.path());
        let mut child = Child::start("squid", squid, &directory.path().join("squid.log"))?;
        // One line per port, the one with TLS last.
        child.wait_for_line("Accepting HTTPS", START)?;
        Ok(Self { child, directory, ports, login: login.map(str::to_owned) })
    }

    /// `http://user:password@localhost:port`, both spelt as an address has them.
    pub fn plain(&self) -> String {
        format!("http://{}@localhost:{}", self.userinfo(), self.ports[0])
    }

    /// The same with TLS: `https://…`.
    pub fn tls(&self) -> String {
        format!("https://{}@localhost:{}", self.userinfo(), self.ports[1])
    }

    /// What it was asked to connect to, and let through or not: lines of its log.
    pub fn asked(&self) -> Vec<String> {
        let log = read_text(&self.directory.path().join("access.log"));
        log.lines().filter(|line| line.contains(" CONNECT ")).map(str::to_owned).collect()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    fn userinfo(&self) -> String {
        let encoded = |text: &String| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat();
        let [user, password] = &self.login;
        format!("{}:{}", encoded(user), encoded(password))
    }
}

fn settings(directory: &Path, [plain, tls]: [u16; 2]) -> Outcome<String> {
    let checker = CHECKERS.iter().find(|path| Path::new(path).is_file());
    let checker = checker.ok_or_else(|| Failure::new("squid: basic_ncsa_auth is missing"))?;
    let at = directory.display();
    Ok(format!(
        "http_port 127.0.0.1:{plain}\n\
         https_port 127.0.0.1:{tls} tls-cert={at}/certificate.pem tls-key={at}/key.pem\n\
         auth_param basic program {checker} {at}/passwords\n\
         auth_param basic credentialsttl 1 minute\n\
         acl known proxy_auth REQUIRED\n\
         http_access allow known\n\
         http_access deny all\n\
         hosts_file {at}/hosts\n\
         access_log stdio:{at}/access.log\n\
         cache_log {at}/cache.log\n\
         cache deny all\n\
         pid_filename none\n\
         pinger_enable off\n\
         visible_hostname proxy.{DOMAIN}\n\
         coredump_dir none\n\
         shutdown_lifetime 0 seconds\n"
    ))
}

/// squid takes no port 0. Both are held until both are known.
fn free_ports() -> Outcome<[u16; 2]> {
    let held = [TcpListener::bind("127.0.0.1:0"), TcpListener::bind("127.0.0.1:0")];
    let mut ports = [0; 2];
    for (port, listener) in ports.iter_mut().zip(held) {
        *port = listener.and_then(|listener| listener.local_addr()).during("a free port")?.port();
    }
    Ok(ports)
}

fn write(directory: &Path, name: &str, text: &str) -> Outcome<PathBuf> {
    let path = directory.join(name);
    fs::write(&path, text).during(path.display())?;
    fs::set_permissions(&path, Permissions::from_mode(0o644)).during(path.display())?;
    Ok(path)
}
