//! What an operator writes.
