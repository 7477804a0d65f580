//! The step `fetch`: `tofu get` with the delivery, the only step during which a registry credential exists.
//!
//! Rule: the delivery comes in by value, and nothing of it goes out but a receipt. `get` runs no program that the
//! configuration names, nor does `init -backend=false`, which it is where providers come from an OCI mirror (a full `init`
//! would); the files are the launcher's to write and to wipe, also if the agent dies.

use super::search_path::SearchPath;
use super::{Ended, Run, Start, environment, failed, fetch_home, git};
use crate::agent::failure::Stop;
use crate::agent::providers;
use crate::delivery::{Beside, Delivered, Delivery, Ending, Pending, Witnessed};
use crate::protocol::agent::{CredentialsAnswer, Receipt, ReceiptEnd, RegistryCredential, Withheld};
use crate::protocol::run::Step;
use crate::sandbox::{OwnProgram, Sandbox, StepEnd, Wiper, landlock_version, left_open};
use crate::tofu::cli_configuration::problems::{Problems, find};
use crate::tofu::{arguments, hint, modules};

/// Bytes of the modules in a receipt: a report as a whole may have a mebibyte.
const MODULE_BYTES: usize = 256 * 1024;

/// The modules are there. Only this step and a restored artifact can say so.
#[derive(Debug)]
pub(crate) struct Fetched {
    _private: (),
}

impl Fetched {
    /// They were put back from the artifact of an approved plan.
    pub(crate) fn restored() -> Self {
        Self { _private: () }
    }
}

/// What hints may say of the run's credentials: names and places, no value.
#[derive(Debug)]
pub(crate) struct Known {
    delivered: Vec<hint::Delivered>,
    withheld: Vec<hint::Withheld>,
}

impl Known {
    pub(crate) fn of(answer: &CredentialsAnswer) -> Self {
        Self {
            delivered: answer.credentials.iter().map(of_delivered).collect(),
            withheld: answer.withheld.iter().map(of_withheld).collect(),
        }
    }
}

/// Fetches the modules; gives the receipt whether or not it went well, unless the step got nothing of the delivery.
pub(crate) async fn fetch(
    run: &Run<'_>,
    delivery: Box<dyn Delivery>,
    known: &Known,
    program: &OwnProgram,
) -> (Option<Receipt>, Result<Fetched, Stop>) {
    let mut secrets = run.host.secrets.directory(Vec::new());
    let given = git::for_fetch(&run.host.settings.ssh, &secrets.path()).and_then(|ssh| {
        let delivered = delivery.deliver(&secrets.path())?;
        let private = run.directory.private();
        let path = SearchPath::place(private, program, &delivered.programs, &run.host.search_path);
        let path = path.map_err(|error| unplaced(program, &error))?;
        let home = fetch_home::make(run).map_err(|error| Stop::io("cannot make a HOME for the fetch step", &error))?;
        Ok((ssh, (path, home), delivered))
    });
    let ((ssh_files, ssh_command), (path, home), delivered) = match given {
        Ok(given) => given,
        Err(stop) => return (None, Err(stop.during(Step::Fetch))),
    };
    let Delivered { files, mut variables, mut readable, sockets, mut beside, receipt, .. } = delivered;
    failpoint!("agent.delivery.described");
    secrets.files = files;
    secrets.files.extend(ssh_files);
    variables.push(ssh_command);
    variables.extend(path.variables.into_iter().chain(home.variables));
    readable.extend(path.readable.into_iter().chain(home.readable));
    let words = if run.host.takes_from_oci_mirror() { arguments::init_without_backend() } else { arguments::get() };
    let mut start = Start::new(Step::Fetch, words, variables);
    start.passed = environment::duplicates(&run.host.passed_for_fetch);
    start.secrets = Some(secrets);
    (start.readable, start.sockets) = (readable, sockets);
    let ended = run.start_beside(start, &mut beside).await;
    failpoint!("agent.fetch.ended");
    let witnessed = close_all(beside).await;
    failpoint!("agent.beside.closed");
    match ended {
        Ok(ended) => {
            let faults = witnessed.faults.clone();
            let mut receipt = close(run, receipt, witnessed, &ended);
            let result = judge(run, &ended, (known, &faults), &mut receipt).map_err(|stop| stop.because(&faults));
            failpoint!("agent.receipt.closed");
            (Some(receipt), result)
        }
        Err(stop) => (Some(unverified(run, receipt, witnessed, &stop)), Err(stop)),
    }
}

