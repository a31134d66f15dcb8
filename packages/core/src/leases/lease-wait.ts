import type { Awaitable, Payload } from '../store.ts'
import { wait } from '../time/wait.ts'
import type { AnyStore } from '../values/entry-codec.ts'
import { parseMark } from '../values/mark.ts'
import { samePayload } from '../values/payload.ts'

const strongRead = { consistency: 'strong' } as const
/** The share of the time waited so far after which the lease is read again. */
const pollShare = 0.1
const minPollMs = 2
const maxPollMs = 250
const pollJitter = 0.25

/** How waits pause and read. The waits of many keys share their timers and reads. */
export interface LeasePolls {
  wait(ms: number): Promise<void>
  read(key: string): Awaitable<unknown>
  /** When the last read ended, in the time of `performance.now()`: the same for keys that were read together. */
  lastReadAt(): number
}

export interface LeaseWait {
  readonly store: AnyStore
  readonly key: string
  /** The key of the lease: `key` itself if it contains no value. */
  readonly leaseKey: string
  /** The item that the key contained. */
  readonly found: unknown
  readonly timeoutMs: number
  /** @default timers and reads of its own */
  readonly polls?: LeasePolls | undefined
}

/**
 * How a wait for the lease of another process ended. `changed`: the value was stored, or the lease ended. `failed`: the
 * load failed. `abandoned`: the lease has not been renewed for its whole duration, so its process has stopped.
 */
export type LeaseOutcome =
  | { readonly kind: 'changed' | 'failed' | 'timeout'; readonly abandoned?: never }
  | { readonly kind: 'abandoned'; readonly abandoned: unknown }

/**
 * Waits until the lease of another process ends. The lease is abandoned if it does not change for its duration, by the
 * monotonic clock of this process: neither the clocks of others nor the expiry of the backend matter.
 */
export async function awaitLease(leaseWait: LeaseWait): Promise<LeaseOutcome> {
  const { found, key, leaseKey, timeoutMs, polls = pollsOf(leaseWait.store) } = leaseWait
  const start = performance.now()
  let seen: unknown
  let seenSince = start
  for (;;) {
    const waited = performance.now() - start
    if (waited > timeoutMs) return { kind: 'timeout' }
    if (waited > 0 || leaseKey === key) await polls.wait(Math.min(pollDelay(waited), timeoutMs))
    const [item, leaseItem] = await readBoth(polls, key, leaseKey)
    if (leaseKey !== key && !isSame(item, found)) return { kind: 'changed' }
    const lease = parseMark(leaseItem)
    if (lease?.kind === 'F') return { kind: leaseKey === key ? 'changed' : 'failed' }
    if (lease?.kind !== 'L') return { kind: 'changed' }
    if (!isSame(leaseItem, seen)) {
      seen = leaseItem
      seenSince = polls.lastReadAt()
    } else if (polls.lastReadAt() - seenSince >= lease.ms) {
      return { kind: 'abandoned', abandoned: leaseItem }
    }
  }
}

function pollsOf(store: AnyStore): LeasePolls {
  const read = (key: string) => store.get(key, strongRead)
  return { wait, read, lastReadAt: () => performance.now() }
}

async function readBoth(
  polls: LeasePolls,
  key: string,
  leaseKey: string,
): Promise<[unknown, unknown]> {
  const reading = Promise.resolve(polls.read(key))
  if (leaseKey === key) {
    const item = await reading
    return [item, item]
  }
  return Promise.all([reading, polls.read(leaseKey)])
}

function pollDelay(waited: number): number {
  const base = Math.min(maxPollMs, Math.max(minPollMs, waited * pollShare))
  return base * (1 - pollJitter + 2 * pollJitter * Math.random())
}

function isSame(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (!isPayload(a) || !isPayload(b)) return false
  return samePayload(a, b)
}

function isPayload(item: unknown): item is Payload {
  return typeof item === 'string' || item instanceof Uint8Array
}
