//! The real programs, found on `PATH` or built by Go from the pinned modules in `tests/tools`.
//!
//! Rule: a program is built once per target directory and version, under a file lock, so that tests which run side by
//! side wait for one build instead of making two.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;

use crate::child::{command, find_program, run, tail};
use crate::failure::{During as _, Failure, Outcome};

/// One program and how it is made.
#[derive(Debug)]
pub struct Tool {
    /// The program's name.
    pub name: &'static str,
    /// The directory below `tests/tools`; it names the version.
    pub directory: &'static str,
    /// The Go package of its `main`.
    package: &'static str,
    /// What the linker is told.
    link: &'static str,
    /// About how many packages a cold build compiles.
    pub packages: u32,
    /// Whether a program of that name is the right one, and new enough.
    fits: fn(&Path) -> bool,
}

/// OpenTofu. Without the linker's word its version would be `1.12.6-dev`, which is less than 1.12.6.
pub const TOFU: Tool = Tool {
    name: "tofu",
    directory: "opentofu-1.12.6",
    package: "github.com/opentofu/opentofu/cmd/tofu",
    link: "-s -w -X github.com/opentofu/opentofu/version.dev=no",
    packages: 1780,
    fits: tofu_fits,
};

/// The distribution registry, version 3.
pub const REGISTRY: Tool = Tool {
    name: "registry",
    directory: "registry-3.1.2",
    package: "github.com/distribution/distribution/v3/cmd/registry",
    link: "-s -w",
    packages: 1000,
    fits: registry_fits,
};

/// A provider with a resource that takes its time; it reaches tofu by [`provider_mirror`].
pub const PROVIDER_TIME: Tool = Tool {
    name: "terraform-provider-time",
    directory: "provider-time-0.14.2",
    package: "github.com/hashicorp/terraform-provider-time",
    link: "-s -w",
    packages: 400,
    fits: Path::is_file,
};

/// A provider that looks at everything in reach while tofu plans and applies, fetches what it is told, and sends it all
/// away; a program of ours.
pub const PROVIDER_HOSTILE: Tool = Tool {
    name: "terraform-provider-hostile",
    directory: "provider-hostile-1.2.0",
    package: ".",
    link: "-s -w",
    packages: 400,
    fits: Path::is_file,
};

/// The signer of bearer tokens beside a registry; a program of ours, in Go for its TLS and signatures.
pub const TOKEN_SIGNER: Tool = Tool {
    name: "token-signer",
    directory: "token-signer-1.0.0",
    package: ".",
    link: "-s -w",
    packages: 200,
    fits: Path::is_file,
};

/// crane, another client of registries.
pub const CRANE: Tool = Tool {
    name: "crane",
    directory: "crane-0.22.1",
    package: "github.com/google/go-containerregistry/cmd/crane",
    link: "-s -w",
    packages: 400,
    fits: Path::is_file,
};

/// helm, which pulls charts. The longest build of all, and one test's alone.
pub const HELM: Tool = Tool {
    name: "helm",
    directory: "helm-3.22.0",
    package: "helm.sh/helm/v3/cmd/helm",
    link: "-s -w",
    packages: 950,
    fits: helm_fits,
};

/// How far a build is. `go build` itself says nothing; this is read from its list of packages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Modules downloaded by this build.
    pub modules: u32,
    /// Packages compiled by this build; those in Go's cache are not counted.
    pub packages: u32,
}

impl Tool {
    /// The program, if it is on `PATH` in a version that fits, or has been built here before.
    pub fn find(&self) -> Option<PathBuf> {
        let here = || Some(self.built_file()).filter(|file| file.is_file());
        find_program(self.name).filter(|file| (self.fits)(file)).or_else(here)
    }

    /// The program; built if it is not there. `progress` is called from this thread while Go works.
    ///
    /// # Errors
    /// When Go is missing or fails; its last lines are in the text.
    pub fn find_or_build(&self, progress: &mut dyn FnMut(Progress)) -> Outcome<PathBuf> {
        if let Some(found) = self.find() {
            return Ok(found);
        }
        if find_program("go").is_none() {
            return Err(Failure::new(self.missing()));
        }
        let file = self.built_file();
        let directory = file.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(directory).during(directory.display())?;
        let lock = File::create(directory.join("lock")).during("lock of the build")?;
        lock.lock().during("lock of the build")?;
        // Another process may have built it while this one waited for the lock.
        if !file.is_file() {
            self.build(directory, progress)?;
        }
        Ok(file)
    }

    /// What to tell a person who has neither the program nor Go.
    pub fn missing(&self) -> String {
        format!(
            "{} is missing: put version {} or later on PATH, or install Go (https://go.dev/dl) to have it built",
            self.name,
            self.version()
        )
    }

