import { type History, resultOf, type SentRequest } from '@stowage/testing/simulation'
import { failingMs, hasFailedId, isForgotten, isIdKey } from '../../generation-ids.ts'
import {
  concerns,
  ends,
  expires,
  isKeyOf,
  isWrite,
  joinsLoad,
  type Load,
  type LoadEntry,
  type LoadHistory,
  type Origin,
  type ReadValue,
  settledOf,
} from './load-history.ts'

/** How long after a load its value may be stored at most: its requests, each of them until its deadline. */
const storingMs = 500

/**
 * A call returned a value although a delete, write or invalidation that began after the value was loaded had been
 * acknowledged before the call.
 */
export function findResurrection(history: LoadHistory): string | undefined {
  for (const read of history.values) {
    const write = history.writes.find((each) => isResurrected(history, read, each))
    if (write !== undefined) return message(read, write)
  }
  return undefined
}

/**
 * A call returned a loaded value although another value, which was being written when the load began, had been acknowledged
 * before the call: the load must have found that value, or not have replaced it.
 */
export function findOverwrittenValue(history: LoadHistory): string | undefined {
  const values = history.writes.filter(isNewValue)
  for (const read of history.values) {
    const write = values.find((each) => isOverwritten(history, read, each))
    if (write !== undefined) return message(read, write, 'during')
  }
  return undefined
}

function isNewValue(entry: LoadEntry): boolean {
  const { op } = entry.call
  return op === 'set' || op === 'update' || (op === 'add' && resultOf(entry) === true)
}

function isOverwritten(history: LoadHistory, read: ReadValue, write: LoadEntry): boolean {
  const { entry, key, origin } = read
  const { load, began } = origin
  if (load === undefined || load.settings.refresh === true || !concerns(write, key)) return false
  if (began < write.invoked || began > settledOf(write)) return false
  if (settledOf(write) > entry.invoked || isExempt(history, read, write)) return false
  // Nothing may have ended the written value before the load.
  const isGone = history.entries.some(
    (other) =>
      other !== write &&
      isWrite(other) &&
      concerns(other, key) &&
      other.invoked < began &&
      settledOf(other) > write.invoked,
  )
  const { losses } = history.history
  const { call } = write
  const tags = 'tags' in call ? (call.tags ?? []) : []
  return (
    !isGone &&
    !losses.some((loss) => isKeyOf(loss.key, key) || isIdKey(loss.key) || isTagKey(loss.key, tags))
  )
}

/** A read that returns fresh values only returned one that an acknowledged call had made stale. */
export function findStaleRead(history: LoadHistory): string | undefined {
  for (const read of history.values) {
    const { entry, key, origin } = read
    if (entry.call.op === 'remember') continue
    const write = history.writes.find(
      (each) =>
        expires(each, origin.tags) &&
        precedes(each, read) &&
        confirmedAt(history, key, origin) < each.invoked &&
        !isExempt(history, read, each),
    )
    if (write !== undefined) return message(read, write)
  }
  return undefined
}

function isResurrected(history: LoadHistory, read: ReadValue, write: LoadEntry): boolean {
  const { key, origin } = read
  if (!ends(write, key, origin.tags) || !precedes(write, read)) return false
  return !isExempt(history, read, write)
}

/** Whether a write began after the value was loaded, and had been acknowledged when the read began. */
function precedes(write: LoadEntry, { entry, origin }: ReadValue): boolean {
  return origin.began < write.invoked && settledOf(write) < entry.invoked
}

function isExempt(history: LoadHistory, read: ReadValue, write: LoadEntry): boolean {
  return (
    isUnguarded(history, read, write) ||
    isOldRead(history, read, write) ||
    isConfirmed(history, read, write) ||
    isUnnoticed(history, read, write) ||
    replacesRepeatedWrite(history, read, write) ||
    hasLostLateTag(history, read.origin, write)
  )
}