/// git and hg could be started in another way than by this program, so the step does not begin.
fn unplaced(program: &OwnProgram, error: &std::io::Error) -> Stop {
    let message = format!("{} cannot be started in the place of git and hg: {error}", program.path().display());
    let hint = "if the agent's program was replaced, restart the agent; its copy for a run needs a `run_root` that is not \
                mounted with `noexec`";
    Stop::infrastructure(message, Some(hint.to_owned()))
}

/// Ends everything that worked beside the step.
async fn close_all(beside: Vec<Box<dyn Beside>>) -> Witnessed {
    let mut all = Witnessed::default();
    for one in beside {
        let Witnessed { used, pulled, notes, faults } = one.close().await;
        all.used.extend(used);
        all.pulled.extend(pulled);
        all.notes.extend(notes);
        all.faults.extend(faults);
    }
    all
}

fn judge(
    run: &Run<'_>,
    ended: &Ended,
    (known, faults): (&Known, &[String]),
    receipt: &mut Receipt,
) -> Result<Fetched, Stop> {
    if let Problems::Errors(problems) = find(&ended.stderr_head) {
        let message = format!("tofu refuses its CLI configuration: {problems}");
        return Err(Stop::infrastructure(message, None).during(Step::Fetch));
    }
    if !ended.is_success() {
        let known = hint::Known { delivered: &known.delivered, withheld: &known.withheld };
        // tofu shows a status alone where the broker knows why.
        let hint = hint::find(&ended.tail, faults, known);
        return Err(failed(Step::Fetch, ended, hint));
    }
    let directory = run.directory;
    let fetched =
        modules::fetched(&directory.configuration(), directory.working_directory(), &directory.data_directory());
    let fetched = fetched.map_err(|error| Stop::from(error).during(Step::Fetch))?;
    receipt.providers = keep_providers(run).map_err(|stop| stop.during(Step::Fetch))?;
    receipt.modules = bounded(fetched.into_iter().map(|module| format!("{} {}", module.key, module.source)));
    Ok(Fetched { _private: () })
}

/// A list for people, no longer than what a server takes in one piece.
fn bounded(lines: impl Iterator<Item = String>) -> Vec<String> {
    let (mut kept, mut bytes, mut more) = (Vec::new(), 0, 0_usize);
    for line in lines {
        bytes += line.len();
        if bytes > MODULE_BYTES {
            more += 1;
        } else {
            kept.push(line);
        }
    }
    kept.extend((more > 0).then(|| format!("and {more} more")));
    kept
}

/// Providers from an OCI mirror stay with the run.
fn keep_providers(run: &Run<'_>) -> Result<Vec<String>, Stop> {
    let (operator, _) = run.host.operator.current(&run.host.secrets)?;
    let mirrors = operator.oci_mirrors()?;
    providers::keep(run.directory, |provider| mirrors.iter().any(|mirror| mirror.serves(provider)))
        .map_err(|error| Stop::io("cannot keep the providers that were fetched", &error))
}

fn close(run: &Run<'_>, receipt: Pending, mut witnessed: Witnessed, ended: &Ended) -> Receipt {
    witnessed.notes.extend(left_open(landlock_version()).map(str::to_owned));
    receipt.close(Ending {
        sandbox: run.host.sandbox.name().to_owned(),
        at: run.host.clock.now(),
        end: end_of(ended),
        wiped: ended.end.wiped.is_some(),
        verified_by: verified_by(&ended.end, run.host.sandbox).to_owned(),
        witnessed,
    })
}

fn end_of(ended: &Ended) -> ReceiptEnd {
    match ended.order.end() {
        Some(end) => end,
        None if ended.is_success() => ReceiptEnd::StepOver,
        None if ended.end.launcher_lost => ReceiptEnd::Crashed,
        None => ReceiptEnd::StepFailed,
    }
}

