//! The calls for a run that is claimed: each carries the claim's epoch.
//!
//! Rule: a stale epoch is the problem `stale_epoch`, which is never tried again.

use reqwest::Method;

use crate::client::call::Call;
use crate::client::{Client, ClientError};
use crate::protocol::EPOCH_HEADER;
use crate::protocol::agent::{
    CredentialsAnswer, CredentialsRequest, Finish, FinishAnswer, Receipt, RenewAnswer, StepReport,
};
use crate::protocol::id::RunId;
use crate::protocol::run::{Phase, Step};

/// The server, as a claimed run's work sees it. Clones share connections and session.
#[derive(Debug, Clone)]
pub struct LeasedRun {
    client: Client,
    run: RunId,
    epoch: i64,
}

impl LeasedRun {
    pub(super) fn new(client: Client, run: RunId, epoch: i64) -> Self {
        Self { client, run, epoch }
    }

    /// The run.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// The claim's epoch.
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// A request below the run's route; `operation` is followed by the run in messages.
    pub(super) fn call(&self, method: Method, rest: &[&str], operation: &str) -> Call<'_> {
        let run = self.run.to_string();
        let route = [&["agent", "runs", run.as_str()], rest].concat();
        self.client.call(method, &route, format!("{operation} {run}")).header(EPOCH_HEADER, &self.epoch)
    }

    /// Keeps the lease.
    pub async fn renew(&self) -> Result<RenewAnswer, ClientError> {
        self.call(Method::POST, &["renew"], "renew the lease of").value().await
    }

    /// Reports a step, before its process starts.
    pub async fn report_step(&self, step: Step, report: &StepReport) -> Result<(), ClientError> {
        let operation = format!("report the step {step} of");
        self.call(Method::POST, &["steps", step.word()], &operation).json(report).done().await
    }

    /// Fetches the run's registry credentials; only while the step is `fetch`. The buffer that they came in is wiped.
    pub async fn credentials(&self, request: &CredentialsRequest) -> Result<CredentialsAnswer, ClientError> {
        self.call(Method::POST, &["credentials"], "fetch the credentials of").json(request).value().await
    }

    /// Reports the phase's end.
    pub async fn finish(&self, finish: &Finish) -> Result<FinishAnswer, ClientError> {
        self.call(Method::POST, &["finish"], "report the end of").json(finish).value().await
    }

    /// Tells of a phase whose agent died what became of its delivery; the claim may be over.
    pub async fn late_receipt(&self, phase: Phase, receipt: &Receipt) -> Result<(), ClientError> {
        self.call(Method::POST, &["receipts", phase.word()], "send a receipt of").json(receipt).done().await
    }
}
