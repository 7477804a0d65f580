//! The attacks of `docs/THREAT_MODEL.md`, each in every sandbox, as root and as an ordinary user, with every delivery.
//!
//! Rule: the page has the outcomes, those that are no defence among them, and the tests here find the same or fail: what
//! is said to be open is shown to be open, too. That an attack works at all is shown in `controls`, with tofu alone.

mod attacker;
mod batch;
mod controls;
mod hostile;
mod page;
mod refusals;
mod stage;
mod standing;

use std::collections::BTreeMap;

use batch::HostSockets;
use stage::{Delivery, Stage, User};

/// What became of an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// It ran and got nothing.
    Nothing,
    /// It is refused.
    Refused,
    /// What it wants to change stays as it was.
    Kept,
    /// It succeeds.
    Open,
    /// There is nothing here that could be attacked.
    Absent,
}

/// What was seen in one sandbox, as one user.
#[derive(Debug, Default)]
struct Observed(BTreeMap<(String, Delivery), Outcome>);

impl Observed {
    fn add(&mut self, row: &str, delivery: Delivery, outcome: Outcome) {
        self.0.insert((row.to_owned(), delivery), outcome);
    }
}

/// Tries everything, and compares it with the page.
fn everything(sandbox: &'static str, user: User) {
    let Some(mut stage) = Stage::start(sandbox, user) else { return };
    let sockets = HostSockets::open();
    let mut observed = Observed::default();
    for delivery in Delivery::ALL {
        let module = stage.deliver(delivery);
        batch::run(&stage, delivery, &sockets, &module, &mut observed);
        refusals::run(&stage, delivery, &module, &mut observed);
        standing::run(&mut stage, delivery, &module, &mut observed);
    }
    page::compare(sandbox, &format!("{:?}", stage.user), &observed);
    stage.wait_for_wipe();
    stage.agent().stop().unwrap();
    stage.search();
}

#[test]
fn attacks_in_namespaces_as_root_end_as_the_page_says() {
    everything("namespace", User::Root);
}

#[test]
fn attacks_in_namespaces_as_an_ordinary_user_end_as_the_page_says() {
    everything("namespace", User::Ordinary);
}

#[test]
fn attacks_without_namespaces_as_root_end_as_the_page_says() {
    everything("process", User::Root);
}

#[test]
fn attacks_without_namespaces_as_an_ordinary_user_end_as_the_page_says() {
    everything("process", User::Ordinary);
}
