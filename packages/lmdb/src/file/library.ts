import { createRequire } from 'node:module'
import { CacheError } from '@stowage/core'

/** Methods that every Buffer has, but which its types do not declare. They are faster than `toString` and `write`. */
export interface FastBuffer extends Buffer {
  latin1Slice(start: number, end: number): string
  utf8Slice(start: number, end: number): string
  latin1Write(text: string, offset: number): number
  utf8Write(text: string, offset: number): number
}

export interface Transaction {
  readonly address: number
}

/** A read transaction, which occupies a reader slot until `abort`. */
export interface Slot {
  abort(): void
}

/** The option of a read outside a write transaction. */
export interface ReadAt {
  readonly transaction: Transaction
}

export interface RangeOptions extends Partial<ReadAt> {
  readonly start?: string | Uint8Array
  readonly end?: string | Uint8Array
  readonly limit: number
  readonly reverse?: boolean
}

export interface Statistics {
  readonly pageSize: number
  /** In the whole file. */
  readonly lastPageNumber: number
  readonly treeBranchPageCount: number
  readonly treeLeafPageCount: number
  readonly overflowPages: number
}

/** The part of a database of the library that is used: a table of a file. */
export interface Table<Key extends string | Uint8Array = string> {
  /** Size of the value that was read last. The buffer that a read returns may be longer. */
  readonly lastSize: number
  getBinary(key: Key): Buffer | undefined
  /** Returns a buffer that the next read overwrites. */
  getBinaryFast(key: Key, options?: ReadAt): FastBuffer | undefined
  getKeys(options: RangeOptions): { readonly asArray: Key[] }
  put(key: Key, value: Uint8Array): unknown
  remove(key: Key): unknown
  clearSync(): void
  getStats(): Statistics
}

/** An open file. */
export interface RootDatabase extends Table {
  readonly env: object
  openDB(name: string, options: object): Table | Table<Uint8Array>
  useReadTransaction(): Transaction
  resetReadTxn(): void
  transactionSync<T>(work: () => T, flags: number): T
  getWriteTxnId(): number
  readerCheck(): number
  readerList(): string
  sync(callback: (error?: unknown) => void): void
  close(): Promise<void>
}

/** The part of the library that is used. It exports the native functions, but does not declare them. */
export interface LmdbLibrary {
  readonly open: (options: object) => RootDatabase
  readonly nativeAddon: {
    resetTxn(address: number): void
    readonly Txn: new (env: object, flags: number) => Slot
  }
}

let library: LmdbLibrary | undefined

/**
 * Loads lmdb on the first use of a store: the import of this package must not fail where it has no binary.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` with the platform and the remedy
 */
export function loadLibrary(
  load: () => LmdbLibrary = () => createRequire(import.meta.url)('lmdb'),
): LmdbLibrary {
  try {
    library ??= load()
    return library
  } catch (cause) {
    const platform = `${process.platform}-${process.arch}`
    throw new CacheError(
      'ERR_CACHE_CONFIG',
      `The package lmdb has no binary for ${platform}, Node ${process.version}: ${(cause as Error).message}. ` +
        `Install its optional dependency @lmdb/lmdb-${platform} (do not omit optional dependencies, and install on the ` +
        'platform where the application runs), or choose another driver.',
      { store: 'lmdb', cause },
    )
  }
}
