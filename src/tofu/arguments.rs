//! The argument list of each step, complete and in one place.
//!
//! Rules: no argument carries a secret or a variable; every path is one of the run's own. `-no-color` is never
//! given: colours are stored with the log and stripped where they do not belong. `-input=false` is given to every
//! command that knows it (`get` does not; `TF_INPUT=0` in the environment covers it).

use std::ffi::OsString;
use std::path::Path;

/// An empty name switches the reading of test files off altogether, so that modules of `*.tftest.hcl` are not fetched.
/// The name of a directory that does not exist is not enough: test files beside the configuration would still be read
/// (tried with 1.12.6), and tofu would warn.
const NO_TESTS: &str = "-test-directory=";

/// What `plan` is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanKind {
    /// Bring what is there to what the configuration says; will be applied.
    Apply,
    /// Destroy everything that the state knows; will be applied.
    Destroy,
    /// Look only: beside an active run, so without taking the state's lock.
    PlanOnly,
    /// Look only at what destroying would do, without the lock.
    DestroyPlanOnly,
}

/// `tofu version -json`: also reads the CLI configuration, so it shows its errors before any secret exists.
pub fn version() -> Vec<OsString> {
    words(&["version", "-json"])
}

/// The fetch step: modules only. It runs no program that the configuration names.
pub fn get() -> Vec<OsString> {
    words(&["get", NO_TESTS])
}

/// The fetch step where providers come from an OCI mirror: modules and providers, no backend.
pub fn init_without_backend() -> Vec<OsString> {
    words(&["init", "-backend=false", "-input=false", NO_TESTS])
}

/// The full init after the fetch step; finds every module already there.
pub fn init() -> Vec<OsString> {
    words(&["init", "-input=false", NO_TESTS])
}

/// Makes the plan file. Exit code 0: no changes, 1: failed, 2: changes.
pub fn plan(kind: PlanKind, plan_file: &Path) -> Vec<OsString> {
    let mut arguments = words(&["plan", "-input=false", "-detailed-exitcode"]);
    if matches!(kind, PlanKind::Destroy | PlanKind::DestroyPlanOnly) {
        arguments.push("-destroy".into());
    }
    if matches!(kind, PlanKind::PlanOnly | PlanKind::DestroyPlanOnly) {
        arguments.push("-lock=false".into());
    }
    let mut out = OsString::from("-out=");
    out.push(plan_file);
    arguments.push(out);
    arguments
}

/// The plan as JSON on standard output: holds values in clear, so it is for the summary alone, never for the log.
pub fn show(plan_file: &Path) -> Vec<OsString> {
    let mut arguments = words(&["show", "-json"]);
    arguments.push(plan_file.into());
    arguments
}

/// Applies exactly the plan file.
pub fn apply(plan_file: &Path) -> Vec<OsString> {
    let mut arguments = words(&["apply", "-input=false"]);
    arguments.push(plan_file.into());
    arguments
}

/// Outputs of the state as JSON on standard output, sensitive ones in clear.
pub fn output() -> Vec<OsString> {
    words(&["output", "-json"])
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{PlanKind, apply, get, init, init_without_backend, plan, show};

    fn line(arguments: &[std::ffi::OsString]) -> String {
        arguments.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_step_has_exactly_these_words() {
        let file = Path::new("/runs/1/plan");
        assert_eq!(line(&get()), "get -test-directory=");
        assert_eq!(line(&init()), "init -input=false -test-directory=");
        assert_eq!(line(&init_without_backend()), "init -backend=false -input=false -test-directory=");
        assert_eq!(line(&plan(PlanKind::Apply, file)), "plan -input=false -detailed-exitcode -out=/runs/1/plan");
        assert_eq!(
            line(&plan(PlanKind::DestroyPlanOnly, file)),
            "plan -input=false -detailed-exitcode -destroy -lock=false -out=/runs/1/plan"
        );
        assert_eq!(line(&show(file)), "show -json /runs/1/plan");
        assert_eq!(line(&apply(file)), "apply -input=false /runs/1/plan");
    }

    #[test]
    fn only_a_plan_that_is_never_applied_goes_without_the_lock() {
        let file = Path::new("/p");
        for (kind, lockless) in [
            (PlanKind::Apply, false),
            (PlanKind::Destroy, false),
            (PlanKind::PlanOnly, true),
            (PlanKind::DestroyPlanOnly, true),
        ] {
            assert_eq!(line(&plan(kind, file)).contains("-lock=false"), lockless, "{kind:?}");
        }
    }
}
