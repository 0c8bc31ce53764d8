//! Atomic and durable writes of whole files: a full disk, a kill or a power cut leaves the old
//! content or the new. What is no regular file is written to and never replaced.
//!
//! The crate knows nothing about the content, and every other crate may depend on it.

mod destination;

use std::{fs, io, io::Write, path::Path};

use destination::{Destination, folder_of};

/// Replaces the content of `path` with `bytes` atomically, and creates the missing parent folders.
///
/// The bytes go to a temporary file in the same folder, are synced to the disk, and are renamed to
/// `path`. A reader therefore sees the old content or the new, never a part of it. A new file has
/// mode 0666 less the user's mask. A file that stands there keeps its mode, and its owner and group
/// where this user may give files away.
///
/// A symbolic link stays, and the file that it leads to is written. Pipes, terminals, `/dev/null`
/// and other streams are written to in place.
///
/// # Errors
/// Returns the system's error; `path` then has its old content. A disk is refused.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match Destination::of(path)? {
        Destination::Stream(path) => destination::open_stream(&path)?.write_all(bytes),
        Destination::New(path) => {
            let folder = folder_of(&path);
            // A temporary file has mode 0600 by default; this one must be as readable as any other.
            synced_temporary(&folder, bytes, |_| Ok(()), 0o666)?.persist(path)?;
            sync_entries(&folder)
        }
        Destination::File(path, old) => {
            let folder = folder_of(&path);
            // Until it has its owner, only this user may read it.
            synced_temporary(&folder, bytes, |file| destination::take_on(file, &old), 0o600)?
                .persist(path)?;
            sync_entries(&folder)
        }
    }
}

/// Creates `path` with `bytes` atomically, with mode 0666 less the user's mask, and never replaces
/// a file.
///
/// # Errors
/// Returns the system's error, [`io::ErrorKind::AlreadyExists`] if anything stands at `path`, be it
/// a link to nothing.
pub fn create_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    create(path, bytes, 0o666)
}

/// Creates `path` with `bytes` as [`create_new`] does, readable by its owner only.
///
/// # Errors
/// Those of [`create_new`].
pub fn create_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    create(path, bytes, 0o600)
}

fn create(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let folder = folder_of(path);
    synced_temporary(&folder, bytes, |_| Ok(()), mode)?.persist_noclobber(path)?;
    sync_entries(&folder)
}

/// Writes `bytes` to a temporary file in `folder`, after `prepare`, and syncs it. The user's mask
/// is taken from `mode`.
fn synced_temporary(
    folder: &Path,
    bytes: &[u8],
    prepare: impl FnOnce(&fs::File) -> io::Result<()>,
    mode: u32,
) -> io::Result<tempfile::NamedTempFile> {
    fs::create_dir_all(folder)?;
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = builder.tempfile_in(folder)?;
    prepare(file.as_file())?;
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
mod tests;
