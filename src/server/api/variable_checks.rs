//! What may be a variable's name and value.
//!
//! Rule: what reaches tofu as one environment string must be one that the kernel can pass: no NUL, not more than 128 KiB
//! (`MAX_ARG_STRLEN`). A file has the same limit of length, and a name that is an environment variable's.

use super::problem::ApiError;
use crate::protocol::api::VariableKind;
use crate::protocol::limits::{VARIABLE_BYTES, VARIABLES_BYTES};
use crate::protocol::names;
use crate::secret::Secret;

/// A name that no one may set is refused with its reason.
pub(super) fn check_name(kind: VariableKind, name: &str) -> Result<(), ApiError> {
    match kind {
        VariableKind::Env => names::check(name).map_err(|error| ApiError::invalid("name", error)),
        VariableKind::File => names::check_file(name).map_err(|error| ApiError::invalid("name", error)),
        VariableKind::Tofu => check_identifier(name),
    }
}

/// What tofu takes as an input variable's name, and an agent passes on.
fn check_identifier(name: &str) -> Result<(), ApiError> {
    if names::is_input(name) {
        return Ok(());
    }
    let text = if name.starts_with("TF_VAR_") {
        "it is not an input variable's name; hint: leave out `TF_VAR_`"
    } else {
        "it is not an input variable's name; hint: letters, digits, `_` and `-`, beginning with a letter or `_`"
    };
    Err(ApiError::invalid("name", text))
}

/// The kind that would set the same environment variable, if there is one: only one of the two can be set.
pub(super) fn rival(kind: VariableKind) -> Option<VariableKind> {
    match kind {
        VariableKind::Env => Some(VariableKind::File),
        VariableKind::File => Some(VariableKind::Env),
        VariableKind::Tofu => None,
    }
}

/// A value that an environment variable can carry, or a file.
pub(super) fn check_value(kind: VariableKind, name: &str, value: &Secret) -> Result<(), ApiError> {
    if kind != VariableKind::File && value.contains_nul() {
        return Err(ApiError::invalid("value", "it contains a NUL, which no variable can carry; hint: encode it"));
    }
    let prefix = if kind == VariableKind::Tofu { "TF_VAR_".len() } else { 0 };
    if prefix + name.len() + value.len() > VARIABLE_BYTES {
        let text = format!("it is too long; hint: at most {VARIABLE_BYTES} bytes together with its name");
        return Err(ApiError::invalid("value", text));
    }
    Ok(())
}

/// All variables of a workspace together have to fit into one environment.
pub(super) fn check_total(before: i64, replaced: usize, added: usize) -> Result<(), ApiError> {
    let before = usize::try_from(before).unwrap_or(usize::MAX);
    if before.saturating_sub(replaced).saturating_add(added) <= VARIABLES_BYTES {
        return Ok(());
    }
    let text = format!("the workspace's variables are too long together; hint: at most {VARIABLES_BYTES} bytes in all");
    Err(ApiError::invalid("value", text))
}

#[cfg(test)]
mod tests {
    use super::{check_name, check_total, check_value};
    use crate::protocol::api::VariableKind::{Env, File, Tofu};
    use crate::protocol::limits::{VARIABLE_BYTES, VARIABLES_BYTES};
    use crate::secret::Secret;

    #[test]
    fn reserved_names_are_refused_for_the_environment_alone() {
        for name in ["PATH", "LD_PRELOAD", "TF_CLI_CONFIG_FILE", "a-b", ""] {
            assert!(check_name(Env, name).is_err(), "{name}");
        }
        assert!(check_name(Tofu, "PATH").is_ok());
        for name in ["PATH", "TF_CLI_CONFIG_FILE", "a-b", "../x", "KUBE_TOKEN"] {
            assert!(check_name(File, name).is_err(), "{name}");
        }
        assert!(check_name(File, "KUBE_CONFIG_PATH").is_ok() && check_name(Env, "KUBE_CONFIG_PATH").is_err());
    }

    #[test]
    fn an_input_variable_has_an_identifier() {
        for name in ["", "1a", "-a", "a b", "a.b", "a=b", "a\0", "a/b", &"a".repeat(129)] {
            assert!(check_name(Tofu, name).is_err(), "{name:?}");
        }
        for name in ["a", "_a", "a-b", "größe", "A1"] {
            assert!(check_name(Tofu, name).is_ok(), "{name:?}");
        }
    }

    #[test]
    fn what_the_kernel_cannot_pass_is_refused() {
        assert!(check_value(Env, "A", &Secret::from("a\0b")).is_err());
        let longest = VARIABLE_BYTES - "A".len();
        assert!(check_value(Env, "A", &Secret::new("x".repeat(longest))).is_ok());
        assert!(check_value(Env, "A", &Secret::new("x".repeat(longest + 1))).is_err());
        assert!(check_value(Tofu, "A", &Secret::new("x".repeat(longest))).is_err());
        assert!(check_value(Env, "A", &Secret::from("")).is_ok());
        assert!(check_value(File, "A", &Secret::from("a\0b")).is_ok());
        assert!(check_value(File, "A", &Secret::new("x".repeat(longest + 1))).is_err());
    }

    #[test]
    fn all_together_have_a_limit() {
        assert!(check_total(0, 0, VARIABLES_BYTES).is_ok());
        assert!(check_total(1, 0, VARIABLES_BYTES).is_err());
        assert!(check_total(10, 10, VARIABLES_BYTES).is_ok());
    }
}
