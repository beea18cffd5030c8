//! The file: made whole or not at all, readable by its owner alone, and never taken over from somebody else.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::base::limit::Limit;
use crate::base::random;
use crate::store::sqlite::error::{OpenError, at};
use crate::store::sqlite::schema;

/// How long SQLite waits for a lock while opening and reading.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The write-ahead log is cut back to this many bytes after it has grown beyond.
const LOG_SIZE: i64 = 16 << 20;
/// The write-ahead log is put into the database when it has so many pages: with the largest group of writes on top it fits into
/// `LOG_SIZE`, so that it is written over and over in one place. That takes three more waits for the disk; SQLite's own 1,000
/// pages would have them every few groups.
const LOG_PAGES: i64 = 3_200;
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 2] = [
    Limit::time("read of the database that waits for a lock", BUSY_TIMEOUT, "503"),
    Limit::bytes("write-ahead log of the database after a checkpoint", LOG_SIZE as usize, "it is cut"),
];

/// A larger database is not checked at start: it takes about 1.3 ms per MiB. SQLite still notices damage where it reads.
const MOST_CHECKED: u64 = 96 << 20;

/// There are some seventy statements.
const STATEMENTS: usize = 96;

/// The connection that writes, and the one that reads, if the database can have two.
pub(super) type Connections = (Connection, Option<Connection>);

/// A database in memory.
pub(super) fn open_memory() -> Result<Connections, OpenError> {
    let path = Path::new(":memory:");
    let connection = Connection::open_in_memory().map_err(at(path))?;
    set_up(&connection).map_err(at(path))?;
    schema::migrate(&connection, path)?;
    Ok((connection, None))
}

/// The database in the file at `path`, which is made if nothing is there.
pub(super) fn open(path: &Path) -> Result<Connections, OpenError> {
    let is_there = path.try_exists().map_err(file_fault(path))?;
    if !is_there {
        create(path)?;
    }
    tighten(path).map_err(file_fault(path))?;
    let writing = connect(path)?;
    // Asked before anything is written: a foreign database is left as it is.
    schema::check_owner(&writing, path)?;
    use_write_ahead_log(&writing, path)?;
    schema::migrate(&writing, path)?;
    if is_there {
        check_pages(&writing, path)?;
    }
    let reading = connect(path)?;
    reading.pragma_update(None, "query_only", true).map_err(at(path))?;
    Ok((writing, Some(reading)))
}

/// Makes the database under another name and moves it into place when it is complete: whatever is found under `path`
/// later was once a database, so that an empty or foreign file is never mistaken for one that was about to be made.
fn create(path: &Path) -> Result<(), OpenError> {
    if beside(path, "-wal").try_exists().map_err(file_fault(path))? {
        // Unless another process has made both in the meantime.
        let is_there = path.try_exists().map_err(file_fault(path))?;
        return if is_there { Ok(()) } else { Err(OpenError::Orphaned { path: path.to_owned() }) };
    }
    make_folder(path).map_err(file_fault(path))?;
    let draft = beside(path, &format!(".new-{}", random::identifier()));
    let outcome = make_draft(&draft).and_then(|()| publish(&draft, path).map_err(file_fault(path)));
    for rest in [draft.clone(), beside(&draft, "-wal"), beside(&draft, "-shm")] {
        // Only after a fault is there anything left; the fault is what counts.
        let _ = fs::remove_file(rest);
    }
    outcome
}

fn make_folder(path: &Path) -> io::Result<()> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else { return Ok(()) };
    if folder.try_exists()? {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    // The umask may have taken away what the owner needs.
    fs::set_permissions(folder, Permissions::from_mode(0o700))
}

fn make_draft(draft: &Path) -> Result<(), OpenError> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft).map_err(file_fault(draft))?;
    tighten(draft).map_err(file_fault(draft))?;
    let connection = connect(draft)?;
    use_write_ahead_log(&connection, draft)?;
    schema::migrate(&connection, draft)?;
    connection.close().map_err(|(_, source)| OpenError::Sqlite { path: draft.to_owned(), source })
}

/// A link, unlike a rename, fails when another process was quicker; then its database is as good as ours.
fn publish(draft: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(draft, path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        // Some file systems have no links.
        Err(_) => fs::rename(draft, path)?,
    }
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// SQLite gives the `-wal` and `-shm` files the mode of the database. The files are not opened here: closing one would
/// drop the locks that SQLite holds on it in this process.
fn tighten(path: &Path) -> io::Result<()> {
    for path in [path.to_owned(), beside(path, "-wal"), beside(path, "-shm")] {
        match make_private(&path) {
            // The last of the other processes removes these two when it closes.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            outcome => outcome?,
        }
    }
    Ok(())
}

fn make_private(path: &Path) -> io::Result<()> {
    let mode = fs::metadata(path)?.permissions().mode() & 0o777;
    if mode == 0o600 { Ok(()) } else { fs::set_permissions(path, Permissions::from_mode(0o600)) }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn connect(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(at(path))?;
    set_up(&connection).map_err(at(path))?;
    Ok(connection)
}

fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // A statement is planned once. Without this, SQLite plans some anew for each value that is bound to them, which for one
    // that finds a row by its key takes many times as long as finding it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // What was answered survives a power cut; NORMAL would lose the last rotations and take their return for reuse.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)
}

fn use_write_ahead_log(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)).map_err(at(path))?;
    if mode != "wal" {
        let source = io::Error::other("its file system does not support a write-ahead log");
        return Err(OpenError::File { path: path.to_owned(), source });
    }
    connection.pragma_update_and_check(None, "journal_size_limit", LOG_SIZE, |_| Ok(())).map_err(at(path))?;
    connection.pragma_update_and_check(None, "wal_autocheckpoint", LOG_PAGES, |_| Ok(())).map_err(at(path))
}

fn check_pages(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let size = fs::metadata(path).map_err(file_fault(path))?.len();
    if size > MOST_CHECKED {
        tracing::info!(
            size,
            "the database is too large to be checked at every start; use PRAGMA integrity_check now and then"
        );
        return Ok(());
    }
    schema::check_pages(connection, path)
}

fn file_fault(path: &Path) -> impl Fn(io::Error) -> OpenError {
    move |source| OpenError::File { path: path.to_owned(), source }
}
