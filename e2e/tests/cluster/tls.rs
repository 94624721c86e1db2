//! Certificates: created late, rotated, broken and repaired, while requests go on.

use std::net::SocketAddr;

use e2e::Manifests;
use e2e::certificates::{Certificate, make, s_client};
use e2e::cluster::bed::PATIENCE;
use e2e::cluster::site::{Site, ingress};
use e2e::wait::until_slowly;

fn secret(name: &str, certificate: &str, key: &str) -> String {
    let object = serde_json::json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": name},
        "stringData": {"tls.crt": certificate, "tls.key": key},
    });
    object.to_string()
}

pub(crate) fn of(name: &str, certificate: &Certificate) -> String {
    secret(name, &certificate.certificate, &certificate.key)
}

/// The body of an answer, whatever its status, to a GET over HTTPS by a client that trusts this certificate alone, in small letters.
pub(crate) fn get(site: &Site, host: &str, path: &str, trusted: &Certificate) -> Result<String, String> {
    let at = format!("{host}:443:{}", site.address.ip());
    let file = trusted.file.display().to_string();
    let arguments = ["-sS", "--max-time", "10", "--resolve", &at, "--cacert", &file];
    let mut command = std::process::Command::new("curl");
    let output = command.args(arguments).arg(format!("https://{host}{path}")).output().map_err(|e| e.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_lowercase();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// Waits until HTTPS is served with this certificate, which is made so that a client that trusts it alone accepts it.
pub(crate) fn await_trusted(site: &Site, host: &str, certificate: &Certificate, what: &str) {
    until_slowly(PATIENCE, what, || get(site, host, "/", certificate).map(drop));
}

#[test]
fn a_certificate_may_come_late_and_be_rotated_and_broken() {
    let Some(site) = Site::new("tls") else { return };
    let files = Manifests::new();
    site.backend("web", 1);
    let host = "tls.test";
    site.apply(&format!("{}  tls: [{{hosts: [{host}], secretName: shown}}]\n", ingress("web", host, "web", "")));
    let https = SocketAddr::new(site.address.ip(), 443);
    until_slowly(PATIENCE, "an Event about the missing Secret", || {
        let described = site.kubectl(&["describe", "ingress", "web"]);
        if described.contains("SecretNotFound") { Ok(()) } else { Err(described) }
    });

    let first = make(files.logs(), &[host]);
    site.apply(&of("shown", &first));
    await_trusted(&site, host, &first, "the certificate that came late");
    assert_eq!(site.try_get(host, "/").unwrap().status, 308);

    let second = make(files.logs(), &[host]);
    site.apply(&of("shown", &second));
    await_trusted(&site, host, &second, "the rotated certificate");

    // A key of another certificate: what was good is kept.
    site.apply(&secret("shown", &first.certificate, &second.key));
    until_slowly(PATIENCE, "an Event about the broken Secret", || {
        let described = site.kubectl(&["describe", "ingress", "web"]);
        if described.contains("InvalidCertificate") { Ok(()) } else { Err(described) }
    });
    await_trusted(&site, host, &second, "the last good certificate");
    site.apply(&of("shown", &first));
    await_trusted(&site, host, &first, "the repaired certificate");

    let unknown = s_client(https, "nobody.tls.test", &[]);
    assert!(!unknown.contains("subject=CN = tls.test"), "another name does not get this certificate: {unknown}");
}
