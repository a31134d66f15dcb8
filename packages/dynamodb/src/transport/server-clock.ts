import { countdown } from '@stowage/core/driver'
import type { DynamoDBOptions } from '../dynamodb-options.ts'

type EndpointOptions = Pick<DynamoDBOptions, 'client' | 'endpoint' | 'region'>

/** How wrong the clock of this machine may be before signatures use the clock of the server, as in the SDK. */
const maxSkewMs = 300_000
/** How far the two clocks of this machine drift apart at most while it is neither suspended nor set. */
const maxDriftMs = 1_000

/** A request for the time that is in flight. */
interface TimeRequest {
  readonly owner: object
  readonly done: Promise<void>
}

/**
 * The clock of the server, from the `Date` header of its replies. The header has whole seconds, so a single reply gives
 * the time to within a second, and several narrow it down. In between `performance.now()` continues it, which does not
 * change when the clock of this machine is set.
 */
export class ServerClock {
  /** The server's time minus `performance.now()` lies between these. */
  #minOffset = Number.NEGATIVE_INFINITY
  #maxOffset = Number.POSITIVE_INFINITY
  /** The last header and its time: most replies of one second have the same. */
  #header = ''
  #headerMs = Number.NaN
  /** `Date.now()` minus `performance.now()` when the time was last read. */
  #localOffset = Number.NaN
  #request: TimeRequest | undefined

  /**
   * Whether the time is known. Before the first reply it is not. After a suspension of this machine it is not any more,
   * because `performance.now()` may have stopped meanwhile; then both clocks of the machine differ, as after one was set.
   */
  get isKnown(): boolean {
    return Math.abs(localOffset() - this.#localOffset) < maxDriftMs
  }

  /**
   * Resolves when the time is known, after a request if necessary. All stores of the endpoint share it. If the request of
   * another store fails or takes too long, for example because its credentials do not load, this one sends its own.
   *
   * @param owner the sender of the request
   * @param request rejects if there was no reply
   * @param patienceMs how long to wait for the request of another store
   */
  async learn(owner: object, request: () => Promise<unknown>, patienceMs: number): Promise<void> {
    while (!this.isKnown) {
      const current = this.#request ?? this.#send(owner, request)
      if (current.owner === owner) return current.done
      const hasEnded = await endsWithin(patienceMs, current.done)
      if (!hasEnded && this.#request === current) this.#request = undefined
    }
  }

  /** Takes the `Date` header of a reply. Times are those of `performance.now()`. */
  observe(header: unknown, sentAt: number, receivedAt: number): void {
    if (typeof header !== 'string') return
    if (header !== this.#header) {
      this.#header = header
      this.#headerMs = Date.parse(header)
    }
    if (Number.isNaN(this.#headerMs)) return
    const min = this.#headerMs - receivedAt
    const max = this.#headerMs + 1_000 - sentAt
    const isConsistent = min <= this.#maxOffset && max >= this.#minOffset
    this.#minOffset = isConsistent ? Math.max(this.#minOffset, min) : min
    this.#maxOffset = isConsistent ? Math.min(this.#maxOffset, max) : max
    this.#localOffset = localOffset()
  }

  /** Epoch milliseconds, or `undefined` before the first reply. */
  now(): number | undefined {
    if (this.#minOffset === Number.NEGATIVE_INFINITY) return undefined
    return Math.floor(performance.now() + (this.#minOffset + this.#maxOffset) / 2)
  }

  /**
   * The time by which items expire, in epoch milliseconds: that of this machine, unless the replies have shown that it is
   * wrong. The header alone is less exact.
   */
  itemTime(): number {
    const local = Date.now()
    const offset = local - performance.now()
    const isRight = this.#minOffset <= offset && offset <= this.#maxOffset
    return isRight ? local : (this.now() ?? local)
  }

  /** The time to sign a request with: that of this machine, unless the server would reject it. */
  signingTime(): number {
    const local = Date.now()
    const server = this.now()
    return server !== undefined && Math.abs(server - local) >= maxSkewMs ? server : local
  }

  #send(owner: object, request: () => Promise<unknown>): TimeRequest {
    const sent: TimeRequest = { owner, done: this.#learn(request) }
    this.#request = sent
    const end = () => {
      if (this.#request === sent) this.#request = undefined
    }
    sent.done.then(end, end)
    return sent
  }

  async #learn(request: () => Promise<unknown>): Promise<void> {
    try {
      await request()
      // Without a header, which a proxy or a stub may remove, only the clock of this machine is left.
      this.#localOffset = localOffset()
    } catch (error) {
      // An error reply also has the header.
      if (!this.isKnown) throw error
    }
  }
}

const clocksByAddress = new Map<string, ServerClock>()
const clocksByClient = new WeakMap<object, ServerClock>()

/** Returns the clock that all stores of this process with the same endpoint share. */
export function sharedClock({ client, endpoint, region }: EndpointOptions): ServerClock {
  if (client !== undefined) return findOrCreate(clocksByClient, client)
  return findOrCreate(clocksByAddress, `${endpoint ?? ''} ${region ?? ''}`)
}

function findOrCreate<K>(
  clocks: { get(key: K): ServerClock | undefined; set(key: K, clock: ServerClock): unknown },
  key: K,
): ServerClock {
  const existing = clocks.get(key)
  if (existing !== undefined) return existing
  const created = new ServerClock()
  clocks.set(key, created)
  return created
}

/** Whether the work settles in time. */
function endsWithin(ms: number, work: Promise<unknown>): Promise<boolean> {
  return new Promise((resolve) => {
    const cancel = countdown(ms, () => resolve(false), true)
    const end = () => {
      cancel()
      resolve(true)
    }
    work.then(end, end)
  })
}

/** Changes only if the clock of this machine is set, or while it is suspended. */
function localOffset(): number {
  return Date.now() - performance.now()
}
