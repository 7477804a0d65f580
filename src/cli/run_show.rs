//! `nigari run show`: everything that is known of a run, for the person who wonders about it.
//!
//! Rule: what became of the credentials is always told, in the receipt's own words.

use super::error::CommandError;
use super::harmless::printable;
use super::screen::{Screen, time, time_or, yes_no};
use super::session::Session;
use crate::clock::Clock;
use crate::protocol::agent::{Failure, PlanSummary, Receipt, ReceiptEnd, RegistryUse, Stay, WholeRun};
use crate::protocol::api::{Run, RunEvent, RunEventKind, RunReceipt};
use crate::protocol::id::RunId;
use crate::protocol::run::{Phase, RunState};

/// Shows a run.
pub(super) async fn show(id: RunId, session: &Session) -> Result<(), CommandError> {
    let run = session.client.run(id).await?;
    let receipts = session.client.run_receipts(id).await?;
    let screen = session.screen;
    if screen.json {
        let mut value = serde_json::to_value(&run)?;
        value["receipts"] = serde_json::to_value(&receipts)?;
        return screen.json(&value);
    }
    fields(&run, agent(&run, session).await, screen)?;
    steps(&run, screen)?;
    if let Some(failure) = &run.failure {
        screen.line("\nfailure")?;
        screen.data(indented(&failed(failure)))?;
    }
    for receipt in &receipts {
        show_receipt(receipt, screen)?;
    }
    for kept in kept_aside(&session.client.run_events(id, 0, None).await?.items) {
        screen.line(format_args!("\n{kept}"))?;
    }
    for next in [what_next(&run), remaining_lock(&run, session).await].into_iter().flatten() {
        screen.note(format_args!("\n{next}"));
    }
    Ok(())
}

/// States that tofu could not write and that wait on a host, as sentences.
fn kept_aside(events: &[RunEvent]) -> Vec<String> {
    let sentence = |event: &RunEvent| match &event.kind {
        RunEventKind::StateKeptAside { agent, path } => {
            let (agent, path) = (printable(agent), printable(path));
            Some(format!(
                "a state that tofu could not write is kept on `{agent}` in {path}; `nigari state push` brings it in"
            ))
        }
        _ => None,
    };
    events.iter().filter_map(sentence).collect()
}

/// The agent, and while it works when it was heard of; a token that may not see agents is told the name alone.
async fn agent(run: &Run, session: &Session) -> String {
    let Some(name) = &run.agent_name else { return String::new() };
    if !matches!(run.state, RunState::Planning | RunState::Applying) {
        return name.clone();
    }
    let agents = session.client.agents().await.unwrap_or_default();
    match agents.iter().find(|agent| Some(agent.id) == run.agent) {
        Some(agent) => {
            // Two clocks: one that is ahead does not make an agent speak from the future.
            let seconds = Clock::new().now().saturating_sub(agent.last_seen_at).max(0) / 1_000_000;
            format!("{name}, heard of {seconds} s ago")
        }
        None => name.clone(),
    }
}

/// What to do about the lock of a state that a run has left locked.
pub(super) async fn remaining_lock(run: &Run, session: &Session) -> Option<String> {
    if !matches!(run.state, RunState::Errored | RunState::Canceled) {
        return None;
    }
    // Only a hint: without the right to see the workspace there is none.
    let workspace = session.client.workspace(&run.workspace.to_string()).await.ok()?;
    let lock = workspace.state_lock.filter(|_| workspace.active_run.is_none())?;
    Some(format!(
        "the state lock {} stays; look who holds it ({}), then `nigari state unlock -w {} {}`",
        lock.id, lock.who, workspace.name, lock.id
    ))
}

fn fields(run: &Run, agent: String, screen: Screen) -> Result<(), CommandError> {
    let auto = if run.auto_apply { "auto-apply" } else { "approval" };
    screen.fields(&[
        ("run", run.id.to_string()),
        ("workspace", run.workspace_name.clone()),
        ("kind", format!("{}, {auto}", run.kind)),
        ("state", run.state.to_string()),
        ("message", run.message.clone()),
        ("made", format!("{} by {}", time(run.created_at), run.created_by)),
        ("finished", time_or(run.finished_at, "")),
        ("agent", agent),
        ("plan", run.plan.as_ref().map(plan).unwrap_or_default()),
        ("digest", run.artifact_digest.clone().unwrap_or_default()),
        ("approved by", run.approved_by.clone().unwrap_or_default()),
        ("backend", run.backend.clone().unwrap_or_default()),
        ("variables", "as they were when the run was made; the configuration's *.auto.tfvars win".to_owned()),
    ])
}

