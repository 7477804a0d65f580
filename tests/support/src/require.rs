//! What a test needs, and what happens when it is not there.
//!
//! Rule: a missing part is never silent. It prints `skipped: needs …`, and with `NIGARI_TEST_REQUIRE=all`, as in
//! `.ci/run`, it is a failure.

use std::path::PathBuf;

use crate::child::{command, find_program, run, variable};
use crate::tools::{CRANE, HELM, PROVIDER_HOSTILE, PROVIDER_TIME, REGISTRY, TOFU, TOKEN_SIGNER, Tool};

/// Says that `what` is missing.
///
/// # Panics
/// With `NIGARI_TEST_REQUIRE=all`.
#[expect(clippy::print_stderr, reason = "this is what the module is for")]
pub fn missing(what: &str) {
    assert!(
        variable("NIGARI_TEST_REQUIRE").as_deref() != Some("all"),
        "needs {what}, and NIGARI_TEST_REQUIRE=all is set"
    );
    eprintln!("skipped: needs {what}");
}

/// Real tofu, or `None` after having said that it is missing. Built when Go is there.
pub fn tofu() -> Option<PathBuf> {
    tool(&TOFU)
}

/// The real registry, or `None` after having said that it is missing. Built when Go is there.
pub fn registry() -> Option<PathBuf> {
    tool(&REGISTRY)
}

/// A real provider, or `None` after having said that it is missing. Built when Go is there.
pub fn provider_time() -> Option<PathBuf> {
    tool(&PROVIDER_TIME)
}

/// The hostile provider, or `None` after having said that it is missing. Built when Go is there.
pub fn provider_hostile() -> Option<PathBuf> {
    tool(&PROVIDER_HOSTILE)
}

/// The signer of bearer tokens, or `None` after having said that it is missing. Built when Go is there.
pub fn token_signer() -> Option<PathBuf> {
    tool(&TOKEN_SIGNER)
}

/// crane, or `None` after having said that it is missing. Built when Go is there.
pub fn crane() -> Option<PathBuf> {
    tool(&CRANE)
}

/// helm, or `None` after having said that it is missing. Built when Go is there.
pub fn helm() -> Option<PathBuf> {
    tool(&HELM)
}

/// Any program on `PATH`, or `None` after having said that it is missing.
pub fn program(name: &str) -> Option<PathBuf> {
    let found = find_program(name);
    if found.is_none() {
        missing(name);
    }
    found
}

/// squid with TLS of its own, or `None` after having said that it is missing.
pub fn squid() -> Option<PathBuf> {
    let found = find_program("squid").filter(|program| {
        let mut version = command(program);
        version.env_clear().arg("-v");
        run(version).is_ok_and(|said| said.out.contains("--with-openssl") || said.out.contains("--with-gnutls"))
    });
    if found.is_none() {
        missing("squid with TLS (squid-openssl)");
    }
    found
}

/// Whether this kernel lets a child trace its parent, as attacks do: said aloud where not.
pub fn traceable() -> bool {
    let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    let is_free = matches!(scope.trim(), "" | "0");
    if !is_free {
        missing("a kernel that lets children trace their parents (kernel.yama.ptrace_scope = 0)");
    }
    is_free
}

/// Whether this process is root; says it when not.
pub fn root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        missing("root");
    }
    root
}

fn tool(tool: &Tool) -> Option<PathBuf> {
    match tool.find_or_build(&mut |_| {}) {
        Ok(program) => Some(program),
        Err(failure) => {
            missing(&failure.to_string());
            None
        }
    }
}
