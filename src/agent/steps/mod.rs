//! One process of tofu after the other, each in the launcher's hands.
//!
//! Rule: a step is reported before its process starts; what it may know is handed to it by value, and what follows
//! can only be had from it: no `plan` without an `init`, no `apply` without the plan file.

mod apply;
mod environment;
mod fetch;
mod fetch_home;
mod files;
mod git;
mod init;
mod output;
mod picture;
mod plan;
mod search_path;
mod show;
mod stand_in;
mod supervise;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use apply::apply;
pub(crate) use fetch::{Fetched, Known, fetch};
pub(crate) use init::{Initialized, backend_name, init};
pub(crate) use picture::Picture;
pub(crate) use plan::{Planned, plan};
pub(crate) use show::show;
pub(crate) use stand_in::stand_in;

use super::Host;
use super::claim::Lease;
use super::directory::RunDirectory;
use super::failure::{Stop, failure};
use super::log::Log;
use super::orders::{Order, Orders};
use super::view;
use crate::client::ClientError;
use crate::delivery::Beside;
use crate::process::ExitReason;
use crate::protocol::agent::{FailureClass, StepReport};
use crate::protocol::id::RequestId;
use crate::protocol::run::Step;
use crate::sandbox::{Launch, Limits, Output, SecretDirectory, StepEnd, WhenAgentDies};
use crate::secret::Secret;
use crate::settings::agent::{Patience, StepLimits};
use crate::settings::duration::Span;
use output::Kept;

/// What every step of a run needs.
#[derive(Clone)]
pub(crate) struct Run<'a> {
    pub(crate) host: &'a Host,
    pub(crate) lease: &'a Lease,
    pub(crate) directory: &'a Arc<RunDirectory>,
    pub(crate) log: Log,
}

/// One start of tofu.
struct Start {
    step: Step,
    arguments: Vec<OsString>,
    /// What this step gets besides what every step gets.
    ours: Vec<(String, Secret)>,
    /// What the operator passes to this step alone.
    passed: Vec<(String, Secret)>,
    secrets: Option<SecretDirectory>,
    /// What of the host this step must be able to read besides, and to connect to.
    readable: Vec<PathBuf>,
    sockets: Vec<PathBuf>,
    /// Who reads standard output instead of the log.
    reader: Option<Box<dyn FnOnce(Output) + Send>>,
}

impl Start {
    fn new(step: Step, arguments: Vec<OsString>, ours: Vec<(String, Secret)>) -> Self {
        Self {
            step,
            arguments,
            ours,
            passed: Vec::new(),
            secrets: None,
            readable: Vec::new(),
            sockets: Vec::new(),
            reader: None,
        }
    }
}

/// How one start ended.
struct Ended {
    end: StepEnd,
    /// The harshest order while it ran.
    order: Order,
    /// The time that it had, if that was up.
    overdue: Option<Duration>,
    /// The end of what it wrote, both streams as they came.
    tail: String,
    /// The beginning of its standard error.
    stderr_head: String,
}

impl Ended {
    /// Whether it ended with code 0.
    fn is_success(&self) -> bool {
        self.end.exit.is_success()
    }
}