fn steps(run: &Run, screen: Screen) -> Result<(), CommandError> {
    if run.steps.is_empty() {
        return Ok(());
    }
    screen.line("\nsteps")?;
    let line = |step: &crate::protocol::api::StepRecord| {
        format!(
            "  {:<6} {:<6} {}  (epoch {})\n",
            step.phase.word(),
            step.step.word(),
            time(step.started_at),
            step.epoch
        )
    };
    screen.data(run.steps.iter().map(line).collect::<String>())
}

fn show_receipt(receipt: &RunReceipt, screen: Screen) -> Result<(), CommandError> {
    let RunReceipt { phase, epoch, agent, receipt } = receipt;
    screen.line(format_args!("\nreceipt of {phase} (epoch {epoch}, {agent})"))?;
    let end = ended(receipt.end, *phase);
    let wiped = format!("{}, verified: {}", yes_no(receipt.wiped), receipt.verified_by);
    let (asked, besides) = registries(receipt);
    screen.fields(&[
        ("  delivery", receipt.delivery.clone()),
        ("  meaning", receipt.meaning.clone()),
        ("  sandbox", receipt.sandbox.clone()),
        ("  registries", asked.join(", ")),
        ("  not used", not_used(&besides)),
        ("  on the host", format!("{} ({end})", span(&receipt.stay))),
        ("  wiped", wiped),
    ])?;
    for (name, items) in [("module", &receipt.modules), ("provider", &receipt.providers)] {
        show_list(name, "", items, screen)?;
    }
    show_stay(&receipt.stay, "", screen)?;
    receipt.whole_run.as_ref().map_or(Ok(()), |whole_run| show_whole_run(whole_run, screen))
}

/// Why a delivery ended.
fn ended(end: ReceiptEnd, phase: Phase) -> &'static str {
    match end {
        ReceiptEnd::StepOver if phase == Phase::Apply => "the step was over",
        ReceiptEnd::StepFailed if phase == Phase::Apply => "the step failed",
        ReceiptEnd::StepOver => "the fetch step was over",
        ReceiptEnd::StepFailed => "the fetch step failed",
        ReceiptEnd::Canceled => "a person canceled",
        ReceiptEnd::Killed => "a person had it killed",
        ReceiptEnd::LeaseLost => "the lease was lost",
        ReceiptEnd::AgentStopped => "the agent was told to end",
        ReceiptEnd::Crashed => "the step's launcher died",
        ReceiptEnd::NeverBegan => "no step got them",
        ReceiptEnd::Swept => "the agent died, and the next one swept",
        ReceiptEnd::Unknown => "in a way that this version does not know",
    }
}

/// The registries whose hosts were asked with what was lent, in the fetch step or after it, and those whose credentials
/// were lent besides. Which of several credentials a host was asked with is not looked at; of a file nobody knows who
/// has read it, and of what an agent that died had counted nobody knows either.
fn registries(receipt: &Receipt) -> (Vec<String>, Vec<String>) {
    let hosts = receipt.stay.hosts.iter().cloned();
    let mut stays = std::iter::once(&receipt.stay).chain(receipt.whole_run.iter().map(|whole_run| &whole_run.stay));
    if receipt.delivery.contains("file") || stays.any(|stay| stay.uncounted) {
        return (hosts.collect(), Vec::new());
    }
    let host_of = |address: &str| address.split('/').next().unwrap_or_default().to_owned();
    let is_used = |used: &RegistryUse, host: &str| used.host == host && !used.integrations.is_empty();
    let later = receipt.whole_run.iter().flat_map(|whole_run| &whole_run.stay.used);
    let uses: Vec<&RegistryUse> = receipt.stay.used.iter().chain(later).collect();
    hosts.partition(|address| uses.iter().any(|used| is_used(used, &host_of(address))))
}

fn not_used(registries: &[String]) -> String {
    if registries.is_empty() { String::new() } else { format!("credentials of {}", registries.join(", ")) }
}

