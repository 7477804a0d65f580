//! Renews leases on a thread of its own, with a runtime of its own.
//!
//! Rule: whatever keeps the agent's other threads busy, leases are renewed, and a lease that could not be is told to
//! its run in time. After a suspend the first thing is a look at the boot-time clock.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::times::Times;
use crate::agent::orders::{Order, Orders};
use crate::clock::BootInstant;
use crate::protocol::agent::RenewAnswer;

/// Why a lease was not renewed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RenewError {
    /// Another claim has the run, or nobody.
    #[error("the server says that the lease is over")]
    Stale,
    /// A repeat may succeed.
    #[error("{0}")]
    Away(String),
}

/// One renewal of one lease; runs on the keeper's own runtime.
pub(crate) type Renewal = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<RenewAnswer, RenewError>> + Send>> + Send>;

/// The thread; dropping it lets it end when the last lease has.
#[derive(Debug, Clone)]
pub(crate) struct Keeper {
    jobs: mpsc::UnboundedSender<Job>,
}

struct Job {
    renewal: Renewal,
    times: Times,
    is_late: bool,
    orders: Orders,
    ended: CancellationToken,
}

/// Ends the renewal when dropped.
#[derive(Debug)]
pub(super) struct Kept {
    ended: CancellationToken,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.ended.cancel();
    }
}

impl Keeper {
    /// Starts the thread.
    pub(crate) fn start() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (jobs, mut wanted) = mpsc::unbounded_channel::<Job>();
        std::thread::Builder::new().name("leases".to_owned()).spawn(move || {
            runtime.block_on(async move {
                let mut kept = tokio::task::JoinSet::new();
                while let Some(job) = wanted.recv().await {
                    kept.spawn(keep(job));
                    while kept.try_join_next().is_some() {}
                }
                kept.join_all().await;
            });
        })?;
        Ok(Self { jobs })
    }

    /// Keeps a lease that was granted by a request sent at `sent`, until the answer is dropped.
    pub(super) fn keep(&self, sent: BootInstant, length: Duration, orders: &Orders, renewal: Renewal) -> Kept {
        let ended = CancellationToken::new();
        let times = Times::granted(sent, length);
        // A long poll's answer comes long after its request was sent: such a lease is renewed before it is judged.
        let is_late = sent.elapsed() > length / 6;
        let job = Job { renewal, times, is_late, orders: orders.clone(), ended: ended.clone() };
        if self.jobs.send(job).is_err() {
            // The thread is gone: nothing will renew it.
            orders.raise(Order::LeaseLost);
        }
        Kept { ended }
    }
}

