//! Tests of what stays when a file is written: links, modes, owners, streams, and the file itself.

use std::{
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink},
    process::Command,
};

use super::*;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").permissions().mode() & 0o777
}

fn entries(folder: &Path) -> usize {
    fs::read_dir(folder).expect("there").count()
}

#[test]
fn private_files_are_never_replaced() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("new/secret");
    create_private(&path, b"first").expect("written");
    let refused = create_private(&path, b"second").expect_err("the file exists");
    assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&path).expect("readable"), b"first");
    assert_eq!(mode(&path), 0o600);
    write_atomic(&path, b"third").expect("written");
    assert_eq!(fs::read(&path).expect("readable"), b"third");
    assert_eq!(entries(&folder.path().join("new")), 1, "no temporary file is left");
}

/// A link to nothing is something, too.
#[test]
fn new_files_replace_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    let (path, link) = (folder.path().join("file"), folder.path().join("link"));
    create_new(&path, b"first").expect("written");
    symlink("nothing", &link).expect("linked");
    for path in [&path, &link] {
        let refused = create_new(path, b"second").expect_err("it exists");
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
    }
    assert_eq!(fs::read(&path).expect("readable"), b"first");
    assert_eq!(entries(folder.path()), 2);
}

#[test]
fn links_stay_and_are_followed() {
    let folder = tempfile::tempdir().expect("folder");
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("elsewhere")).expect("made");
    fs::write(at("elsewhere/file"), "old").expect("written");
    symlink("elsewhere/file", at("relative")).expect("linked");
    symlink(at("relative"), at("absolute")).expect("linked");
    symlink("elsewhere/none-yet", at("dangling")).expect("linked");
    for (link, file) in
        [("relative", "elsewhere/file"), ("absolute", "elsewhere/file"), ("dangling", "elsewhere/none-yet")]
    {
        write_atomic(&at(link), link.as_bytes()).expect("written");
        assert!(at(link).is_symlink(), "{link} is still a link");
        assert_eq!(fs::read(at(file)).expect("readable"), link.as_bytes());
    }
    assert_eq!((entries(folder.path()), entries(&at("elsewhere"))), (4, 2), "no temporary file is left");
    symlink("round", at("about")).expect("linked");
    symlink("about", at("round")).expect("linked");
    assert!(write_atomic(&at("round"), b"").is_err());
}

#[test]
fn mode_and_owner_stay() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("file");
    for wanted in [0o600, 0o640, 0o664] {
        fs::write(&path, "old").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(wanted)).expect("set");
        write_atomic(&path, b"new").expect("written");
        assert_eq!(mode(&path), wanted);
    }
    if std::os::unix::fs::chown(&path, Some(1234), Some(2345)).is_err() {
        return println!("skipped the owner: only root gives files away");
    }
    write_atomic(&path, b"newer").expect("written");
    let metadata = fs::metadata(&path).expect("there");
    assert_eq!((metadata.uid(), metadata.gid(), mode(&path)), (1234, 2345, 0o664));
    assert_eq!(fs::read(&path).expect("readable"), b"newer");
}

#[test]
fn pipes_are_written_in_place() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&path).status().expect("started").success());
    let reader = std::thread::spawn({
        let path = path.clone();
        move || fs::read(path).expect("readable")
    });
    write_atomic(&path, b"through the pipe").expect("written");
    assert_eq!(reader.join().expect("read"), b"through the pipe");
    assert!(fs::symlink_metadata(&path).expect("there").file_type().is_fifo());
}

/// The devices are the test's own: a mistake must not take the machine's.
#[test]
fn devices_are_not_replaced() {
    let folder = tempfile::tempdir().expect("folder");
    let made = |name: &str, kind: &[&str]| {
        let path = folder.path().join(name);
        let mknod = Command::new("mknod").arg(&path).args(kind).output().expect("started");
        mknod.status.success().then_some(path)
    };
    let (Some(null), Some(disk)) = (made("null", &["c", "1", "3"]), made("disk", &["b", "1", "250"])) else {
        return println!("skipped: only root makes devices");
    };
    match write_atomic(&null, b"into nothing") {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            println!("no devices work in this folder: {error}");
        }
        written => written.expect("written"),
    }
    assert!(fs::symlink_metadata(&null).expect("there").file_type().is_char_device());
    let refused = write_atomic(&disk, b"over a disk").expect_err("a disk");
    assert!(refused.to_string().contains("disk"), "{refused}");
    assert!(fs::symlink_metadata(&disk).expect("there").file_type().is_block_device());
}

#[test]
fn folders_are_refused() {
    let folder = tempfile::tempdir().expect("folder");
    assert_eq!(write_atomic(folder.path(), b"").expect_err("a folder").kind(), io::ErrorKind::IsADirectory);
}