/// What stayed after the fetch step.
fn show_whole_run(whole_run: &WholeRun, screen: Screen) -> Result<(), CommandError> {
    let WholeRun { until, stay } = whole_run;
    let lent = format!("{}, lent from {} (for the step {until})", stay.hosts.join(", "), span(stay));
    screen.line(format_args!("  {:<11}  {lent}", "whole run"))?;
    show_stay(stay, &format!("in {until}: "), screen)
}

/// What was done with credentials; `when` stands before each thing.
fn show_stay(stay: &Stay, when: &str, screen: Screen) -> Result<(), CommandError> {
    let mut uses: Vec<String> = stay.used.iter().map(used).collect();
    if stay.uncounted {
        uses.push("how often, and what was pulled, is not known: the agent died during the step".to_owned());
    }
    for (name, items) in [("used", &uses), ("pulled", &stay.pulled), ("note", &stay.notes)] {
        show_list(name, when, items, screen)?;
    }
    Ok(())
}

fn show_list(name: &str, when: &str, items: &[String], screen: Screen) -> Result<(), CommandError> {
    for item in items {
        screen.line(format_args!("  {name:<11}  {when}{}", printable(item)))?;
    }
    Ok(())
}

fn span(stay: &Stay) -> String {
    format!("{} to {}", time(stay.began_at), time(stay.ended_at))
}

/// What the fetch step did with a host.
fn used(used: &RegistryUse) -> String {
    let bytes = used.bytes.map(|bytes| format!(", {bytes} bytes")).unwrap_or_default();
    let by = match used.integrations.as_slice() {
        [] => "without a credential".to_owned(),
        names => format!("by {}", names.join(", ")),
    };
    let times = if used.requests == 1 { "once".to_owned() } else { format!("{} times", used.requests) };
    format!("{} {times}{bytes}, {by}", used.host)
}

/// A failure in lines: what happened, and what to do.
pub(super) fn failed(failure: &Failure) -> String {
    let step = failure.step.map(|step| format!("in the step {step}: ")).unwrap_or_default();
    let hint = failure.hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
    // Some errors carry their hint in the message.
    let message = failure.message.trim_end().replace("; hint: ", "\nhint: ");
    format!("{step}{message}{hint}")
}

fn indented(text: &str) -> String {
    text.lines().flat_map(|line| ["  ".to_owned(), printable(line), "\n".to_owned()]).collect()
}

/// A plan in a line, by tofu's words.
pub(super) fn plan(plan: &PlanSummary) -> String {
    let PlanSummary { add, change, destroy, import, outputs } = plan;
    let mut text = format!("{add} to add, {change} to change, {destroy} to destroy");
    if *import > 0 {
        text = format!("{text}, {import} to import");
    }
    match outputs {
        0 => {}
        1 => text.push_str(", 1 output changes"),
        more => text = format!("{text}, {more} outputs change"),
    }
    text
}