/**
 * Without a lease, a load does not notice what other processes write, and a generation store repeats its write in the new
 * generation after a clear, where later writes of its process may overtake it. Invalidations of tags are noticed.
 */
function isUnguarded(
  { history: { requests }, writes, traits }: LoadHistory,
  { entry, origin: { load } }: ReadValue,
  { process, call }: LoadEntry,
): boolean {
  if (load?.settings.lease !== false || call.op === 'invalidate') return false
  if (load.process !== process || isDisturbed(requests, load)) return true
  const hasClear = writes.some((each) => each.call.op === 'clear' && each.invoked < entry.invoked)
  return !traits.scan && call.op !== 'clear' && hasClear
}

/** Whether the outcome of the write of a value without a lease is not known: it may be stored later. */
function isDisturbed(requests: readonly SentRequest[], { process, key, began }: Load): boolean {
  return requests.some(
    (request) =>
      (request.operation === 'add' || request.operation === 'compareAndSet') &&
      request.hasFailed &&
      request.process === process &&
      request.sent > began &&
      request.keys.some((each) => isKeyOf(each, key)),
  )
}

/** `remember` may return what another call of its process read before the write. */
function isOldRead(history: LoadHistory, read: ReadValue, write: LoadEntry): boolean {
  const { log, traits } = history
  const { entry, key } = read
  if (entry.call.op !== 'remember' || joinsLoad(read)) return false
  if (traits.copies > 0) return true
  return log.reads.some(
    (each) =>
      each.process === entry.process &&
      each.ended > entry.invoked &&
      (isKeyOf(each.key, key) ? each.began < settledOf(write) : isAuxiliary(each.key)) &&
      each.began < entry.invoked,
  )
}

/** Whether a loader of the process has found the value to be current after the write: the caller has joined that load. */
function isConfirmed(
  { log }: LoadHistory,
  { entry, key, origin: { id } }: ReadValue,
  write: LoadEntry,
): boolean {
  if (entry.call.op !== 'remember') return false
  return log.loads.some(
    ({ confirms, process, began, key: loaded }) =>
      confirms !== undefined &&
      confirms.load === id.load &&
      confirms.written === id.written &&
      process === entry.process &&
      loaded === key &&
      began > write.invoked,
  )
}

/**
 * A write that overlaps with a clear by another process is repeated after it. A load that began before the clear, in order to
 * refresh what the write had stored until then, finds the same item again, and replaces it.
 */
function replacesRepeatedWrite(
  { writes, traits }: LoadHistory,
  { key, origin: { load, began } }: ReadValue,
  { process, call, invoked }: LoadEntry,
): boolean {
  if (traits.scan || call.op !== 'clear' || load === undefined || load.process === process)
    return false
  if (!load.isRefresh && load.settings.refresh !== true) return false
  return writes.some(
    (each) =>
      isNewValue(each) && concerns(each, key) && each.invoked < began && settledOf(each) > invoked,
  )
}

/** Whether a read follows the read of an entry, in the same call. */
function isAuxiliary(storageKey: string): boolean {
  return storageKey.includes('~') || storageKey === 'time'
}

/** Invalidated and evicted within the same load, a tag that becomes known during the load cannot be checked. */
function hasLostLateTag(
  { history: { losses } }: LoadHistory,
  { load }: Origin,
  { call }: LoadEntry,
): boolean {
  if (load === undefined || call.op !== 'invalidate') return false
  return losses.some(
    ({ key, order, at }) =>
      order > load.began && at < load.endedAt + storingMs && isTagKey(key, call.tags),
  )
}

function isTagKey(storageKey: string, tags: readonly string[]): boolean {
  return tags.some((tag) => storageKey.endsWith(`~tag:${tag}`))
}

