//! Files that are written whole or not at all, whatever happens meanwhile: a full disk, a kill, a power cut.

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
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    fs::create_dir_all(&folder)?;
    let mut file = new_file(&folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    sync_names(&folder)
}

fn folder_of(path: &Path) -> PathBuf {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).into()
}

/// As readable as any file that a program makes; a temporary file would be its owner's alone.
fn new_file(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

/// A name is the folder's: without this a power cut could undo the rename after a caller removed what the file replaces.
fn sync_names(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    fs::File::open(folder)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}
