import { concerns, isWrite, type Load, type LoadHistory, settledOf } from './load-history.ts'

/** How long a value that cannot be kept is loaded by each process for itself, and how long it takes to say so. */
const passMs = 1_500
/** How many loads a call shares whose values are lost, before it loads for itself. */
const maxLoads = 3
/** How long processes use the id of a generation for reads that need not be strong. */
const generationMs = 1_000
/** A load is stored, or its failure, within this time after its end. Without faults. */
const storingMs = 500

/** Without faults: two loads of a key at the same time, in any processes, although nothing has invalidated the first. */
export function findSecondLoad(history: LoadHistory): string | undefined {
  const { loads } = history.log
  for (const second of loads) {
    const first = loads.find(
      (load) =>
        load.key === second.key &&
        load.began < second.began &&
        load.endedAt > second.beganAt &&
        mustExclude(history, load, second),
    )
    if (first === undefined) continue
    return (
      `${second.process} loaded ${second.key} at ${second.beganAt} ms, although ${first.process} was loading it since ` +
      `${first.beganAt} ms.`
    )
  }
  return undefined
}

/** Without faults: a load within the backoff after one that failed, in any processes. */
export function findLoadInBackoff(history: LoadHistory): string | undefined {
  const { loads } = history.log
  for (const failed of loads) {
    const { backoff = 0 } = failed.settings
    if (failed.settings.outcome !== 'error' || backoff === 0) continue
    const from = failed.endedAt + storingMs
    const next = loads.find(
      ({ key, beganAt }) =>
        key === failed.key && beganAt > from && beganAt < failed.endedAt + backoff,
    )
    if (next === undefined || !mustExclude(history, failed, next)) continue
    return `${next.process} loaded ${next.key} at ${next.beganAt} ms, in the backoff after a failure at ${failed.endedAt} ms.`
  }
  return undefined
}

/** Whether nothing permits the second load. */
function mustExclude(history: LoadHistory, first: Load, second: Load): boolean {
  if (!isShared(first, second)) return false
  // The lease of a refresh does not guard a key whose stale entry has expired meanwhile.
  if (first.isRefresh !== second.isRefresh) return false
  // Where the rest of a ttl is not known, a caller that waits replaces the stale value by its lease instead of marking it: that
  // lease and the one of a refresh in the background do not exclude each other.
  if (!history.traits.revealsTtl && first.isRefresh) return false
  if (!history.traits.scan && hasRecentClear(history, second)) return false
  if (hasLostLeases(history, second)) return false
  return !isPassed(history, second) && !isInvalidated(history, first, second)
}

/** Whether one of the processes may still use the generation that a clear has ended, where its lease lies. */
function hasRecentClear({ entries }: LoadHistory, { began, beganAt }: Load): boolean {
  return entries.some(
    ({ call, invoked, settledAt }) =>
      call.op === 'clear' && invoked < began && beganAt < settledAt + generationMs,
  )
}

/** Whether callers of both loads share one: by a lease, or because they belong to the same process. */
function isShared(first: Load, second: Load): boolean {
  if (![first, second].some(isUnleased)) return true
  return first.process === second.process && isLeaseFree(first) && isLeaseFree(second)
}

/** Whether nothing but the other loads of its process keeps a load waiting. A forced refresh begins at once. */
function isLeaseFree({ isNested, settings: { lease, nested, refresh } }: Load): boolean {
  return lease === false && nested === undefined && refresh !== true && !isNested
}

/** Whether a load has no lease, or one so short that it ends before its renewal arrives, or may wait for itself. */
function isUnleased({ isNested, settings: { lease, nested } }: Load): boolean {
  return isNested || lease !== undefined || nested !== undefined
}

/** Whether the value could not be kept lately, so that each process loads it for itself. */
function isPassed({ log }: LoadHistory, { key, began, beganAt }: Load): boolean {
  return log.loads.some(
    (load) =>
      load.key === key &&
      load.began < began &&
      load.endedAt > beganAt - passMs &&
      (load.isNested || isUnkept(load)),
  )
}

/** Whether the process has made three loads in a row that may have lost their short leases: its callers load for themselves then. */
function hasLostLeases({ log }: LoadHistory, { process, key, began, beganAt }: Load): boolean {
  const lost = log.loads.filter(
    (load) =>
      load.process === process &&
      load.key === key &&
      load.began < began &&
      load.endedAt > beganAt - passMs &&
      typeof load.settings.lease === 'number',
  )
  return lost.length >= maxLoads
}

function isUnkept({ settings: { outcome, nested, backoff = 0 }, endedAt }: Load): boolean {
  // The load that it needs may have failed.
  if (nested !== undefined) return true
  if (outcome === 'error') return backoff === 0
  return outcome !== 'value' && outcome !== 'not modified' && endedAt < Infinity
}

/** Whether one of the loads cannot store its value, or the caller of the first was aborted. */
function isInvalidated(history: LoadHistory, first: Load, second: Load): boolean {
  // The second may learn that it has taken the lease after it has lost it.
  const calls = [first, second].map((load) => history.callOf(load)?.invoked ?? load.began)
  const start = Math.min(...calls)
  return history.entries.some((entry) => {
    if (entry.invoked > second.began || settledOf(entry) < start) return false
    const { call } = entry
    // Nobody may wait for the first load any more.
    if (call.op === 'remember') return call.abortMs !== undefined && concerns(entry, first.key)
    return isWrite(entry) && concerns(entry, first.key)
  })
}
