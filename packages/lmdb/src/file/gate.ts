import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { isDamage } from '../lmdb-errors.ts'
import { checkHeader } from './file-header.ts'
import { loadLibrary, type RootDatabase } from './library.ts'

/** TransactionFlags.SYNCHRONOUS_COMMIT */
const commitFlags = 2

/**
 * A lock between processes, which the system releases when its owner is killed. It guards the opening of the data and every
 * write to it: when LMDB opens a file, it stores the id of the last transaction in the shared lock file, and a transaction
 * that another process commits meanwhile would be overwritten. The lock is the one for write transactions of a second,
 * empty file, to which nothing is ever written.
 */
export class Gate {
  readonly #root: RootDatabase

  /** Opens the lock in a directory. */
  constructor(directory: string) {
    const path = join(directory, 'gate.mdb')
    try {
      if (existsSync(path)) checkHeader(path)
      this.#root = openGate(path)
    } catch (error) {
      if (!isDamage(error)) throw error
      // There is nothing in it that could be lost.
      for (const file of [path, `${path}-lock`]) if (existsSync(file)) rmSync(file)
      this.#root = openGate(path)
    }
  }

  /** Executes `work` while no other process or thread does. It must be synchronous. */
  run<T>(work: () => T): T {
    return this.#root.transactionSync(work, commitFlags)
  }

  close(): Promise<void> {
    return this.#root.close()
  }
}

function openGate(path: string): RootDatabase {
  return loadLibrary().open({
    path,
    encoding: 'binary',
    noSubdir: true,
    pageSize: 4096,
    mapSize: 2 ** 17,
    maxReaders: 1_000,
    permissionsMode: 0o600,
    noSync: true,
    overlappingSync: false,
  })
}
