import type { Payload, ReadOptions, StoreLimits } from '@stowage/core'
import {
  type ByteStore,
  exceeds,
  InFlight,
  type ItemWithTtl,
  Lifecycle,
  payloadBytes,
  valueTooLarge,
} from '@stowage/core/driver'
import type { Parameter, Row, Statement, StatementExecutor } from './connections/statement.ts'
import { textArray } from './items/array-parameter.ts'
import {
  type CompareAndSetCall,
  type CompareCall,
  type IncrementCall,
  ItemBatches,
  resultsOf,
  sizeOf,
  type TouchCall,
  type WriteCall,
  writeCall,
} from './items/item-batches.ts'
import type { ItemStatements } from './items/item-statements.ts'
import { mergedAdds, mergedIncrements } from './items/merges.ts'
import { endOfPrefix, fromStoredKey, toStoredKey } from './items/stored-key.ts'
import { fromColumns, toColumns } from './items/stored-payload.ts'
import { type Call, TurnQueue } from './items/turn-queue.ts'
import { translate } from './postgres-errors.ts'
import type { ResolvedPostgresOptions } from './postgres-options.ts'
import type { Reads } from './replication/reads.ts'

/** A row of an index has at most 2704 bytes, and an escaped key up to twice as many as the key. */
const keyBytes = 1_000
const keysPerStatement = 1_000
const bytesPerStatement = 8 * 1024 * 1024
const scanPageSize = '1000'
const clearPageSize = '5000'

/** What a store consists of. */
export interface PostgresStoreParts {
  /** For writes, and reads that concern all keys. */
  readonly executor: StatementExecutor
  readonly reads: Reads
  readonly statements: ItemStatements
  readonly options: Pick<ResolvedPostgresOptions, 'logged' | 'maxValueBytes' | 'timeoutMs'>
  readonly upkeep: Upkeep
}

/** Work besides the calls: creating the table, and deleting expired rows. */
export interface Upkeep {
  /** Settles before the first statement is sent. `undefined` once nothing is left to do. */
  readonly prepare: () => Promise<void> | undefined
  /** Called with every write. */
  readonly onWrite: () => void
  readonly close: () => Promise<void>
}

/**
 * Stores each item as a row of a table. The calls of a turn of the event loop that do the same are one statement. Items
 * expire by the clock of the server. Statements are executed on several connections, and may overtake each other:
 * `withKeyOrder` makes a call for a key wait for the earlier ones. Only adds of one key, and increments, need not wait: those
 * of a turn become one.
 */
export class PostgresStore implements ByteStore {
  readonly name = 'postgres'
  readonly payload = 'bytes'
  readonly durable: boolean
  readonly limits: StoreLimits
  /** Absent where no server can have replicas of the table. */
  readonly consistencyToken?: () => Promise<string>
  readonly #executor: StatementExecutor
  readonly #reads: Reads
  readonly #statements: ItemStatements
  readonly #upkeep: Upkeep
  readonly #lifecycle = new Lifecycle('postgres')
  readonly #batches: ItemBatches
  readonly #adds: TurnQueue<WriteCall, boolean>
  readonly #compareAndSets: TurnQueue<CompareAndSetCall, boolean>
  readonly #compareAndDeletes: TurnQueue<CompareCall, boolean>
  readonly #increments: TurnQueue<IncrementCall, number>
  readonly #touches: TurnQueue<TouchCall, boolean>
  readonly #deletes: TurnQueue<Call, boolean>

