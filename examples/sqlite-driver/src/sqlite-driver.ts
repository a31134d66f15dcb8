import type { Clock, Payload } from '@stowage/core'
import { systemClock } from '@stowage/core'
import type { ByteStore } from '@stowage/core/driver'
import * as kit from '@stowage/core/driver'
import initSqlJs, { type Database } from 'sql.js'

export interface SqliteOptions {
  /** @default systemClock */
  readonly clock?: Clock | undefined
}

type Entries = readonly (readonly [key: string, item: Payload])[]

const maxBytes = 1_048_576
const schema = 'CREATE TABLE item (key BLOB PRIMARY KEY, value BLOB, expires REAL) WITHOUT ROWID'
const upsert = 'INSERT OR REPLACE INTO item VALUES (?, ?, ?)'

/** Statements are synchronous, and therefore atomic. On a server, use its transactions instead. */
class SqliteStore implements ByteStore {
  readonly name = 'sqlite'
  readonly payload = 'bytes'
  readonly processLocal = true // the database is in the memory of this process
  readonly limits = { keyBytes: 1_000, valueBytes: maxBytes, ttlStep: 1 }
  readonly #lifecycle = new kit.Lifecycle('sqlite')
  #opened: Promise<Database> | undefined
  readonly #clock: Clock

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get = (key: string) => this.#run('get', (db) => this.#find(db, key)?.value)
  getMany = (keys: readonly string[]) =>
    this.#run('getMany', (db) => keys.map((key) => this.#find(db, key)?.value))
  set = (key: string, item: Payload, ttl?: number) => this.#replace('set', [[key, item]], ttl)
  setMany = (entries: Entries, ttl?: number) => this.#replace('setMany', entries, ttl)
  add = (key: string, item: Payload, ttl?: number) =>
    this.#run('add', (db) => {
      this.#check('add', key, item)
      return !this.#find(db, key) && this.#write(db, key, item, this.#expiry(ttl))
    })
  compareAndSet = (key: string, expected: Payload, next: Payload | undefined, ttl?: number) =>
    this.#run('compareAndSet', (db) => {
      if (next !== undefined) this.#check('compareAndSet', key, next)
      const found = this.#find(db, key)
      if (found === undefined || !kit.samePayload(found.value, expected)) return false
      return next === undefined
        ? this.#remove(db, key)
        : this.#write(db, key, next, this.#expiry(ttl))
    })
  increment = (key: string, by: number, ttl?: number) =>
    this.#run('increment', (db) => {
      const found = this.#find(db, key)
      const sum = (found ? (kit.parseSafeInteger(kit.toText(found.value)) ?? Number.NaN) : 0) + by
      if (!Number.isSafeInteger(sum)) throw kit.notACounter('sqlite', key, 'not a safe integer')
      this.#write(db, key, String(sum), found ? found.expires : this.#expiry(ttl))
      return sum
    })
  touch = (key: string, ttl?: number) =>
    this.#run('touch', (db) => {
      const found = this.#find(db, key)
      return found !== undefined && this.#write(db, key, found.value, this.#expiry(ttl))
    })
  delete = (key: string) => this.#run('delete', (db) => this.#remove(db, key))
  deleteMany = (keys: readonly string[]) =>
    this.#run('deleteMany', (db) => keys.filter((key) => this.#remove(db, key)).length)
  clear = () => this.#run('clear', (db) => void db.run('DELETE FROM item'))
  ping = () => this.#run('ping', () => undefined)
  close(): Promise<void> {
    return this.#lifecycle.close(async () => (await this.#opened)?.close())
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** Opens the database with the first command. `Lifecycle` refuses commands after `close`, which waits for this one. */
  #run<T>(operation: string, work: (db: Database) => T): Promise<T> {
    return this.#lifecycle.run(operation, async () => {
      this.#opened ??= initSqlJs().then((sql) => new sql.Database().run(schema))
      return work(await this.#opened)
    })
  }
  #replace(operation: string, entries: Entries, ttl?: number): Promise<void> {
    return this.#run(operation, (db) => {
      for (const [key] of entries) this.#remove(db, key) // also if a new value is too large
      for (const [key, item] of entries) this.#check(operation, key, item)
      for (const [key, item] of entries) this.#write(db, key, item, this.#expiry(ttl))
    })
  }
  #find(db: Database, key: string): { value: Buffer; expires: number | null } | undefined {
    const query = 'SELECT value, expires FROM item WHERE key = ? AND ifnull(expires, ?) > ?'
    const now = this.#clock.now()
    const [row] = db.exec(query, [Buffer.from(key), now + 1, now])[0]?.values ?? []
    return row && { value: Buffer.from(row[0] as Uint8Array), expires: row[1] as number | null }
  }
  #write(db: Database, key: string, item: Payload, expires: number | null): true {
    db.run(upsert, [Buffer.from(key), kit.toBytes(item), expires])
    return true
  }
  #remove(db: Database, key: string): boolean {
    const existed = this.#find(db, key) !== undefined
    db.run('DELETE FROM item WHERE key = ?', [Buffer.from(key)])
    return existed
  }
  #expiry = (ttl?: number) => (ttl === undefined ? null : this.#clock.now() + ttl)
  #check(operation: string, key: string, item: Payload): void {
    if (!kit.exceeds(item, maxBytes)) return
    throw kit.valueTooLarge('sqlite', operation, key, kit.payloadBytes(item), maxBytes)
  }
}

/** Creates a store. Opens nothing: the first command does. */
export function sqlite(options: SqliteOptions = {}): ByteStore {
  kit.checkOptionNames('sqlite', options, { clock: true })
  return new SqliteStore(options.clock ?? systemClock)
}

const driver: kit.Driver<SqliteOptions> = { name: 'sqlite', create: sqlite, fromEnv: () => ({}) }
export default driver