fn verified_by(end: &StepEnd, sandbox: Sandbox) -> &'static str {
    match end.wiped.map(|wipe| wipe.by) {
        Some(Wiper::Launcher) if sandbox == Sandbox::Namespace => {
            "the launcher emptied the secret directory, which the sandbox alone had, and looked again; nothing of the \
             sandbox is alive"
        }
        Some(Wiper::Launcher) => "the launcher removed the secret directory; the agent looked again and found none",
        Some(Wiper::Agent) => "the agent removed the secret directory after its launcher had died, and looked again",
        Some(Wiper::Kernel) => {
            "the launcher had died, and with it the sandbox that alone had the secret directory; the agent saw that \
             nothing of it was alive"
        }
        None => "nothing",
    }
}

/// The step gave no end: either it never started and nothing was written, or secrets may remain.
fn unverified(run: &Run<'_>, receipt: Pending, witnessed: Witnessed, stop: &Stop) -> Receipt {
    let remains = matches!(stop, Stop::SecretsRemain(_));
    // What remains says nothing of why the step had ended.
    let ordered = run.lease.orders.current().end().filter(|_| remains);
    receipt.close(Ending {
        sandbox: run.host.sandbox.name().to_owned(),
        at: run.host.clock.now(),
        end: ordered.unwrap_or_else(|| stop.end()),
        wiped: !remains,
        verified_by: if remains { "nothing" } else { "the step did not start, or what it left was wiped" }.to_owned(),
        witnessed,
    })
}

fn of_delivered(credential: &RegistryCredential) -> hint::Delivered {
    hint::Delivered {
        integration: credential.name.clone(),
        registry_host: credential.address.host().to_owned(),
        path: credential.address.path().unwrap_or_default().to_owned(),
    }
}

fn of_withheld(withheld: &Withheld) -> hint::Withheld {
    use crate::protocol::agent::WithheldReason as From;
    use hint::WithheldReason as To;
    hint::Withheld {
        integration: withheld.name.clone(),
        registry_host: withheld.address.host().to_owned(),
        path: withheld.address.path().unwrap_or_default().to_owned(),
        reason: match withheld.reason {
            From::ExportOff => To::ExportOff,
            From::Disabled => To::Disabled,
            From::OutOfScope => To::OutOfScope,
            From::FileNotPermitted => To::FileNotPermitted,
            From::Unreadable => To::Unreadable,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::{Ended, MODULE_BYTES, bounded, end_of};
    use crate::agent::orders::Order;
    use crate::process::ExitReason;
    use crate::protocol::agent::ReceiptEnd;
    use crate::sandbox::StepEnd;

    #[test]
    fn modules_without_end_are_told_by_their_number() {
        let line = |number: usize| format!("{number:099}");
        assert_eq!(bounded((0..3).map(line)), [line(0), line(1), line(2)]);
        let told = bounded((0..5000).map(line));
        assert_eq!((told.len(), told[0].as_str()), (MODULE_BYTES / 99 + 1, line(0).as_str()));
        assert_eq!(told.last().unwrap(), &format!("and {} more", 5000 - MODULE_BYTES / 99));
    }

    #[test]
    fn a_receipt_says_who_or_what_ended_the_fetch_step() {
        let told = |order: Order, code: i32, launcher_lost: bool| {
            let exit = ExitReason::Code(code);
            let end = StepEnd { exit, out_of_memory: false, launcher_lost, leftovers: 0, survivors: 0, wiped: None };
            end_of(&Ended { end, order, overdue: None, tail: String::new(), stderr_head: String::new() })
        };
        assert_eq!(told(Order::GoOn, 0, false), ReceiptEnd::StepOver);
        assert_eq!(told(Order::GoOn, 1, false), ReceiptEnd::StepFailed);
        assert_eq!(told(Order::GoOn, 137, true), ReceiptEnd::Crashed);
        for (order, end) in [
            (Order::Cancel, ReceiptEnd::Canceled),
            (Order::Kill, ReceiptEnd::Killed),
            (Order::Stop, ReceiptEnd::AgentStopped),
            (Order::LeaseLost, ReceiptEnd::LeaseLost),
        ] {
            assert_eq!(told(order, 1, false), end, "{order:?}");
        }
    }
}
