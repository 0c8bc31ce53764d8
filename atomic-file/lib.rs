//! Atomic and durable writes of whole files: a full disk, a kill or a power cut leaves the old
//! content or the new.
//!
//! The crate knows nothing about the content, and every other crate may depend on it.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};

/// Replaces the content of `path` with `bytes` atomically, and creates the missing parent folders.
///
/// The bytes go to a temporary file in the same folder, are synced to the disk, and are renamed to
/// `path`. A reader therefore sees the old content or the new, never a part of it. The file's mode
/// is 0666 less the user's mask.
///
/// # Errors
/// Returns the system's error; `path` then has its old content.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    // A temporary file has mode 0600 by default; this file must be as readable as any other.
    synced_temporary(&folder, bytes, 0o666)?.persist(path)?;
    sync_entries(&folder)
}

/// Creates `path` with `bytes` atomically, readable by its owner only, and never replaces a file.
///
/// # Errors
/// Returns the system's error, [`io::ErrorKind::AlreadyExists`] if `path` exists.
pub fn create_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    synced_temporary(&folder, bytes, 0o600)?.persist_noclobber(path)?;
    sync_entries(&folder)
}

fn folder_of(path: &Path) -> PathBuf {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).into()
}

/// Writes `bytes` to a temporary file in `folder` and syncs it. The user's mask is taken from
/// `mode`.
fn synced_temporary(folder: &Path, bytes: &[u8], mode: u32) -> io::Result<tempfile::NamedTempFile> {
    fs::create_dir_all(folder)?;
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// Syncs the entries of `folder`.
///
/// A rename changes the folder, not the file. Without this sync a power cut could undo the rename
/// after the caller has already removed the data that the file replaces.
fn sync_entries(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    fs::File::open(folder)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn private_files_are_never_replaced() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("new/secret");
        create_private(&path, b"first").expect("written");
        let refused = create_private(&path, b"second").expect_err("the file exists");
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).expect("readable"), b"first");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        write_atomic(&path, b"third").expect("written");
        assert_eq!(fs::read(&path).expect("readable"), b"third");
        assert_eq!(
            fs::read_dir(folder.path().join("new")).expect("there").count(),
            1,
            "no temporary file is left"
        );
    }
}
