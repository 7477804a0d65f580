//! Real parts for nigari's tests and its quickstart.