impl Run<'_> {
    /// How long requests are tried again while the server is away.
    pub(crate) fn patience(&self) -> Duration {
        self.host.settings.patience.request
    }

    /// Reports a step; the answer must be there before its process starts.
    async fn report(&self, step: Step) -> Result<(), Stop> {
        let report = StepReport { request: RequestId::generate() };
        let reported = ask(self.lease, self.patience(), || self.lease.server.report_step(step, &report));
        reported.await.map_err(|stop| stop.during(step))
    }

    /// Starts tofu and follows it to its end.
    async fn start(&self, start: Start) -> Result<Ended, Stop> {
        self.start_beside(start, &mut []).await
    }

    /// The same, and tells what works beside the step when its process runs.
    async fn start_beside(&self, start: Start, beside: &mut [Box<dyn Beside>]) -> Result<Ended, Stop> {
        let step = start.step;
        self.stop_if_told(step)?;
        let words: Vec<String> = start.arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        self.log.header(step, words.first().map_or("", String::as_str));
        let passed = start.passed;
        let environment = environment::build(self, step, start.ours, passed).map_err(|stop| stop.during(step))?;
        let mut view = view::of_step(self.host, self.directory, step);
        view.readable.extend(start.readable);
        view.sockets.extend(start.sockets);
        let launch = Launch {
            sandbox: self.host.sandbox,
            view,
            program: self.host.tofu.clone(),
            arguments: words,
            environment,
            working_directory: self.directory.working_directory().to_owned(),
            // Plan file and CLI configuration too: an orphaned apply still has them when the next agent sweeps.
            lock_directories: vec![self.directory.path().to_owned(), self.directory.private().path().to_owned()],
            secret_directory: start.secrets,
            when_agent_dies: when_agent_dies(step, self.host.settings.patience),
            limits: limits(self.host.settings.step_limits),
        };
        let mut process = self.host.launcher.start(launch).await.map_err(|error| Stop::from(error).during(step))?;
        failpoint!("agent.step.started");
        for one in beside {
            one.started(process.process_id());
        }
        let (stdout, stderr) = (process.stdout(), process.stderr());
        let kept = Kept::default();
        let stdout = async {
            match (stdout, start.reader) {
                (Some(stdout), Some(reader)) => reader(stdout),
                (Some(stdout), None) => output::pump(stdout, &self.log, &kept, false).await,
                (None, _) => {}
            }
        };
        let stderr = async {
            if let Some(stderr) = stderr {
                output::pump(stderr, &self.log, &kept, true).await;
            }
        };
        let (orders, patience) = (&self.lease.orders, self.host.settings.patience);
        let pumps = async { ((), ()) = tokio::join!(stdout, stderr) };
        let followed = supervise::until_end(&mut process, orders, step, patience);
        let is_dead = |followed: &supervise::Followed| matches!(&followed.end, Ok(end) if end.survivors == 0);
        let followed = output::read_beside(pumps, followed, is_dead).await;
        let supervise::Followed { end, order, overdue } = followed;
        let end = end.map_err(Stop::from).and_then(|end| all_dead(step, end)).map_err(|stop| stop.during(step))?;
        // Everything of the step is dead: the next one's launcher may begin while the server is told of this one.
        self.host.launcher.stand_by(self.host.sandbox);
        failpoint!("agent.step.ended");
        let (tail, stderr_head) = kept.into_texts();
        Ok(Ended { end, order, overdue, tail, stderr_head })
    }

    /// What an order means before a step begins.
    pub(crate) fn stop_if_told(&self, step: Step) -> Result<(), Stop> {
        told(self.lease.orders.current()).map_or(Ok(()), |stop| Err(stop.during(step)))
    }
}

/// Repeats an idempotent call for a run while the server is away, until the run is told to stop: what the answer was
/// wanted for is not to be done then.
pub(crate) async fn ask<T, F>(lease: &Lease, patience: Duration, call: impl FnMut() -> F) -> Result<T, Stop>
where
    F: Future<Output = Result<T, ClientError>>,
{
    unless_told(&lease.orders, lease.persist(patience, call)).await
}

async fn unless_told<T>(orders: &Orders, asked: impl Future<Output = Result<T, ClientError>>) -> Result<T, Stop> {
    tokio::select! {
        biased;
        order = orders.above(Order::GoOn) => Err(told(order).unwrap_or(Stop::Canceled { killed: false })),
        answer = asked => answer.map_err(Stop::from),
    }
}

/// Why a step that did not succeed stops the phase: an order, the kernel, or tofu itself.
fn failed(step: Step, ended: &Ended, hint: Option<String>) -> Stop {
    if let (Some(limit), Order::GoOn) = (ended.overdue, ended.order) {
        return overdue(step, limit, &ended.tail).during(step);
    }
    let reason = match ended.end.exit {
        _ if ended.order > Order::GoOn => told(ended.order).unwrap_or(Stop::Canceled { killed: false }),
        _ if ended.end.out_of_memory => Stop::infrastructure(
            "the kernel killed tofu for want of memory",
            Some("give the host more memory, or run less at the same time".to_owned()),
        ),
        _ if ended.end.launcher_lost => Stop::crashed("the launcher was killed, and tofu with it"),
        ExitReason::Signal(signal) => Stop::infrastructure(format!("tofu was killed by signal {signal}"), None),
        ExitReason::Code(code) => {
            Stop::configuration(output::error_of(&ended.tail, &format!("tofu ended with exit code {code}")), hint)
        }
    };
    reason.during(step)
}

