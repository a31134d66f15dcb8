import { Deferred } from '../calls/deferred.ts'
import { strongRead } from '../store.ts'
import { conflict, replaceSeen, retryOnConflict } from '../updates/conditional-write.ts'
import { textOf, toTextItem } from '../values/plain-items.ts'
import type { LimitPolicy, LimitStore, Verdict } from './limit.ts'

const pattern = /^([\d.e+-]+) (\d+)$/
/** Sums of fractions are not exact. */
const epsilon = 1e-6

/** How many units were missing from a bucket at a time of the backend. */
interface Level {
  readonly missing: number
  readonly at: number
}

/** A call that takes units from a bucket, or gives some back. */
interface Take {
  /** Negative to give units back. */
  readonly cost: number
  readonly verdict: Deferred<Verdict>
}

/**
 * A bucket per key whose units are restored evenly. All takes of a turn of the event loop, and those made while an earlier
 * write is in flight, share one read and one conditional write.
 */
export class BucketLimit implements LimitPolicy {
  readonly capacity: number
  readonly #at: LimitStore
  readonly #prefix: string
  /** How long it takes to restore a unit. */
  readonly #unitMs: number
  /** The takes that have not been sent, by storage key. */
  readonly #pending = new Map<string, Take[]>()

  /** @param prefix the name of the limiter within the reserved keys */
  constructor(at: LimitStore, prefix: string, capacity: number, unitMs: number) {
    this.#at = at
    this.#prefix = prefix
    this.capacity = capacity
    this.#unitMs = unitMs
  }

  consume(key: string, cost: number): Promise<Verdict> {
    const storageKey = this.#storageKey(key)
    const take = { cost, verdict: new Deferred<Verdict>() }
    const pending = this.#pending.get(storageKey)
    if (pending === undefined) {
      this.#pending.set(storageKey, [take])
      process.nextTick(() => this.#sendAll(storageKey))
    } else pending.push(take)
    return take.verdict.promise
  }

  async peek(key: string): Promise<Verdict> {
    const [item, now] = await this.#read(this.#storageKey(key))
    return this.#judge(this.#levelOf(item, now), 1, 0)
  }

  async undo(key: string, cost: number): Promise<void> {
    await this.consume(key, -cost)
  }

  async reset(key: string): Promise<void> {
    await this.#at.store.delete(this.#storageKey(key))
  }

  #storageKey(key: string): string {
    return this.#at.keys.toStorageKey(this.#prefix + key)
  }

  async #sendAll(storageKey: string): Promise<void> {
    for (;;) {
      const takes = this.#pending.get(storageKey) as Take[]
      if (takes.length === 0) break
      this.#pending.set(storageKey, [])
      await this.#send(storageKey, takes)
    }
    this.#pending.delete(storageKey)
  }

  async #send(storageKey: string, takes: readonly Take[]): Promise<void> {
    const { store, clock } = this.#at
    const at = { operation: 'consume', store: store.name, key: storageKey }
    try {
      const verdicts = await retryOnConflict(at, clock, () => this.#swap(storageKey, takes))
      for (const [index, { verdict }] of takes.entries())
        verdict.resolve(verdicts[index] as Verdict)
    } catch (error) {
      for (const { verdict } of takes) verdict.reject(error)
    }
  }

  /** Makes one attempt to take all units for which there are enough. */
  async #swap(key: string, takes: readonly Take[]): Promise<readonly Verdict[] | typeof conflict> {
    const { store, slackMs } = this.#at
    const [item, now] = await this.#read(key)
    const before = this.#levelOf(item, now)
    let { missing } = before
    const verdicts = takes.map(({ cost }) => {
      const verdict = this.#judge({ missing }, cost)
      if (verdict.allowed) missing = Math.max(0, missing + cost)
      return verdict
    })
    if (missing === before.missing) return verdicts
    const next = toTextItem(store, `${missing} ${before.at}`)
    const ttl = Math.ceil(missing * this.#unitMs + slackMs)
    return (await replaceSeen(store, key, item, next, ttl)) ? verdicts : conflict
  }

  #read(key: string): Promise<[unknown, number]> {
    const { store, time } = this.#at
    return Promise.all([store.get(key, strongRead), time.estimateOrThrow()])
  }

  /** The level now: units have been restored since it was stored. */
  #levelOf(item: unknown, now: number): Level {
    const match = pattern.exec(textOf(this.#at.store, item) ?? '')
    if (match === null) return { missing: 0, at: now }
    // The time of the process that stored it may be ahead.
    const storedAt = Number(match[2])
    const at = Math.max(storedAt, now)
    return { missing: Math.max(0, Number(match[1]) - (at - storedAt) / this.#unitMs), at }
  }

  /** @param taken how many units are taken if the call is allowed */
  #judge({ missing }: Pick<Level, 'missing'>, cost: number, taken: number = cost): Verdict {
    const allowed = missing + cost <= this.capacity + epsilon
    const after = allowed ? missing + taken : missing
    const excess = missing + cost - this.capacity
    const retryMs = cost > this.capacity ? Infinity : Math.ceil(excess * this.#unitMs)
    return {
      allowed,
      remaining: Math.max(0, Math.floor(this.capacity - after + epsilon)),
      resetMs: Math.ceil(after * this.#unitMs),
      retryMs: allowed ? 0 : Math.max(1, retryMs),
    }
  }
}