    /// The version that is built.
    pub fn version(&self) -> &'static str {
        self.directory.rsplit_once('-').map_or("", |(_, version)| version)
    }

    fn built_file(&self) -> PathBuf {
        target_directory().join("tools").join(self.directory).join(self.name)
    }

    fn build(&self, directory: &Path, progress: &mut dyn FnMut(Progress)) -> Outcome<()> {
        let new = directory.join(format!("{}.new", self.name));
        let mut go = command("go");
        // `-v` lists the packages; a linked file carries no path of this machine.
        go.args(["build", "-v", "-trimpath", "-buildvcs=false", "-ldflags", self.link, "-o"])
            .arg(&new)
            .arg(self.package);
        go.current_dir(tools_directory().join(self.directory)).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = go.spawn().during("cannot start go")?;
        let mut said = String::new();
        let mut state = Progress::default();
        for line in child.stderr.take().into_iter().flat_map(|stream| BufReader::new(stream).lines()) {
            let line = line.during("go build")?;
            state.count(&line);
            progress(state);
            said.extend([line.as_str(), "\n"]);
        }
        let status = child.wait().during("go build")?;
        if !status.success() {
            return Err(Failure::new(format!("go build of {} failed ({status}):\n{}", self.name, tail(&said))));
        }
        if !(self.fits)(&new) {
            return Err(Failure::new(format!("{} was built, but does not say the right version", self.name)));
        }
        fs::rename(&new, directory.join(self.name)).during(new.display())
    }
}

impl Progress {
    fn count(&mut self, line: &str) {
        if line.starts_with("go: downloading ") {
            self.modules += 1;
        } else if !line.starts_with("go: ") && !line.starts_with('#') && !line.contains(' ') {
            self.packages += 1;
        }
    }
}

/// cargo's target directory: the one in which the running program lies, so that every setting of it is honoured.
pub fn target_directory() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let marked = program.ancestors().find(|directory| directory.join("CACHEDIR.TAG").is_file());
    marked.map_or_else(|| repository().join("target"), Path::to_owned)
}

/// The top of the repository.
pub fn repository() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).unwrap_or(package).to_owned()
}

/// Lays the built provider `time` out as tofu's `filesystem_mirror` wants it, and gives the version that it has there.
pub fn provider_mirror(program: &Path, mirror: &Path) -> Outcome<&'static str> {
    lay_out(&PROVIDER_TIME, "hashicorp/time", program, mirror)
}

/// The same for the hostile provider, whose source is `nigari/hostile`.
pub fn hostile_mirror(program: &Path, mirror: &Path) -> Outcome<&'static str> {
    lay_out(&PROVIDER_HOSTILE, "nigari/hostile", program, mirror)
}

fn lay_out(tool: &Tool, source: &str, program: &Path, mirror: &Path) -> Outcome<&'static str> {
    let version = tool.version();
    let architecture = if cfg!(target_arch = "aarch64") { "linux_arm64" } else { "linux_amd64" };
    let directory = mirror.join("registry.opentofu.org").join(source).join(version).join(architecture);
    fs::create_dir_all(&directory).during(directory.display())?;
    fs::copy(program, directory.join(format!("{}_v{version}", tool.name))).during("provider")?;
    Ok(version)
}

fn tools_directory() -> PathBuf {
    repository().join("tests/tools")
}

fn tofu_fits(program: &Path) -> bool {
    let mut version = command(program);
    version.env_clear().args(["version", "-json"]);
    let Ok(said) = run(version) else { return false };
    let said: Value = serde_json::from_str(&said.out).unwrap_or_default();
    said["terraform_version"].as_str().is_some_and(|text| at_least(text, [1, 12, 6]))
}

fn registry_fits(program: &Path) -> bool {
    let mut version = command(program);
    version.env_clear().arg("--version");
    run(version).is_ok_and(|said| said.out.contains("github.com/distribution/distribution/v3"))
}

/// Version 3 takes `pull --ca-file` and `registry login --password-stdin` as the tests say it; 4 has other words.
fn helm_fits(program: &Path) -> bool {
    let mut version = command(program);
    version.env_clear().args(["version", "--template", "{{.Version}}"]);
    run(version).is_ok_and(|said| said.out.trim().starts_with("v3."))
}

/// Whether a release is that or a later one; what is not a release (`1.13.0-beta1`) is not.
fn at_least(text: &str, wanted: [u32; 3]) -> bool {
    let parts: Option<Vec<u32>> = text.split('.').map(|part| part.parse().ok()).collect();
    parts.is_some_and(|parts| parts.len() == 3 && parts.as_slice() >= wanted.as_slice())
}

#[cfg(test)]
mod tests {
    use super::{Progress, at_least};

    #[test]
    fn pre_releases_and_older_versions_do_not_fit() {
        for (text, fits) in
            [("1.12.6", true), ("1.13.0", true), ("2.0.0", true), ("1.12.5", false), ("1.12.6-dev", false), ("", false)]
        {
            assert_eq!(at_least(text, [1, 12, 6]), fits, "{text}");
        }
    }

    #[test]
    fn progress_counts_modules_and_packages_apart() {
        let mut progress = Progress::default();
        for line in ["go: downloading a.b/c v1.0.0", "internal/abi", "a.b/c/d", "# a.b/c", "go: finding x"] {
            progress.count(line);
        }
        assert_eq!(progress, Progress { modules: 1, packages: 2 });
    }
}
