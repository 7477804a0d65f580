//! The program: looks at its first word, then hands over to the library.

fn main() {}
