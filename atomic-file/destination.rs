//! The place that a path leads to, behind all links: nothing yet, a regular file, or a stream that
//! is written to and never replaced.

use std::{
    fs::{self, File, Metadata},
    io,
    path::{Path, PathBuf},
};

/// The largest number of links on the way to a file, as Linux follows.
const LINKS_MAX: usize = 40;

/// The place where the bytes of a path go.
pub(crate) enum Destination {
    /// Nothing stands here yet.
    New(PathBuf),
    /// A regular file, which a rename may replace.
    File(PathBuf, Metadata),
    /// A device, a pipe, or a descriptor of a process: it is written to where it is.
    Stream(PathBuf),
}

impl Destination {
    /// Follows the links of `path`.
    ///
    /// # Errors
    /// The system's error; a folder or a disk stands there; or the links lead around.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let mut path = path.to_owned();
        for _ in 0..LINKS_MAX {
            // The kernel follows first. If it refuses a link, as it does in a folder that all may
            // write, the link is no good for us either.
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
                Ok(metadata) if is_disk(&metadata) => return Err(disk()),
                Ok(metadata) if !metadata.is_file() => return Ok(Self::Stream(path)),
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            // A file that was opened for this process must not be replaced behind its back.
            if is_descriptor(&path) {
                return Ok(Self::Stream(path));
            }
            match fs::symlink_metadata(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::New(path)),
                Err(error) => return Err(error),
                Ok(metadata) if metadata.is_symlink() => {
                    // A relative target counts from the folder of the link; an absolute one
                    // replaces the whole.
                    path = folder_of(&path).join(fs::read_link(&path)?);
                }
                Ok(metadata) => return Ok(Self::File(path, metadata)),
            }
        }
        Err(io::Error::other("too many symbolic links"))
    }
}

/// Returns the folder of a path.
pub(crate) fn folder_of(path: &Path) -> PathBuf {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).into()
}

/// Opens a stream to write to. Standard output and standard error are duplicates of the process's
/// own, so that what is printed before and after keeps its place.
pub(crate) fn open_stream(path: &Path) -> io::Result<File> {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd;
        let own = match path.to_str() {
            Some("/dev/stdout" | "/dev/fd/1" | "/proc/self/fd/1") => {
                Some(io::stdout().as_fd().try_clone_to_owned())
            }
            Some("/dev/stderr" | "/dev/fd/2" | "/proc/self/fd/2") => {
                Some(io::stderr().as_fd().try_clone_to_owned())
            }
            _ => None,
        };
        if let Some(own) = own {
            return Ok(own?.into());
        }
    }
    File::options().write(true).open(path)
}

/// Gives a new file the owner, the group and the mode of the file that it replaces, as far as this
/// user may. Only root gives a file to another user. Others pass it to a group of their own.
#[cfg(unix)]
pub(crate) fn take_on(file: &File, old: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
    let new = file.metadata()?;
    if new.uid() != old.uid() {
        // If this is refused, the file is the writer's, as if it had been deleted and made anew.
        let _ = fchown(file, Some(old.uid()), None);
    }
    let same_group = new.gid() == old.gid() || fchown(file, None, Some(old.gid())).is_ok();
    let mut mode = old.mode() & 0o777;
    if !same_group {
        // Another group gets no more than everybody.
        mode &= !0o070 | (mode & 0o007) << 3;
    }
    file.set_permissions(fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
pub(crate) fn take_on(_: &File, _: &Metadata) -> io::Result<()> {
    Ok(()) // Windows guards files by access lists, which a folder's files inherit.
}

/// Whether the path is an open file of a process.
fn is_descriptor(path: &Path) -> bool {
    cfg!(unix)
        && (["/dev/stdin", "/dev/stdout", "/dev/stderr"].iter().any(|it| path == Path::new(it))
            || path.starts_with("/dev/fd")
            || path.starts_with("/proc"))
}

fn disk() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "this is a disk, and no file on it")
}

#[cfg(unix)]
fn is_disk(metadata: &Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt;
    metadata.file_type().is_block_device()
}

#[cfg(not(unix))]
fn is_disk(_: &Metadata) -> bool {
    false
}
