//! Files that are written whole or not at all, whatever happens meanwhile: a full disk, a kill, a power cut. Knows nothing of
//! what is in them, and everybody may depend on it.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};

/// Writes `bytes` to a temporary file beside `path`, waits until the disk has them, and renames it: no reader ever sees
/// half of it, and what stood there before stays until then. Makes the folders that are missing.
///
/// # Errors
/// The system's; then `path` is as it was.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    // As readable as any file that a program makes; a temporary file would be its owner's alone.
    written(&folder, bytes, 0o666)?.persist(path)?;
    sync_names(&folder)
}

/// The same of what nobody else may read, and only where there is nothing yet.
///
/// # Errors
/// The system's, of which one is that something stands there.
pub fn create_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    written(&folder, bytes, 0o600)?.persist_noclobber(path)?;
    sync_names(&folder)
}

fn folder_of(path: &Path) -> PathBuf {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).into()
}

/// On the disk, under a name that nobody looks for. `mode` is what the user's mask is taken from.
fn written(folder: &Path, bytes: &[u8], mode: u32) -> io::Result<tempfile::NamedTempFile> {
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

/// A name is the folder's: without this a power cut could undo the rename after a caller removed what the file replaces.
fn sync_names(folder: &Path) -> io::Result<()> {
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
    fn a_secret_is_its_owners_alone_and_never_replaced() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("new/secret");
        create_private(&path, b"first").expect("written");
        let refused = create_private(&path, b"second").expect_err("it is there");
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).expect("readable"), b"first");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        write_atomic(&path, b"third").expect("written");
        assert_eq!(fs::read(&path).expect("readable"), b"third");
        assert_eq!(
            fs::read_dir(folder.path().join("new")).expect("there").count(),
            1,
            "nothing is left over"
        );
    }
}
