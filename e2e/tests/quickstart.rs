//! The first minutes of a newcomer: `make run`, and every command that the README shows.

#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::process::Command;

use e2e::process::Process;
use e2e::{Client, Manifests, console, moongate, tidy, until, upstream};

/// The ports that the README and the manifests name, each replaced by a free one.
const PORTS: [(&str, &str); 4] =
    [("HTTP_PORT", "8080"), ("HTTPS_PORT", "8443"), ("ADMIN_PORT", "9090"), ("UPSTREAM_PORT", "9000")];

/// Those ports, each with a free one.
struct Ports(Vec<(&'static str, &'static str, String)>);

impl Ports {
    fn free() -> Self {
        let free = |(variable, port)| (variable, port, upstream::free_port().to_string());
        Self(PORTS.into_iter().map(free).collect())
    }

    /// A text of a document or a manifest with the free ports.
    fn put_into(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (_, port, free)| text.replace(port, free))
    }

    /// The manifests of a folder of `examples/`, with the free ports.
    fn examples(&self, folder: &str) -> Manifests {
        let manifests = Manifests::new();
        let prefix = format!("examples/{folder}/");
        for file in
            tidy::files().expect("git lists them").iter().filter(|f| f.starts_with(&prefix) && f.ends_with(".yaml"))
        {
            manifests.write(&file[prefix.len()..], &self.put_into(&tidy::read(file).expect("git has it")));
        }
        manifests
    }

    /// Does a step of a document, and expects what the document says.
    fn follow(&self, step: &console::Step, server: &Process, change: impl Fn(&str) -> String) {
        let command = change(&self.put_into(&step.command));
        let expected: Vec<String> = step.expected.iter().map(|line| self.put_into(line)).collect();
        until(&format!("what the document says of {command}"), || {
            let said = console::perform(&command);
            // A limit counts what was asked before: only a step that changes nothing may be asked again.
            if console::matches(&expected, &said) { Ok(()) } else { Err(format!("{said}\n{}", server.log())) }
        });
    }
}

#[test]
fn the_readme_tells_what_happens() {
    let ports = Ports::free();
    let manifests = ports.examples("quickstart");
    // What `make run` does once it has built the binary.
    let mut script = Command::new(tidy::root().join("scripts/quickstart"));
    script.arg(manifests.path()).env("MOONGATE_BIN", moongate::binary());
    script.envs(ports.0.iter().map(|(variable, _, free)| (*variable, free)));
    let mut quickstart = Process::start(&mut script, manifests.logs(), "quickstart");
    until("the hints that it prints", || {
        assert!(quickstart.ended().is_none(), "it ended: {}", quickstart.log());
        if quickstart.log().contains("Ctrl-C ends") { Ok(()) } else { Err(quickstart.log()) }
    });

    let steps = console::steps(&tidy::read("README.md").unwrap());
    let is_request = |step: &&console::Step| step.command.contains("curl") || step.command.contains("sed");
    let steps: Vec<&console::Step> = steps.iter().filter(is_request).collect();
    assert!(steps.len() >= 7, "the README shows each part of the quickstart");
    for step in steps {
        // Manifests are edited where this test has them.
        ports.follow(step, &quickstart, |c| {
            c.replace("examples/quickstart/3", &format!("{}/3", manifests.path().display()))
        });
    }
    quickstart.signal("TERM");
    assert!(quickstart.wait().success(), "{}", quickstart.log());
}

#[test]
fn the_examples_of_plugins_do_what_their_readme_says() {
    let ports = Ports::free();
    let manifests = ports.examples("plugins");
    let document = tidy::read("examples/plugins/README.md").unwrap();
    let block = document.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).expect("how to start it");
    let start: Vec<String> = block
        .lines()
        .map(|line| {
            let line = ports.put_into(line).replace("examples/plugins", &manifests.path().display().to_string());
            line.replace("target/release/moongate", &moongate::binary().display().to_string())
        })
        .collect();
    let [upstream, moongate] = &start[..] else { panic!("an upstream and Moongate: {start:?}") };
    let run = |command: String, name: &str| {
        let mut bash = Command::new("bash");
        // The process itself, so that it ends with its handle.
        bash.args(["-c", &format!("exec {command}")]).current_dir(tidy::root());
        Process::start(&mut bash, manifests.logs(), name)
    };
    let port = |variable: &str| &ports.0.iter().find(|(name, ..)| *name == variable).unwrap().2;
    let mut upstream = run(upstream.trim_end_matches('&').into(), "upstream");
    upstream::await_port(port("UPSTREAM_PORT").parse().unwrap(), &mut upstream);
    let others = format!("--https 127.0.0.1:0 --admin 127.0.0.1:{}", port("ADMIN_PORT"));
    let server = run(format!("{moongate} {others}"), "moongate");
    let admin = SocketAddr::from(([127, 0, 0, 1], port("ADMIN_PORT").parse().unwrap()));
    until("readiness", || match Client::try_connect(admin).map(|mut c| c.get("admin", "/ready").status) {
        Ok(200) => Ok(()),
        other => Err(format!("{other:?}\n{}", server.log())),
    });
    let steps = console::steps(&document);
    let names = tidy::files().unwrap();
    for plugin in names.iter().filter_map(|f| f.strip_prefix("lua-plugins/")?.strip_suffix("/plugin.yaml")) {
        assert!(document.contains(&format!("-{plugin}.yaml")), "{plugin} has no example");
    }
    steps.iter().for_each(|step| ports.follow(step, &server, str::to_owned));
    assert!(!server.log().contains("ERROR"), "{}", server.log());
}

#[test]
fn the_first_plugin_of_the_guide_says_hello() {
    let guide = tidy::read("docs/plugins.md").unwrap();
    let manifest =
        guide.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("the guide has YAML");
    let manifests = Manifests::of(&[manifest.to_owned()]);
    let checked = moongate::command(&["check", &manifests.path().display().to_string()]);
    assert_eq!(String::from_utf8_lossy(&checked.stdout), "0 errors, 0 warnings\n");
    let moongate = e2e::Moongate::start(&manifests);
    assert_eq!(moongate.get("hello.localhost", "/").text(), "hello, 127.0.0.1\n");
}