/** When the last load began that found the value to be current. */
function confirmedAt({ log }: LoadHistory, key: string, { id, began }: Origin): number {
  const confirming = log.loads.filter(
    (load) =>
      load.key === key &&
      load.confirms !== undefined &&
      load.confirms.load === id.load &&
      load.confirms.written === id.written,
  )
  return Math.max(began, ...confirming.map((load) => load.began))
}

function message(
  { entry, key, origin }: ReadValue,
  write: LoadEntry,
  relation: 'before' | 'during' = 'before',
): string {
  const { call } = write
  const source = origin.load === undefined ? 'a write' : 'a load'
  return (
    `${entry.process} ${entry.call.op} at ${entry.invokedAt} ms returned ${key} from ${source} that ${origin.process} ` +
    `began ${relation} the ${call.op} of ${write.process} at ${write.invokedAt} ms, acknowledged at ${write.settledAt} ms.`
  )
}

/** How long processes use the id of a generation for reads that need not be strong. */
const generationMs = 1_000

/** The beginning of a generation, by a clear or because a process did not find the id. */
type Beginning = Pick<LoadEntry, 'process' | 'invoked' | 'invokedAt' | 'settledAt'>

/**
 * Whether a write may have taken effect in another generation than the one in which a value was read: the process of the
 * read, or of the write, need not have known that a generation had begun. Tags lie outside generations.
 */
function isUnnoticed(history: LoadHistory, read: ReadValue, write: LoadEntry): boolean {
  const { call } = write
  if (history.traits.scan || call.op === 'invalidate') return false
  const beginnings = beginningsOf(history, read.key)
    .filter(({ invoked }) => invoked <= settledOf(write))
    .filter(({ invoked }) => invoked < settledOf(read.entry))
  if (beginnings.some((beginning) => !mustNotice(history, read, beginning))) return true
  // A clear rejects unless it has stored its id. Any other write is made with the id that its process knows.
  if (call.op === 'clear') return false
  const isMisplaced = hasFailedId(write.invokedAt, write, history.history)
  return beginnings.some(
    (beginning) =>
      isMisplaced ||
      (beginning.process !== write.process && isForgotten(beginning, write, history.history)),
  )
}

/** A strong read notices another generation at once, any other within the refresh interval. */
function mustNotice({ history }: LoadHistory, read: ReadValue, beginning: Beginning): boolean {
  const { entry } = read
  if (entry.process !== beginning.process && isForgotten(beginning, entry, history)) return false
  // A load confirms the id when it stores its value.
  if (entry.call.op !== 'remember' || joinsLoad(read)) {
    return !hasFailedId(entry.invokedAt, entry, history)
  }
  if (entry.invokedAt < beginning.settledAt + generationMs) return false
  return !hasFailedId(entry.invokedAt - failingMs, entry, history)
}

function beginningsOf({ entries, history }: LoadHistory, key: string): readonly Beginning[] {
  const clears = entries.filter((entry) => entry.call.op === 'clear' && concerns(entry, key))
  return [...clears, ...storedIds(history, key)]
}

/** The ids that were stored after one was lost or could not be read, also those that only repair what was lost. */
function storedIds({ requests, losses }: History, key: string): readonly Beginning[] {
  const isRelevant = (each: string) => isIdKey(each) && (key.startsWith('ns/') || !isInner(each))
  const lost = losses.filter((loss) => isRelevant(loss.key)).map(({ order }) => order)
  const failed = requests
    .filter(({ hasFailed, keys }) => hasFailed && keys.some(isRelevant))
    .map(({ sent }) => sent)
  const from = Math.min(...lost, ...failed)
  return requests
    .filter(({ operation, keys }) => operation !== 'get' && keys.some(isRelevant))
    .filter(({ executed = 0 }) => executed > from)
    .map(({ process, sent, sentAt, executedAt }) => {
      return { process, invoked: sent, invokedAt: sentAt, settledAt: executedAt }
    })
}

function isInner(storageKey: string): boolean {
  return storageKey.includes(':ns:')
}
