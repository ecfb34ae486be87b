//! What can go wrong with a store, told so that it can be put right.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use speck_models::settings::nearest;

/// SQLite's extended error code for a read past the end of the file.
const SHORT_READ: i32 = rusqlite::ffi::SQLITE_IOERR_SHORT_READ;

/// A store that cannot be used. Every message names the file and says what to
/// do about it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such file.
    #[error("{}: there is no store there; {suggestion}", path.display())]
    Missing {
        /// The file that was asked for.
        path: PathBuf,
        /// What to do instead.
        suggestion: String,
    },
    /// The folder of the store is not there and cannot be made.
    #[error("{}: cannot make the folder of the store: {source}", path.display())]
    Folder {
        /// The file that was asked for.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is a database of some other program, or no database at all.
    #[error(
        "{}: this file is not a speck store and was left as it is; \
         give the experiment another name or move the file away",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The store was made by another version of speck.
    #[error(
        "{}: the store has version {found}, this program reads version {expected}; \
         use the program that made it, or move the file away to run the experiment anew",
        path.display()
    )]
    Version {
        /// The store.
        path: PathBuf,
        /// Its version.
        found: String,
        /// The version that can be read.
        expected: &'static str,
    },
    /// The store is damaged.
    #[error(
        "{}: the store is damaged ({detail}); restore it from a copy, \
         or move it away to run the experiment anew",
        path.display()
    )]
    Damaged {
        /// The store.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// Another process holds the store.
    #[error(
        "{}: another process is writing to the store and has not let go of it; \
         wait until it has ended, or end it, and start again",
        path.display()
    )]
    Busy {
        /// The store.
        path: PathBuf,
    },
    /// There is no room left.
    #[error(
        "{}: the disk is full; make room and start again, what is finished is kept",
        path.display()
    )]
    Full {
        /// The store.
        path: PathBuf,
    },
    /// The store or its folder cannot be opened for writing.
    #[error(
        "{}: the store cannot be opened ({detail}); check that it is a file and that the file \
         and its folder can be read and written",
        path.display()
    )]
    Unwritable {
        /// The store.
        path: PathBuf,
        /// What SQLite said.
        detail: String,
    },
    /// Results were handed in for a run that is not in the store.
    #[error("{}: results of a run that is not in the store ({detail})", path.display())]
    UnknownRun {
        /// The store.
        path: PathBuf,
        /// What SQLite said.
        detail: String,
    },
    /// Anything else SQLite reports.
    #[error("{}: the store cannot be used: {source}", path.display())]
    Other {
        /// The store.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
}

impl StoreError {
    /// The file that the error is about.
    pub fn path(&self) -> &Path {
        match self {
            Self::Missing { path, .. }
            | Self::Folder { path, .. }
            | Self::Foreign { path }
            | Self::Version { path, .. }
            | Self::Damaged { path, .. }
            | Self::Busy { path }
            | Self::Full { path }
            | Self::Unwritable { path, .. }
            | Self::UnknownRun { path, .. }
            | Self::Other { path, .. } => path,
        }
    }

    /// Whether the file named by the user is at fault, rather than the machine
    /// or another process: the difference between exit codes 2 and 1.
    pub fn is_bad_input(&self) -> bool {
        matches!(
            self,
            Self::Missing { .. }
                | Self::Foreign { .. }
                | Self::Version { .. }
                | Self::Damaged { .. }
        )
    }

    /// Turns SQLite's errors into ours, for the store at `path`.
    pub(super) fn blame(path: &Path) -> impl Fn(rusqlite::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::from_sqlite(path.clone(), source)
    }

    fn from_sqlite(path: PathBuf, source: rusqlite::Error) -> Self {
        let detail = source.to_string();
        match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::Foreign { path },
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged { path, detail },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy { path },
            Some(ErrorCode::DiskFull) => Self::Full { path },
            Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                Self::Unwritable { path, detail }
            }
            // The file ends before the pages that its header promises.
            Some(ErrorCode::SystemIoFailure)
                if source.sqlite_extended_error_code() == Some(SHORT_READ) =>
            {
                Self::Damaged { path, detail }
            }
            Some(ErrorCode::ConstraintViolation) if detail.contains("FOREIGN KEY") => {
                Self::UnknownRun { path, detail }
            }
            // A value of a type that we never write, or a table or column that
            // is not there: the file is marked as a store and is not one.
            Some(ErrorCode::TypeMismatch) => Self::Damaged { path, detail },
            Some(ErrorCode::Unknown) if detail.contains("no such") => {
                Self::Damaged { path, detail }
            }
            None => match source {
                rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::InvalidColumnIndex(_)
                | rusqlite::Error::IntegralValueOutOfRange(..) => Self::Damaged { path, detail },
                source => Self::Other { path, source },
            },
            Some(_) => Self::Other { path, source },
        }
    }

    /// There is no store at `path`: looks for one with a similar name beside
    /// it and in `runs/`, where `speck run` puts them.
    pub(super) fn missing(path: &Path) -> Self {
        let beside = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let mut there: Vec<String> = Vec::new();
        for folder in [beside, Path::new("runs")] {
            let Ok(entries) = std::fs::read_dir(folder) else {
                continue;
            };
            for entry in entries.flatten() {
                let file = entry.path();
                let name = file.display().to_string();
                if file.extension().is_some_and(|ending| ending == "sqlite")
                    && !there.contains(&name)
                {
                    there.push(name);
                }
            }
        }
        there.sort();
        let wanted = path.display().to_string();
        let suggestion = match nearest(&wanted, there.iter().map(String::as_str)) {
            Some(name) => format!("did you mean `{name}`?"),
            None if there.is_empty() => {
                "`speck run EXPERIMENT.toml` makes one in the folder `runs`".to_string()
            }
            None => format!("there are: {}", there.join(", ")),
        };
        Self::Missing { path: path.to_path_buf(), suggestion }
    }
}
