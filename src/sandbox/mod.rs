//! The launcher and what a step runs in.
