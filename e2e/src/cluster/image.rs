//! Images, made without Docker: an archive that containerd imports.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use serde_json::json;

use super::{BACKEND, BUSYBOX, MOONGATE, PAUSE};
use crate::process;

/// Where Moongate's image has its binary.
const PLACE: &str = "/usr/local/bin/moongate";
/// Whom images of servers run as.
const USER: &str = "65532:65532";

/// What an image has and how it starts.
struct Image<'a> {
    name: &'a str,
    entrypoint: &'a [&'a str],
    user: &'a str,
    /// Files as `(path in the image, file here)`.
    files: Vec<(String, PathBuf)>,
    /// Symbolic links as `(path in the image, where it leads)`.
    links: Vec<(String, &'a str)>,
}

/// Makes all images that the tests use; returns the archives.
pub fn all(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    Ok(vec![pause(folder)?, busybox(folder)?, backend(folder)?, moongate(folder, crate::moongate::binary(), MOONGATE)?])
}

/// Moongate's image, laid out as the Dockerfile's; `name` is its repository and tag.
pub fn moongate(folder: &Path, binary: &Path, name: &str) -> anyhow::Result<PathBuf> {
    dynamic(folder, name, binary, PLACE)
}

fn pause(folder: &Path) -> anyhow::Result<PathBuf> {
    // A sandbox only has to be there; it is ended by SIGKILL.
    let entrypoint = ["/bin/busybox", "sleep", "2147483647"];
    let files = vec![("/bin/busybox".to_owned(), busybox_binary()?)];
    Image { name: PAUSE, entrypoint: &entrypoint, user: "65532", files, links: Vec::new() }.write(folder)
}

fn busybox(folder: &Path) -> anyhow::Result<PathBuf> {
    let binary = busybox_binary()?;
    let list = process::run(Command::new(&binary).arg("--list"));
    let applets = String::from_utf8(list.stdout)?;
    let links = applets.lines().filter(|name| *name != "busybox").map(|n| (format!("/bin/{n}"), "busybox")).collect();
    let files = vec![("/bin/busybox".to_owned(), binary)];
    Image { name: BUSYBOX, entrypoint: &["/bin/sh"], user: "65532", files, links }.write(folder)
}

fn busybox_binary() -> anyhow::Result<PathBuf> {
    let found = ["/bin/busybox", "/usr/bin/busybox"].into_iter().map(PathBuf::from).find(|path| path.exists());
    found.context("busybox is missing")
}

fn backend(folder: &Path) -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe()?;
    // A test lies in target/PROFILE/deps, a binary in target/PROFILE.
    let binary = test.ancestors().skip(1).take(2).map(|place| place.join("backend")).find(|path| path.exists());
    dynamic(folder, BACKEND, &binary.context("backend is not built: cargo build -p e2e --bins")?, "/backend")
}

/// An image of one program with the libraries that it is linked to.
fn dynamic(folder: &Path, name: &str, binary: &Path, place: &str) -> anyhow::Result<PathBuf> {
    let stripped = folder.join(format!("{}.stripped", place.rsplit('/').next().unwrap_or_default()));
    let done = process::run(Command::new("strip").arg("-o").arg(&stripped).arg(binary));
    anyhow::ensure!(done.status.success(), "strip: {}", String::from_utf8_lossy(&done.stderr));
    let listed = process::run(Command::new("ldd").arg(binary));
    anyhow::ensure!(listed.status.success(), "ldd: {}", String::from_utf8_lossy(&listed.stderr));
    let listed = String::from_utf8(listed.stdout)?;
    let libraries: BTreeSet<&str> = listed.split_whitespace().filter(|word| word.starts_with('/')).collect();
    let mut files: Vec<(String, PathBuf)> = libraries.into_iter().map(|l| (l.to_owned(), l.into())).collect();
    files.push((place.to_owned(), stripped));
    let trusted = "/etc/ssl/certs/ca-certificates.crt";
    if Path::new(trusted).exists() {
        files.push((trusted.to_owned(), trusted.into()));
    }
    Image { name, entrypoint: &[place], user: USER, files, links: Vec::new() }.write(folder)
}

impl Image<'_> {
    /// Writes it in the layout of `docker save`, one layer.
    fn write(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        let file = self.name.replace(['/', ':'], "_");
        let layer = folder.join(format!("{file}.layer"));
        self.write_layer(&layer)?;
        let sum = process::run(Command::new("sha256sum").arg(&layer));
        let sum = String::from_utf8(sum.stdout)?.split(' ').next().unwrap_or_default().to_owned();
        anyhow::ensure!(sum.len() == 64, "sha256sum of {}", layer.display());
        let config = json!({
            "architecture": match std::env::consts::ARCH { "aarch64" => "arm64", _ => "amd64" },
            "os": "linux",
            "config": {"Entrypoint": self.entrypoint, "User": self.user, "Env": ["PATH=/usr/local/bin:/usr/bin:/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{sum}")]},
        });
        let manifest = json!([{"Config": "config.json", "RepoTags": [self.name], "Layers": ["layer.tar"]}]);
        let archive = folder.join(format!("{file}.tar"));
        let mut tar = tar::Builder::new(File::create(&archive)?);
        for (name, value) in [("config.json", config), ("manifest.json", manifest)] {
            let text = value.to_string();
            tar.append_data(&mut header(text.len() as u64, 0o644), name, text.as_bytes())?;
        }
        tar.append_path_with_name(&layer, "layer.tar")?;
        tar.finish()?;
        std::fs::remove_file(layer)?;
        Ok(archive)
    }

    fn write_layer(&self, layer: &Path) -> anyhow::Result<()> {
        let mut tar = tar::Builder::new(File::create(layer)?);
        for (path, file) in &self.files {
            let source = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
            let size = source.metadata()?.len();
            tar.append_data(&mut header(size, 0o755), path.trim_start_matches('/'), source)?;
        }
        for (path, target) in &self.links {
            let mut header = header(0, 0o777);
            header.set_entry_type(tar::EntryType::Symlink);
            tar.append_link(&mut header, path.trim_start_matches('/'), target)?;
        }
        let mut header = header(0, 0o1777);
        header.set_entry_type(tar::EntryType::Directory);
        tar.append_data(&mut header, "tmp", std::io::empty())?;
        Ok(tar.finish()?)
    }
}

