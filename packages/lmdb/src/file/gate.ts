import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { BusyError, isDamage } from '../lmdb-errors.ts'
import { checkHeader } from './file-header.ts'
import { type LmdbLibrary, loadLibrary, type RootDatabase, type Slot } from './library.ts'

/** MDB_RDONLY: the flag of a transaction that occupies a reader slot. */
const readOnly = 0x20000
/** MDB_READERS_FULL */
const readersFull = -30790
/** Most transactions are shorter. To retry costs less than to wait for the event loop. */
const maxRetryMs = 0.2
/**
 * How long a process that is alone keeps the lock while it writes without a pause, because to acquire it takes a tenth of a
 * short transaction; and how long it then acquires it for each use, so that a process that starts gets it.
 */
const keepMs = 3
const pauseMs = 1
/** How often a process that writes without a pause checks whether it is alone, which takes as long as to acquire the lock. */
const checkMs = 100

/**
 * A lock between processes and threads, which never blocks. It guards the opening of the data and every write to it: when
 * LMDB opens a file, it stores the id of the last transaction in the shared lock file, and a transaction that another
 * process commits meanwhile would be overwritten. The lock for write transactions could guard both, but to acquire it, a
 * process waits with its event loop, for as long as the owner is stopped. This lock is the only reader slot of a second,
 * empty file: LMDB replies at once if the slot is occupied, and frees that of a process that was killed.
 */
export class Gate {
  readonly #library: LmdbLibrary
  readonly #root: RootDatabase
  /** The slot, while it is used or kept. */
  #slot: Slot | undefined
  #keepTimer: NodeJS.Timeout | undefined
  #usedAt = -Infinity
  #mayKeepAt = -Infinity

  /** Opens the lock in a directory. */
  constructor(directory: string) {
    this.#library = loadLibrary()
    const path = join(directory, 'writer.mdb')
    try {
      if (existsSync(path)) checkHeader(path)
      this.#root = this.#open(path)
    } catch (error) {
      if (!isDamage(error)) throw error
      // There is nothing in it that could be lost.
      for (const file of [path, `${path}-lock`]) if (existsSync(file)) rmSync(file)
      this.#root = this.#open(path)
    }
  }

  /**
   * Executes `work` while no other process or thread does. It must be synchronous, and may call `run`.
   *
   * @param isAlone whether no other process uses the lock, except one that starts
   * @throws BusyError if another one has it, for longer than a fraction of a millisecond
   */
  run<T>(work: () => T, isAlone: () => boolean = () => false): T {
    if (this.#slot !== undefined) return work()
    this.#slot = this.#acquire()
    try {
      return work()
    } finally {
      if (this.#isBusy() && this.#mayKeep(isAlone)) this.#keep()
      else this.#release()
    }
  }

  close(): Promise<void> {
    this.#release()
    return this.#root.close()
  }

  /** Whether the last use was a moment ago. */
  #isBusy(): boolean {
    const now = performance.now()
    const isBusy = now - this.#usedAt < pauseMs
    this.#usedAt = now
    return isBusy
  }

  #mayKeep(isAlone: () => boolean): boolean {
    if (this.#usedAt < this.#mayKeepAt) return false
    if (isAlone()) return true
    this.#mayKeepAt = this.#usedAt + checkMs
    return false
  }

  #keep(): void {
    this.#keepTimer = setTimeout(() => {
      this.#mayKeepAt = performance.now() + pauseMs
      this.#release()
    }, keepMs).unref()
  }

  #release(): void {
    clearTimeout(this.#keepTimer)
    this.#slot?.abort()
    this.#slot = undefined
  }

  #acquire(): Slot {
    let started: number | undefined
    for (;;) {
      const slot = this.#tryAcquire()
      if (slot !== undefined) return slot
      started ??= performance.now()
      if (performance.now() - started > maxRetryMs) throw new BusyError(this.#owner())
    }
  }

  #tryAcquire(): Slot | undefined {
    try {
      return new this.#library.nativeAddon.Txn(this.#root.env, readOnly)
    } catch (error) {
      if ((error as { code?: unknown }).code === readersFull) return undefined
      throw error
    }
  }

  /** The id of the process that has the lock, in the first line of the list with a number. */
  #owner(): number | undefined {
    const pid = /^\s*(\d+)\s/m.exec(this.#root.readerList())?.[1]
    return pid === undefined ? undefined : Number(pid)
  }

  #open(path: string): RootDatabase {
    return this.#library.open({
      path,
      encoding: 'binary',
      noSubdir: true,
      pageSize: 4096,
      mapSize: 2 ** 17,
      maxReaders: 1,
      permissionsMode: 0o600,
      noSync: true,
      overlappingSync: false,
    })
  }
}
