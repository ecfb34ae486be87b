//! The store of an experiment: one SQLite file that holds every run, its
//! resolved configuration and the results of its finished phases.
//!
//! The invariant that resuming rests on: **a phase is finished entirely or not
//! at all.** [`Store::finish_phase`] writes the scores, curves and artefacts of
//! a phase and the mark that it is finished in one transaction, so a process
//! killed at any moment leaves either all of them or none.
//!
//! Numbers come back with the bits they went in with. The columns that hold
//! them have no declared type on purpose: in a column declared `REAL`, SQLite
//! stores whole numbers as integers to save space, and −0.0 comes back as 0.0.
//! NaN has no representation in SQLite; it is stored as `NULL`.

mod error;
#[cfg(test)]
mod tests;
mod write;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior, params};

pub use error::StoreError;
use write::{from_sql, to_sql, write_phase};

/// Marks an SQLite file as a speck store (`PRAGMA application_id`): "SPCK".
const APPLICATION_ID: i32 = i32::from_be_bytes(*b"SPCK");

/// The version of the tables below; a store with another one is refused.
const SCHEMA_VERSION: &str = "1";

/// Keys of the table `meta`.
const PLAN_NAME: &str = "experiment";
const PLAN_RUNS: &str = "planned runs";

/// How long a statement waits for another process that holds the store.
const BUSY_WAIT: Duration = Duration::from_secs(10);

const SCHEMA: &str = include_str!("store/schema.sql");

/// A run as the store knows it: what it is called and exactly what it ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRecord {
    /// The first 16 hex digits of the content hash of the configuration.
    pub id: String,
    /// A short name for people; not necessarily unique.
    pub label: String,
    /// The fully resolved configuration as a JSON object.
    pub config_json: String,
    /// The seed of the run.
    pub seed: u64,
    /// A short name of the model.
    pub model: String,
    /// A short name of the learner.
    pub learner: String,
    /// A short name of the data the run trained on.
    pub data_label: String,
}

/// What an experiment consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The name of the experiment.
    pub name: String,
    /// The ids of its runs, in their order.
    pub runs: Vec<String>,
}

/// One measured number.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// The battery or protocol that measured it.
    pub battery: String,
    /// The condition it was measured under.
    pub cell: String,
    /// What was measured.
    pub metric: String,
    /// The value; `None` where there is none (a threshold never reached, an
    /// average over no cases). NaN is stored as `None`.
    pub value: Option<f64>,
    /// The number of cases the value is an average over.
    pub cases: u64,
}

/// One point of a curve.
#[derive(Clone, Debug, PartialEq)]
pub struct CurvePoint {
    /// The name of the curve within its phase.
    pub series: String,
    /// The number of training steps taken.
    pub step: u64,
    /// The value then; NaN where it was not finite enough to be a number.
    pub value: f64,
}

/// Everything a phase leaves behind. Where a key occurs twice (a cell and
/// metric, a series and step, an artefact's name), the later one counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PhaseResults {
    /// The measured numbers.
    pub scores: Vec<Score>,
    /// The points of all curves.
    pub curves: Vec<CurvePoint>,
    /// Named pieces of JSON: maps, sample predictions, descriptions.
    pub artefacts: Vec<(String, serde_json::Value)>,
}

/// An open store. Any number of processes may have the same one open: writers
/// wait for each other up to ten seconds, readers never wait.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    path: PathBuf,
    /// Of a file that is read as it lies there: how it lay there.
    lay: Option<Lay>,
}

/// When a file was last changed, and its length.
type Lay = (Option<SystemTime>, u64);

