import { type AnyStore, type Awaitable, strongRead } from '../store.ts'
import { pollDelay, wait } from '../time/wait.ts'
import { type Mark, parseMark } from '../values/mark.ts'
import { isSameItem } from '../values/payload.ts'

const maxPollMs = 250

/** How waits pause and read. The waits of many keys share their timers and reads. */
export interface LeasePolls {
  wait(ms: number): Promise<void>
  read(store: AnyStore, key: string): Awaitable<unknown>
  /** When the last read ended, in the time of `performance.now()`: the same for keys that were read together. */
  lastReadAt(): number
}

const ownPolls: LeasePolls = {
  wait,
  read: (store, key) => store.get(key, strongRead),
  lastReadAt: () => performance.now(),
}

export interface LeaseWait {
  readonly store: AnyStore
  readonly key: string
  /** Where the lease is, if not in `key` because that contains a value. */
  readonly elsewhere: { readonly store: AnyStore; readonly key: string } | undefined
  /** The item that the key contained. */
  readonly found: unknown
  readonly timeoutMs: number
  /** Called before each read is sent. */
  readonly onRead: () => void
  /** Whether another load of this process has taken the lease meanwhile. Then the caller waits for that instead. */
  readonly isOwn: () => boolean
  /** @default timers and reads of its own */
  readonly polls?: LeasePolls | undefined
}

/**
 * How a wait for the lease of another process ended. `changed`: the value was stored, or the lease ended. `failed`: the
 * load failed. `passed`: the value is not kept. `timeout`: it takes longer than `timeoutMs`. `abandoned`: the lease has not
 * been renewed for its whole duration, so its process has stopped.
 */
export type LeaseOutcome =
  | { readonly kind: 'changed' | 'failed' | 'passed' | 'timeout'; readonly abandoned?: never }
  | { readonly kind: 'abandoned'; readonly abandoned: unknown }

/**
 * Waits until the lease of another process ends. The lease is abandoned if it does not change for its duration, by the
 * monotonic clock of this process: neither the clocks of others nor the expiry of the backend matter.
 */
export async function awaitLease(leaseWait: LeaseWait): Promise<LeaseOutcome> {
  const { found, elsewhere, timeoutMs, onRead, isOwn, polls = ownPolls } = leaseWait
  const start = performance.now()
  let seen: unknown
  let seenSince = start
  // What the key of the lease contains, if that is another one, is not known yet.
  let isKnown = elsewhere === undefined
  for (;;) {
    const waited = performance.now() - start
    if (waited > timeoutMs) return { kind: 'timeout' }
    if (isKnown) await polls.wait(Math.min(pollDelay(waited, maxPollMs), timeoutMs))
    isKnown = true
    onRead()
    const [item, leaseItem] = await readBoth(leaseWait, polls)
    if (isOwn()) return { kind: 'changed' }
    const lease = parseMark(leaseItem)
    if (elsewhere !== undefined && !isSameItem(item, found)) return { kind: 'changed' }
    if (lease?.kind !== 'lease') return { kind: endOf(lease, elsewhere !== undefined) }
    if (!isSameItem(leaseItem, seen)) {
      seen = leaseItem
      seenSince = polls.lastReadAt()
    } else if (polls.lastReadAt() - seenSince >= lease.ms) {
      return { kind: 'abandoned', abandoned: leaseItem }
    }
  }
}

function endOf(mark: Mark | undefined, isElsewhere: boolean): 'changed' | 'failed' | 'passed' {
  // A mark in the key itself is examined when that is read again.
  if (!isElsewhere || mark === undefined) return 'changed'
  return mark.kind === 'failure' ? 'failed' : 'passed'
}

async function readBoth(
  { store, key, elsewhere }: LeaseWait,
  polls: LeasePolls,
): Promise<[unknown, unknown]> {
  const reading = Promise.resolve(polls.read(store, key))
  if (elsewhere === undefined) {
    const item = await reading
    return [item, item]
  }
  return Promise.all([reading, polls.read(elsewhere.store, elsewhere.key)])
}
