//! How much memory the process may use.

use std::path::Path;

/// Where cgroups are mounted.
const CGROUPS: &str = "/sys/fs/cgroup";

/// Bytes: the least limit of the process's cgroups, else what the machine has.
pub(crate) fn available() -> u64 {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let machine = machine(&std::fs::read_to_string("/proc/meminfo").unwrap_or_default());
    // Without any answer a number that a small container has, so that the budget is none too large.
    let machine = machine.unwrap_or(512 << 20);
    limit(Path::new(CGROUPS), &own).map_or(machine, |limit| limit.min(machine))
}

/// The least limit of the groups that `own` (`/proc/self/cgroup`) names and of those around them.
fn limit(root: &Path, own: &str) -> Option<u64> {
    let read = |path: &Path| std::fs::read_to_string(path).ok()?.trim().parse().ok();
    let mut least: Option<u64> = None;
    for line in own.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let (root, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            c if c.split(',').any(|c| c == "memory") => (root.join("memory"), "memory.limit_in_bytes"),
            _ => continue,
        };
        // Inside of a container its own group is the root of what is mounted, whatever the path says.
        let group = root.join(path.trim_start_matches('/'));
        let around = group.ancestors().take_while(|group| group.starts_with(&root));
        least = around.filter_map(|group| read(&group.join(file))).chain(least).min();
    }
    least
}

/// `MemTotal` of `/proc/meminfo`.
fn machine(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::{limit, machine};

    #[test]
    fn the_least_limit_of_the_groups_around_counts() {
        let root = tempfile::tempdir().expect("a directory");
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, text).expect("written");
        };
        let check = |own: &str, is: Option<u64>| assert_eq!(limit(root.path(), own), is, "{own}");
        check("0::/a/b\n", None);
        write("a/b/memory.max", "max\n");
        check("0::/a/b\n", None);
        write("a/memory.max", "300\n");
        check("0::/a/b\n", Some(300));
        write("a/b/memory.max", "400\n");
        check("0::/a/b\n", Some(300));
        check("0::/elsewhere\n", None);
        write("memory.max", "200\n");
        check("0::/elsewhere\n", Some(200));
        write("memory/x/memory.limit_in_bytes", "100\n");
        check("5:cpu,memory:/x\n1:name=systemd:/y\n", Some(100));
        check("", None);
    }

    #[test]
    fn the_machines_memory() {
        assert_eq!(machine("MemTotal:        8000 kB\nMemFree: 1 kB\n"), Some(8_192_000));
        assert_eq!(machine("MemFree: 1 kB\n"), None);
        assert!(super::available() > 1 << 20);
    }
}
