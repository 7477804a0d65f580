//! README's main command.

fn main() {}
