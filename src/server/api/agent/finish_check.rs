//! Whether the report of a phase's end can be believed at all, before the run is asked.

use crate::protocol::agent::{Finish, Outcome};
use crate::server::api::ApiError;
use crate::server::store::runs::RunRecord;

/// Bytes of a path.
const PATH_BYTES: usize = 4096;
/// Bytes of a backend's name.
const BACKEND_BYTES: usize = 64;
/// Bytes of a failure's message: tofu's own words may be long.
const MESSAGE_BYTES: usize = 256 * 1024;

/// What the report says, in one form; the request's id does not count.
pub(super) fn canonical(finish: &Finish) -> Result<String, ApiError> {
    let mut content = serde_json::to_value(finish).map_err(|_| ApiError::Fault("a report cannot be written"))?;
    if let Some(fields) = content.as_object_mut() {
        fields.remove("request");
    }
    Ok(content.to_string())
}

/// Sizes, and what belongs together.
pub(super) fn check(finish: &Finish) -> Result<(), ApiError> {
    if let Some(directory) = &finish.run_directory
        && (!directory.starts_with('/') || directory.len() > PATH_BYTES || directory.contains('\0'))
    {
        return Err(ApiError::invalid("run_directory", "not an absolute path of at most 4096 bytes"));
    }
    if finish.backend.as_ref().is_some_and(|backend| backend.is_empty() || backend.len() > BACKEND_BYTES) {
        return Err(ApiError::invalid("backend", "empty or longer than 64 bytes"));
    }
    match (&finish.failure, finish.outcome) {
        (None, Outcome::Failed) => Err(ApiError::invalid("failure", "missing; hint: say what failed")),
        (Some(failure), _) if failure.message.len() > MESSAGE_BYTES => {
            Err(ApiError::invalid("failure", "the message has more than 256 KiB; hint: leave the rest to the log"))
        }
        _ => Ok(()),
    }
}

/// What waits for approval must be what was uploaded.
pub(super) fn check_artifact(finish: &Finish, record: &RunRecord) -> Result<(), ApiError> {
    if finish.artifact_digest.is_some() && finish.artifact_digest != record.artifact_digest {
        let text = "not the digest of the uploaded artifact; hint: upload it again";
        return Err(ApiError::invalid("artifact_digest", text));
    }
    if record.standing.artifact.is_some() && finish.outcome == Outcome::Planned && finish.run_directory.is_none() {
        return Err(ApiError::invalid(
            "run_directory",
            "missing; hint: a plan is applied in the directory it was made in",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{canonical, check};
    use crate::protocol::agent::{Finish, Outcome};
    use crate::protocol::id::RequestId;

    fn finish(outcome: Outcome) -> Finish {
        Finish {
            request: RequestId::generate(),
            outcome,
            failure: None,
            plan: None,
            artifact_digest: None,
            run_directory: None,
            backend: None,
            receipt: None,
            log_bytes: 7,
        }
    }

    #[test]
    fn the_request_does_not_count_but_the_rest_does() {
        let (first, again) = (finish(Outcome::Applied), finish(Outcome::Applied));
        assert_eq!(canonical(&first).unwrap(), canonical(&again).unwrap());
        let other = Finish { log_bytes: 8, ..finish(Outcome::Applied) };
        assert_ne!(canonical(&first).unwrap(), canonical(&other).unwrap());
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(check(&finish(Outcome::Planned)).is_ok());
        assert!(check(&finish(Outcome::Failed)).is_err(), "no failure");
        for directory in ["", "relative", "/a\0b"] {
            let finish = Finish { run_directory: Some(directory.to_owned()), ..finish(Outcome::Planned) };
            assert!(check(&finish).is_err(), "{directory:?}");
        }
        let backend = Finish { backend: Some("x".repeat(65)), ..finish(Outcome::Planned) };
        assert!(check(&backend).is_err());
    }
}
