import { statSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { Deferred } from '@stowage/core/internal'
import type { Gate } from './gate.ts'
import {
  type FastBuffer,
  loadLibrary,
  type ReadAt,
  type RootDatabase,
  type Statistics,
  type Table,
  type Transaction,
} from './library.ts'

export const pageBytes = 4096
/** TransactionFlags.SYNCHRONOUS_COMMIT: a transaction that has failed is aborted as a whole. */
const commitFlags = 2
/** Reader slots: one per store of a process or thread. */
const maxReaders = 1_000
/**
 * More than the file needs, so that the memory map is not moved. It takes address space only. The library would move it instead of
 * refusing to write: see `isOversized`.
 */
const mapFactor = 2
const spareBytes = 64 * 1024 * 1024

/** Longer keys are encoded by the native function. */
const longestLoop = 64

/**
 * Encodes keys as their UTF-8 bytes, so that the order of keys is the order of their bytes, and keys with a prefix are
 * neighbours.
 */
const keyEncoder = {
  writeKey(key: string | Uint8Array, target: FastBuffer, position: number): number {
    if (typeof key !== 'string') {
      target.set(key, position)
      return position + key.length
    }
    return key.length < longestLoop
      ? writeShort(key, target, position)
      : position + target.utf8Write(key, position)
  },
  readKey(source: FastBuffer, start: number, end: number): string {
    return source.utf8Slice(start, end)
  },
}

const textKeys = { encoding: 'binary', keyEncoder } as const
const binaryKeys = { encoding: 'binary', keyEncoding: 'binary' } as const

/** What a process sees that reads at the moment, or that was stopped as it read. */
export interface HeldSnapshot {
  readonly pid: number
  /** The same for as long as the process reads it. */
  readonly id: string
}

export interface EnvironmentOptions {
  /** Guards all writes. The constructor must be called in it. */
  readonly gate: Gate
  /** Directory of the file. */
  readonly path: string
  readonly maxBytes: number
  /** Whether a commit does not wait for the disk. */
  readonly noSync: boolean
}

/** An open file with its tables. */
export class Environment {
  /** Items by key. */
  readonly items: Table
  /** Large values, in pieces. */
  readonly chunks: Table<Uint8Array>
  /** Keys by the time at which their item expires. */
  readonly expiry: Table<Uint8Array>
  /** What the processes share about the file. */
  readonly meta: Table
  readonly #gate: Gate
  readonly #root: RootDatabase
  readonly #snapshot: Transaction
  readonly #snapshotAddress: number
  readonly #resetSnapshot: (address: number) => void
  readonly #file: string
  readonly #inode: number
  readonly #mapBytes: number

  /** Opens the file, or creates it. @throws the error of the library if it is damaged */
  constructor({ gate, path, maxBytes, noSync }: EnvironmentOptions) {
    this.#gate = gate
    const { open, nativeAddon } = loadLibrary()
    this.#file = join(path, 'data.mdb')
    this.#mapBytes = maxBytes * mapFactor + spareBytes
    this.#root = open({
      path,
      // Otherwise, a path with a dot in its last name would be that of a file.
      noSubdir: false,
      encoding: 'binary',
      keyEncoder,
      pageSize: pageBytes,
      mapSize: this.#mapBytes,
      maxReaders,
      permissionsMode: 0o600,
      noSync,
      overlappingSync: false,
    })
    try {
      this.#inode = statSync(this.#file).ino
      this.#root.transactionSync(() => this.#extend(), commitFlags)
      this.items = this.#root.openDB('items', textKeys) as Table
      this.meta = this.#root.openDB('meta', textKeys) as Table
      this.chunks = this.#root.openDB('chunks', binaryKeys) as Table<Uint8Array>
      this.expiry = this.#root.openDB('expiry', binaryKeys) as Table<Uint8Array>
      for (const table of [this.items, this.chunks, this.expiry, this.meta]) checkEnds(table)
    } catch (error) {
      this.#root.close()
      throw error
    }
    this.#snapshot = this.#root.useReadTransaction()
    this.#snapshotAddress = this.#snapshot.address
    this.#resetSnapshot = nativeAddon.resetTxn
    this.readAt = { transaction: this.#snapshot }
    this.endRead()
  }

  /** The option of every read outside a write transaction. It begins a snapshot, which `endRead` ends. */
  readonly readAt: ReadAt

  /**
   * Ends the snapshot of the reads since the last call. A snapshot that is kept shows old values, and prevents that pages
   * are used again, so that the file grows.
   */
  endRead(): void {
    this.#resetSnapshot(this.#snapshotAddress)
  }

  /**
   * Executes `work` in a write transaction, which one process at a time has, and commits it. If `work` throws, nothing
   * is written.
   */
  transact<T>(work: () => T): T {
    return this.#gate.run(
      () => this.#root.transactionSync(work, commitFlags),
      () => !this.isShared(),
    )
  }

  /** Executes `work` while no other process opens the file or writes to it. */
  guarded<T>(work: () => T): T {
    return this.#gate.run(work)
  }

  /** The id of the current write transaction. */
  transactionId(): number {
    return this.#root.getWriteTxnId()
  }

  /** The number of pages that are in use. Call it in a write transaction. */
  usedPages(): number {
    const tables = [this.items, this.chunks, this.expiry, this.meta].map((table) =>
      pagesOf(table.getStats()),
    )
    return tables.reduce((sum, pages) => sum + pages)
  }

  /** Whether the file is larger than its items and the pages that transactions replace can make it. */
  isOversized(): boolean {
    return this.#root.getStats().lastPageNumber * pageBytes > this.#mapBytes
  }

  /** The oldest snapshot that a process reads. Pages that have been freed since are not used again until it ends. */
  oldestSnapshot(): HeldSnapshot | undefined {
    const lines = [...this.#root.readerList().matchAll(/^ *(\d+) +\S+ +(\d+)$/gm)]
    const [oldest] = lines.sort(([, , a], [, , b]) => Number(a) - Number(b))
    return oldest && { pid: Number(oldest[1]), id: oldest[0] }
  }

  /** Removes the reader slots of processes that were killed. */
  removeDeadReaders(): void {
    this.#root.readerCheck()
  }

  /** Whether another process or thread, or another store of this thread, has the file open. */
  isShared(): boolean {
    return (
      this.#root
        .readerList()
        .split('\n')
        .filter((line) => /^\s*\d+\s/.test(line)).length > 1
    )
  }

  /** Whether the file has been deleted or moved, so that other processes may use another one. */
  isReplaced(): boolean {
    return statSync(this.#file, { throwIfNoEntry: false })?.ino !== this.#inode
  }

  /** Resolves when everything that was committed is on disk. */
  sync(): Promise<void> {
    const done = new Deferred<void>()
    this.#root.sync((error) => (error ? done.reject(error) : done.resolve()))
    return done.promise
  }

  async close(): Promise<void> {
    await this.#root.close()
    await this.#gate.close()
  }

  /**
   * Extends a file that is shorter than its last page. Pages at the end may never have been written, because they were
   * allocated and freed in one transaction. But if the file was truncated, reading beyond its end would end the process
   * with SIGBUS; pages of zeros are reported as damage. Other processes extend the file as well, in write transactions.
   */
  #extend(): void {
    const { lastPageNumber, pageSize } = this.#root.getStats()
    const bytes = (lastPageNumber + 1) * pageSize
    if (statSync(this.#file).size < bytes) truncateSync(this.#file, bytes)
  }
}

/** Reads the first and the last key, to detect damage at the start. */
function checkEnds(table: Table | Table<Uint8Array>): void {
  for (const reverse of [false, true]) void table.getKeys({ limit: 1, reverse }).asArray
}

function pagesOf({ treeBranchPageCount, treeLeafPageCount, overflowPages }: Statistics): number {
  return treeBranchPageCount + treeLeafPageCount + overflowPages
}

/** A loop is faster than the call of a native function for short ASCII text. */
function writeShort(key: string, target: FastBuffer, position: number): number {
  for (let index = 0; index < key.length; index++) {
    const code = key.charCodeAt(index)
    if (code > 127) return position + target.utf8Write(key, position)
    target[position + index] = code
  }
  return position + key.length
}
