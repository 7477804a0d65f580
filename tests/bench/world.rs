//! A registry, a server, an agent whose tofu writes down when it was started, and one workspace to run in.

use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use support::child::{command, find_program, read_text, run};
use support::failure::During as _;
use support::http::{Answer, Request};
use support::module::Package;
use support::nigari::{Programs, Stack};
use support::registry::Registry;
use support::{Failure, Outcome};

/// Where everything runs.
pub(crate) struct World {
    pub(crate) registry: Registry,
    pub(crate) wrapper: PathBuf,
    pub(crate) configuration: PathBuf,
    stack: Stack,
    log: PathBuf,
    token: String,
    uploaded: String,
    runs: u32,
}

/// One run, as the client saw it, in milliseconds.
pub(crate) struct Measured {
    /// From the POST's first byte to the moment when the first tofu began.
    pub(crate) dispatch: f64,
    /// From the start of `get` to the start of `init`: the fetch step and the wipe behind it.
    pub(crate) fetch: f64,
    /// From the moment when the delivery began to be opened (the receipt says it) to the start of `init`.
    pub(crate) delivery: f64,
    /// From the POST's first byte to the answer that says `applied`.
    pub(crate) whole: f64,
}

/// Memory of a process, in KiB.
pub(crate) struct Memory {
    resident: u64,
    anonymous: u64,
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} / {}", self.resident, self.anonymous)
    }
}

impl World {
    /// Starts everything in `directory`.
    pub(crate) fn start(nigari: &Path, tofu: &Path, registry: &Path, directory: &Path) -> Outcome<Self> {
        Self::start_behind(nigari, tofu, registry, directory, &mut |url| Ok(url.to_owned()))
    }

    /// The same, with an agent that reaches the server by the URL that `door` makes of the server's.
    pub(crate) fn start_behind(
        nigari: &Path,
        tofu: &Path,
        registry: &Path,
        directory: &Path,
        door: &mut dyn FnMut(&str) -> Outcome<String>,
    ) -> Outcome<Self> {
        let registry = Self::registry(registry, directory)?;
        let mut world = Self::with_registry([nigari, tofu], registry, directory)?;
        let url = door(world.stack.url())?;
        world.stack.start_agent(&["--server", &url])?;
        Ok(world)
    }

    /// The same, with this delivery and a registry that it can serve.
    pub(crate) fn start_delivering(programs: [&Path; 3], directory: &Path, delivery: &str) -> Outcome<Self> {
        let [nigari, tofu, registry] = programs;
        fs::create_dir_all(directory)?;
        let registry = Self::registry(registry, directory)?;
        let registry = if delivery == "broker" { registry.called("registry.localhost") } else { registry };
        let mut world = Self::with_registry([nigari, tofu], registry, directory)?;
        world.stack.start_agent(&["--delivery", delivery])?;
        Ok(world)
    }

    fn registry(program: &Path, directory: &Path) -> Outcome<Registry> {
        let registry = Registry::start(program, &directory.join("registry"), "robot", "a-password-for-figures")?;
        registry.push("team/greeting", "1.0.0", &Package::greeting())?;
        Ok(registry)
    }

    fn with_registry([nigari, tofu]: [&Path; 2], registry: Registry, directory: &Path) -> Outcome<Self> {
        let log = directory.join("tofu.log");
        let wrapper = wrapper(directory, tofu, &log)?;
        let configuration = directory.join("configuration");
        fs::create_dir(&configuration)?;
        fs::write(configuration.join("main.tf"), source(&registry.host()))?;
        let programs = Programs { nigari: nigari.to_owned(), tofu: wrapper.clone() };
        let stack = Stack::server_only(programs, &directory.join("stack"))?;
        let token = read_text(&stack.token_file()).trim().to_owned();
        let mut world = Self { registry, wrapper, configuration, stack, log, token, uploaded: String::new(), runs: 0 };
        world.prepare(directory)?;
        Ok(world)
    }

    fn prepare(&mut self, directory: &Path) -> Outcome<()> {
        let url = format!("https://{}", self.registry.host());
        let ca = fs::read_to_string(self.registry.ca_file())?;
        self.post(
            "registry-integrations",
            &json!({
                "name": "figures", "url": url, "username": "robot", "secret": "a-password-for-figures",
                "export_credentials": true, "permit_file": true, "ca_pem": ca,
            }),
        )?;
        self.post("workspaces", &json!({"name": "figures"}))?;
        let archive = directory.join("configuration.tar.gz");
        let mut tar = command("tar");
        tar.arg("-C").arg(&self.configuration).arg("-czf").arg(&archive).arg("main.tf");
        run(tar)?.succeeded()?;
        let bytes = fs::read(&archive)?;
        let answer = self.send("POST", "workspaces/figures/configurations", "application/gzip", &bytes)?;
        self.uploaded = text(&answer, "id")?;
        Ok(())
    }

    /// Makes one auto-applied run and waits for its end.
    pub(crate) fn run(&mut self) -> Outcome<Measured> {
        fs::write(&self.log, "")?;
        let body = json!({"configuration": self.uploaded, "kind": "apply", "auto_apply": true});
        let (begun, wall) = (Instant::now(), micros());
        let run = text(&self.post("workspaces/figures/runs", &body)?, "id")?;
        let state = self.wait_for_end(&run)?;
        let whole = begun.elapsed().as_secs_f64() * 1000.0;
        self.runs += 1;
        if state != "applied" {
            return Err(Failure::new(format!("run {run} is {state}: {}", self.get(&format!("runs/{run}"))?)));
        }
        let log = read_text(&self.log);
        let mut starts = log.lines().filter_map(|line| line.split(' ').next()?.replace('.', "").parse::<u64>().ok());
        let (Some(get), Some(init)) = (starts.next(), starts.next()) else {
            return Err(Failure::new("the wrapper wrote nothing"));
        };
        let opened = self.delivery_began(&run)?;
        Ok(Measured {
            dispatch: milliseconds(wall, get),
            fetch: milliseconds(get, init),
            delivery: milliseconds(opened, init),
            whole,
        })
    }

