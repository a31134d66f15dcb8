import { AsyncLocalStorage } from 'node:async_hooks'
import type { Cache } from '@stowage/core'
import { type ByteStore, wrapStore } from '@stowage/core/driver'
import { fc, type ProcessContext, type Program, type Scenario } from '@stowage/testing/simulation'
import { orderedStore } from '../ordered-store.ts'
import { judgeLimits } from './judge-limits.ts'
import {
  type LimitCall,
  LimitLog,
  limitKeys,
  limitPolicies,
  singleKey,
  slotLimit,
  unitLimit,
  windowMs,
} from './limit-history.ts'

const policy = fc.constantFrom(...limitPolicies)
const key = fc.constantFrom(...limitKeys)
const cost = fc.integer({ min: 1, max: 3 })

const consume = fc
  .record({
    op: fc.constant('consume'),
    policy,
    key,
    cost,
    onError: fc.constantFrom('throw', 'throw', 'allow', 'deny'),
  })
  .map((call) => ({
    ...call,
    cost: call.key === singleKey ? 1 : call.cost,
    onError: call.policy === 'bucket' ? 'throw' : call.onError,
  }))
const slot = fc.record({
  op: fc.constant('slot'),
  policy,
  key,
  ttl: fc.constantFrom(300, 1_000),
  wait: fc.constantFrom(0, 100, 600),
  workMs: fc.nat({ max: 300 }),
})

/** Limits that processes share whose clocks differ by ten minutes. */
export const limits: Scenario<LimitCall> = {
  name: 'limits',
  summary: 'rate and concurrency limits: never more than allowed, and no fewer without faults',
  traits: fc.record({
    scan: fc.constantFrom(true, true, false),
    ordered: fc.boolean(),
    nodes: fc.constantFrom(1, 3),
    copies: fc.constantFrom(0, 0, 1),
    ttlStep: fc.constantFrom(1, 1, 1_000),
  }),
  call: fc.oneof(
    { weight: 24, arbitrary: consume },
    { weight: 4, arbitrary: slot },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('undo'), policy, key, cost }) },
    { weight: 1, arbitrary: fc.record({ op: fc.constantFrom('peek', 'clear'), policy, key }) },
    {
      weight: 1,
      // Rare, because nothing is judged for the key after it.
      arbitrary: fc.record({ op: fc.constantFrom('peek', 'peek', 'reset'), policy, key }),
    },
  ) as unknown as fc.Arbitrary<LimitCall>,
  gapMs: 20,
  maxCalls: 120,
  faults: ['partition', 'restart', 'evict', 'pause', 'kill', 'clock-step'],
  isOwnKey: (storageKey) => storageKey.includes('key') || storageKey.includes(':c:'),
  start: (context) => new LimitProgram(context),
  judge: judgeLimits,
}

type ConsumeCall = LimitCall & { readonly op: 'consume' }
type SlotCall = LimitCall & { readonly op: 'slot' }

/** What a call of `consume` has done. */
interface Trail {
  /** The counter that it has incremented. */
  counter: string
  hasFailed: boolean
}

/** The trail of the current call. One for all programs, because Node asks each instance about every promise. */
const trails = new AsyncLocalStorage<Trail>()

/** How often work in a slot is active. In milliseconds. */
const stepMs = 10

/** Makes the calls of the scenario `limits`, and records what is consumed. */
class LimitProgram implements Program<LimitCall> {
  readonly #context: ProcessContext
  readonly #cache: Cache
  readonly #log: LimitLog

  constructor(context: ProcessContext) {
    const { Cache, prefix, clock, shared } = context
    this.#context = context
    this.#log = LimitLog.of(shared)
    shared.set('limits', this.#log)
    const ordered = orderedStore(context)
    this.#cache = new Cache(this.#recordCounters(ordered), { prefix, clock })
    // Now, so that its maps are examined in the end.
    this.#cache.lock('key0')
  }

  async run(call: LimitCall): Promise<unknown> {
    const { policy, key } = call
    const limiter = () =>
      this.#cache.rateLimit('units', { limit: unitLimit, window: windowMs, policy })
    switch (call.op) {
      case 'consume':
        return this.#consume(call)
      case 'slot':
        return this.#useSlot(call)
      case 'peek':
        return limiter().peek(key)
      case 'undo':
        return limiter().undo(key, call.cost)
      case 'reset':
        return limiter().reset(key)
      case 'clear':
        return this.#cache.clear()
    }
  }

  close(): Promise<void> {
    return this.#cache.close()
  }

  async #consume(call: ConsumeCall): Promise<boolean> {
    const { policy, key, cost, onError } = call
    const invoked = this.#context.nextOrder()
    const invokedAt = this.#context.now()
    const trail: Trail = { counter: '', hasFailed: false }
    const limiter = this.#cache.rateLimit('units', {
      limit: unitLimit,
      window: windowMs,
      policy,
      onError,
    })
    const { allowed, resetAt } = await trails.run(trail, () => limiter.consume(key, cost))
    const resetMs = resetAt - this.#context.clock.now()
    // A decision without the store consumes nothing.
    const isDecided = policy !== 'bucket' && (trail.hasFailed || trail.counter === '')
    this.#log.consumptions.push({
      process: this.#context.name,
      policy,
      key,
      cost,
      invoked,
      invokedAt,
      settled: this.#context.nextOrder(),
      settledAt: this.#context.now(),
      allowed: allowed && !isDecided,
      counter: trail.counter,
      remainingMs: policy === 'sliding' ? resetMs - windowMs : resetMs,
    })
    return allowed
  }

  async #useSlot({ ttl, wait, workMs }: SlotCall): Promise<void> {
    const slots = this.#cache.concurrency('slots', { limit: slotLimit, ttl })
    await slots.run(
      async ({ signal }) => {
        const acquired = this.#context.nextOrder()
        const use = {
          process: this.#context.name,
          acquired,
          acquiredAt: this.#context.now(),
          lastActive: acquired,
        }
        this.#log.slots.push(use)
        for (let left = workMs; left > 0; left -= stepMs) {
          const startedAt = this.#context.now()
          await this.#context.clock.sleep(stepMs)
          if (signal.aborted) return
          // A longer step contains a pause of the process.
          if (this.#context.now() - startedAt < stepMs + 1)
            use.lastActive = this.#context.nextOrder()
        }
      },
      { wait },
    )
  }

  #recordCounters(store: ByteStore): ByteStore {
    return wrapStore(store, async (operation, call, [key]) => {
      const trail = trails.getStore()
      if (trail !== undefined && operation === 'increment') trail.counter = key as string
      try {
        return await call()
      } catch (error) {
        if (trail !== undefined) trail.hasFailed = true
        throw error
      }
    })
  }
}
