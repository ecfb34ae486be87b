//! Writing files so that a kill at any moment leaves the old or the new one.

use std::io::{ErrorKind, Write};
use std::path::Path;

/// What the names of files begin with that are being written.
const UNFINISHED: &str = ".writing-";

/// Removes what killed writers left in a folder in which nobody writes now.
pub fn tidy(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            remove(&entry.path());
        }
    }
}

/// Whether a file can be put at `path`: nothing else than a file is there, and its
/// folder, or the nearest one above it that is there, can be written to.
///
/// # Errors
/// Why not.
pub fn check_place(path: &Path) -> std::io::Result<()> {
    let wrong = |what: &str| Err(std::io::Error::new(ErrorKind::InvalidInput, what.to_owned()));
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => return wrong("a folder is there"),
        Ok(found) if !found.is_file() => return wrong("a device is there, no file"),
        _ if path.file_name().is_none() => return wrong("it has no name of a file"),
        _ => {}
    }
    let above = |folder: &Path| match folder.as_os_str().is_empty() {
        true => Path::new(".").to_owned(),
        false => folder.to_owned(),
    };
    let mut folders = path.ancestors().skip(1).map(above);
    let nearest = folders.find(|folder| folder.exists()).unwrap_or_else(|| above(path));
    tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(nearest).map(drop)
}

/// Replaces the file at `path` by one with these bytes, or fails and leaves
/// what was there and nothing else. The folders above are made.
///
/// # Errors
/// Whatever the system reports; a full disk as [`ErrorKind::StorageFull`].
pub fn write_atomically(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder)?;
    // In the same folder: a rename is atomic only within a file system. When
    // anything below fails, dropping the temporary file removes it.
    let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder)?;
    file.write_all(bytes)?;
    #[cfg(unix)]
    {
        // Temporary files are private; what is written here is meant to be
        // read like any other file of the user.
        use std::os::unix::fs::PermissionsExt;
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    }
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    // The rename itself is on the disk once the folder is.
    #[cfg(unix)]
    std::fs::File::open(folder)?.sync_all()?;
    Ok(())
}

/// Removes a file that is no longer needed. If it cannot be removed it is left:
/// nothing reads it again.
pub fn remove(path: &Path) {
    let _ = std::fs::remove_file(path);
}
