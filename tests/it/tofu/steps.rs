//! The argument lists, run from the first to the last step.

use nigari::tofu::arguments::{self, PlanKind};
use nigari::tofu::plan_json::{PlanSummary, summarize};
use nigari::tofu::version::{CredentialHolder, Version};

use super::Bench;

const CONFIGURATION: &str = "module \"m\" {\n  source = \"./m\"\n}\n\nresource \"terraform_data\" \"x\" {\n  input = \
                             \"hello\"\n}\n\noutput \"o\" {\n  value = terraform_data.x.id\n}\n";
const TEST_FILE: &str = "run \"x\" {\n  module {\n    source = \"git::https://127.0.0.1:1/none.git\"\n  }\n}\n";

#[test]
fn every_step_runs_with_its_words() {
    let Some(bench) = Bench::new(&[("main.tf", CONFIGURATION), ("m/main.tf", "locals {}\n")]) else { return };
    let plan_file = bench.path("plan");
    bench.tofu(&arguments::get()).succeeded().unwrap();
    bench.tofu(&arguments::init()).succeeded().unwrap();
    let plan = bench.tofu(&arguments::plan(PlanKind::Apply, &plan_file));
    assert_eq!(plan.code, Some(2), "there are changes: {}", plan.all());
    assert!(plan.out.contains("\u{1b}["), "colours are there without a terminal too: {}", plan.out);
    let shown = bench.tofu(&arguments::show(&plan_file)).succeeded().unwrap();
    let summary = summarize(shown.out.as_bytes()).unwrap();
    assert_eq!(summary, PlanSummary { add: 1, outputs: 1, ..PlanSummary::default() });
    bench.tofu(&arguments::apply(&plan_file)).succeeded().unwrap();
    let outputs = bench.tofu(&arguments::output()).succeeded().unwrap();
    assert!(outputs.out.contains("\"o\""));
    let again = bench.tofu(&arguments::plan(PlanKind::PlanOnly, &plan_file));
    assert_eq!(again.code, Some(0), "no changes: {}", again.all());
    let destroy = bench.tofu(&arguments::plan(PlanKind::Destroy, &plan_file));
    assert_eq!(destroy.code, Some(2), "{}", destroy.all());
    let shown = bench.tofu(&arguments::show(&plan_file)).succeeded().unwrap();
    assert_eq!(
        summarize(shown.out.as_bytes()).unwrap(),
        PlanSummary { destroy: 1, outputs: 1, ..PlanSummary::default() }
    );
}

#[test]
fn modules_of_test_files_are_not_fetched() {
    let files = [("main.tf", "locals {}\n"), ("tests/a.tftest.hcl", TEST_FILE), ("b.tftest.hcl", TEST_FILE)];
    let Some(bench) = Bench::new(&files) else { return };
    for step in [arguments::get(), arguments::init(), arguments::init_without_backend()] {
        let done = bench.tofu(&step).succeeded().unwrap();
        assert!(!done.all().contains("Warning"), "{}", done.all());
    }
    let control = bench.tofu(&["get".into()]);
    assert!(control.code != Some(0) && control.all().contains("none.git"), "the control fetches: {}", control.all());
    let none = bench.tofu(&["get".into(), "-test-directory=none".into()]);
    assert!(none.all().contains("none.git"), "the name of no directory is not enough: {}", none.all());
}

#[test]
fn the_programs_own_version_is_read_and_let_through() {
    let Some(bench) = Bench::new(&[]) else { return };
    let done = bench.tofu(&arguments::version()).succeeded().unwrap();
    let version = Version::from_output(done.out.as_bytes()).unwrap();
    version.check(CredentialHolder::Tofu).unwrap();
    let warned = bench.tofu_with(&bench.path("missing.tfrc"), &arguments::version()).succeeded().unwrap();
    assert!(warned.out.contains("Warning"), "{}", warned.all());
    assert_eq!(Version::from_output(warned.out.as_bytes()).unwrap(), version);
}
