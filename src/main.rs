//! The program: looks at its first word, then hands over to the library.
//!
//! Rule: what the word [`nigari::sandbox::LAUNCHER_WORD`] starts runs before anything else does: one thread, no
//! runtime, no settings.

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|word| word == nigari::sandbox::LAUNCHER_WORD) {
        return nigari::sandbox::launcher::main();
    }
    // An earlier one stays; there is none this early.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    nigari::cli::main()
}
