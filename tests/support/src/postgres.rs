//! A real PostgreSQL, one database per test.
//!
//! Rule: a cluster of its own in a temporary directory, reached by a Unix socket, without durability; never one that
//! runs on the machine already. Tests that run at the same time share it, and the last one stops it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tempfile::TempDir;

use crate::child::{Child, command, find_program, run};
use crate::failure::{During as _, Failure, Outcome};
use crate::require;

/// How long the server may take until it accepts connections.
const START: Duration = Duration::from_mins(1);
/// Fast, and lost with the machine, which is all right for a test.
const SETTINGS: [&str; 5] =
    ["listen_addresses=", "fsync=off", "full_page_writes=off", "synchronous_commit=off", "shared_buffers=32MB"];

/// The cluster that tests of this process share while at least one of them holds it.
static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());

/// A running PostgreSQL. Dropping it stops it and removes its files.
#[derive(Debug)]
pub struct Cluster {
    programs: PathBuf,
    server: Child,
    directory: TempDir,
    made: AtomicU32,
}

/// A database that only one test uses; it lives as long as this.
#[derive(Debug)]
pub struct Database {
    cluster: Arc<Cluster>,
    name: String,
}

impl Database {
    /// An empty database, or `None` after having said that PostgreSQL is missing.
    ///
    /// # Panics
    /// When PostgreSQL is there but does not work.
    pub fn new() -> Option<Self> {
        let Some(programs) = programs() else {
            require::missing("PostgreSQL (Debian: postgresql)");
            return None;
        };
        let made = Cluster::shared(&programs).and_then(Self::within);
        assert!(made.is_ok(), "{made:?}");
        made.ok()
    }

    /// A new database in a cluster.
    pub fn within(cluster: Arc<Cluster>) -> Outcome<Self> {
        let name = format!("test_{}", cluster.made.fetch_add(1, Ordering::Relaxed));
        cluster.sql("postgres", &format!("create database {name}"))?;
        Ok(Self { cluster, name })
    }

    /// `postgres:///NAME?host=DIRECTORY&user=postgres`, as libpq and sqlx read it.
    pub fn url(&self) -> String {
        let socket = self.cluster.directory.path().display();
        format!("postgres:///{}?host={socket}&user=postgres", self.name)
    }

    /// Runs SQL by `psql`; the rows come back unaligned, one per line.
    pub fn sql(&self, text: &str) -> Outcome<String> {
        self.cluster.sql(&self.name, text)
    }

    /// Everything that it contains, as `pg_dump` writes it: for the search.
    pub fn dump(&self) -> Outcome<Vec<u8>> {
        let mut dump = self.cluster.client("pg_dump", &self.name);
        let output = dump.output().during("pg_dump")?;
        if !output.status.success() {
            return Err(Failure::new(format!("pg_dump: {}", String::from_utf8_lossy(&output.stderr))));
        }
        Ok(output.stdout)
    }
}

impl Cluster {
    /// The cluster of this process, started when nobody holds it.
    fn shared(programs: &Path) -> Outcome<Arc<Self>> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cluster) = shared.upgrade() {
            return Ok(cluster);
        }
        let cluster = Arc::new(Self::start(programs)?);
        *shared = Arc::downgrade(&cluster);
        Ok(cluster)
    }

    /// Makes and starts a cluster with the programs of that directory.
    pub fn start(programs: &Path) -> Outcome<Self> {
        // Short, because the path of a Unix socket has to stay below 108 bytes.
        let directory = tempfile::Builder::new().prefix("pg").tempdir_in("/tmp").during("directory for PostgreSQL")?;
        let data = directory.path().join("data");
        give_to_postgres(directory.path())?;
        let mut initdb = as_postgres(&programs.join("initdb"));
        initdb.arg("-D").arg(&data).args([
            "-U",
            "postgres",
            "--no-sync",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
        ]);
        run(initdb)?.succeeded().during("initdb")?;
        let mut postgres = as_postgres(&programs.join("postgres"));
        postgres.arg("-D").arg(&data);
        for setting in SETTINGS {
            postgres.args(["-c", setting]);
        }
        postgres.arg("-c").arg(format!("unix_socket_directories={}", directory.path().display()));
        let mut server = Child::start("postgres", postgres, &directory.path().join("log"))?;
        server.wait_for_line("ready to accept connections", START)?;
        Ok(Self { programs: programs.to_owned(), server, directory, made: AtomicU32::new(0) })
    }

    /// Its process id: of `runuser` when this process is root.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    fn sql(&self, database: &str, text: &str) -> Outcome<String> {
        let mut psql = self.client("psql", database);
        psql.args(["-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-c", text]);
        Ok(run(psql)?.succeeded().during("psql")?.out)
    }

    fn client(&self, program: &str, database: &str) -> Command {
        let beside = self.programs.join(program);
        let mut client = command(if beside.is_file() { beside } else { program.into() });
        client.arg("-h").arg(self.directory.path()).args(["-U", "postgres", "-d", database]);
        client
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // A mere SIGTERM would make it wait for connections that a test has left open.
        let mut stop = as_postgres(&self.programs.join("pg_ctl"));
        stop.arg("-D").arg(self.directory.path().join("data")).args(["-s", "-m", "immediate", "stop"]);
        let _ = run(stop);
    }
}

/// The directory with `initdb` and `postgres`: Debian's newest, or of `PATH`.
pub fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, directory)| directory.join("initdb").is_file())
        .collect();
    found.sort();
    let on_path = || find_program("initdb").and_then(|program| Some(program.parent()?.to_owned()));
    found.pop().map(|(_, directory)| directory).or_else(on_path)
}

/// `initdb` and `postgres` refuse to run as root.
fn as_postgres(program: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return command(program);
    }
    let mut runuser = command("runuser");
    runuser.args(["-u", "postgres", "--"]).arg(program);
    runuser
}

/// Owner `postgres` when this process is root; everybody may reach the socket.
fn give_to_postgres(directory: &Path) -> Outcome<()> {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).during(directory.display())?;
    if rustix::process::geteuid().is_root() {
        let mut chown = command("chown");
        chown.arg("postgres").arg(directory);
        run(chown)?.succeeded().during("chown")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Database;

    #[test]
    fn databases_of_one_cluster_are_apart() {
        let (Some(one), Some(other)) = (Database::new(), Database::new()) else { return };
        one.sql("create table here (a int); insert into here values (7)").unwrap();
        assert_eq!(one.sql("select a from here").unwrap().trim(), "7");
        assert!(other.sql("select a from here").is_err());
        assert!(String::from_utf8(one.dump().unwrap()).unwrap().contains("CREATE TABLE public.here"));
        assert_eq!(one.cluster.pid(), other.cluster.pid());
    }
}
