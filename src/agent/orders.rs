//! What a run is told from outside while it works: go on, cancel, stop, the lease is lost, kill.
//!
//! Rule: a harsher order replaces a milder one, never the other way round.

use std::sync::Arc;

use tokio::sync::watch;

use crate::protocol::agent::ReceiptEnd;

/// What to do, mildest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Order {
    /// Nothing in the way.
    GoOn,
    /// A person asked: interrupt tofu, let it end.
    Cancel,
    /// The agent is told to end now.
    Stop,
    /// The lease is gone: whoever has the next may begin. Meaningless to an apply that was reported.
    LeaseLost,
    /// A person insists: do not wait for tofu.
    Kill,
}

impl Order {
    /// How a receipt calls an end by this order.
    pub(crate) fn end(self) -> Option<ReceiptEnd> {
        match self {
            Self::GoOn => None,
            Self::Cancel => Some(ReceiptEnd::Canceled),
            Self::Stop => Some(ReceiptEnd::AgentStopped),
            Self::LeaseLost => Some(ReceiptEnd::LeaseLost),
            Self::Kill => Some(ReceiptEnd::Killed),
        }
    }
}

/// The orders of one run; clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Orders {
    sender: Arc<watch::Sender<Order>>,
}

impl Orders {
    pub(crate) fn new() -> Self {
        Self { sender: Arc::new(watch::Sender::new(Order::GoOn)) }
    }

    /// Gives an order, from any thread.
    pub(crate) fn raise(&self, order: Order) {
        self.sender.send_if_modified(|current| {
            let is_harsher = order > *current;
            if is_harsher {
                *current = order;
            }
            is_harsher
        });
    }

    /// The harshest so far.
    pub(crate) fn current(&self) -> Order {
        *self.sender.borrow()
    }

    /// Waits for an order above `seen`. Cancel safe.
    pub(crate) async fn above(&self, seen: Order) -> Order {
        let mut receiver = self.sender.subscribe();
        let order = receiver.wait_for(|order| *order > seen).await.map(|order| *order);
        match order {
            Ok(order) => order,
            // The sender lives in `self`.
            Err(_) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Order, Orders};

    #[tokio::test]
    async fn a_milder_order_does_not_replace_a_harsher_one() {
        let orders = Orders::new();
        orders.raise(Order::Kill);
        orders.raise(Order::Cancel);
        assert_eq!(orders.current(), Order::Kill);
        assert_eq!(orders.above(Order::GoOn).await, Order::Kill);
    }

    #[tokio::test]
    async fn whoever_waits_hears_from_another_thread() {
        let orders = Orders::new();
        let giver = orders.clone();
        let thread = std::thread::spawn(move || giver.raise(Order::LeaseLost));
        assert_eq!(orders.above(Order::Cancel).await, Order::LeaseLost);
        thread.join().unwrap();
    }
}
