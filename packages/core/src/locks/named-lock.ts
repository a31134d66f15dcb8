import { checkFunction } from '../options/check-arguments.ts'
import { checkOptionNames, checkTimeout } from '../options/check-options.ts'
import { type Awaitable, strongRead } from '../store.ts'
import { type Duration, milliseconds } from '../time/duration.ts'
import { Holding } from './holding.ts'
import {
  type HeldLock,
  type Lock,
  type RunOptions,
  runOptionNames,
  type WaitOptions,
} from './lock.ts'
import type { LockContext, LockName } from './lock-context.ts'
import { parseLockItem, Tenure } from './tenure.ts'

const waitExample = "lock.run(work, { wait: '5s' })"

/** A lock with a name, and one owner that holds it or wants to. */
export class NamedLock implements Lock {
  readonly owner: string
  readonly #context: LockContext
  readonly #name: LockName
  readonly #ttl: number
  /** The last tenure that began with this object, and when; or when this object was created. */
  #tenure: Tenure | undefined
  #beganAt = performance.now()

  constructor(context: LockContext, name: LockName, owner: string, ttl: number) {
    this.#context = context
    this.#name = name
    this.owner = owner
    this.#ttl = ttl
  }

  async acquire(): Promise<boolean> {
    const isAcquired = await this.#publishFailure(this.#begin())
    this.#context.publish(this.#name.key, isAcquired ? 'acquired' : 'refused', 0)
    return isAcquired
  }

  async block(wait: Duration, options: WaitOptions = {}): Promise<void> {
    checkOptionNames('lock.block', options, { signal: true }, waitExample)
    const { signal } = options
    const request = {
      waitMs: milliseconds(wait, 'lock: wait'),
      signal,
      attempt: async (isFree: boolean) => (isFree || !(await this.#isLocked())) && this.#begin(),
    }
    const problem = 'is held by another owner.'
    await this.#context.acquire(this.#name, request, { operation: 'lock', problem })
  }

  async run<T>(work: (held: HeldLock) => Awaitable<T>, options: RunOptions = {}): Promise<T> {
    checkFunction(work, "lock.run(async (held) => …, { wait: '5s' })")
    checkOptionNames('lock.run', options, runOptionNames, waitExample)
    const { wait = 0, signal } = options
    await this.block(wait, { signal })
    const tenure = this.#tenure as Tenure
    try {
      return await new Holding(this.#context, this.#name, tenure).run(work, signal)
    } finally {
      this.#forget(tenure)
    }
  }

  async refresh(ttl?: Duration): Promise<boolean> {
    const ms = ttl === undefined ? undefined : checkTimeout('lock: ttl', ttl)
    const tenure = await this.#publishFailure(this.#find())
    return tenure === undefined ? false : this.#publishFailure(tenure.renew(ms))
  }

  async release(): Promise<boolean> {
    const tenure = await this.#publishFailure(this.#find())
    const isReleased = tenure === undefined ? false : await this.#publishFailure(tenure.end())
    this.#forget(tenure)
    if (isReleased) this.#notifyReleased()
    return isReleased
  }

  isLocked(): Promise<boolean> {
    return this.#publishFailure(this.#isLocked())
  }

  async #isLocked(): Promise<boolean> {
    return (await this.#context.store.get(this.#name.key, strongRead)) !== undefined
  }

  async isOwned(): Promise<boolean> {
    const { store } = this.#context
    const reading = async () => store.get(this.#name.key, strongRead)
    const item = await this.#publishFailure(reading())
    return parseLockItem(store, item)?.owner === this.owner
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#tenure !== undefined) await this.release()
  }

  async #begin(): Promise<boolean> {
    const facts = { ttl: this.#ttl, owner: this.owner }
    const tenure = await Tenure.begin(this.#context.store, this.#name.key, facts)
    if (tenure === undefined) return false
    this.#tenure = tenure
    this.#beganAt = performance.now()
    return true
  }

  #forget(tenure: Tenure | undefined): void {
    if (this.#tenure === tenure) this.#tenure = undefined
  }

  /** The tenure of this object, or the one that this owner has begun elsewhere. */
  async #find(): Promise<Tenure | undefined> {
    return this.#tenure ?? Tenure.find(this.#context.store, this.#name.key, this.owner)
  }

  #publishFailure<T>(result: Promise<T>): Promise<T> {
    return this.#context.publishFailure(this.#name.key, result)
  }

  #notifyReleased(): void {
    const { key } = this.#name
    this.#context.notifyReleased(key)
    this.#context.publish(key, 'released', performance.now() - this.#beganAt)
  }
}
