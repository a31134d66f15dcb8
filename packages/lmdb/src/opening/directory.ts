import { accessSync, constants, mkdirSync, statfsSync, statSync } from 'node:fs'
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

/**
 * Creates the directory with mode 0700 if it is missing, and checks that LMDB can work in it.
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
