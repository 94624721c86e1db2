//! The first minutes of a newcomer: `make run`, and every command that the README shows.

#![forbid(unsafe_code)]

use std::process::Command;

use e2e::process::Process;
use e2e::{Manifests, console, moongate, tidy, until, upstream};

/// The ports that the README and the manifests name, each replaced by a free one.
const PORTS: [(&str, &str); 4] =
    [("HTTP_PORT", "8080"), ("HTTPS_PORT", "8443"), ("ADMIN_PORT", "9090"), ("UPSTREAM_PORT", "9000")];

#[test]
fn the_readme_tells_what_happens() {
    let ports: Vec<(&str, &str, String)> =
        PORTS.iter().map(|(variable, port)| (*variable, *port, upstream::free_port().to_string())).collect();
    let free = |text: &str| ports.iter().fold(text.to_owned(), |text, (_, port, free)| text.replace(port, free));
    let manifests = Manifests::new();
    for file in tidy::files().unwrap().iter().filter(|f| f.starts_with("examples/quickstart/") && f.ends_with(".yaml"))
    {
        let name = file.rsplit('/').next().unwrap();
        manifests.write(name, &free(&tidy::read(file).unwrap()));
    }
    // What `make run` does once it has built the binary.
    let mut script = Command::new(tidy::root().join("scripts/quickstart"));
    script.arg(manifests.path()).env("MOONGATE_BIN", moongate::binary());
    script.envs(ports.iter().map(|(variable, _, free)| (*variable, free)));
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
        let command =
            free(&step.command).replace("examples/quickstart/3", &format!("{}/3", manifests.path().display()));
        let expected: Vec<String> = step.expected.iter().map(|line| free(line)).collect();
        until(&format!("what the README says of {command}"), || {
            let said = console::perform(&command);
            // A limit counts what was asked before: only a step that changes nothing may be asked again.
            if console::matches(&expected, &said) { Ok(()) } else { Err(format!("{said}\n{}", quickstart.log())) }
        });
    }
    quickstart.signal("TERM");
    assert!(quickstart.wait().success(), "{}", quickstart.log());
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