/// What a person can do about a run that waits for one.
pub(super) fn what_next(run: &Run) -> Option<String> {
    let id = run.id;
    match run.state {
        RunState::AwaitingApproval => {
            Some(format!("waits for approval: `nigari run approve {id}` or `nigari run discard {id}`"))
        }
        RunState::ApplyQueued => run.run_directory.as_ref().map(|directory| {
            format!(
                "waits for an agent that can have {directory}, where it was planned; agents with another `run_root` \
                 give it back: `nigari agent list`"
            )
        }),
        RunState::Lost => Some(format!(
            "the agent vanished after the apply had started: start {} on its host again, it delivers what tofu wrote; \
             only if it will not come back, look at what the apply was to change, then `nigari run resolve {id} \
             --applied` or `--not-applied`",
            run.agent_name.as_ref().map_or_else(|| "the agent".to_owned(), |name| format!("agent {name}"))
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{ended, kept_aside, not_used, registries, what_next};
    use crate::protocol::agent::Receipt;
    use crate::protocol::run::Phase;

    #[test]
    fn a_state_that_is_kept_aside_is_told_with_its_place_and_the_way_in() {
        let events = json!([
            { "sequence": 1, "at": 1, "event": "state", "state": "applying" },
            { "sequence": 2, "at": 2, "event": "state_kept_aside", "agent": "host-7", "path": "/var/lib/x\u{1b}[2J" },
        ]);
        let told = kept_aside(&serde_json::from_value::<Vec<_>>(events).unwrap());
        assert_eq!(told.len(), 1);
        assert!(told[0].contains("`host-7` in /var/lib/x") && told[0].contains("nigari state push"), "{told:?}");
        assert!(!told[0].contains('\u{1b}'));
    }

    #[test]
    fn each_end_of_a_delivery_has_words_of_its_own() {
        let told = |word: &str, phase| ended(serde_json::from_value(json!(word)).unwrap(), phase);
        for (word, words) in [
            ("step_over", "the fetch step was over"),
            ("step_failed", "the fetch step failed"),
            ("canceled", "a person canceled"),
            ("killed", "a person had it killed"),
            ("lease_lost", "the lease was lost"),
            ("agent_stopped", "the agent was told to end"),
            ("crashed", "the step's launcher died"),
            ("never_began", "no step got them"),
            ("swept", "the agent died, and the next one swept"),
            ("of_a_later_version", "in a way that this version does not know"),
        ] {
            assert_eq!(told(word, Phase::Plan), words);
        }
        assert_eq!(told("step_over", Phase::Apply), "the step was over");
        assert_eq!(told("step_failed", Phase::Apply), "the step failed");
        assert_eq!(told("swept", Phase::Apply), "the agent died, and the next one swept");
    }

    #[test]
    fn registries_that_were_used_stand_apart_from_those_that_were_only_lent() {
        let receipt = |delivery: &str| -> Receipt {
            let receipt = json!({ "delivery": delivery, "sandbox": "namespace", "meaning": "m",
                "hosts": ["ghcr.io/acme", "r.example:5000", "quay.io"], "began_at": 1, "ended_at": 2, "end": "step_over",
                "wiped": true, "verified_by": "v", "modules": [], "used": [
                    { "host": "ghcr.io", "integrations": ["acme"], "requests": 3 },
                    { "host": "quay.io", "requests": 1 }] });
            serde_json::from_value(receipt).unwrap()
        };
        let (used, lent) = registries(&receipt("broker"));
        assert_eq!(used, ["ghcr.io/acme"]);
        assert_eq!(lent, ["r.example:5000", "quay.io"]);
        assert_eq!(registries(&receipt("file")).1, [""; 0], "nobody knows who read it");
        let mut died = receipt("broker");
        died.stay.uncounted = true;
        assert_eq!(registries(&died).1, [""; 0], "nobody knows what the dead agent counted");
        assert_eq!(not_used(&lent), "credentials of r.example:5000, quay.io");
        assert_eq!(not_used(&[]), "");
    }

    #[test]
    fn a_registry_that_was_used_in_the_apply_alone_was_used() {
        let receipt = json!({ "delivery": "broker", "sandbox": "namespace", "meaning": "m",
            "hosts": ["ghcr.io/acme", "ghcr.io/other", "quay.io"], "began_at": 1, "ended_at": 2, "end": "step_over",
            "wiped": true, "verified_by": "v", "modules": [], "used": [],
            "whole_run": { "until": "apply", "hosts": ["ghcr.io/acme"], "began_at": 1, "ended_at": 3,
                "used": [{ "host": "ghcr.io", "integrations": ["acme"], "requests": 3 }] } });
        let (used, lent) = registries(&serde_json::from_value(receipt).unwrap());
        assert_eq!(used, ["ghcr.io/acme", "ghcr.io/other"]);
        assert_eq!(lent, ["quay.io"]);
    }

    #[test]
    fn of_a_lost_run_its_agent_is_started_first_and_a_person_decides_last() {
        let id = |kind: &str| format!("{kind}-01a1fd86582072059141fd60117b5c25");
        let run = json!({ "id": id("run"), "workspace": id("ws"), "workspace_name": "net", "configuration": id("cfg"),
            "kind": "apply", "state": "lost", "auto_apply": false, "message": "", "created_by": "a", "created_at": 1,
            "agent_name": "host-7", "epoch": 1, "cancel_requested": false });
        let text = what_next(&serde_json::from_value(run).unwrap()).unwrap();
        let place = |words: &str| text.find(words).unwrap_or_else(|| panic!("{words}: {text}"));
        assert!(place("start agent host-7 on its host again") < place("nigari run resolve"));
    }
}
