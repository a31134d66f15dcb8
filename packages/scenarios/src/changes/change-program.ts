import type { Cache, Change, ChangedNames, RememberOptions } from '@stowage/core'
import { strongRead } from '@stowage/core/internal'
import type { ProcessContext, Program } from '@stowage/testing/simulation'
import { orderedStore } from '../ordered-store.ts'
import { type ChangeCall, ChangeLog, lateRow, namesOf, nearTtlMs, rows } from './change-log.ts'
import type { Transaction } from './database.ts'

type ReadCall = ChangeCall & { readonly op: 'remember' | 'rememberMany' }
type WriteCall = ChangeCall & { readonly op: 'change' }

const maxChecks = 3
const rollback = Object.assign(new Error('rolled back'), { code: 'ERR_ROLLBACK' })

/** Makes the calls of the scenarios about changes. A value is the id of the transaction that has written it. */
export class ChangeProgram implements Program<ChangeCall> {
  readonly #context: ProcessContext
  readonly #cache: Cache
  readonly #log: ChangeLog

  constructor(context: ProcessContext) {
    const { Cache: CacheClass, prefix, clock, shared, traits, bus } = context
    this.#context = context
    this.#log = ChangeLog.of(shared)
    shared.set('changes', this.#log)
    const near = traits.variant === 1 ? { ttl: nearTtlMs, bus } : undefined
    this.#cache = new CacheClass(orderedStore(context), { prefix, clock, near })
  }

  run(call: ChangeCall): Promise<unknown> {
    switch (call.op) {
      case 'get':
        return this.#cache.get(call.row)
      case 'getMany':
        return this.#cache.getMany(rows)
      case 'remember':
        return this.#cache.remember(call.row, this.#options(call), (context) => {
          if (call.row === lateRow) context.addTags('tag')
          return this.#load(call, call.row)
        })
      case 'rememberMany':
        return this.#rememberMany(call)
      case 'change':
        return this.#change(call)
      case 'invalidate':
        return this.#cache.invalidateTags('tag')
      case 'clear':
        return this.#cache.clear()
      case 'check':
        return this.#check(call.row)
    }
  }

  close(): Promise<void> {
    return this.#cache.close()
  }

  #options({ row, ttl, staleWhileRevalidate, staleIfError }: ReadCall): RememberOptions<number> {
    const { tags } = namesOf(row)
    return { ttl, staleWhileRevalidate, staleIfError, tags: row === lateRow ? undefined : tags }
  }

  async #load({ loadMs, fails }: ReadCall, row: string): Promise<number> {
    const { clock, now } = this.#context
    await clock.sleep(loadMs / 2)
    const value = this.#log.database.read(row, now())
    await clock.sleep(loadMs / 2)
    if (fails) throw Object.assign(new Error('the load failed'), { code: 'ERR_LOAD' })
    return value
  }

  #rememberMany(call: ReadCall): Promise<(number | undefined)[]> {
    const keys = call.row === 'key0' || call.row === 'key1' ? ['key0', 'key1'] : [call.row]
    return this.#cache.rememberMany(keys, this.#options(call), (missing, context) => {
      if (keys[0] === lateRow) for (const key of missing) context.of(key).addTags('tag')
      return Promise.all(missing.map((row) => this.#load(call, row)))
    })
  }

  async #change(call: WriteCall): Promise<number> {
    const { nextOrder, now } = this.#context
    const id = nextOrder()
    const markedAt = new Map<string, number>()
    this.#log.changes.set(id, { call, markedAt })
    const early = call.writes.filter(({ isLate }) => !isLate).map(({ row }) => row)
    const options = { ...allNames(early), for: call.forMs }
    await this.#cache.changing(options, async (change) => {
      for (const row of early) markedAt.set(row, now())
      const transaction = this.#log.database.begin(id, now())
      await this.#write(call, change, transaction, markedAt)
      await this.#end(call, change, transaction)
    })
    return id
  }

  async #write(
    call: WriteCall,
    change: Change,
    transaction: Transaction,
    markedAt: Map<string, number>,
  ): Promise<void> {
    const { clock, now } = this.#context
    for (const { row, isLate, statements, stepMs } of call.writes) {
      for (let count = 0; count < statements; count++) {
        await clock.sleep(stepMs)
        transaction.read(now())
      }
      if (isLate) {
        await change.mark(namesOf(row))
        markedAt.set(row, now())
      }
      transaction.write(row, now())
    }
  }

  async #end(call: WriteCall, change: Change, transaction: Transaction): Promise<void> {
    const { clock, now } = this.#context
    if (call.outcome === 'rollback') throw rollback
    assertHeld(change)
    await clock.sleep(call.commitMs / 2)
    transaction.commit(now(), call.commitMs)
    await clock.sleep(call.commitMs + call.restMs)
  }

  /** No mark remains: a loaded value is stored, unless other processes create the version of its tag meanwhile. */
  async #check(row: string): Promise<unknown> {
    const { name, now } = this.#context
    const call = { op: 'remember', row, loadMs: 0, fails: false } as unknown as ReadCall
    for (let attempt = 0; attempt < maxChecks; attempt++) {
      const loaded = await this.run(call)
      const found = await this.#cache.get(row, strongRead)
      if (found !== undefined) return loaded
    }
    this.#log.problem ??= `${name} could not store ${row} at ${now()} ms.`
    return undefined
  }
}

/** A slow machine is not a failure of the store. */
function assertHeld(change: Change): void {
  try {
    change.assertHeld()
  } catch (error) {
    throw Object.assign(new Error('the marks may have expired', { cause: error }), {
      code: 'ERR_MARKS',
    })
  }
}

function allNames(all: readonly string[]): ChangedNames {
  const names = all.map(namesOf)
  return {
    keys: names.flatMap(({ keys = [] }) => keys),
    tags: names.flatMap(({ tags = [] }) => tags),
  }
}
