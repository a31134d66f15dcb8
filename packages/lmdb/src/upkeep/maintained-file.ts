import type { Clock, Payload } from '@stowage/core'
import type { Environment } from '../file/environment.ts'
import { ItemTable, type ScanPage } from '../items/item-table.ts'
import { BusyError } from '../lmdb-errors.ts'
import type { ResolvedLmdbOptions } from '../lmdb-options.ts'
import { StateFile } from '../opening/file-state.ts'
import { openFile, setAside } from '../opening/open-file.ts'
import { MachineClock } from '../time/machine-clock.ts'
import { Eviction } from './eviction.ts'
import { GrowthLimit } from './growth-limit.ts'
import { Sweeper } from './sweeper.ts'

/** A transaction that has written more is committed before the next write, because its pages are needed twice. */
const largeTransactionBytes = 1024 * 1024

export interface FileListener {
  /** The file was deleted or moved while it was open. */
  onReplaced(): void
  /** A task in the background has failed. */
  onError(error: unknown): void
}

/** An open file, and the tasks that keep it small: they delete expired items and evict unused ones. */
export class MaintainedFile {
  readonly items: ItemTable
  readonly #options: ResolvedLmdbOptions
  readonly #environment: Environment
  readonly #growth: GrowthLimit
  readonly #eviction: Eviction
  readonly #sweeper: Sweeper
  readonly #recentUse: RecentUse
  readonly #now: () => number
  #writtenBytes = 0

  /** Opens the file. @throws CacheError, BusyError, or the error of the library */
  static open(options: ResolvedLmdbOptions, listener: FileListener): MaintainedFile {
    return openFile(options, (environment) => new MaintainedFile(environment, options, listener))
  }

  private constructor(
    environment: Environment,
    options: ResolvedLmdbOptions,
    listener: FileListener,
  ) {
    this.#options = options
    const { clock } = options
    this.#now = () => clock.now()
    this.#environment = environment
    this.items = new ItemTable(this.#environment)
    this.#growth = new GrowthLimit(environment, options.timeoutMs)
    this.#eviction = new Eviction(environment, this.items, this.#growth, options.maxBytes)
    this.#recentUse = new RecentUse((keys) => this.#guard(listener, () => this.#markUsed(keys)))
    this.#sweeper = new Sweeper({
      environment: this.#environment,
      items: this.items,
      clock,
      intervalMs: options.sweepIntervalMs,
      transact: (work) => this.transact(work),
      onError: (error) => listener.onError(error),
      onReplaced: () => listener.onReplaced(),
    })
    this.#begin(clock)
  }

  get(key: string): Payload | undefined {
    try {
      return this.#read(key)
    } finally {
      this.#environment.endRead()
    }
  }

  /** Reads all items from one snapshot. */
  getMany(keys: readonly string[]): (Payload | undefined)[] {
    try {
      return keys.map((key) => this.#read(key))
    } finally {
      this.#environment.endRead()
    }
  }

  scan(prefix: string, start: string, count: number): ScanPage {
    return this.items.scan(prefix, start, count, this.#now())
  }

  /** Executes `work` in a write transaction, evicts if necessary, and commits. */
  transact<T>(work: () => T): T {
    try {
      return this.#environment.transact(() => {
        this.#growth.checkAgain()
        const result = work()
        this.#countWrites()
        this.#eviction.makeRoom(this.#writtenBytes, this.#now())
        return result
      })
    } finally {
      this.items.takeWrittenBytes()
      this.#writtenBytes = 0
    }
  }

  /** Whether the current transaction should be committed before the next write. */
  isLarge(): boolean {
    this.#countWrites()
    return this.#writtenBytes > largeTransactionBytes
  }

  /** Closes the file. The last process also writes everything to disk. */
  async close(): Promise<void> {
    this.abandon()
    try {
      if (!this.#environment.isReplaced()) await this.#markClean()
    } finally {
      await this.#environment.close()
    }
  }

  /** Stops the background tasks. Writes nothing to the file. */
  abandon(): void {
    this.#sweeper.stop()
    this.#recentUse.stop()
  }

  /** Moves the file aside, because it is damaged. */
  setAside(reason: string): void {
    setAside(this.#options.path, this.#environment, reason)
  }

  /** Abandons a file that is damaged or was replaced, without writing to it. */
  async discard(): Promise<void> {
    this.abandon()
    await this.#environment.close()
  }

  #read(key: string): Payload | undefined {
    const payload = this.items.read(key, this.#options.clock)
    if (payload !== undefined && this.#eviction.isHalfFull && !this.items.isUsed)
      this.#recentUse.add(key)
    return payload
  }

  /** Takes the time from the file, and counts the pages in use: if it is more than half full, reads are recorded. */
  #begin(clock: Clock): void {
    try {
      this.transact(() => {
        if (clock instanceof MachineClock) clock.share(this.#environment.meta)
      })
    } catch (error) {
      this.discard().catch(() => {})
      throw error
    }
  }

  #countWrites(): void {
    this.#writtenBytes += this.items.takeWrittenBytes()
  }

  #markUsed(keys: readonly string[]): void {
    this.transact(() => {
      for (const key of keys) {
        if (this.items.find(key) && !this.items.isUsed) this.items.markUsed(key, true)
      }
    })
  }

  async #markClean(): Promise<void> {
    if (this.#options.durability === 'power' || this.#environment.isShared()) return
    await this.#environment.sync()
    try {
      this.#environment.guarded(() => {
        if (!this.#environment.isShared()) new StateFile(this.#options.path).write(true)
      })
    } catch (error) {
      // Another process has opened the file meanwhile. It marks the file when it closes it.
      if (!(error instanceof BusyError)) throw error
    }
  }

  #guard(listener: FileListener, work: () => void): void {
    try {
      work()
    } catch (error) {
      listener.onError(error)
    }
  }
}

/** A burst of reads is recorded with one transaction. */
const delayMs = 100
const maxKeys = 1_000

/** Collects the keys of items that were read, to mark them as used. */
class RecentUse {
  readonly #record: (keys: readonly string[]) => void
  #keys = new Set<string>()
  #timer: NodeJS.Timeout | undefined

  /** @param record marks the items of the keys */
  constructor(record: (keys: readonly string[]) => void) {
    this.#record = record
  }

  add(key: string): void {
    if (this.#keys.size >= maxKeys) return
    this.#keys.add(key)
    this.#timer ??= setTimeout(() => this.#flush(), delayMs).unref()
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#keys.clear()
  }

  #flush(): void {
    const keys = [...this.#keys]
    this.#keys = new Set()
    this.#timer = undefined
    this.#record(keys)
  }
}
