//! Everything that may change, one kind a file, in versions that differ from each other.

use std::net::SocketAddr;

use e2e::certificates::{self, Certificate};
use e2e::manifests::{binding, config, ingress, ingress_tls, plugin, secret, service};
use e2e::{Client, Manifests, Upstream};

pub(crate) const HOST: &str = "shop.example.com";
/// Its requests run no script.
pub(crate) const PLAIN: &str = "plain.example.com";

const SHOP: &str = "{group: networking.k8s.io, kind: Ingress, name: shop}";

/// What changes: endpoints, a script, a certificate, limits of a route and other routes of its host, hosts, a binding's
/// config, the MoongateConfig.
pub(crate) const KINDS: usize = 7;
pub(crate) const CERTIFICATE: usize = 2;

/// Answers with its name; tunnels and downloads by the path.
pub(crate) fn upstream(name: &'static str, pieces: usize, piece: &'static [u8]) -> Upstream {
    Upstream::start(move |mut c| {
        while let Some(request) = c.request() {
            match request.target() {
                "/tunnel" => {
                    c.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
                    while let Some(bytes) = c.bytes() {
                        c.send(bytes);
                    }
                    return;
                }
                "/download" => {
                    c.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", pieces * piece.len()));
                    if (0..pieces).any(|_| !c.send(piece)) {
                        return;
                    }
                }
                _ => drop(c.answer(200, name)),
            }
        }
    })
}

/// A connection that is a tunnel to the upstream.
pub(crate) fn tunnel(address: SocketAddr, host: &str) -> Client {
    let mut client = Client::connect(address);
    client.send(format!("GET /tunnel HTTP/1.1\r\nHost: {host}\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"));
    assert!(client.until("\r\n\r\n").starts_with("HTTP/1.1 101 "));
    client
}

/// Sends something through a tunnel and waits for it to come back.
pub(crate) fn ping(tunnel: &mut Client, n: usize) {
    tunnel.send(format!("ping {n};")).until(&format!("ping {n};"));
}

/// The files, and what they are made of.
pub(crate) struct World {
    pub(crate) manifests: Manifests,
    pub(crate) certificates: [Certificate; 2],
    ports: [u16; 2],
}

impl World {
    /// What does not change; the rest has no version yet.
    pub(crate) fn new(ports: [u16; 2]) -> Self {
        let manifests = Manifests::new();
        let certificates = [(); 2].map(|()| certificates::make(manifests.logs(), &[HOST]));
        let world = Self { manifests, ports, certificates };
        let schema = "configSchema: {openAPIV3Schema: {type: object, properties: {word: {type: string}}}}";
        let word =
            plugin("word", &[("headerFilter", "local config = ...\nngx.header['X-Word'] = config.word")], schema);
        world.manifests.write("fixed.yaml", &[word, ingress("plain", PLAIN, "/", "backend", &[])].join("---\n"));
        world
    }

    /// Writes the file of a kind in a version.
    pub(crate) fn change(&self, kind: usize, version: usize) {
        let (name, text) = self.text(kind, version);
        self.manifests.write(name, &text);
    }

    /// Objects of [`Self::change_all`] that differ from version to version: 8 of the kinds, 12 more.
    pub(crate) const CHANGES: usize = 20;

    /// Writes all of it, and more of the same, in one file: one commit.
    pub(crate) fn change_all(&self, version: usize) {
        let mut texts: Vec<String> = (0..KINDS).map(|kind| self.text(kind, version).1).collect();
        for n in 0..4 {
            let (name, host) = (format!("more{n}"), format!("more{n}.example.com"));
            let script = format!("ngx.header['X-Version'] = '{version}'");
            texts.push(service(&name, &[self.ports[version % 2]]));
            texts.push(plugin(&name, &[("access", &script)], ""));
            texts.push(ingress(&name, &host, &format!("/v{version}"), &name, &[("moongate.dev/plugins", &name)]));
        }
        self.manifests.write("all.yaml", &texts.join("---\n"));
    }

    fn text(&self, kind: usize, version: usize) -> (&'static str, String) {
        match kind {
            0 => ("endpoints.yaml", service("backend", &[self.ports[version % 2]])),
            1 => {
                let script = format!("ngx.header['X-Version'] = '{version}'");
                ("script.yaml", plugin("stamp", &[("headerFilter", &script)], ""))
            }
            CERTIFICATE => {
                let certificate = &self.certificates[version % 2];
                ("certificate.yaml", secret("tls", &certificate.certificate, &certificate.key))
            }
            3 => {
                let annotations = [
                    ("moongate.dev/plugins", "stamp"),
                    ("nginx.ingress.kubernetes.io/proxy-body-size", &format!("{}k", 1 + version)),
                    ("nginx.ingress.kubernetes.io/ssl-redirect", "false"),
                ];
                let other = ingress("other", HOST, &format!("/v{version}"), "backend", &[]);
                ("route.yaml", [ingress("shop", HOST, "/", "backend", &annotations), other].join("---\n"))
            }
            4 => {
                let tls = ingress_tls("secure", HOST, "backend", "tls").replace("path: /", "path: /secure");
                let extra = ingress("extra", &format!("h{version}.example.com"), "/", "backend", &[]);
                ("hosts.yaml", [tls, extra].join("---\n"))
            }
            5 => ("binding.yaml", binding("word", "word", SHOP, &format!("{{word: 'w{version}'}}"))),
            _ => {
                // Limits are what a VM is made with.
                let lua = format!("lua: {{namespaceLimits: {{cpuPerRequest: {}ms}}}}", 200 + version);
                let http = format!("http: {{serverHeader: s{version}, proxyReadTimeout: 1h}}");
                ("config.yaml", config(&[http, lua].join("\n")))
            }
        }
    }
}
