//! Certificates, made by openssl.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::run;

/// A self-signed certificate with its key, as PEM.
pub struct Certificate {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
    /// Where the certificate is, for clients that are to trust it.
    pub file: PathBuf,
}

/// Makes one for these DNS names; the first is the subject's common name too.
pub fn make(directory: &Path, names: &[&str]) -> Certificate {
    let id = crate::upstream::free_port();
    let (file, key) = (directory.join(format!("{id}.crt")), directory.join(format!("{id}.key")));
    let alternative: Vec<String> = names.iter().map(|name| format!("DNS:{name}")).collect();
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
    openssl.args(["-subj", &format!("/CN={}", names[0])]);
    openssl.args(["-addext", &format!("subjectAltName={}", alternative.join(","))]);
    openssl.arg("-out").arg(&file).arg("-keyout").arg(&key);
    let made = run(&mut openssl);
    assert!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
    let read = |path: &Path| std::fs::read_to_string(path).expect("openssl wrote it");
    Certificate { certificate: read(&file), key: read(&key), file }
}

/// What `openssl s_client` says about a connection with this SNI.
pub fn s_client(address: std::net::SocketAddr, name: &str, arguments: &[&str]) -> String {
    let mut openssl = Command::new("openssl");
    openssl.args(["s_client", "-connect", &address.to_string(), "-servername", name]).args(arguments);
    let output = run(&mut openssl);
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}