fn overdue(step: Step, limit: Duration, tail: &str) -> Stop {
    let last = output::last_download(tail).map(|line| format!("; it was at: {line}")).unwrap_or_default();
    let message =
        format!("tofu was ended, because the step {step} took longer than {} (`fetch_limit`){last}", Span(limit));
    let hint = "the log and `nigari run show` say which hosts it talked to; if modules need more time to come, raise \
                `fetch_limit` of the agent";
    Stop::infrastructure(message, Some(hint.to_owned()))
}

/// What an order makes of a phase that is not an apply under way.
fn told(order: Order) -> Option<Stop> {
    match order {
        Order::GoOn => None,
        Order::Cancel => Some(Stop::Canceled { killed: false }),
        Order::Kill => Some(Stop::Canceled { killed: true }),
        Order::Stop => Some(Stop::agent_stopped()),
        Order::LeaseLost => Some(Stop::lease_lost()),
    }
}

/// What `fetch` and `init` started must not outlive them: it may hold in memory what these steps were lent. What is left
/// of a later step is told, but its outcome counts.
fn all_dead(step: Step, end: StepEnd) -> Result<StepEnd, Stop> {
    if end.survivors == 0 || !matches!(step, Step::Fetch | Step::Init) {
        return Ok(end);
    }
    let message = format!("the kernel does not let {} process(es) die that the step has started", end.survivors);
    let hint = "look for processes of the agent's user in the state D, and for the device or mount that they wait \
                for; once they are gone, start the agent again";
    Err(Stop::SecretsRemain(failure(FailureClass::WipeFailed, message, Some(hint.to_owned()))))
}

fn limits(limits: StepLimits) -> Limits {
    let StepLimits { processes, open_files, file_size_bytes } = limits;
    Limits { open_files, file_size_bytes, processes, ..Limits::default() }
}

/// `fetch`, `init` and `show` can be repeated; `plan` may hold the state's lock and is soon planned again by whoever
/// gets the run next; `apply` writes the state and has all the time that it would have had.
fn when_agent_dies(step: Step, patience: Patience) -> WhenAgentDies {
    match step {
        Step::Fetch | Step::Init | Step::Show => WhenAgentDies::Kill,
        Step::Plan => WhenAgentDies::Interrupt { wait: patience.step },
        Step::Apply => WhenAgentDies::Interrupt { wait: patience.apply },
    }
}

#[cfg(test)]
mod tests {
    use super::{Order, Orders, Stop, all_dead, unless_told};
    use crate::client::ClientError;
    use crate::process::ExitReason;
    use crate::protocol::run::Step;
    use crate::sandbox::StepEnd;

    #[test]
    fn what_does_not_die_after_fetch_and_init_ends_the_agent_and_never_takes_an_applys_outcome_away() {
        let end = |survivors| StepEnd {
            exit: ExitReason::Code(0),
            out_of_memory: false,
            launcher_lost: false,
            leftovers: survivors,
            survivors,
            wiped: None,
        };
        for step in [Step::Fetch, Step::Init] {
            assert!(matches!(all_dead(step, end(1)), Err(Stop::SecretsRemain(_))), "{step:?}");
            assert!(all_dead(step, end(0)).is_ok());
        }
        for step in [Step::Plan, Step::Show, Step::Apply] {
            assert!(all_dead(step, end(1)).is_ok(), "{step:?}");
        }
    }

    #[tokio::test]
    async fn a_wait_for_the_server_ends_with_an_order() {
        let answer = |order: Order| async move {
            let orders = Orders::new();
            let asked = std::future::pending::<Result<(), ClientError>>();
            let told = async {
                tokio::task::yield_now().await;
                orders.raise(order);
            };
            tokio::join!(unless_told(&orders, asked), told).0.unwrap_err()
        };
        for order in [Order::Cancel, Order::Kill] {
            let is_kill = order == Order::Kill;
            assert!(matches!(answer(order).await, Stop::Canceled { killed } if killed == is_kill), "{order:?}");
        }
        for order in [Order::Stop, Order::LeaseLost] {
            let told = answer(order).await;
            assert!(matches!(told, Stop::Ended(end, _) if Some(end) == order.end()), "{order:?}: {told:?}");
        }
        assert!(unless_told(&Orders::new(), std::future::ready(Ok(()))).await.is_ok());
    }
}
