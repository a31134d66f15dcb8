import type { Cache, Change, ChangedNames, RememberOptions } from '@stowage/core'
import { strongRead } from '@stowage/core/internal'
import { fc, type ProcessContext, type Program, type Scenario } from '@stowage/testing/simulation'
import { isMemory } from '../loads/remember.ts'
import { orderedStore } from '../ordered-store.ts'
import { type ChangeCall, ChangeLog, lateRow, namesOf, nearTtlMs, rows } from './change-log.ts'
import type { Transaction } from './database.ts'
import { judgeChanges } from './judge-changes.ts'

const row = fc.constantFrom('key0', 'key0', ...rows)
const window = fc.constantFrom(undefined, undefined, 400)

const remembering = fc.record({
  op: fc.constantFrom('remember', 'remember', 'remember', 'rememberMany'),
  row,
  loadMs: fc.nat({ max: 40 }),
  ttl: fc.constantFrom(undefined, undefined, 30, 200),
  staleWhileRevalidate: window,
  staleIfError: window,
  fails: fc.nat({ max: 9 }).map((draw) => draw === 0),
})
const change = fc.record({
  op: fc.constant('change'),
  writes: fc.uniqueArray(
    fc.record({
      row,
      isLate: fc.boolean(),
      statements: fc.constantFrom(1, 1, 2, 8),
      stepMs: fc.constantFrom(0, 2, 10, 20, 25),
    }),
    { minLength: 1, maxLength: 3, selector: (write) => write.row },
  ),
  outcome: fc.constantFrom('commit', 'commit', 'commit', 'rollback'),
  commitMs: fc.constantFrom(0, 2, 10),
  /** Time between the commit and the end of the work. */
  restMs: fc.constantFrom(0, 5, 60),
  forMs: fc.constantFrom(120, 120, 600),
})

/** Changes of a database, and reads of what is loaded from it. Only `clear()` loses marks. */
export const changing: Scenario<ChangeCall> = {
  name: 'changing',
  summary: 'changing: no read that begins after a commit returns what the commit has replaced',
  traits: fc.record({
    scan: fc.constantFrom(true, true, true, false),
    ordered: fc.boolean(),
    nodes: fc.constantFrom(1, 3),
    ttlStep: fc.constantFrom(1, 1, 1_000),
    variant: fc.constantFrom(0, 1),
  }),
  call: fc.oneof(
    { weight: 50, arbitrary: remembering },
    { weight: 20, arbitrary: fc.record({ op: fc.constantFrom('get', 'getMany'), row }) },
    { weight: 29, arbitrary: change },
    { weight: 8, arbitrary: fc.record({ op: fc.constant('invalidate'), row }) },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('clear'), row }) },
  ) as unknown as fc.Arbitrary<ChangeCall>,
  gapMs: 8,
  groupMs: 250,
  withoutFaults: ({ scan }) => scan === false,
  faults: ['partition', 'partition', 'restart', 'pause', 'pause', 'kill', 'kill', 'clock-step'],
  lastCalls: rows.map((each) => ({ op: 'check' as const, row: each })),
  // Near caches keep entries.
  isOwnKey: () => false,
  start: (context) => new ChangeProgram(context),
  judge: (history, { shared, traits }) => judgeChanges(history, ChangeLog.of(shared), traits),
}

/** The same on backends that lose marks: until a change ends, values from before it may be stored. */
export const lostMarks: Scenario<ChangeCall> = {
  ...changing,
  name: 'lost-marks',
  summary: 'changing where the backend loses marks: what was stored meanwhile ends with the change',
  traits: changing.traits.map((traits) => ({ ...traits, variant: 0 })),
  isOwnKey: (key, value) => key.includes('key') && !isMemory(value),
  isRelated: (key) => key.includes('~tag:') || key.includes('key'),
  faults: [...changing.faults, 'evict', 'evict-related', 'evict-related', 'restart-empty'],
}

type ReadCall = ChangeCall & { readonly op: 'remember' | 'rememberMany' }
type WriteCall = ChangeCall & { readonly op: 'change' }

const maxChecks = 3
const rollback = Object.assign(new Error('rolled back'), { code: 'ERR_ROLLBACK' })

/** Makes the calls of the scenarios about changes. A value is the id of the transaction that has written it. */
class ChangeProgram implements Program<ChangeCall> {
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