    /// Microseconds since 1970.
    fn delivery_began(&self, run: &str) -> Outcome<u64> {
        let shown = self.get(&format!("runs/{run}/receipts"))?;
        let began = shown["items"][0]["began_at"].as_u64();
        began.ok_or_else(|| Failure::new(format!("no receipt in {shown}")))
    }

    fn wait_for_end(&self, run: &str) -> Outcome<String> {
        let mut after = 0;
        loop {
            let events: Value = self.get(&format!("runs/{run}/events?after={after}&wait=30"))?;
            for event in events["items"].as_array().into_iter().flatten() {
                after = event["sequence"].as_i64().unwrap_or(after);
                let state = event["state"].as_str().unwrap_or_default();
                if matches!(state, "applied" | "errored" | "canceled" | "no_changes" | "lost") {
                    return Ok(state.to_owned());
                }
            }
        }
    }

    /// How many runs there were.
    pub(crate) fn runs(&self) -> u32 {
        self.runs
    }

    /// Memory of agent and server.
    pub(crate) fn memory(&mut self) -> Outcome<(Memory, Memory)> {
        let agent = self.stack.agent().map(|child| child.pid());
        let server = self.stack.server().map(|child| child.pid());
        Ok((memory(agent)?, memory(server)?))
    }

    /// How often the server made the disk write within one run; `None` without strace.
    pub(crate) fn syncs_per_run(&mut self) -> Outcome<Option<f64>> {
        const RUNS: u32 = 10;
        let Some(strace) = find_program("strace") else { return Ok(None) };
        let pid = self.stack.server().map_or(0, |child| child.pid()).to_string();
        let out = self.log.with_extension("strace");
        let mut trace = command(strace);
        trace.args(["-f", "-qq", "-e", "trace=fsync,fdatasync", "-o"]).arg(&out).args(["-p", &pid]);
        let mut child = support::child::Child::start("strace", trace, &self.log.with_extension("strace.log"))?;
        for _ in 0..RUNS {
            self.run()?;
        }
        child.signal(support::child::Signal::INT)?;
        child.wait(std::time::Duration::from_secs(10))?;
        let syncs = read_text(&out).lines().filter(|line| line.contains("sync(") && !line.contains("resumed")).count();
        Ok(Some(f64::from(u32::try_from(syncs).unwrap_or(u32::MAX)) / f64::from(RUNS)))
    }

    fn post(&self, path: &str, body: &Value) -> Outcome<Value> {
        self.send("POST", path, "application/json", body.to_string().as_bytes())
    }

    fn get(&self, path: &str) -> Outcome<Value> {
        self.send("GET", path, "application/json", b"")
    }

    fn send(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> Outcome<Value> {
        let port = self.stack.url().trim_end_matches('/').rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        let port = port.ok_or_else(|| Failure::new("the server's URL has no port"))?;
        let bearer = format!("Bearer {}", self.token);
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", kind)];
        let target = format!("/api/v1/{path}");
        let answer: Answer = Request { method, target: &target, headers: &headers, body }.over_loopback(port)?;
        if answer.status >= 300 {
            return Err(Failure::new(format!("{method} {path}: {} {}", answer.status, answer.text())));
        }
        serde_json::from_slice(&answer.body).during(format_args!("{method} {path}"))
    }
}

fn text(answer: &Value, member: &str) -> Outcome<String> {
    answer[member].as_str().map(str::to_owned).ok_or_else(|| Failure::new(format!("no `{member}` in {answer}")))
}

/// Both sides start this instead of tofu: it writes down when and what, then becomes tofu.
fn wrapper(directory: &Path, tofu: &Path, log: &Path) -> Outcome<PathBuf> {
    let path = directory.join("tofu");
    let script = format!(
        "#!/bin/bash\nprintf '%s %s\\n' \"$EPOCHREALTIME\" \"$*\" >>'{}'\nexec '{}' \"$@\"\n",
        log.display(),
        tofu.display()
    );
    fs::write(&path, script)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

/// Has something to apply each time.
fn source(host: &str) -> String {
    format!(
        "module \"greeting\" {{\n  source = \"oci://{host}/team/greeting?tag=1.0.0\"\n  name   = timestamp()\n}}\n\n\
         output \"text\" {{\n  value = module.greeting.text\n}}\n"
    )
}

fn memory(pid: Option<u32>) -> Outcome<Memory> {
    let status = read_text(&PathBuf::from(format!("/proc/{}/status", pid.unwrap_or(0))));
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok())
            .ok_or_else(|| Failure::new(format!("no {name} of process {pid:?}")))
    };
    Ok(Memory { resident: field("VmRSS:")?, anonymous: field("RssAnon:")? })
}

/// Between two times of [`micros`].
#[expect(clippy::cast_precision_loss, reason = "milliseconds")]
pub(crate) fn milliseconds(from: u64, to: u64) -> f64 {
    to.saturating_sub(from) as f64 / 1000.0
}

/// Microseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "compared with the wrapper's clock, which is the wall's")]
pub(crate) fn micros() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(0))
}
