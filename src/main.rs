//! The program: looks at its first word, then hands over to the library.
//!
//! Rule: what the words [`nigari::sandbox::LAUNCHER_WORD`] and [`nigari::sandbox::INIT_WORD`] start runs before anything
//! else does: one thread, no runtime, no settings.

use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args_os().nth(1) {
        Some(word) if word == nigari::sandbox::LAUNCHER_WORD => return nigari::sandbox::launcher::main(),
        Some(word) if word == nigari::sandbox::INIT_WORD => return nigari::sandbox::init::main(),
        _ => {}
    }
    // An earlier one stays; there is none this early.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    nigari::cli::main()
}
