//! The signer of bearer tokens beside a registry: `tests/tools/token-signer-1.0.0` as a process.
//!
//! Rule: it has the password as a SHA-256 sum only, so that the search for canaries finds nothing here.

use std::path::{Path, PathBuf};

use super::{NAMES, START, port_in, write};
use crate::certificate::Authority;
use crate::child::{Child, command};
use crate::failure::Outcome;
use crate::module::digest;

/// A running signer. Dropping it stops it.
#[derive(Debug)]
pub(super) struct Signer {
    child: Child,
    directory: PathBuf,
    port: u16,
}

impl Signer {
    pub(super) fn start(program: &Path, directory: &Path, authority: &Authority, login: [&str; 2]) -> Outcome<Self> {
        let leaf = authority.leaf(&NAMES);
        let certificate = write(directory, "signer-certificate.pem", &leaf.certificate)?;
        let key = write(directory, "signer-key.pem", &leaf.key)?;
        let passwords = write_sum(directory, login)?;
        let mut signer = command(program);
        signer.env_clear().args([&certificate, &key, &passwords, &directory.join("keys.json")]);
        let mut child = Child::start("token-signer", signer, &directory.join("signer.log"))?;
        let port = port_in(&child.wait_for_line("listening on ", START)?)?;
        Ok(Self { child, directory: directory.to_owned(), port })
    }

    /// Where clients get tokens: by name, because tofu refuses private literals.
    pub(super) fn realm(&self, name: &str) -> String {
        format!("https://{name}:{}/token", self.port)
    }

    /// The JWK set with its public key.
    pub(super) fn keys_file(&self) -> PathBuf {
        self.directory.join("keys.json")
    }

    pub(super) fn set_password(&self, user: &str, password: &str) -> Outcome<()> {
        write_sum(&self.directory, [user, password]).map(drop)
    }

    pub(super) fn keep(self) -> u32 {
        self.child.keep()
    }

    pub(super) fn log(&self) -> String {
        self.child.log()
    }
}

fn write_sum(directory: &Path, [user, password]: [&str; 2]) -> Outcome<PathBuf> {
    let sum = digest(password.as_bytes()).replace("sha256:", "");
    write(directory, "passwords", &format!("{user}:{sum}\n"))
}
