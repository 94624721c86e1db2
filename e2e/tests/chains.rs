//! Plugins at every level of one route: which run, in which order, and what one of them leaves to the others.

#![forbid(unsafe_code)]

use std::io::Write;
use std::sync::mpsc;

use e2e::manifests::{NAMESPACE, binding, class_binding, ingress, of_cluster, plugin, service};
use e2e::{Client, Manifests, Moongate, Upstream, until};

const HOST: &str = "shop.example.com";

/// Adds its config's `tag` to a request header, a response header and, at the end, to what it logs.
const MARK: [(&str, &str); 3] = [
    ("access", "local c = ...\nngx.req.set_header('X-Order', (ngx.var.http_x_order or '') .. c.tag)"),
    ("headerFilter", "local c = ...\nngx.header['X-Order'] = (ngx.header['X-Order'] or '') .. c.tag"),
    ("log", "local c = ...\nngx.log(ngx.ERR, 'marked by ', c.tag)"),
];
const TAG: &str = "configSchema: {openAPIV3Schema: {type: object, properties: {tag: {type: string, default: '?'}}}}";

fn mark(name: &str, priority: u32) -> String {
    plugin(name, &MARK, &format!("priority: {priority}\n{TAG}"))
}

const SERVICE: &str = "{kind: Service, name: backend}";
const INGRESS: &str = "{group: networking.k8s.io, kind: Ingress, name: shop}";
const HOST_OF: &str = "{group: networking.k8s.io, kind: Ingress, name: shop, sectionName: shop.example.com}";
const PATH_OF: &str = "{group: networking.k8s.io, kind: Ingress, name: shop, sectionName: shop.example.com/}";

fn start(upstream: &Upstream, more: &[String]) -> (Manifests, Moongate) {
    let mut documents = vec![service("backend", &[upstream.port]), ingress("shop", HOST, "/", "backend", &[])];
    documents.extend_from_slice(more);
    let manifests = Manifests::of(&documents);
    let moongate = Moongate::start(&manifests);
    (manifests, moongate)
}

/// The levels go from the class to the path on the way in, and back on the way out; priority counts within a level.
#[test]
fn levels_run_in_order_and_in_reverse_on_the_way_out() {
    let upstream = Upstream::echo();
    let namespace = format!("{{kind: Namespace, name: {NAMESPACE}}}");
    let (_manifests, moongate) = start(
        &upstream,
        &[
            // The highest priority, at the most specific level: it is still the last on the way in.
            mark("path", 9000),
            binding("path", "path", PATH_OF, "{tag: p}"),
            mark("host", 1),
            binding("host", "host", HOST_OF, "{tag: h}"),
            mark("low", 1),
            binding("a-low", "low", INGRESS, "{tag: i}"),
            mark("high", 2),
            binding("b-high", "high", INGRESS, "{tag: I}"),
            mark("service", 1),
            binding("service", "service", SERVICE, "{tag: s}"),
            mark("namespace", 1),
            binding("namespace", "namespace", &namespace, "{tag: 'n'}"),
            of_cluster(&mark("class", 1)),
            class_binding("class", "class", "{tag: c}"),
        ],
    );
    let response = moongate.get(HOST, "/");
    assert!(response.text().contains("\r\nX-Order: cnsIihp\r\n"), "{response:?}\n{}", moongate.process.log());
    assert_eq!(response.header("x-order"), "phIisnc");
    let logged = || {
        let lines = moongate.log();
        let text = |line: &serde_json::Value| line.to_string();
        let tag = |line: String| line.split("marked by ").nth(1).and_then(|rest| rest.chars().next());
        lines.iter().map(text).filter_map(tag).collect::<String>()
    };
    until("seven lines", || if logged().len() >= 7 { Ok(()) } else { Err(logged()) });
    assert_eq!(logged(), "phIisnc");
}

#[test]
fn a_plugin_that_is_attached_twice_runs_once_with_the_most_specific_config() {
    let upstream = Upstream::echo();
    let (_manifests, moongate) = start(
        &upstream,
        &[
            mark("twice", 1),
            mark("once", 1),
            binding("broad", "twice", SERVICE, "{tag: s}"),
            binding("middle", "once", INGRESS, "{tag: i}"),
            binding("narrow", "twice", HOST_OF, "{tag: h}"),
        ],
    );
    let response = moongate.get(HOST, "/");
    // At the broader one's place, with the more specific one's config.
    assert!(response.text().contains("\r\nX-Order: hi\r\n"), "{response:?}\n{}", moongate.process.log());
}

