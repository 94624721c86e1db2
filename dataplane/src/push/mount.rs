//! Whether a file's bytes stay in memory.

use std::io;
use std::path::{Path, PathBuf};

/// Whether a directory's file system is held in memory (tmpfs), so that what is written there ends with the pod.
///
/// # Errors
/// The directory, or the list of mounts, cannot be read.
pub(super) fn is_in_memory(directory: &Path) -> io::Result<bool> {
    let directory = directory.canonicalize()?;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    Ok(matches!(file_system(&mounts, &directory), Some("tmpfs" | "ramfs")))
}

/// The type of the file system that a path is on. Of mounts on one place the last is seen.
fn file_system<'a>(mounts: &'a str, path: &Path) -> Option<&'a str> {
    let on = |line: &'a str| {
        // proc_pid_mountinfo(5): the fifth field is the place; after " - " comes the type.
        let (fields, rest) = line.split_once(" - ")?;
        let place = unescape(fields.split(' ').nth(4)?);
        path.starts_with(&place).then_some((place.components().count(), rest.split(' ').next()?))
    };
    mounts.lines().filter_map(on).max_by_key(|(depth, _)| *depth).map(|(_, kind)| kind)
}

/// Spaces and the like are written as three octal digits.
fn unescape(text: &str) -> PathBuf {
    let mut out = String::new();
    let mut parts = text.split('\\');
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        match part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                out.push(char::from(byte));
                out.push_str(&part[3..]);
            }
            None => {
                out.push('\\');
                out.push_str(part);
            }
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn the_deepest_and_last_mount_counts() {
        const MOUNTS: &str = "\
            21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
            30 21 0:26 / /run rw,nosuid shared:5 - tmpfs tmpfs rw,mode=755\n\
            31 30 0:27 / /run/with\\040space rw - tmpfs tmpfs rw\n\
            32 21 254:1 / /var/lib/moongate rw - tmpfs tmpfs rw\n\
            33 21 254:1 / /var/lib/moongate rw - xfs /dev/vdb rw\n\
            34 30 254:2 / /run/disk rw - ext4 /dev/vdc rw\n";
        let check = |path: &str, kind| assert_eq!(super::file_system(MOUNTS, Path::new(path)), Some(kind), "{path}");
        check("/etc", "ext4");
        check("/run", "tmpfs");
        check("/running", "ext4");
        check("/run/a/b", "tmpfs");
        check("/run/with space/a", "tmpfs");
        check("/run/disk/a", "ext4");
        check("/var/lib/moongate", "xfs");
        assert_eq!(super::file_system("", Path::new("/")), None);
    }

    #[test]
    fn what_the_kernel_mounts_for_itself_is_found() {
        assert!(!super::is_in_memory(Path::new("/proc")).unwrap());
        assert!(super::is_in_memory(Path::new("/nowhere/at/all")).is_err());
    }
}
