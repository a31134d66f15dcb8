import { accessSync, closeSync, constants, existsSync, openSync, statfsSync } from 'node:fs'
import { devNull } from 'node:os'
import { join } from 'node:path'
import { CacheError } from '@stowage/core'

/** Of a file with all tables. */
const minFileBytes = 32 * 1024
/** For a new file, with its locks. */
const minFreeBytes = 1024 * 1024
const locks = ['lock.mdb', 'writer.mdb-lock']
/** For both files and their locks, with some that other threads may open meanwhile. */
const descriptors = 10

/**
 * Checks what the library needs to open the file in a directory, because it does not survive a failure there: it maps files that
 * have no space on the disk yet, which ends the process with SIGBUS, and after some errors it ends with SIGSEGV.
 *
 * @param bytes size of the file
 * @throws CacheError `ERR_CACHE_UNAVAILABLE` if the disk is full
 * @throws the error of the system if too many files are open, or this user may not write a lock
 */
export function checkResources(path: string, bytes: number): void {
  if (bytes < minFileBytes) checkSpace(path)
  checkDescriptors()
  for (const name of locks) checkAccess(join(path, name))
}

// Not opened: this process would lose the locks that another store of it has.
function checkAccess(file: string): void {
  if (existsSync(file)) accessSync(file, constants.R_OK | constants.W_OK)
}

function checkSpace(path: string): void {
  const { blocks, bsize, bfree, bavail } = statfsSync(path)
  const free = process.geteuid?.() === 0 ? bfree : bavail
  // Some file systems do not tell.
  if (blocks === 0 || free * bsize >= minFreeBytes) return
  const problem = `lmdb cannot create its file in ${path}: the disk is full. Free some space.`
  throw new CacheError('ERR_CACHE_UNAVAILABLE', problem, { store: 'lmdb' })
}

function checkDescriptors(): void {
  const opened: number[] = []
  try {
    while (opened.length < descriptors) opened.push(openSync(devNull, 'r'))
  } catch (error) {
    // The device may be missing in a jail.
    if (['EMFILE', 'ENFILE'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  } finally {
    for (const each of opened) closeSync(each)
  }
}
