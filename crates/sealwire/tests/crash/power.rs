//! An agent whose machine loses power: its state lies in a file system of its own, which is shut
//! down without a flush while the agent works.
//!
//! Runs only with `SEALWIRE_POWER_CUT=1`: it needs root, loop devices, and `xfs_io`.

use std::{
    env,
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

use crate::{
    kill::{SENDS, check, lines, whole},
    world::{FROM_BOB, World},
};

/// A file system in a file.
struct Disk {
    home: TempDir,
    mounted: bool,
}

impl Disk {
    fn new(kind: &str) -> Self {
        let disk = Self { home: tempfile::tempdir().expect("directory"), mounted: false };
        // The least that both will have.
        let image = File::create(disk.image()).expect("made");
        image.set_len(320 * 1024 * 1024).expect("sparse");
        must(Command::new(format!("mkfs.{kind}")).arg("-q").arg(disk.image()));
        fs::create_dir(disk.place()).expect("made");
        disk
    }

    fn image(&self) -> PathBuf {
        self.home.path().join("image")
    }

    fn place(&self) -> PathBuf {
        self.home.path().join("place")
    }

    fn mount(&mut self) {
        must(Command::new("mount").args(["-o", "loop"]).arg(self.image()).arg(self.place()));
        self.mounted = true;
    }

    /// What was not flushed is gone.
    fn cut(&self) {
        must(Command::new("xfs_io").args(["-x", "-c", "shutdown"]).arg(self.place()));
    }

    fn unmount(&mut self) {
        must(Command::new("umount").arg(self.place()));
        self.mounted = false;
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted {
            let _ = Command::new("umount").arg("--lazy").arg(self.place()).status();
        }
    }
}

fn must(command: &mut Command) {
    let output = command.output().expect("starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

/// A copy of `before`, with Alice's state on the disk and everybody else elsewhere.
fn move_in(before: &World, home: &Path, disk: &Path) -> World {
    let world = before.copy(home);
    let (here, there) = (home.join("alice"), disk.join("alice"));
    must(Command::new("cp").arg("-r").arg(&here).arg(&there));
    fs::remove_dir_all(&here).expect("removed");
    symlink(&there, &here).expect("linked");
    must(Command::new("sync").arg("-f").arg(disk));
    world
}

/// Runs the process and cuts the power when it has said so much. It is then in the middle of what
/// comes next.
fn cut_after(said: usize, world: &World, disk: &Disk) -> Output {
    let mut command = Command::new("env");
    world.child(&mut command, "kill::child", "first");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("starts");
    let mut reader = BufReader::new(child.stdout.take().expect("piped"));
    let (mut stdout, mut seen) = (String::new(), 0);
    while seen < said && reader.read_line(&mut stdout).expect("text") > 0 {
        let line = stdout.lines().next_back().unwrap_or_default();
        seen += usize::from(["sent ", "handled ", "acked "].iter().any(|word| line.contains(word)));
    }
    disk.cut();
    reader.read_to_string(&mut stdout).expect("text");
    Output { status: child.wait().expect("ends"), stdout: stdout.into(), stderr: Vec::new() }
}

// attack T29
// STA-1, STA-13, STA-14
#[test]
fn an_agent_whose_machine_loses_power_uses_no_key_twice_and_loses_nothing() {
    if env::var_os("SEALWIRE_POWER_CUT").is_none_or(|value| value != "1") {
        drop(writeln!(io::stderr(), "skipped; as root: cargo xtask crash"));
        return;
    }
    let template = tempfile::tempdir().expect("directory");
    let before = World::at(template.path()).begin();
    for kind in ["ext4", "xfs"] {
        let mut unfinished = 0;
        // Each message that is handled, acknowledged or sent, and none of them.
        for said in 0..=2 * FROM_BOB.len() + SENDS.len() {
            for round in 0..3 {
                let what = format!("{kind}, cut {round} after {said}");
                let mut disk = Disk::new(kind);
                disk.mount();
                let home = tempfile::tempdir().expect("directory");
                let world = move_in(&before, home.path(), &disk.place());
                let first = cut_after(said, &world, &disk);
                unfinished += usize::from(!String::from_utf8_lossy(&first.stdout).contains("done"));
                disk.unmount();
                disk.mount();
                let second = whole(&world, "second");
                check(&world, &first, &second, &what);
                let sent = lines(&first, "sent bob").len() + lines(&first, "sent carol").len();
                assert!(sent + 2 * FROM_BOB.len() >= said, "{what}");
                disk.unmount();
            }
        }
        println!("{kind}: {unfinished} processes lost their disk in the middle");
        assert!(unfinished > 10, "{kind}: {unfinished}");
    }
}
