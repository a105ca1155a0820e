//! The file system as SQLite sees it: the system's own, with a disk of ours behind some directories.
//!
//! It is the default of the process once the first disk stands, and leaves alone whatever does not lie on one.
#![expect(
    unsafe_code,
    reason = "SQLite calls a file system through pointers, and gives it memory to write to"
)]

use std::{
    ffi::{CStr, OsStr, c_char, c_int, c_void},
    os::unix::ffi::OsStrExt,
    path::Path,
    sync::{Arc, OnceLock, PoisonError, RwLock},
};

use rusqlite::ffi::{self, sqlite3_file, sqlite3_int64, sqlite3_io_methods, sqlite3_vfs};

use crate::disk::{Call, Platter};

static DISKS: RwLock<Vec<Arc<Platter>>> = RwLock::new(Vec::new());

/// The system's own file system.
struct Base(*mut sqlite3_vfs);
// SAFETY: SQLite's own file system is static, and its functions may be called from any thread.
unsafe impl Send for Base {}
// SAFETY: as above.
unsafe impl Sync for Base {}
static BASE: OnceLock<Base> = OnceLock::new();

/// What SQLite holds for each open file. The system's own follows it in memory.
#[repr(C)]
struct SimFile {
    base: sqlite3_file,
    open: *mut OpenFile,
}

struct OpenFile {
    disk: Arc<Platter>,
    inode: usize,
    /// A new journal's first sync also syncs the directory, as the system's own file system does.
    syncs_directory: bool,
}

/// Puts a disk behind its directory.
pub(crate) fn add(disk: Arc<Platter>) {
    BASE.get_or_init(register);
    DISKS.write().unwrap_or_else(PoisonError::into_inner).push(disk);
}

/// Takes it away. Files that are open stay as they are.
pub(crate) fn remove(disk: &Arc<Platter>) {
    DISKS.write().unwrap_or_else(PoisonError::into_inner).retain(|other| !Arc::ptr_eq(other, disk));
}

fn find(name: *const c_char) -> Option<(Arc<Platter>, String)> {
    if name.is_null() {
        return None;
    }
    // SAFETY: SQLite passes a path that ends with a zero byte.
    let path = Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(name) }.to_bytes()));
    let disks = DISKS.read().unwrap_or_else(PoisonError::into_inner);
    disks.iter().find_map(|disk| Some((disk.clone(), disk.name_of(path)?)))
}

fn register() -> Base {
    // SAFETY: the default file system is static, and so is what is leaked here. All of its functions but two work with
    // a copy of its description.
    unsafe {
        ffi::sqlite3_initialize();
        let base = ffi::sqlite3_vfs_find(std::ptr::null());
        let mut own = *base;
        own.zName = c"stepwell-sim".as_ptr();
        own.szOsFile += c_int::try_from(size_of::<SimFile>()).expect("it is small");
        own.pNext = std::ptr::null_mut();
        own.xOpen = Some(open);
        own.xDelete = Some(delete);
        let registered = ffi::sqlite3_vfs_register(Box::leak(Box::new(own)), 1);
        assert_eq!(registered, ffi::SQLITE_OK, "SQLite takes the file system");
        Base(base)
    }
}

fn base() -> *mut sqlite3_vfs {
    BASE.get().expect("it was registered together with the functions that ask").0
}

/// The system's own file behind one of ours.
unsafe fn real(file: *mut sqlite3_file) -> *mut sqlite3_file {
    // SAFETY: `register` asked for the memory of both.
    unsafe { file.cast::<SimFile>().add(1).cast() }
}
unsafe fn opened<'a>(file: *mut sqlite3_file) -> &'a mut OpenFile {
    // SAFETY: set by `open`, freed by `close`, and SQLite uses a file from one thread at a time.
    unsafe { &mut *(*file.cast::<SimFile>()).open }
}
unsafe fn methods<'a>(file: *mut sqlite3_file) -> &'a sqlite3_io_methods {
    // SAFETY: the system's own file is open for as long as ours is.
    unsafe { &*(*real(file)).pMethods }
}

/// Calls the same method of the system's own file.
macro_rules! pass {
    ($file:ident . $method:ident ($($argument:expr),*)) => {
        // SAFETY: the arguments are those that SQLite passed.
        unsafe { methods($file).$method.expect("the system's own file system has it")(real($file), $($argument),*) }
    };
}

fn code(outcome: Result<(), i32>) -> c_int {
    outcome.err().unwrap_or(ffi::SQLITE_OK)
}

