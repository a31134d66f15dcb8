import {
  accessSync,
  constants,
  lstatSync,
  mkdirSync,
  type Stats,
  statfsSync,
  statSync,
} from 'node:fs'
import { join } from 'node:path'
import { CacheError } from '@stowage/core'

/** Types of file systems without shared memory or reliable locks, as in statfs(2) of Linux. */
const networkFileSystems: ReadonlyMap<number, string> = new Map([
  [0x6969, 'NFS'],
  [0x517b, 'SMB'],
  [0xff534d42, 'CIFS'],
  [0xfe534d42, 'SMB'],
  [0x01021997, '9p'],
  [0x5346414f, 'AFS'],
  [0x00c36400, 'Ceph'],
  [0x73757245, 'Coda'],
])

/** The files in the directory. */
const fileNames = ['data.mdb', 'lock.mdb', 'writer.mdb', 'writer.mdb-lock', 'state.json']

/**
 * Creates the directory with mode 0700 if it is missing, and checks that LMDB can work in it, and that other users of the machine
 * cannot: they could read and replace sessions, or plant links through which this process overwrites files of its own user.
 *
 * @param fileSystemType of a directory, as in statfs(2)
 * @throws CacheError `ERR_CACHE_CONFIG` with the remedy
 */
export function prepareDirectory(
  path: string,
  fileSystemType: (path: string) => number = typeOfFileSystem,
): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 })
    if (!statSync(path).isDirectory()) throw new Error('it is not a directory')
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (cause) {
    throw unusable(path, remedyOf(cause as NodeJS.ErrnoException), cause)
  }
  const danger = dangerOf(path)
  if (danger !== undefined) throw unusable(path, danger)
  // File systems of other platforms have other numbers.
  const network =
    process.platform === 'linux' ? networkFileSystems.get(fileSystemType(path)) : undefined
  if (network !== undefined) {
    throw unusable(
      path,
      `it is on a network file system (${network}), where LMDB would be damaged. Choose a path on a local disk`,
    )
  }
}

/** Why a directory is not safe from other users, as the end of a sentence. */
export function dangerOf(path: string): string | undefined {
  const problem = ownershipProblem(statSync(path), process.geteuid?.())
  if (problem !== undefined) return problem
  for (const name of fileNames) {
    const file = lstatSync(join(path, name), { throwIfNoEntry: false })
    if (file?.isSymbolicLink()) {
      return `its file ${name} is a symbolic link, which would be followed. Delete the link`
    }
    // To open a named pipe, a process waits for another one, with its event loop.
    if (file?.isFIFO()) return `its file ${name} is a named pipe. Delete it`
    // The library ends the process if it cannot open a lock.
    if (file?.isFile() === false) return `its file ${name} is not a regular file. Delete it`
  }
  return undefined
}

/**
 * Root may own the directory, because it can do everything anyway. A group may write in it, as several users of one application
 * need that.
 *
 * @param user of this process; `undefined` on platforms without users of this kind
 */
export function ownershipProblem(
  { uid, mode }: Pick<Stats, 'uid' | 'mode'>,
  user: number | undefined,
): string | undefined {
  if (user === undefined) return undefined
  if (uid !== user && uid !== 0) {
    return `it belongs to another user (uid ${uid}) than this process (uid ${user}). Change its owner, or choose another path`
  }
  if ((mode & constants.S_IWOTH) === 0) return undefined
  return 'every user of the machine may write in it. Set its mode to 0700, or choose a path within it'
}

function typeOfFileSystem(path: string): number {
  return statfsSync(path).type >>> 0
}

function remedyOf({ code, message }: NodeJS.ErrnoException): string {
  if (code === 'EACCES' || code === 'EPERM') {
    return `the user of this process may not write in it (${code}). Change its owner, or choose another path`
  }
  if (code === 'EROFS') return 'its file system is read-only (EROFS). Choose another path'
  if (code === 'ENOSPC') return 'the disk is full (ENOSPC). Free some space'
  return `${message}. Choose another path`
}

function unusable(path: string, reason: string, cause?: unknown): CacheError {
  return new CacheError('ERR_CACHE_CONFIG', `lmdb cannot use the directory ${path}: ${reason}.`, {
    store: 'lmdb',
    cause,
  })
}
