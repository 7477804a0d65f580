//! The program: looks at its first word, then hands over to the library.
//!
//! Rule: what the words [`nigari::sandbox::LAUNCHER_WORD`] and [`nigari::sandbox::INIT_WORD`] start, and what runs under
//! the name of a credential helper or of a program that tofu starts for modules, runs before anything else does: one
//! thread, no runtime, no settings.

use std::process::ExitCode;

use nigari::delivery::helper;
use nigari::sandbox::nested;
use nigari::settings::environment;

fn main() -> ExitCode {
    if helper::program::is_called(std::env::args_os().next().as_deref()) {
        let socket = environment::variable(helper::SOCKET_VARIABLE);
        return helper::program::main(std::env::args_os().skip(1), socket.as_deref());
    }
    if let Some(program) = nested::in_place_of(std::env::args_os().next().as_deref()) {
        let search_path = environment::variable(nested::SEARCH_PATH_VARIABLE);
        return nested::main(program, std::env::args_os().skip(1), search_path.as_deref());
    }
    match std::env::args_os().nth(1) {
        Some(word) if word == nigari::sandbox::LAUNCHER_WORD => return nigari::sandbox::launcher::main(),
        Some(word) if word == nigari::sandbox::INIT_WORD => return nigari::sandbox::init::main(),
        _ => {}
    }
    // An earlier one stays; there is none this early.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    nigari::cli::main()
}
