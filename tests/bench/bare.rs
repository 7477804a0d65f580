//! The same commands as typed in a shell: get, init, plan -out, show -json, apply, in one folder that is fresh each time
//! but for its state.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use support::Outcome;
use support::child::{command, run};

use crate::world::World;

/// One person with a shell and a login of their own.
pub(crate) struct Bare {
    wrapper: PathBuf,
    configuration: PathBuf,
    directory: PathBuf,
    ca_file: PathBuf,
    round: u32,
}

impl Bare {
    /// Writes the CLI configuration and the Docker-style login that the person would have.
    pub(crate) fn prepare(world: &World, directory: &Path) -> Outcome<Self> {
        fs::create_dir(directory)?;
        let login = directory.join("login.json");
        // base64 of `robot:a-password-for-figures`.
        let auth = "cm9ib3Q6YS1wYXNzd29yZC1mb3ItZmlndXJlcw==";
        fs::write(&login, format!("{{\"auths\":{{\"{}\":{{\"auth\":\"{auth}\"}}}}}}", world.registry.host()))?;
        let block =
            format!("oci_default_credentials {{\n  docker_style_config_files = [\"{}\"]\n}}\n", login.display());
        fs::write(directory.join("tofu.tfrc"), block)?;
        Ok(Self {
            wrapper: world.wrapper.clone(),
            configuration: world.configuration.clone(),
            directory: directory.to_owned(),
            ca_file: world.registry.ca_file(),
            round: 0,
        })
    }

    /// One round; milliseconds from the first command's start to the last one's end.
    pub(crate) fn run(&mut self) -> Outcome<f64> {
        let last = self.folder();
        self.round += 1;
        let folder = self.folder();
        fs::create_dir(&folder)?;
        fs::copy(self.configuration.join("main.tf"), folder.join("main.tf"))?;
        if last.join("terraform.tfstate").exists() {
            fs::copy(last.join("terraform.tfstate"), folder.join("terraform.tfstate"))?;
        }
        let begun = Instant::now();
        for arguments in [
            &["get"][..],
            &["init", "-input=false"],
            &["plan", "-input=false", "-out=plan.tfplan"],
            &["show", "-json", "plan.tfplan"],
            &["apply", "-input=false", "plan.tfplan"],
        ] {
            run(self.tofu(&folder, arguments))?.succeeded()?;
        }
        let took = begun.elapsed().as_secs_f64() * 1000.0;
        if last.exists() {
            fs::remove_dir_all(&last)?;
        }
        Ok(took)
    }

    /// `get` alone, in a folder of its own; milliseconds.
    pub(crate) fn get(&mut self) -> Outcome<f64> {
        self.round += 1;
        let folder = self.folder();
        fs::create_dir(&folder)?;
        fs::copy(self.configuration.join("main.tf"), folder.join("main.tf"))?;
        let begun = Instant::now();
        run(self.tofu(&folder, &["get"]))?.succeeded()?;
        let took = begun.elapsed().as_secs_f64() * 1000.0;
        fs::remove_dir_all(&folder)?;
        Ok(took)
    }

    fn folder(&self) -> PathBuf {
        self.directory.join(self.round.to_string())
    }

    fn tofu(&self, folder: &Path, arguments: &[&str]) -> Command {
        let mut tofu = command(&self.wrapper);
        tofu.args(arguments).current_dir(folder).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", &self.directory);
        tofu.env("TF_CLI_CONFIG_FILE", self.directory.join("tofu.tfrc")).env("SSL_CERT_FILE", &self.ca_file);
        tofu
    }
}
