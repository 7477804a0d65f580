//! What orders do to a running step.
//!
//! Rule: an interrupt goes to tofu alone and comes first; force follows after the grace, but an apply is killed only
//! when a person says `kill`, because killing it loses what it has made. A lost lease stops everything but an apply. A
//! fetch step, during which a credential exists, ends by itself once its time is up.

use std::time::Duration;

use tokio::time::Instant;

use crate::agent::orders::{Order, Orders};
use crate::process::Grace;
use crate::protocol::run::Step;
use crate::sandbox::{StepEnd, StepError};
use crate::settings::agent::Patience;

/// Whoever has the next lease may begin soon; and a fetch step has had all the time that there is.
const SHORT: Grace = Grace { first: Duration::from_secs(2), second: Duration::from_secs(1) };

/// A running process, as far as orders go.
pub(super) trait Ordered {
    /// One SIGINT.
    fn interrupt(&self);
    /// SIGINT, grace, SIGINT, grace, kill.
    fn cancel(&self, grace: Grace);
    /// SIGKILL for all of it.
    fn kill(&self);
    /// The end. Cancel safe.
    fn wait(&mut self) -> impl Future<Output = Result<StepEnd, StepError>> + Send;
}

impl Ordered for crate::sandbox::Step {
    fn interrupt(&self) {
        Self::interrupt(self);
    }

    fn cancel(&self, grace: Grace) {
        Self::cancel(self, grace);
    }

    fn kill(&self) {
        Self::kill(self);
    }

    async fn wait(&mut self) -> Result<StepEnd, StepError> {
        Self::wait(self).await
    }
}

/// How a step was followed to its end.
pub(super) struct Followed {
    pub(super) end: Result<StepEnd, StepError>,
    /// The harshest order that was obeyed.
    pub(super) order: Order,
    /// The time that it had, if that was up before anything else happened.
    pub(super) overdue: Option<Duration>,
}

/// Waits for the end and passes orders on.
pub(super) async fn until_end(process: &mut impl Ordered, orders: &Orders, step: Step, patience: Patience) -> Followed {
    let mut seen = Order::GoOn;
    // For an apply: when the second interrupt is due.
    let mut second = None;
    let mut limit = (step == Step::Fetch).then(|| Instant::now() + patience.fetch);
    let mut overdue = None;
    loop {
        tokio::select! {
            end = process.wait() => return Followed { end, order: obeyed(step, seen), overdue },
            order = orders.above(seen) => {
                seen = order;
                second = obey(process, step, order, patience).or(second);
            }
            () = at(second) => {
                process.interrupt();
                second = None;
            }
            () = at(limit) => {
                limit = None;
                overdue = (seen == Order::GoOn).then_some(patience.fetch);
                process.cancel(SHORT);
            }
        }
    }
}

/// Comes at that time, or never.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Passes one order on; gives the time of the second interrupt of an apply.
fn obey(process: &impl Ordered, step: Step, order: Order, patience: Patience) -> Option<Instant> {
    match (step, order) {
        (_, Order::Kill) => process.kill(),
        (Step::Apply, Order::Cancel | Order::Stop) => {
            process.interrupt();
            return Some(Instant::now() + patience.apply);
        }
        // It goes on and reports: the server never gives it to anybody else.
        (Step::Apply, Order::LeaseLost) | (_, Order::GoOn) => {}
        (_, Order::Cancel | Order::Stop) => {
            process.cancel(Grace { first: patience.step, second: patience.step });
        }
        (_, Order::LeaseLost) => process.cancel(SHORT),
    }
    None
}

fn obeyed(step: Step, seen: Order) -> Order {
    if step == Step::Apply && seen == Order::LeaseLost { Order::GoOn } else { seen }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::{Ordered, until_end};
    use crate::agent::orders::{Order, Orders};
    use crate::process::{ExitReason, Grace};
    use crate::protocol::run::Step;
    use crate::sandbox::{StepEnd, StepError};
    use crate::settings::agent::Patience;

    /// Ends by itself after a second, or when killed.
    #[derive(Default)]
    struct Process {
        got: Mutex<Vec<&'static str>>,
        killed: tokio::sync::Notify,
    }

    impl Process {
        fn note(&self, what: &'static str) {
            self.got.lock().unwrap().push(what);
        }
    }

    impl Ordered for Process {
        fn interrupt(&self) {
            self.note("interrupt");
        }

        fn cancel(&self, _: Grace) {
            self.note("cancel");
        }

        fn kill(&self) {
            self.note("kill");
            self.killed.notify_one();
        }

        async fn wait(&mut self) -> Result<StepEnd, StepError> {
            let _ = tokio::time::timeout(Duration::from_secs(1), self.killed.notified()).await;
            let exit = ExitReason::Code(1);
            Ok(StepEnd { exit, out_of_memory: false, launcher_lost: false, leftovers: 0, survivors: 0, wiped: None })
        }
    }

    async fn told(step: Step, given: &[Order]) -> (Vec<&'static str>, Order) {
        let (mut process, orders) = (Process::default(), Orders::new());
        let patience = Patience { apply: Duration::from_millis(200), ..Patience::default() };
        let give = async {
            for order in given {
                tokio::time::sleep(Duration::from_millis(30)).await;
                orders.raise(*order);
            }
        };
        let (followed, ()) = tokio::join!(until_end(&mut process, &orders, step, patience), give);
        (process.got.into_inner().unwrap(), followed.order)
    }

    #[tokio::test]
    async fn a_fetch_step_alone_ends_when_its_time_is_up() {
        let patience = Patience { fetch: Duration::from_millis(50), ..Patience::default() };
        for (step, got, overdue) in [(Step::Fetch, vec!["cancel"], Some(patience.fetch)), (Step::Plan, vec![], None)] {
            let mut process = Process::default();
            let followed = until_end(&mut process, &Orders::new(), step, patience).await;
            assert_eq!((process.got.into_inner().unwrap(), followed.overdue), (got, overdue));
        }
    }

    #[tokio::test]
    async fn a_fetch_step_that_was_told_to_end_is_not_called_late() {
        let patience = Patience { fetch: Duration::from_millis(200), ..Patience::default() };
        let (mut process, orders) = (Process::default(), Orders::new());
        orders.raise(Order::Cancel);
        let followed = until_end(&mut process, &orders, Step::Fetch, patience).await;
        assert_eq!((followed.order, followed.overdue), (Order::Cancel, None));
    }

    #[tokio::test]
    async fn a_plan_is_canceled_with_grace_and_a_kill_at_its_end() {
        assert_eq!(told(Step::Plan, &[Order::Cancel]).await, (vec!["cancel"], Order::Cancel));
        assert_eq!(told(Step::Init, &[Order::LeaseLost]).await, (vec!["cancel"], Order::LeaseLost));
    }

    #[tokio::test]
    async fn an_apply_is_interrupted_twice_and_not_killed() {
        assert_eq!(told(Step::Apply, &[Order::Cancel]).await, (vec!["interrupt", "interrupt"], Order::Cancel));
    }

    #[tokio::test]
    async fn an_apply_goes_on_without_its_lease() {
        assert_eq!(told(Step::Apply, &[Order::LeaseLost]).await, (vec![], Order::GoOn));
    }

    #[tokio::test]
    async fn a_kill_kills_even_an_apply() {
        let got = told(Step::Apply, &[Order::Cancel, Order::Kill]).await;
        assert_eq!(got, (vec!["interrupt", "kill"], Order::Kill));
    }
}
