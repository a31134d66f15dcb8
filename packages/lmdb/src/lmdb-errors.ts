import { CacheError, type CacheErrorCode } from '@stowage/core'

/** Codes of LMDB (lmdb.h) for a file whose pages contradict each other, or that is not an LMDB file. */
const damageCodes: ReadonlySet<unknown> = new Set([
  -30797, // MDB_PAGE_NOTFOUND
  -30796, // MDB_CORRUPTED
  -30793, // MDB_INVALID
  -30784, // MDB_INCOMPATIBLE
  -30779, // MDB_PROBLEM
  -30778, // MDB_BAD_CHECKSUM
])
/** The code and the reason of an error, by the code of LMDB or the number of the system error. */
const reasons: ReadonlyMap<unknown, readonly [CacheErrorCode, string]> = new Map([
  // MDB_VERSION_MISMATCH, MDB_MAP_FULL, MDB_READERS_FULL
  [-30794, ['ERR_CACHE_CONFIG', 'another version of LMDB wrote the file. Delete it']],
  [-30792, ['ERR_CACHE_LIMIT', 'the file cannot grow. Raise maxBytes']],
  [-30790, ['ERR_CACHE_UNAVAILABLE', 'too many processes and threads have the file open']],
  // EPERM, EIO, EACCES, ENFILE, EMFILE, ENOSPC, EROFS, EDQUOT of Linux and of macOS
  [1, ['ERR_CACHE_CONFIG', 'this user may not write the file. Change its owner']],
  [5, ['ERR_CACHE_UNAVAILABLE', 'the disk is full, or has failed']],
  [13, ['ERR_CACHE_CONFIG', 'this user may not read and write the file. Change its owner']],
  [23, ['ERR_CACHE_UNAVAILABLE', 'the system has too many open files']],
  [24, ['ERR_CACHE_UNAVAILABLE', 'this process has too many open files']],
  [28, ['ERR_CACHE_UNAVAILABLE', 'the disk is full. Free some space']],
  [30, ['ERR_CACHE_CONFIG', 'the file system is read-only. Choose another path']],
  [122, ['ERR_CACHE_UNAVAILABLE', 'the disk quota is used up. Free some space']],
  [69, ['ERR_CACHE_UNAVAILABLE', 'the disk quota is used up. Free some space']],
])

/** Whether the error means that the contents of the file are damaged. */
export function isDamage(error: unknown): boolean {
  return error instanceof DamageError || damageCodes.has((error as { code?: unknown })?.code)
}

/** The file is damaged or foreign. `reason` completes the sentence "the file …". */
export class DamageError extends Error {
  override readonly name: string = 'DamageError'
}

/** Another process or thread is writing, or was stopped while it did. */
export class BusyError extends Error {
  override readonly name: string = 'BusyError'
  /** The other process, if it is known. */
  readonly pid: number | undefined

  constructor(pid: number | undefined) {
    super('Another process is writing')
    this.pid = pid
  }
}

/** Another process or thread was stopped while it read, so that the file would grow with each write. */
export class HeldSnapshotError extends Error {
  override readonly name: string = 'HeldSnapshotError'
  readonly pid: number

  constructor(pid: number) {
    super('Another process keeps a snapshot')
    this.pid = pid
  }
}

/** Converts an error of the library or of the file system. */
export function translate(error: unknown, operation: string, key?: string): CacheError {
  if (CacheError.is(error)) return error
  if (error instanceof BusyError) return timedOut(operation, error, key)
  if (error instanceof HeldSnapshotError) return held(operation, error, key)
  const { code, errno, message } = error as { code?: unknown; errno?: number; message?: string }
  if (isDamage(error)) return damaged(operation, error, key)
  const known = reasons.get(code) ?? reasons.get(errno === undefined ? undefined : -errno)
  const [cacheCode, reason] = known ?? ['ERR_CACHE_UNAVAILABLE' as const, String(message)]
  return new CacheError(cacheCode, `lmdb ${operation} failed: ${reason}.`, {
    store: 'lmdb',
    operation,
    key,
    cause: error,
  })
}

function damaged(operation: string, cause: unknown, key: string | undefined): CacheError {
  const what = cause instanceof DamageError ? cause.message : 'is damaged'
  return new CacheError(
    'ERR_CACHE_UNAVAILABLE',
    `lmdb ${operation} failed: the file ${what}. It was left as it is. Restore a copy of its directory, or delete it.`,
    { store: 'lmdb', operation, key, retryable: false, cause },
  )
}

function timedOut(operation: string, cause: BusyError, key: string | undefined): CacheError {
  const owner = cause.pid === undefined ? 'another process' : `process ${cause.pid}`
  return new CacheError(
    'ERR_CACHE_TIMEOUT',
    `lmdb ${operation} failed: ${owner} did not end its write within the timeout. If it is stopped, continue it ` +
      '(SIGCONT) or kill it.',
    { store: 'lmdb', operation, key, cause },
  )
}

function held(operation: string, cause: HeldSnapshotError, key: string | undefined): CacheError {
  return new CacheError(
    'ERR_CACHE_UNAVAILABLE',
    `lmdb ${operation} failed: process ${cause.pid} was stopped while it read, and the file would grow until that ends. ` +
      'Continue it (SIGCONT) or kill it.',
    { store: 'lmdb', operation, key, cause },
  )
}
