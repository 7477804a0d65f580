//! What the quickstart shows, step by step.
//!
//! Rule: each step ends with a check of what it claims; a step that cannot show its point fails the whole.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use support::builds::{self, Built};
use support::canary::Canary;
use support::child::{Finished, command, run};
use support::failure::During as _;
use support::leftovers;
use support::module::Package;
use support::nigari::Stack;
use support::registry::Registry;
use support::search::Search;
use support::show::Show;
use support::thief::Thief;
use support::watch::Watch;
use support::{Failure, Outcome};
use tempfile::TempDir;

const USER: &str = "reader";
const INTEGRATION: &str = "demo";
const REPOSITORY: &str = "team/greeting";
/// Loopback like `localhost`, but OpenTofu reaches it by a proxy, as it reaches every registry elsewhere.
const HOST: &str = "registry.localhost";
const APPLY: [&str; 6] = ["apply", "configuration", "-w", "quickstart", "--create", "--auto-approve"];

/// Everything that the quickstart has made, and what it must not find again.
struct Stage<'a> {
    show: &'a mut Show,
    directory: TempDir,
    canaries: Vec<Canary>,
    watch: Watch,
    registry: Registry,
    stack: Stack,
    said: String,
}

/// Tells the whole story; with `keep` it ends with everything running.
pub(crate) fn tell(show: &mut Show, built: Built, keep: bool) -> Outcome<()> {
    let place = std::env::temp_dir();
    for left in leftovers::sweep(&[&place, Path::new("/dev/shm")]) {
        show.say(&format!("  removed what an interrupted start had left: {}", left.display()));
    }
    let directory = leftovers::directory_in(&place)?;
    let canaries = vec![Canary::new(USER), Canary::new(USER)];
    let watch = Watch::start(&canaries);
    show.step("A private registry, and a module in it");
    let registry = Registry::start(&built.registry, &directory.path().join("registry"), USER, &canaries[0].password)?;
    let registry = registry.called(HOST);
    let digest = registry.push(REPOSITORY, "1.0.0", &Package::greeting())?;
    show.say(&format!(
        "  https://{} on loopback: TLS with a certificate authority of its own, user {USER:?}, a password.\n  \
         pushed oci://{0}/{REPOSITORY}?tag=1.0.0 ({digest})",
        registry.host()
    ));
    show.step("A server and an agent");
    let mut stack = Stack::server_only(built.programs, &directory.path().join("nigari"))?;
    show.typed("nigari server start --state-dir server --listen 127.0.0.1:0");
    let more: String = stack.sandbox()?.iter().flat_map(|word| [word, " "]).collect();
    stack.start_agent(&[])?;
    show.typed(&format!(
        "nigari agent start --server URL --join-token-file server/join.token --state-dir agent {more}…"
    ));
    show.say(&format!("  the server listens on {} and keeps everything in SQLite", stack.url()));
    let mut stage = Stage { show, directory, canaries, watch, registry, stack, said: String::new() };
    stage.store_without_export()?;
    stage.run_fails_in_its_fetch_step()?;
    stage.switch_export_on()?;
    stage.unchanged_configuration_is_applied()?;
    stage.a_thief_finds_nothing()?;
    stage.password_changes()?;
    if keep {
        return stage.keep();
    }
    stage.end()
}

