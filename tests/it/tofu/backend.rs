//! The backend that we read out of a configuration is the one that tofu takes.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;

use nigari::tofu::arguments;
use nigari::tofu::backend::{Backend, BackendError, check_chosen, choose, write_override};

use super::Bench;

const EMPTY_HTTP: &str = "terraform {\n  backend \"http\" {}\n}\n";

/// An `http` backend without any state: 404 to everybody. Lives as long as the test program.
fn empty_state_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/state", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().filter_map(Result::ok) {
            let mut reader = BufReader::new(&stream);
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                line.clear();
            }
            let _ = (&stream).write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    address
}

fn init(bench: &mut Bench, address: &str) -> support::child::Finished {
    bench.set("TF_HTTP_ADDRESS", address);
    bench.tofu(&arguments::init())
}

#[test]
fn with_our_override_tofu_takes_our_backend() {
    let address = empty_state_server();
    for files in [
        &[("main.tf", "locals {}\n")][..],
        &[("main.tf", EMPTY_HTTP)],
        &[("main.tf", "locals {}\n"), ("zz_override.tf", EMPTY_HTTP)],
        &[("main.tf", "terraform {\n  backend \"s3\" {}\n}\n"), ("main.tofu", "locals {}\n")],
        &[("main.tf", "terraform {\n  cloud {}\n}\n"), ("a_override.tf", EMPTY_HTTP)],
    ] {
        let Some(mut bench) = Bench::new(files) else { return };
        assert_eq!(choose(&bench.configuration()).unwrap(), Backend::Ours, "{files:?}");
        write_override(&bench.configuration()).unwrap();
        init(&mut bench, &address).succeeded().unwrap();
        check_chosen(&bench.data(), &Backend::Ours).unwrap();
    }
}

#[test]
fn a_backend_of_the_configurations_own_stays() {
    let address = empty_state_server();
    let own = format!("terraform {{\n  backend \"http\" {{\n    address = \"{address}\"\n  }}\n}}\n");
    for files in [&[("main.tf", own.as_str())][..], &[("main.tf", EMPTY_HTTP), ("zz_override.tf", own.as_str())]] {
        let Some(bench) = Bench::new(files) else { return };
        let kept = Backend::Kept("http".to_owned());
        assert_eq!(choose(&bench.configuration()).unwrap(), kept);
        bench.tofu(&arguments::init()).succeeded().unwrap();
        check_chosen(&bench.data(), &kept).unwrap();
    }
}

#[test]
fn an_override_that_beats_ours_is_noticed_after_init() {
    let address = empty_state_server();
    let other = format!("terraform {{\n  backend \"http\" {{\n    address = \"{address}\"\n  }}\n}}\n");
    let Some(mut bench) = Bench::new(&[("main.tf", "locals {}\n")]) else { return };
    write_override(&bench.configuration()).unwrap();
    bench.write("configuration/zz_override.tf", &other);
    init(&mut bench, &address).succeeded().unwrap();
    let error = check_chosen(&bench.data(), &Backend::Ours).unwrap_err();
    assert!(matches!(error, BackendError::Other { .. }), "{error}");
}

#[test]
fn without_our_override_the_state_would_be_local_and_that_is_noticed() {
    let Some(bench) = Bench::new(&[("main.tf", "locals {}\n")]) else { return };
    bench.tofu(&arguments::init()).succeeded().unwrap();
    let error = check_chosen(&bench.data(), &Backend::Ours).unwrap_err();
    assert!(error.to_string().contains("local"), "{error}");
}

/// Which of two files tofu takes is in its debug log only through what happens; a syntax error shows it at once.
#[test]
fn tofu_reads_the_files_that_we_read() {
    const BROKEN: &str = "locals {";
    for (name, read) in [
        ("x.tf", true),
        ("x.tofu", true),
        ("x.tf.json", true),
        ("x.tofu.json", true),
        ("x_override.tf", true),
        (".x.tf", false),
        ("x.tf~", false),
        ("#x.tf#", false),
        ("main.tf", false),
        ("x.txt", false),
    ] {
        let Some(bench) = Bench::new(&[("main.tofu", "locals {}\n"), (name, BROKEN)]) else { return };
        assert_eq!(choose(&bench.configuration()).is_err(), read, "nigari, {name}");
        let done = bench.tofu(&arguments::init_without_backend());
        assert_eq!(done.code != Some(0), read, "tofu, {name}: {}", done.all());
        assert!(Path::new(&bench.configuration()).join(name).exists());
    }
}