  constructor({ executor, reads, statements, options, upkeep }: PostgresStoreParts) {
    this.durable = options.logged
    this.limits = { keyBytes, valueBytes: options.maxValueBytes, ttlStep: 1 }
    this.#executor = executor
    this.#reads = reads
    if (options.logged) {
      this.consistencyToken = () =>
        this.#run('consistencyToken', () => this.#reads.consistencyToken())
    }
    this.#statements = statements
    this.#upkeep = upkeep
    const batches = new ItemBatches(executor, statements, options.timeoutMs)
    this.#batches = batches
    const inFlight = new InFlight()
    this.#adds = new TurnQueue((calls) => batches.add(calls), inFlight, mergedAdds)
    this.#compareAndSets = new TurnQueue((calls) => batches.compareAndSet(calls), inFlight)
    this.#compareAndDeletes = new TurnQueue((calls) => batches.compareAndDelete(calls), inFlight)
    this.#increments = new TurnQueue(
      (calls) => batches.increment(calls),
      inFlight,
      mergedIncrements,
    )
    this.#touches = new TurnQueue((calls) => batches.touch(calls), inFlight)
    this.#deletes = new TurnQueue((calls) => batches.delete(calls), inFlight)
  }

  get(key: string, options?: ReadOptions): Promise<Payload | undefined> {
    return this.#run('get', async () => {
      const { get } = this.#statements
      const read = this.#reads.run(get, [toStoredKey(key)], [key], options?.consistency)
      const [row] = await translated(read, 'get', key)
      return row && payloadOf(row[0], row[1])
    })
  }

  getMany(keys: readonly string[], options?: ReadOptions): Promise<(Payload | undefined)[]> {
    const { getMany } = this.#statements
    return this.#read('getMany', getMany, keys, options, ([, text, hex]) => payloadOf(text, hex))
  }

  getWithTtl(
    keys: readonly string[],
    options?: ReadOptions,
  ): Promise<(ItemWithTtl<Payload> | undefined)[]> {
    const { getWithTtl } = this.#statements
    return this.#read('getWithTtl', getWithTtl, keys, options, ([, text, hex, ms]) => ({
      item: payloadOf(text, hex),
      ttl: ms === null || ms === undefined ? Infinity : Math.max(1, Number(ms)),
    }))
  }

  set(key: string, payload: Payload, ttl?: number): Promise<void> {
    return this.#write('set', [key], async () => {
      await this.#checkSizeOfSet('set', key, payload)
      resultOf(await this.#batches.set([writeCall(key, payload, ttl)]))
    })
  }

  setMany(entries: readonly (readonly [string, Payload])[], ttl?: number): Promise<void> {
    return this.#write('setMany', entries.map(keyOf), async () => {
      const unique = new Map(entries)
      const outcomes = new Map<string, PromiseSettledResult<void>>()
      const calls: WriteCall[] = []
      for (const [key, payload] of unique) {
        if (exceeds(payload, this.limits.valueBytes)) {
          outcomes.set(key, await settled(this.#checkSizeOfSet('setMany', key, payload)))
        } else calls.push(writeCall(key, payload, ttl))
      }
      await Promise.all(
        chunksOf(calls).map(async (chunk) => {
          const results = await this.#batches.set(chunk, 'setMany')
          for (const [index, { key }] of chunk.entries()) {
            outcomes.set(key, results[index] as PromiseSettledResult<void>)
          }
        }),
      )
      resultsOf(entries.map(([key]) => outcomes.get(key) as PromiseSettledResult<void>))
    })
  }

  add(key: string, payload: Payload, ttl?: number): Promise<boolean> {
    return this.#write('add', [key], () => {
      this.#checkSize('add', key, payload)
      return this.#adds.add(writeCall(key, payload, ttl))
    })
  }

  compareAndSet(
    key: string,
    expected: Payload,
    next: Payload | undefined,
    ttl?: number,
  ): Promise<boolean> {
    return this.#write('compareAndSet', [key], () => {
      const columns = toColumns(expected)
      if (next === undefined) {
        const bytes = sizeOf(key, expected)
        return this.#compareAndDeletes.add({ key, bytes, expected: columns })
      }
      this.#checkSize('compareAndSet', key, next)
      const bytes = sizeOf(key, expected, next)
      return this.#compareAndSets.add({ ...writeCall(key, next, ttl), bytes, expected: columns })
    })
  }

  increment(key: string, by: number, ttl?: number): Promise<number> {
    return this.#write('increment', [key], () =>
      this.#increments.add({ key, bytes: sizeOf(key), by, ttl }),
    )
  }

  touch(key: string, ttl?: number): Promise<boolean> {
    return this.#write('touch', [key], () => this.#touches.add({ key, bytes: sizeOf(key), ttl }))
  }

  delete(key: string): Promise<boolean> {
    return this.#write('delete', [key], () => this.#deletes.add({ key, bytes: sizeOf(key) }))
  }

  deleteMany(keys: readonly string[]): Promise<number> {
    return this.#write('deleteMany', keys, async () => {
      const calls = [...new Set(keys)].map((key) => ({ key, bytes: sizeOf(key) }))
      const chunks = chunksOf(calls)
      const outcomes = await Promise.all(
        chunks.map((chunk) => this.#batches.delete(chunk, 'deleteMany')),
      )
      const results = new Map(
        chunks.flatMap((chunk, part) =>
          chunk.map(({ key }, index) => [key, outcomes[part]?.[index]] as const),
        ),
      )
      resultsOf(keys.map((key) => results.get(key) as PromiseSettledResult<boolean>))
      return [...results.values()].filter((outcome) => outcome && resultOf([outcome])).length
    })
  }

  clear(): Promise<void> {
    return this.#write('clear', undefined, async () => {
      let last: string | null | undefined = ''
      while (typeof last === 'string') {
        const page: readonly Row[] = await this.#execute('clear', this.#statements.clear, [
          last,
          clearPageSize,
        ])
        last = page[0]?.[0]
      }
    })
  }

  ping(): Promise<void> {
    return this.#run('ping', async () => {
      await this.#execute('ping', this.#statements.ping, [])
    })
  }

  time(): Promise<number> {
    return this.#run('time', async () => {
      const [row] = await this.#execute('time', this.#statements.time, [])
      return Number(row?.[0])
    })
  }

  observe(token: string): void {
    this.#reads.observe(token)
  }

  close(): Promise<void> {
    return this.#lifecycle.close(async () => {
      await this.#upkeep.close()
      await Promise.all([this.#executor.close(), this.#reads.close()])
    })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async *scan(prefix: string): AsyncGenerator<readonly string[], void, undefined> {
    const start = toStoredKey(prefix)
    const end = endOfPrefix(start) ?? null
    let last: string | undefined = ''
    while (last !== undefined) {
      const parameters = [last, start, end, scanPageSize]
      const rows: readonly Row[] = await this.#run('scan', () =>
        this.#execute('scan', this.#statements.scan, parameters),
      )
      if (rows.length > 0) yield rows.map(([key]) => fromStoredKey(key as string))
      last = rows.length < Number(scanPageSize) ? undefined : (rows.at(-1)?.[0] ?? undefined)
    }
  }

  /** Reads keys with one statement, or several for very many, and returns what `toItem` makes of their rows. */
  #read<T>(
    operation: string,
    statement: Statement,
    keys: readonly string[],
    options: ReadOptions | undefined,
    toItem: (row: Row) => T,
  ): Promise<(T | undefined)[]> {
    return this.#run(operation, async () => {
      const consistency = options?.consistency
      const found = new Map<string, T>()
      const pages = this.#reads.groups([...new Set(keys)], consistency).flatMap(pagesOf)
      await Promise.all(
        pages.map(async (page) => {
          const parameters = [textArray(page.map(toStoredKey))]
          const rows = await translated(
            this.#reads.run(statement, parameters, page, consistency),
            operation,
          )
          for (const row of rows) found.set(row[0] as string, toItem(row))
        }),
      )
      return keys.map((key) => found.get(toStoredKey(key)))
    })
  }

  #write<T>(
    operation: string,
    keys: readonly string[] | undefined,
    work: () => Promise<T>,
  ): Promise<T> {
    return this.#run(operation, () => {
      this.#upkeep.onWrite()
      const endWrite = this.#reads.beginWrite(keys)
      return endWrite === undefined ? work() : ending(work, endWrite)
    })
  }

  #run<T>(operation: string, work: () => Promise<T>): Promise<T> {
    return this.#lifecycle.run(operation, () => {
      const preparation = this.#upkeep.prepare()
      if (preparation === undefined) return work()
      return preparation.then(work, (error) => {
        throw translate(error, operation)
      })
    })
  }

  #execute(
    operation: string,
    statement: Statement,
    parameters: readonly Parameter[],
  ): Promise<readonly Row[]> {
    return translated(this.#executor.run(statement, parameters), operation)
  }

  /** The old value must not be served after an attempt to replace it. */
  async #checkSizeOfSet(operation: string, key: string, payload: Payload): Promise<void> {
    if (!exceeds(payload, this.limits.valueBytes)) return
    resultOf(await this.#batches.delete([{ key, bytes: sizeOf(key) }], operation))
    this.#checkSize(operation, key, payload)
  }

  #checkSize(operation: string, key: string, payload: Payload): void {
    const { valueBytes } = this.limits
    if (!exceeds(payload, valueBytes)) return
    throw valueTooLarge('postgres', operation, key, payloadBytes(payload), valueBytes)
  }
}

