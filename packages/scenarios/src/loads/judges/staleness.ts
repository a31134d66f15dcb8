import { isAcknowledged } from '@stowage/testing/simulation'
import { isIdKey } from '../../generation-ids.ts'
import {
  concerns,
  isKeyOf,
  type Load,
  type LoadEntry,
  type LoadHistory,
  type ReadValue,
} from './load-history.ts'

/** How much later than intended an entry may become stale: the clock of the backend is read over the network. */
const clockErrorMs = 100
/** The same in real time, where it is not known when a value was stored, and the clock of memcached counts seconds. */
const realTimeErrorMs = 5_000
/** How long after a load its value may be stored at most: its requests, each of them until its deadline. */
const storingMs = 500

/** A call returned a value later than its ttl, and where permitted its stale window, after it had been stored. */
export function findStaleValue(history: LoadHistory): string | undefined {
  for (const read of history.values) {
    const limit = limitOf(history, read)
    if (read.entry.invokedAt <= limit + sharedReadMs(history, read)) continue
    return `${read.entry.process} ${read.entry.call.op} at ${read.entry.invokedAt} ms returned ${read.key}, which was stale since ${limit} ms.`
  }
  return undefined
}

/** How much earlier the value may have been read: `remember` shares the reads in flight of its process. */
function sharedReadMs({ log }: LoadHistory, { entry }: ReadValue): number {
  if (entry.call.op !== 'remember') return 0
  const isShared = log.reads.some(
    ({ process, began, ended }) =>
      process === entry.process && began < entry.invoked && ended > entry.invoked,
  )
  return isShared ? storingMs : 0
}

/** Until when a value may be returned. */
function limitOf(history: LoadHistory, { entry, key, origin }: ReadValue): number {
  const { id, load } = origin
  if (load === undefined) return Infinity
  const confirming = history.log.loads.filter(
    ({ confirms, key: other }) =>
      other === key && confirms !== undefined && confirms.load === id.load,
  )
  if (isExpiredByOwnClock(history, key, load, entry)) return Infinity
  const ends = [load, ...confirming].map((each) => {
    const mustBeFresh = entry.call.op !== 'remember' && isTimeKnown(history, entry, each)
    return endOf(history, each, mustBeFresh)
  })
  const { isRealTime = false } = history.history
  return Math.max(...ends) + (isRealTime ? realTimeErrorMs : 0)
}

function endOf(history: LoadHistory, load: Load, mustBeFresh: boolean): number {
  const { ttl, staleWhileRevalidate = 0, staleIfError = 0 } = load.settings
  if (ttl === undefined) return Infinity
  const { ttlStep } = history.traits
  const window = Math.max(staleWhileRevalidate, staleIfError)
  const stored = storedAt(history, load)
  const expires = stored + Math.ceil((ttl + window) / ttlStep) * ttlStep
  if (!mustBeFresh && window > 0 && isRewritten(history, load.key, stored, expires))
    return expires + clockErrorMs
  return mustBeFresh && window > 0 ? Math.min(expires, stored + ttl + clockErrorMs) : expires
}

/**
 * Whether a process may have made the item of an entry unique before its refresh. That extends the ttl of the item by as long
 * as the request takes; from then on, the entry ends by the time that the entry itself states.
 */
function isRewritten({ history }: LoadHistory, key: string, from: number, until: number): boolean {
  return history.requests.some(
    ({ operation, keys, executed, executedAt }) =>
      operation === 'compareAndSet' &&
      executed !== undefined &&
      executedAt > from &&
      executedAt < until &&
      keys.some((each) => isKeyOf(each, key)),
  )
}

/** Whether both processes could read the clock of the backend. Without it they use their own clocks. */
function isTimeKnown({ history }: LoadHistory, reader: LoadEntry, loader: Load): boolean {
  return !history.requests.some(
    ({ operation, hasFailed, process }) =>
      operation === 'time' &&
      hasFailed &&
      (process === reader.process || process === loader.process),
  )
}

/**
 * Whether `expire` may have computed the times of the entry from the clocks of two processes, because one of them could not
 * read that of the backend.
 */
function isExpiredByOwnClock(
  history: LoadHistory,
  key: string,
  load: Load,
  reader: LoadEntry,
): boolean {
  return history.entries.some(
    (each) =>
      each.call.op === 'expire' &&
      concerns(each, key) &&
      each.invoked > load.began &&
      each.invoked < reader.invoked &&
      !isTimeKnown(history, each, load),
  )
}

/** When the value of a load was stored last: a reply may have been lost, so that it was stored later than known. */
function storedAt({ history }: LoadHistory, load: Load): number {
  const writes = history.requests.filter(
    ({ operation, keys, process, sentAt, executed }) =>
      executed !== undefined &&
      process === load.process &&
      sentAt >= load.endedAt &&
      sentAt < load.endedAt + storingMs &&
      (operation === 'compareAndSet' || operation === 'set' || isUnleasedWrite(load, operation)) &&
      keys.some((key) => isKeyOf(key, load.key)),
  )
  return Math.max(load.endedAt, ...writes.map(({ executedAt }) => executedAt))
}

/** Without a lease, a loaded value is stored by `add`. With one, that takes the lease. */
function isUnleasedWrite({ settings }: Load, operation: string): boolean {
  return settings.lease === false && operation === 'add'
}

/** Strong reads, and `add`: another process may have begun a generation, and found or added something else there. */
const confirmed: ReadonlySet<string> = new Set(['get', 'getMany', 'add'])

/** A strong read or an `add` succeeded although no request for the id of its generation did. */
export function findUnconfirmedCall({ entries, history, traits }: LoadHistory): string | undefined {
  if (traits.scan || history.isRealTime === true) return undefined
  const requests = history.requests.filter(
    ({ operation, keys, hasFailed }) => operation === 'get' && !hasFailed && keys.some(isIdKey),
  )
  const found = entries.find(
    (entry) =>
      confirmed.has(entry.call.op) &&
      isAcknowledged(entry) &&
      !requests.some(
        ({ process, sentAt, keys }) =>
          process === entry.process &&
          // Calls of the same moment share requests.
          sentAt >= entry.invokedAt &&
          sentAt <= entry.settledAt &&
          keys.some((key) => key.includes(':ns:') === entry.call.inNamespace),
      ),
  )
  if (found === undefined) return undefined
  return `${found.process} ${found.call.op} at ${found.invokedAt} ms succeeded without the id of its generation.`
}