impl Store {
    /// Opens the store at `path` for reading and writing and creates it, with
    /// the folders above it, where there is none.
    ///
    /// # Errors
    /// A damaged store, a file that is something else, a store of another
    /// version, one that stays busy, a full disk, a folder that cannot be
    /// written. Nothing is created or changed in a file that is refused.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_waiting(path, BUSY_WAIT)
    }

    /// [`Store::open`] with the time to wait for other writers.
    fn open_waiting(path: &Path, wait: Duration) -> Result<Self, StoreError> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .map_err(|source| StoreError::Folder { path: path.to_path_buf(), source })?;
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut store = Self::connect(path, flags, wait)?;
        if store.is_blank()? {
            store.create_tables()?;
        }
        store.verify()?;
        let blame = StoreError::blame(path);
        // WAL: readers (a report) do not wait for the writer. FULL: a finished
        // phase survives a power cut too; there are few transactions.
        store
            .connection
            .pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))
            .map_err(&blame)?;
        store.connection.pragma_update(None, "synchronous", "full").map_err(&blame)?;
        store.connection.pragma_update(None, "foreign_keys", true).map_err(&blame)?;
        Ok(store)
    }

    /// Opens an existing store for reading only, as a report does.
    ///
    /// # Errors
    /// As [`Store::open`]; where there is no such file the error names the
    /// store in the same folder, or in `runs/`, whose name is nearest.
    pub fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        if !path.is_file() {
            return Err(StoreError::missing(path));
        }
        // Where there is no log nobody is writing, and the file can be read as it lies
        // there, also on a medium that cannot be written. Otherwise SQLite would put a
        // log and its index beside it, which a reader must not remove again.
        let store = match log_path(path).exists() {
            true => {
                let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                Self::connect(path, flags, BUSY_WAIT)?
            }
            false => Self::connect_immutable(path)?,
        };
        store.verify().map(|()| store)
    }

    /// Whether somebody has begun to write since the store was opened for reading as it
    /// lay there: what was read may then be of two moments.
    #[must_use]
    pub fn is_overtaken(&self) -> bool {
        let changed = |lay: &Lay| log_path(&self.path).exists() || lay_of(&self.path) != *lay;
        self.lay.as_ref().is_some_and(changed)
    }

    fn connect(path: &Path, flags: OpenFlags, wait: Duration) -> Result<Self, StoreError> {
        let blame = StoreError::blame(path);
        let connection = Connection::open_with_flags(path, flags).map_err(&blame)?;
        connection.busy_timeout(wait).map_err(&blame)?;
        Ok(Self { connection, path: path.to_path_buf(), lay: None })
    }

    fn connect_immutable(path: &Path) -> Result<Self, StoreError> {
        // `?`, `#` and `%` mean something in a URI.
        let escaped =
            path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_URI;
        let uri = format!("file:{escaped}?immutable=1");
        let lay = Some(lay_of(path));
        let connection =
            Connection::open_with_flags(uri, flags).map_err(StoreError::blame(path))?;
        Ok(Self { connection, path: path.to_path_buf(), lay })
    }

    /// Whether the file is a database in which nobody has made anything yet.
    fn is_blank(&self) -> Result<bool, StoreError> {
        let blame = StoreError::blame(&self.path);
        let things: i64 = self
            .connection
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .map_err(&blame)?;
        Ok(things == 0 && self.application_id()? == 0)
    }

    fn application_id(&self) -> Result<i32, StoreError> {
        self.connection
            .pragma_query_value(None, "application_id", |row| row.get(0))
            .map_err(StoreError::blame(&self.path))
    }

    fn create_tables(&mut self) -> Result<(), StoreError> {
        let blame = StoreError::blame(&self.path);
        let create = |connection: &mut Connection| -> rusqlite::Result<()> {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            // Another process may have made the tables since we looked.
            let things: i64 =
                transaction
                    .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
            if things == 0 {
                transaction.execute_batch(SCHEMA)?;
                transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
                transaction
                    .execute("INSERT INTO meta VALUES ('schema version', ?1)", [SCHEMA_VERSION])?;
            }
            transaction.commit()
        };
        create(&mut self.connection).map_err(blame)
    }

    /// Refuses a file that is not a whole store of this version. It reads all
    /// of the file: damage is to be found before hours are spent on a run, and
    /// a store is small.
    fn verify(&self) -> Result<(), StoreError> {
        let blame = StoreError::blame(&self.path);
        if self.application_id()? != APPLICATION_ID {
            return Err(StoreError::Foreign { path: self.path.clone() });
        }
        let version = self.meta("schema version")?;
        if version.as_deref() != Some(SCHEMA_VERSION) {
            return Err(StoreError::Version {
                path: self.path.clone(),
                found: version.unwrap_or_else(|| "none".to_string()),
                expected: SCHEMA_VERSION,
            });
        }
        let verdict: String = self
            .connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(&blame)?;
        if verdict != "ok" {
            return Err(StoreError::Damaged { path: self.path.clone(), detail: verdict });
        }
        Ok(())
    }

    /// The file this store lives in.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Notes what the experiment is called and which runs it consists of now.
    /// The store may hold more, from earlier versions of the experiment; a
    /// report shows those of the plan.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn set_plan(&mut self, plan: &Plan) -> Result<(), StoreError> {
        let runs = serde_json::Value::from(plan.runs.clone()).to_string();
        for (key, value) in [(PLAN_NAME, &plan.name), (PLAN_RUNS, &runs)] {
            self.connection
                .execute(
                    "INSERT INTO meta VALUES (?1, ?2)
                     ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                    [key, value],
                )
                .map_err(StoreError::blame(&self.path))?;
        }
        Ok(())
    }

    /// The plan noted last, if any.
    ///
    /// # Errors
    /// The store cannot be read, or the plan in it is not one.
    pub fn plan(&self) -> Result<Option<Plan>, StoreError> {
        let (Some(name), Some(runs)) = (self.meta(PLAN_NAME)?, self.meta(PLAN_RUNS)?) else {
            return Ok(None);
        };
        match serde_json::from_str(&runs) {
            Ok(runs) => Ok(Some(Plan { name, runs })),
            Err(error) => Err(StoreError::Damaged {
                path: self.path.clone(),
                detail: format!("the list of planned runs: {error}"),
            }),
        }
    }

    fn meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.connection
            .query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0))
            .optional()
            .map_err(StoreError::blame(&self.path))
    }

    /// Makes a run known. Doing so again changes nothing but the names.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn record_run(&mut self, run: &RunRecord) -> Result<(), StoreError> {
        self.connection
            .execute(
                "INSERT INTO runs VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT (id) DO UPDATE SET
                    label = excluded.label, config = excluded.config, seed = excluded.seed,
                    model = excluded.model, learner = excluded.learner,
                    data_label = excluded.data_label",
                params![
                    run.id,
                    run.label,
                    run.config_json,
                    to_sql(run.seed),
                    run.model,
                    run.learner,
                    run.data_label
                ],
            )
            .map(|_| ())
            .map_err(StoreError::blame(&self.path))
    }

    /// Whether all results of a phase are in the store.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn finished(&self, run: &str, phase: &str) -> Result<bool, StoreError> {
        self.connection
            .query_row("SELECT 1 FROM phases WHERE run = ?1 AND phase = ?2", [run, phase], |_| {
                Ok(())
            })
            .optional()
            .map(|found| found.is_some())
            .map_err(StoreError::blame(&self.path))
    }

    /// Writes all results of a phase and marks it finished, in one
    /// transaction; results the phase had before are replaced.
    ///
    /// # Errors
    /// The run was not recorded, or the store cannot be written; then
    /// everything is as it was before.
    pub fn finish_phase(
        &mut self,
        run: &str,
        phase: &str,
        results: &PhaseResults,
    ) -> Result<(), StoreError> {
        let blame = StoreError::blame(&self.path);
        write_phase(&mut self.connection, run, phase, results).map_err(blame)
    }

    /// All runs, in the order in which they were first recorded.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn runs(&self) -> Result<Vec<RunRecord>, StoreError> {
        self.list(
            "SELECT id, label, config, seed, model, learner, data_label
             FROM runs ORDER BY rowid",
            &[],
            |row| {
                Ok(RunRecord {
                    id: row.get(0)?,
                    label: row.get(1)?,
                    config_json: row.get(2)?,
                    seed: from_sql(row.get(3)?),
                    model: row.get(4)?,
                    learner: row.get(5)?,
                    data_label: row.get(6)?,
                })
            },
        )
    }

    /// The finished phases of a run, in the order in which they finished.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn phases(&self, run: &str) -> Result<Vec<String>, StoreError> {
        self.list("SELECT phase FROM phases WHERE run = ?1 ORDER BY rowid", &[run], |row| {
            row.get(0)
        })
    }

    /// The scores of a phase, in the order in which they were given.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn scores(&self, run: &str, phase: &str) -> Result<Vec<Score>, StoreError> {
        self.list(
            "SELECT battery, cell, metric, value, cases FROM scores
             WHERE run = ?1 AND phase = ?2 ORDER BY rowid",
            &[run, phase],
            |row| {
                Ok(Score {
                    battery: row.get(0)?,
                    cell: row.get(1)?,
                    metric: row.get(2)?,
                    value: row.get(3)?,
                    cases: from_sql(row.get(4)?),
                })
            },
        )
    }

    /// The points of all curves of a phase, in the order in which they were
    /// given.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn curves(&self, run: &str, phase: &str) -> Result<Vec<CurvePoint>, StoreError> {
        self.list(
            "SELECT series, step, value FROM curves
             WHERE run = ?1 AND phase = ?2 ORDER BY rowid",
            &[run, phase],
            |row| {
                Ok(CurvePoint {
                    series: row.get(0)?,
                    step: from_sql(row.get(1)?),
                    value: row.get::<_, Option<f64>>(2)?.unwrap_or(f64::NAN),
                })
            },
        )
    }

    /// The artefacts of a phase by name, in the order in which they were given.
    ///
    /// # Errors
    /// The store cannot be read, or an artefact is not JSON.
    pub fn artefacts(
        &self,
        run: &str,
        phase: &str,
    ) -> Result<Vec<(String, serde_json::Value)>, StoreError> {
        let texts: Vec<(String, String)> = self.list(
            "SELECT name, json FROM artefacts
             WHERE run = ?1 AND phase = ?2 ORDER BY rowid",
            &[run, phase],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        texts
            .into_iter()
            .map(|(name, text)| match serde_json::from_str(&text) {
                Ok(value) => Ok((name, value)),
                Err(error) => Err(StoreError::Damaged {
                    path: self.path.clone(),
                    detail: format!("artefact `{name}` of run {run}, phase {phase}: {error}"),
                }),
            })
            .collect()
    }

    /// Everything a phase left behind, as it was given to
    /// [`Store::finish_phase`].
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn results(&self, run: &str, phase: &str) -> Result<PhaseResults, StoreError> {
        Ok(PhaseResults {
            scores: self.scores(run, phase)?,
            curves: self.curves(run, phase)?,
            artefacts: self.artefacts(run, phase)?,
        })
    }

    fn list<T>(
        &self,
        query: &str,
        keys: &[&str],
        read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let collect = || {
            let mut statement = self.connection.prepare_cached(query)?;
            statement
                .query_map(rusqlite::params_from_iter(keys), read)?
                .collect::<rusqlite::Result<Vec<T>>>()
        };
        collect().map_err(StoreError::blame(&self.path))
    }
}

/// The write-ahead log that SQLite keeps beside a database.
fn lay_of(path: &Path) -> Lay {
    let found = std::fs::metadata(path).ok();
    (found.as_ref().and_then(|found| found.modified().ok()), found.map_or(0, |found| found.len()))
}

fn log_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push("-wal");
    PathBuf::from(name)
}