function payloadOf(text: string | null | undefined, hex: string | null | undefined): Payload {
  return fromColumns(text ?? null, hex ?? null)
}

/** The result of a batch of one call. */
function resultOf<T>([outcome]: readonly PromiseSettledResult<T>[]): T | undefined {
  if (outcome?.status === 'rejected') throw outcome.reason
  return outcome?.value
}

async function translated<T>(result: Promise<T>, operation: string, key?: string): Promise<T> {
  try {
    return await result
  } catch (error) {
    throw translate(error, operation, key)
  }
}

async function ending<T>(work: () => Promise<T>, end: () => void): Promise<T> {
  try {
    return await work()
  } finally {
    end()
  }
}

function keyOf([key]: readonly [string, Payload]): string {
  return key
}

async function settled<T>(result: Promise<T>): Promise<PromiseSettledResult<T>> {
  const [outcome] = await Promise.allSettled([result])
  return outcome
}

function pagesOf(keys: readonly string[]): string[][] {
  const pages: string[][] = []
  for (let start = 0; start < keys.length; start += keysPerStatement) {
    pages.push(keys.slice(start, start + keysPerStatement))
  }
  return pages
}

/** Splits calls into batches that the server and the memory of this process can take. */
function chunksOf<C extends Call>(calls: readonly C[]): C[][] {
  const chunks: C[][] = []
  let chunk: C[] = []
  let bytes = 0
  for (const call of calls) {
    const isFull = chunk.length >= keysPerStatement || bytes + call.bytes > bytesPerStatement
    if (isFull && chunk.length > 0) {
      chunks.push(chunk)
      chunk = []
      bytes = 0
    }
    chunk.push(call)
    bytes += call.bytes
  }
  return chunk.length > 0 ? [...chunks, chunk] : chunks
}