fn header(size: u64, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(mode);
    header
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{PLACE, USER};
    use crate::tidy;

    /// The instructions of the Dockerfile as `(name, rest)`, lines that go on joined, by stage.
    fn stages() -> Vec<Vec<(String, String)>> {
        let text = tidy::read("Dockerfile").unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
        let mut stages = Vec::new();
        for line in lines.replace("\\\n", " ").lines().filter(|line| !line.trim().is_empty()) {
            let (name, rest) = line.split_once(' ').unwrap();
            let rest: Vec<&str> = rest.split_whitespace().collect();
            if name == "FROM" {
                stages.push(Vec::new());
            }
            stages.last_mut().unwrap().push((name.to_owned(), rest.join(" ")));
        }
        stages
    }

    fn all<'a>(stage: &'a [(String, String)], name: &str) -> Vec<&'a str> {
        stage.iter().filter(|(n, _)| n == name).map(|(_, rest)| rest.as_str()).collect()
    }

    #[test]
    fn the_dockerfile_makes_what_the_tests_run() {
        let stages = stages();
        let [build, image] = stages.as_slice() else { panic!("two stages: {stages:?}") };
        // What one stage takes, the other has made.
        let made = "/out/moongate";
        assert_eq!(all(image, "COPY"), [format!("--from=build {made} {PLACE}")]);
        assert!(all(build, "FROM")[0].ends_with(" AS build"));
        let run = all(build, "RUN").join(" ");
        assert!(run.contains("cargo build --release --locked --bin moongate "), "{run}");
        assert!(run.contains(&format!("install -D target/release/moongate {made} ")), "{run}");
        assert_eq!(all(build, "COPY"), [". ."]);
        // It has to be built by the compiler that all else is, on a Debian whose C library the image has.
        let toolchain = tidy::read("rust-toolchain.toml").unwrap();
        let channel = toolchain.lines().find_map(|line| line.strip_prefix("channel = ")).unwrap().trim_matches('"');
        assert_eq!(all(build, "ENV"), [format!("RUSTUP_TOOLCHAIN={channel}")]);
        let short = channel.rsplit_once('.').unwrap().0;
        assert_eq!(all(build, "FROM"), [format!("rust:{short}-bookworm AS build")]);
        assert_eq!(all(image, "FROM"), ["gcr.io/distroless/cc-debian12:nonroot"], "bookworm is Debian 12");
        assert_eq!(all(image, "USER"), [USER]);
        assert_eq!(all(image, "ENTRYPOINT"), [format!("[\"{PLACE}\"]")]);
        let values: Value = serde_saphyr::from_str(&tidy::read("charts/moongate/values.yaml").unwrap()).unwrap();
        let ports = ["http", "https", "metrics"].map(|port| values["dataplane"]["containerPort"][port].to_string());
        assert_eq!(all(image, "EXPOSE"), [ports.join(" ")]);
    }

    /// The file that a source file includes, relative to the repository.
    fn included(by: &str, path: &str) -> String {
        let mut place: Vec<&str> = by.split('/').collect();
        place.pop();
        for part in path.split('/') {
            match part {
                ".." => drop(place.pop()),
                part => place.push(part),
            }
        }
        place.join("/")
    }

    #[test]
    fn what_the_image_is_built_from_is_given_to_the_build() {
        let lists = tidy::read(".dockerignore").unwrap();
        let given: Vec<&str> = lists.lines().filter_map(|line| line.strip_prefix('!')).collect();
        let is_given = |file: &str| given.contains(&file.split('/').next().unwrap());
        let root = tidy::read("Cargo.toml").unwrap();
        let members = root.lines().find_map(|line| line.strip_prefix("members = ")).unwrap();
        let mut needed: Vec<String> = members.split('"').skip(1).step_by(2).map(str::to_owned).collect();
        assert!(needed.len() > 5, "{needed:?}");
        needed.extend(["Cargo.toml", "Cargo.lock", "src"].map(str::to_owned));
        for file in tidy::files().unwrap().iter().filter(|file| file.ends_with(".rs") && !file.contains("tests")) {
            let text = tidy::read(file).unwrap();
            let files = text.split("include_str!(\"").skip(1).filter_map(|rest| rest.split('"').next());
            needed.extend(files.map(|path| included(file, path)));
        }
        let missing: Vec<&String> = needed.iter().filter(|file| !is_given(file)).collect();
        assert!(missing.is_empty(), ".dockerignore leaves out {missing:?}");
    }
}