unsafe extern "C" fn open(
    _vfs: *mut sqlite3_vfs,
    name: *const c_char,
    file: *mut sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    const JOURNALS: c_int = ffi::SQLITE_OPEN_WAL | ffi::SQLITE_OPEN_MAIN_JOURNAL;
    let on_disk = find(name).filter(|_| flags & (ffi::SQLITE_OPEN_MAIN_DB | JOURNALS) != 0);
    // SAFETY: the system's own file system is given the memory that it asked for, behind ours or in its place.
    unsafe {
        let open_real = (*base()).xOpen.expect("a file system opens files");
        let Some((disk, name_on_disk)) = on_disk else {
            return open_real(base(), name, file, flags, out);
        };
        (*file).pMethods = std::ptr::null();
        if let Err(code) = disk.begin(Call::Open) {
            return code;
        }
        let outcome = open_real(base(), name, real(file), flags, out);
        if outcome != ffi::SQLITE_OK {
            return outcome;
        }
        let syncs_directory = flags & JOURNALS != 0 && flags & ffi::SQLITE_OPEN_CREATE != 0;
        let inode = disk.opened(&name_on_disk);
        let open = Box::new(OpenFile { disk, inode, syncs_directory });
        (*file.cast::<SimFile>()).open = Box::into_raw(open);
        (*file).pMethods = &METHODS;
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn delete(_vfs: *mut sqlite3_vfs, name: *const c_char, sync_directory: c_int) -> c_int {
    if let Some((disk, name)) = find(name)
        && let Err(code) = disk.delete(&name, sync_directory != 0)
    {
        return code;
    }
    // SAFETY: the arguments are those that SQLite passed. What must be synced is decided by the disk of ours.
    unsafe { (*base()).xDelete.expect("a file system deletes files")(base(), name, 0) }
}

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    // Without the functions of version 3, SQLite maps no memory.
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    let outcome = pass!(file.xClose());
    // SAFETY: made by `open`, and SQLite closes a file once.
    unsafe {
        drop(Box::from_raw((*file.cast::<SimFile>()).open));
        (*file).pMethods = std::ptr::null();
    }
    outcome
}
unsafe extern "C" fn read(file: *mut sqlite3_file, to: *mut c_void, n: c_int, at: sqlite3_int64) -> c_int {
    // SAFETY: the file is open.
    match unsafe { opened(file) }.disk.begin(Call::Read) {
        Ok(()) => pass!(file.xRead(to, n, at)),
        Err(code) => code,
    }
}
unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    from: *const c_void,
    n: c_int,
    at: sqlite3_int64,
) -> c_int {
    // SAFETY: the file is open, and SQLite passes a buffer of this length.
    let (open, bytes) = unsafe {
        (opened(file), std::slice::from_raw_parts(from.cast::<u8>(), usize::try_from(n).unwrap_or(0)))
    };
    let (reached, outcome) = open.disk.write(open.inode, at.unsigned_abs(), bytes);
    let reached = c_int::try_from(reached).unwrap_or(0);
    let written = if reached > 0 { pass!(file.xWrite(from, reached, at)) } else { ffi::SQLITE_OK };
    if written == ffi::SQLITE_OK { code(outcome) } else { written }
}
unsafe extern "C" fn truncate(file: *mut sqlite3_file, size: sqlite3_int64) -> c_int {
    // SAFETY: the file is open.
    let open = unsafe { opened(file) };
    match open.disk.truncate(open.inode, size.unsigned_abs()) {
        Ok(()) => pass!(file.xTruncate(size)),
        Err(code) => code,
    }
}
unsafe extern "C" fn sync(file: *mut sqlite3_file, _flags: c_int) -> c_int {
    // SAFETY: the file is open. The real disk is not asked: what stays is decided by ours.
    let open = unsafe { opened(file) };
    let outcome = open.disk.sync(open.inode, open.syncs_directory);
    open.syncs_directory &= outcome.is_err();
    code(outcome)
}
unsafe extern "C" fn file_size(file: *mut sqlite3_file, size: *mut sqlite3_int64) -> c_int {
    pass!(file.xFileSize(size))
}
unsafe extern "C" fn lock(file: *mut sqlite3_file, level: c_int) -> c_int {
    pass!(file.xLock(level))
}
unsafe extern "C" fn unlock(file: *mut sqlite3_file, level: c_int) -> c_int {
    pass!(file.xUnlock(level))
}
unsafe extern "C" fn check_reserved_lock(file: *mut sqlite3_file, held: *mut c_int) -> c_int {
    pass!(file.xCheckReservedLock(held))
}
unsafe extern "C" fn file_control(file: *mut sqlite3_file, op: c_int, argument: *mut c_void) -> c_int {
    pass!(file.xFileControl(op, argument))
}
unsafe extern "C" fn sector_size(file: *mut sqlite3_file) -> c_int {
    pass!(file.xSectorSize())
}
unsafe extern "C" fn device_characteristics(file: *mut sqlite3_file) -> c_int {
    pass!(file.xDeviceCharacteristics())
}
unsafe extern "C" fn shm_map(
    file: *mut sqlite3_file,
    page: c_int,
    page_bytes: c_int,
    extend: c_int,
    to: *mut *mut c_void,
) -> c_int {
    pass!(file.xShmMap(page, page_bytes, extend, to))
}
unsafe extern "C" fn shm_lock(file: *mut sqlite3_file, offset: c_int, n: c_int, flags: c_int) -> c_int {
    pass!(file.xShmLock(offset, n, flags))
}
unsafe extern "C" fn shm_barrier(file: *mut sqlite3_file) {
    pass!(file.xShmBarrier());
}
unsafe extern "C" fn shm_unmap(file: *mut sqlite3_file, delete: c_int) -> c_int {
    pass!(file.xShmUnmap(delete))
}
