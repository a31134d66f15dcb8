import type { Cache, HeldLock } from '@stowage/core'
import { fc, type ProcessContext, type Program, type Scenario } from '@stowage/testing/simulation'
import { orderedStore } from '../ordered-store.ts'
import { judgeLocks } from './judge-locks.ts'
import { type HeldPeriod, type LockCall, LockLog, lockKeys } from './lock-history.ts'

const key = fc.constantFrom('key0', 'key0', ...lockKeys)
const ttl = fc.constantFrom(100, 300, 300, 1_000)

/** Locks whose holders are delayed, suspended, separated or killed. */
export const locks: Scenario<LockCall> = {
  name: 'locks',
  summary: 'locks: one holder at a time, and fencing numbers that rise in the order of the holders',
  traits: fc.record({
    scan: fc.constantFrom(true, true, false),
    ordered: fc.boolean(),
    nodes: fc.constantFrom(1, 3),
    copies: fc.constantFrom(0, 0, 1),
    ttlStep: fc.constantFrom(1, 1, 1_000),
  }),
  call: fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        op: fc.constant('run'),
        key,
        ttl,
        wait: fc.constantFrom(0, 100, 600, 2_000),
        workMs: fc.oneof(fc.nat({ max: 60 }), fc.nat({ max: 600 })),
        fences: fc.nat({ max: 2 }),
      }),
    },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('hand over'), key, ttl }) },
    {
      weight: 3,
      arbitrary: fc.record({
        op: fc.constantFrom('adopt', 'release', 'isLocked', 'clear'),
        key,
      }),
    },
  ) as unknown as fc.Arbitrary<LockCall>,
  gapMs: 25,
  maxCalls: 40,
  isRelated: (storageKey) => storageKey.includes('~fence:'),
  faults: [
    'partition',
    'restart',
    'restart-empty',
    'lost-writes',
    'evict',
    'evict-related',
    'pause',
    'kill',
    'clock-step',
  ],
  isOwnKey: (storageKey) => storageKey.includes('key'),
  start: (context) => new LockProgram(context),
  judge: judgeLocks,
}

type RunCall = LockCall & { readonly op: 'run' }

/** How often work is active. In milliseconds. */
const stepMs = 10
/** The lock of a call that hands it over is in use for this share of its ttl, unless another call releases it. */
const safeShare = 0.9

/** Makes the calls of the scenario `locks`, and records who holds which lock. */
class LockProgram implements Program<LockCall> {
  readonly #context: ProcessContext
  readonly #cache: Cache
  readonly #log: LockLog

  constructor(context: ProcessContext) {
    const { Cache, prefix, clock, shared, bus } = context
    this.#context = context
    this.#log = LockLog.of(shared)
    shared.set('locks', this.#log)
    const ordered = orderedStore(context)
    this.#cache = new Cache(ordered, { prefix, clock, bus })
    // Now, so that its maps are examined in the end.
    this.#cache.lock('key0')
  }

  async run(call: LockCall): Promise<unknown> {
    const { key } = call
    switch (call.op) {
      case 'run':
        return this.#run(call)
      case 'hand over':
        return this.#handOver(key, call.ttl)
      case 'adopt':
        return this.#adopt(key)
      case 'release':
        return this.#cache.restoreLock(key, 'nobody').release()
      case 'isLocked':
        return this.#cache.lock(key).isLocked()
      case 'clear':
        return this.#cache.clear()
    }
  }

  close(): Promise<void> {
    return this.#cache.close()
  }

  async #run(call: RunCall): Promise<void> {
    const { key, ttl, wait } = call
    await this.#cache.lock(key, { ttl }).run((held) => this.#work(call, held), { wait })
  }

  async #work({ key, ttl, workMs, fences }: RunCall, { signal, fence }: HeldLock): Promise<void> {
    const tenure = this.#begin(key, ttl)
    try {
      for (let left = workMs, number = 0; left > 0; left -= stepMs, number++) {
        if (number < fences) tenure.fences.push(await fence())
        // The time of one step may contain a pause of the process, which nothing but a fencing number survives.
        const startedAt = this.#context.now()
        await this.#context.clock.sleep(stepMs)
        tenure.isLost = signal.aborted
        if (signal.aborted) return
        if (this.#context.now() - startedAt < stepMs + 1) tenure.lastActive = this.#order()
      }
    } finally {
      this.#end(tenure)
    }
  }

  async #handOver(key: string, ttl: number): Promise<boolean> {
    const startedAt = this.#context.now()
    const lock = this.#cache.lock(key, { ttl })
    if (!(await lock.acquire())) return false
    const tenure = this.#begin(key, ttl, true)
    this.#log.owners[key] = lock.owner
    // In use until another call releases it, or its ttl is nearly over.
    const activeMs = startedAt + ttl * safeShare - this.#context.now()
    for (let left = activeMs; left > stepMs && tenure.ended === Infinity; left -= stepMs) {
      const stepAt = this.#context.now()
      await this.#context.clock.sleep(stepMs)
      const isDelayed = this.#context.now() - stepAt >= stepMs + 1
      if (isDelayed) break
      if (tenure.ended === Infinity) tenure.lastActive = this.#order()
    }
    const { ttlStep } = this.#context.traits
    tenure.endedAt = Math.min(tenure.endedAt, startedAt + ttl + 2 * ttlStep)
    return true
  }

  async #adopt(key: string): Promise<boolean> {
    const owner = this.#log.owners[key]
    if (owner === undefined) return false
    const tenure = this.#log.tenures.findLast((each) => each.key === key && each.isHandedOver)
    if (tenure !== undefined) this.#end(tenure)
    return this.#cache.restoreLock(key, owner).release()
  }

  #begin(key: string, ttl: number, isHandedOver = false): HeldPeriod {
    const order = this.#order()
    const tenure = {
      process: this.#context.name,
      key,
      ttl,
      acquired: order,
      acquiredAt: this.#context.now(),
      lastActive: order,
      ended: Infinity,
      endedAt: Infinity,
      fences: [],
      isLost: false,
      isHandedOver,
    }
    this.#log.tenures.push(tenure)
    return tenure
  }

  #end(tenure: HeldPeriod): void {
    tenure.ended = Math.min(tenure.ended, this.#order())
    tenure.endedAt = Math.min(tenure.endedAt, this.#context.now())
  }

  #order(): number {
    return this.#context.nextOrder()
  }
}
