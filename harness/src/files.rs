//! Writing files so that a kill at any moment leaves the old or the new one.

use std::io::Write;
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