/// OpenResty's `ngx.exit(ngx.OK)` and `ngx.exit(ngx.DECLINED)`, and a return, end a handler; with several, its own only.
#[test]
fn what_ends_one_plugin_s_chunk_leaves_the_others_to_run() {
    let upstream = Upstream::echo();
    let check = |phase: &str, ending: &str, expected: u16, is_marked: bool| {
        let script = format!("if ngx.var.host then {ending} end\nngx.exit(500)");
        let (_manifests, moongate) = start(
            &upstream,
            &[
                plugin("ends", &[(phase, &script)], "priority: 2"),
                mark("after", 1),
                binding("ends", "ends", INGRESS, "{}"),
                binding("after", "after", INGRESS, "{tag: a}"),
            ],
        );
        let response = moongate.get(HOST, "/");
        assert_eq!(response.status, expected, "{phase}, {ending}: {response:?}");
        assert_eq!(response.text().contains("X-Order: a"), is_marked, "{phase}, {ending}: {response:?}");
    };
    for phase in ["rewrite", "access"] {
        check(phase, "return", 200, true);
        check(phase, "return ngx.exit(ngx.OK)", 200, true);
        check(phase, "return ngx.exit(ngx.DECLINED)", 200, true);
        check(phase, "return ngx.exit(403)", 403, false);
    }
}

#[test]
fn the_most_specific_content_answers() {
    let upstream = Upstream::echo();
    let say = |name: &str| plugin(name, &[("content", &format!("ngx.say('{name}')"))], "priority: 5000");
    let (_manifests, moongate) = start(
        &upstream,
        &[
            say("broad"),
            binding("broad", "broad", SERVICE, "{}"),
            say("narrow").replace("5000", "1"),
            binding("narrow", "narrow", HOST_OF, "{}"),
        ],
    );
    assert_eq!(moongate.get(HOST, "/").text(), "narrow\n");
}

/// However a request ends, `log` runs, and once.
#[test]
fn log_runs_exactly_once() {
    let (send, silent) = mpsc::sync_channel(1);
    let upstream = Upstream::start(move |mut c| {
        while let Some(request) = c.request() {
            match request.target() {
                "/breaks" => drop(c.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")),
                "/silent" => {
                    let _ = send.send(());
                    drop(c.request());
                }
                _ => drop(c.answer(200, "ok")),
            }
            if request.target() == "/breaks" {
                return;
            }
        }
    });
    let log = [
        (
            "access",
            "if ngx.var.uri == '/refused' then ngx.exit(403) end\nif ngx.var.uri == '/fails' then error('x') end",
        ),
        ("log", "ngx.log(ngx.ERR, 'ended ', ngx.var.uri, ';')"),
    ];
    let (_manifests, moongate) = start(&upstream, &[plugin("log", &log, ""), binding("log", "log", INGRESS, "{}")]);
    let count = |path: &str| moongate.process.log().matches(&format!("ended {path};")).count();
    for path in ["/plain", "/refused", "/fails", "/breaks"] {
        let mut client = Client::connect(moongate.http);
        client.send(format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"));
        client.rest();
    }
    // The client goes away while the upstream is silent.
    let mut gone = std::net::TcpStream::connect(moongate.http).unwrap();
    gone.write_all(format!("GET /silent HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes()).unwrap();
    silent.recv().unwrap();
    drop(gone);
    for path in ["/plain", "/refused", "/fails", "/breaks", "/silent"] {
        until("its log", || if count(path) > 0 { Ok(()) } else { Err(format!("{path}: {}", moongate.process.log())) });
    }
    // Another request after all of them: whatever would come twice has come.
    moongate.get(HOST, "/last");
    until("the last one", || if count("/last") > 0 { Ok(()) } else { Err(String::new()) });
    for path in ["/plain", "/refused", "/fails", "/breaks", "/silent"] {
        assert_eq!(count(path), 1, "{path}");
    }
}