impl Stage<'_> {
    fn store_without_export(&mut self) -> Outcome<()> {
        self.show.step("The registry's credential, stored once, with export credentials off");
        let url = format!("https://{}", self.registry.host());
        let ca = self.registry.ca_file().display().to_string();
        let arguments = [
            "registry",
            "add",
            INTEGRATION,
            "--url",
            &url,
            "--username",
            USER,
            "--secret-stdin",
            "--registry-ca-file",
            &ca,
            "--no-export",
        ];
        self.nigari(&arguments, Some(0))?.succeeded()?;
        self.nigari(&["registry", "test", INTEGRATION], None)?.succeeded()?;
        let list = self.stack.run(&["registry", "list", "--json"])?.succeeded()?;
        self.refuse(list.out.contains(&self.canaries[0].password), "the list of integrations shows the password")?;
        self.show.checked("the password was taken from stdin, and no command shows it again");
        Ok(())
    }

    fn run_fails_in_its_fetch_step(&mut self) -> Outcome<()> {
        self.show.step("A run whose module is in that registry: its fetch step fails, because nothing is exported yet");
        let directory = self.directory.path().join("configuration");
        fs::create_dir(&directory).during("configuration")?;
        let main = format!(
            "module \"greeting\" {{\n  source = \"oci://{}/{REPOSITORY}?tag=1.0.0\"\n  name   = \"newcomer\"\n}}\n\n\
             output \"text\" {{\n  value = module.greeting.text\n}}\n",
            self.registry.host()
        );
        fs::write(directory.join("main.tf"), &main).during("main.tf")?;
        self.show.typed("cat configuration/main.tf");
        self.show.output(&main);
        let said = self.nigari(&APPLY, None)?;
        self.refuse(said.code != Some(1), &format!("exit code {:?} instead of 1", said.code))?;
        self.refuse(!said.all().contains("Failed to download module"), "tofu's own error is missing")?;
        let hint = format!("nigari registry update {INTEGRATION} --export");
        self.refuse(
            !said.all().lines().any(|line| line.contains("hint:") && line.contains(&hint)),
            "there is no hint",
        )?;
        self.show.checked("exit code 1, tofu's own error, and a hint that says what to switch on");
        Ok(())
    }

    fn switch_export_on(&mut self) -> Outcome<()> {
        self.show.step("Export credentials is switched on");
        self.nigari(&["registry", "update", INTEGRATION, "--export"], None)?.succeeded()?;
        Ok(())
    }

    fn unchanged_configuration_is_applied(&mut self) -> Outcome<()> {
        self.show.step("The same configuration, not a letter changed");
        let said = self.nigari(&APPLY, None)?.succeeded()?;
        self.refuse(!said.all().contains("Apply complete! Resources: 1 added"), "nothing was applied")?;
        self.refuse(!said.all().contains("hello, newcomer"), "the module's output is missing")?;
        let receipt = self.receipts_of("quickstart")?;
        self.show.say("  the receipt of the delivery:");
        self.show.output(&serde_json::to_string_pretty(&receipt).during("receipt")?);
        let text = receipt.to_string();
        self.refuse(!text.contains(&self.registry.host()), "the receipt does not name the registry")?;
        self.show.checked("module fetched, credential wiped and that verified, then plan and apply");
        Ok(())
    }

    fn a_thief_finds_nothing(&mut self) -> Outcome<()> {
        self.show.step("A configuration that wants the password: whatever tofu can read while it fetches is sent away");
        let thief = Thief::start()?;
        let directory = self.directory.path().join("attack");
        fs::create_dir(&directory).during("attack")?;
        fs::write(directory.join("main.tf"), thief.configuration()).during("main.tf")?;
        self.show.typed("cat attack/main.tf");
        self.show.output(&thief.configuration());
        self.tofu_alone_is_robbed(&thief)?;
        let said = self.nigari(&["apply", "attack", "-w", "attack", "--create", "--auto-approve"], None)?;
        self.refuse(said.code != Some(1), &format!("exit code {:?} instead of 1", said.code))?;
        let loot = thief.loot();
        self.show.say(&format!(
            "  what the thief received: {}",
            if loot.is_empty() { "nothing".to_owned() } else { loot.join(", ") }
        ));
        let is_there = |text: &str| loot.iter().any(|found| found.contains(text));
        self.refuse(is_there(&self.canaries[0].password), "the password was stolen")?;
        let came_to_the_file = is_there("{\"auths\":{}}");
        let was_stopped = loot.is_empty() && said.all().contains("/proc/self/environ");
        self.refuse(!came_to_the_file && !was_stopped, "the attack failed for another reason than its defence")?;
        // The other deliveries could not be read from here either, but it is the default that is shown.
        let receipts = self.receipts_of("attack")?;
        let by =
            |receipt: &Value| receipt["delivery"] == "broker" && receipt.to_string().contains(&self.registry.host());
        let is_by_broker = receipts.as_array().is_some_and(|receipts| receipts.iter().all(by));
        self.refuse(!is_by_broker, &format!("the credential was not delivered by the broker: {receipts}"))?;
        self.show.checked(if was_stopped {
            "the step sees no /proc, which leads there, and there is nothing: the broker has the password, tofu never does"
        } else {
            "the file is there, and empty: the broker has the password, and tofu never does"
        });
        Ok(())
    }

    /// The control: the attack works where the password is in a file for tofu, as it is without nigari.
    fn tofu_alone_is_robbed(&mut self, thief: &Thief) -> Outcome<()> {
        let place = leftovers::directory_in(&std::env::temp_dir())?;
        let path = |name: &str| place.path().join(name);
        fs::write(path("main.tf"), thief.configuration()).during("main.tf")?;
        let auth = STANDARD.encode(format!("{USER}:{}", self.canaries[0].password));
        let logins = format!("{{\"auths\":{{\"{}\":{{\"auth\":\"{auth}\"}}}}}}", self.registry.host());
        fs::write(path("config.json"), logins).during("config.json")?;
        let settings = format!(
            "oci_default_credentials {{\n  docker_style_config_files = [\"{}\"]\n}}\n",
            path("config.json").display()
        );
        fs::write(path("tofu.tfrc"), settings).during("tofu.tfrc")?;
        self.show.typed("tofu get    # tofu alone, with the password in a file for it, as without nigari");
        let mut tofu = command(&self.stack.programs().tofu);
        tofu.args(["get", "-no-color"]).current_dir(place.path()).env_clear().env("PATH", "/usr/bin:/bin");
        tofu.env("HOME", place.path()).env("TF_CLI_CONFIG_FILE", path("tofu.tfrc"));
        // What it says has the loot in it, so nobody sees that.
        run(tofu)?;
        let loot = thief.loot();
        let is_robbed = loot.iter().any(|found| found.contains(&self.canaries[0].password));
        self.refuse(!is_robbed, "the attack does not work on tofu alone, so that it would show nothing")?;
        self.show.say("  what the thief received: the password. Now the same with nigari:");
        place.close().during("the control's directory")
    }

    fn password_changes(&mut self) -> Outcome<()> {
        self.show.step("The password changes, in the registry and in the integration");
        self.registry.set_password(USER, &self.canaries[1].password)?;
        self.nigari(&["registry", "update", INTEGRATION, "--secret-stdin"], Some(1))?.succeeded()?;
        let said = self.nigari(&APPLY, None)?.succeeded()?;
        self.refuse(!said.all().contains("No changes"), "the third run does not report that there are no changes")?;
        self.show.checked("the next run has the new password at once; the state was kept, so nothing changes");
        Ok(())
    }

    /// Runs a command in the quickstart's directory; `secret` names the password that it gets on stdin.
    fn nigari(&mut self, arguments: &[&str], secret: Option<usize>) -> Outcome<Finished> {
        let from = if secret.is_some() { " < password" } else { "" };
        let directory = format!("{}/", self.directory.path().display());
        self.show.typed(&format!("nigari {}{from}", arguments.join(" ").replace(&directory, "")));
        let mut command = self.stack.command(arguments);
        command.current_dir(self.directory.path());
        let input = secret.map_or(String::new(), |index| self.canaries[index].password.clone());
        let finished = support::child::run_as_on_a_terminal(command, input.as_bytes())?;
        self.show.output(&finished.all());
        self.said.push_str(&finished.all());
        Ok(finished)
    }

    /// The receipts of the newest run of a workspace.
    fn receipts_of(&self, workspace: &str) -> Outcome<Value> {
        let runs = self.stack.json(&["run", "list", "-w", workspace, "--json"])?;
        let runs = runs.as_array().or(runs["items"].as_array()).cloned().unwrap_or_default();
        // Identifiers of runs begin with the time, so the greatest is the newest.
        let newest = runs.iter().filter_map(|run| run["id"].as_str()).max();
        let newest = newest.ok_or_else(|| Failure::new("there is no run in the list"))?;
        let run = self.stack.json(&["run", "show", newest, "--json"])?;
        let receipts = run["receipts"].clone();
        self.refuse(receipts.as_array().is_none_or(Vec::is_empty), "the run has no receipt")?;
        Ok(receipts)
    }

    fn refuse(&self, wrong: bool, what: &str) -> Outcome<()> {
        if !wrong {
            return Ok(());
        }
        let log = |name: &str| {
            let text = support::child::read_text(&self.stack.directory().join(name));
            format!("--- {name}\n{}", support::child::tail(&text))
        };
        Err(Failure::new(format!("{what}\n{}\n{}", log("server.log"), log("agent.log"))))
    }

    fn end(mut self) -> Outcome<()> {
        self.show.step("The search for the passwords");
        let watched = self.watch.finish()?;
        let mut search = Search::new(&self.canaries);
        search.bytes("what the commands wrote", self.said.as_bytes());
        search.absorb(self.stack.search(&self.canaries));
        search.directory(self.directory.path());
        search.process(self.registry.pid());
        search.absorb(watched.search);
        let bytes = search.verdict()?;
        self.show.say(&format!(
            "  searched: {bytes} bytes in {} files (database, logs, run directories, what is left in memory-backed\n  \
             directories), and environment and arguments of {} processes; for {} forms of both passwords: as they\n  \
             are, base64 at every shift, URL, JSON, quoted, hexadecimal, …",
            search.files(),
            watched.processes,
            search.forms(),
        ));
        self.show.checked("neither password was found anywhere");

        self.show.step("Everything is stopped and removed");
        let mut processes = vec![self.registry.pid()];
        processes.extend(self.stack.server().map(|child| child.pid()));
        processes.extend(self.stack.agent().map(|child| child.pid()));
        let mut places: Vec<PathBuf> = vec![self.directory.path().to_owned()];
        places.extend(self.stack.secret_root().map(ToOwned::to_owned));
        self.stack.stop()?;
        self.registry.stop()?;
        drop(self.stack);
        self.directory.close().during("the temporary directory")?;
        for place in places {
            builds::nothing_left(&place, &processes)?;
        }
        self.show.checked("no process and no file is left. `cargo run --example quickstart -- --keep` leaves them up");
        Ok(())
    }

    /// Leaves everything running and says how to go on, and how to end it.
    fn keep(self) -> Outcome<()> {
        self.show.step("Everything stays up");
        let (url, token) = (self.stack.url().to_owned(), self.stack.token_file());
        let nigari = self.stack.programs().nigari.display().to_string();
        let (mut processes, secret_root) = self.stack.keep()?;
        processes.extend(self.registry.keep());
        let processes: Vec<String> = processes.iter().map(u32::to_string).collect();
        let directory = leftovers::keep(self.directory)?;
        let places: Vec<String> =
            [Some(directory.clone()), secret_root].iter().flatten().map(|path| path.display().to_string()).collect();
        self.show.say(&format!(
            "  Type next:\n\n    cd {}\n    export NIGARI_SERVER={url}\n    export NIGARI_TOKEN_FILE={}\n    \
             alias nigari={nigari}\n    nigari run list\n    nigari apply configuration -w quickstart\n\n  \
             To end it:\n\n    kill {}; rm -r {}",
            directory.display(),
            token.display(),
            processes.join(" "),
            places.join(" "),
        ));
        Ok(())
    }
}