async fn keep(job: Job) {
    let Job { renewal, mut times, mut is_late, orders, ended } = job;
    let mut pause = if is_late { Duration::ZERO } else { times.pause() };
    loop {
        tokio::select! {
            () = ended.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        if times.is_over() && !std::mem::take(&mut is_late) {
            orders.raise(Order::LeaseLost);
        }
        let sent = BootInstant::now();
        let answer = tokio::select! {
            () = ended.cancelled() => return,
            answer = tokio::time::timeout(times.patience(), renewal()) => answer,
        };
        pause = match answer {
            Ok(Ok(answer)) => {
                times = Times::granted(sent, Duration::from_secs(answer.lease_seconds));
                obey(&answer, &orders);
                times.pause()
            }
            Ok(Err(RenewError::Stale)) => {
                orders.raise(Order::LeaseLost);
                return;
            }
            Ok(Err(RenewError::Away(_))) | Err(_) => {
                if times.is_over() {
                    times.retry()
                } else {
                    times.retry().min(times.deadline.remaining())
                }
            }
        };
    }
}

fn obey(answer: &RenewAnswer, orders: &Orders) {
    if answer.cancel {
        orders.raise(Order::Cancel);
    }
    if answer.kill {
        orders.raise(Order::Kill);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::{Keeper, RenewError, Renewal};
    use crate::agent::orders::{Order, Orders};
    use crate::clock::BootInstant;
    use crate::protocol::agent::RenewAnswer;

    type Answers = Arc<Mutex<VecDeque<Result<RenewAnswer, RenewError>>>>;

    const LENGTH: Duration = Duration::from_secs(2);
    const LONG: Duration = Duration::from_secs(30);

    fn granted() -> RenewAnswer {
        RenewAnswer { lease_seconds: 2, cancel: false, kill: false }
    }

    /// Answers from the script, then as if the server were away; counts.
    fn scripted(script: Vec<Result<RenewAnswer, RenewError>>) -> (Renewal, Arc<Mutex<usize>>) {
        let answers: Answers = Arc::new(Mutex::new(script.into()));
        let count = Arc::new(Mutex::new(0));
        let counter = Arc::clone(&count);
        let renewal: Renewal = Box::new(move || {
            *counter.lock().unwrap() += 1;
            let answer = answers.lock().unwrap().pop_front();
            let away = || Err(RenewError::Away("connection refused".into()));
            Box::pin(std::future::ready(answer.unwrap_or_else(away)))
        });
        (renewal, count)
    }

    async fn order_after(script: Vec<Result<RenewAnswer, RenewError>>) -> (Order, Duration) {
        let (orders, (renewal, _)) = (Orders::new(), scripted(script));
        let sent = BootInstant::now();
        let _kept = Keeper::start().unwrap().keep(sent, LENGTH, &orders, renewal);
        let order = tokio::time::timeout(LONG, orders.above(Order::GoOn)).await.unwrap();
        (order, sent.elapsed())
    }

    #[tokio::test]
    async fn a_server_that_stays_away_costs_the_lease_before_its_end() {
        let (order, after) = order_after(vec![]).await;
        assert_eq!(order, Order::LeaseLost);
        assert!(after >= Duration::from_secs(1), "{after:?}");
    }

    #[tokio::test]
    async fn renewals_lengthen_the_lease() {
        let (order, after) = order_after(vec![Ok(granted()), Ok(granted())]).await;
        assert_eq!(order, Order::LeaseLost);
        assert!(after >= LENGTH, "{after:?}");
    }

    #[tokio::test]
    async fn a_claim_that_waited_long_is_renewed_before_it_is_judged() {
        let (orders, (renewal, count)) = (Orders::new(), scripted((0..100).map(|_| Ok(granted())).collect()));
        let sent = BootInstant::now();
        tokio::time::sleep(LENGTH).await;
        let _kept = Keeper::start().unwrap().keep(sent, LENGTH, &orders, renewal);
        tokio::time::sleep(LENGTH / 4).await;
        assert_eq!((orders.current(), *count.lock().unwrap()), (Order::GoOn, 1));
    }

    #[tokio::test]
    async fn a_stale_epoch_is_told_at_once() {
        assert_eq!(order_after(vec![Err(RenewError::Stale)]).await.0, Order::LeaseLost);
    }

    #[tokio::test]
    async fn a_cancel_comes_with_a_renewal() {
        let cancel = RenewAnswer { cancel: true, ..granted() };
        assert_eq!(order_after(vec![Ok(cancel)]).await.0, Order::Cancel);
    }

    #[tokio::test]
    async fn a_lease_is_renewed_while_every_other_thread_is_busy_and_not_after_its_drop() {
        let (orders, (renewal, count)) = (Orders::new(), scripted((0..100).map(|_| Ok(granted())).collect()));
        let keeper = Keeper::start().unwrap();
        let kept = keeper.keep(BootInstant::now(), LENGTH, &orders, renewal);
        // Blocks this test's only runtime thread.
        std::thread::sleep(LENGTH * 2);
        assert_eq!(orders.current(), Order::GoOn);
        drop(kept);
        std::thread::sleep(Duration::from_millis(200));
        let renewed = *count.lock().unwrap();
        assert!(renewed >= 3, "{renewed}");
        std::thread::sleep(LENGTH);
        assert_eq!(*count.lock().unwrap(), renewed);
    }
}
