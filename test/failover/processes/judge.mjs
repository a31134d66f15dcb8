/** @typedef {import('./call-log.mjs').Log} Log */
/** @typedef {import('./call-log.mjs').LoggedCall} LoggedCall */

/**
 * For as long, processes that share a fallback store may use different ids of an outage, and read what others have replaced.
 */
const agreementMs = 1_500
/** Calls that are repeated in the fallback store. All others fail with a code if they are in flight when the store fails. */
const repeatable = new Set(['get', 'getMany', 'set', 'setMany', 'delete', 'touch'])

/**
 * Returns what is wrong with the calls of several processes: a call that can be repeated and failed, or a read that
 * returned an older version than one that had been acknowledged. Each key has one process that changes it.
 *
 * @param {readonly Log[]} logs
 * @param {{ isSharedFallback: boolean }} options
 */
export function findProblems(logs, { isSharedFallback }) {
  const changes = changesOf(logs)
  return logs.flatMap(({ log }, reader) =>
    log.flatMap((call) => {
      const problem =
        failureOf(call) ??
        staleRead(call, `${reader}:`, changes.get(call[1]) ?? [], isSharedFallback)
      return problem === undefined ? [] : [`process ${reader}: ${problem}`]
    }),
  )
}

/** @param {LoggedCall} call */
function failureOf([operation, key, , , , before, after, code]) {
  if (code === '') return undefined
  // Nothing is in flight in the primary store when only the fallback one is used.
  const mayFail = !repeatable.has(operation) && !(before === 'fallback' && after === 'fallback')
  if (mayFail && code.startsWith('ERR_CACHE_')) return undefined
  return `${operation} ${key} failed with ${code} in phase ${before} to ${after}`
}

/**
 * @param {LoggedCall} call
 * @param {string} ownPrefix of the keys that the reader changes itself
 * @param {readonly Change[]} changes of the key
 * @param {boolean} isSharedFallback
 */
function staleRead(
  [operation, key, version, start, end, before, after],
  ownPrefix,
  changes,
  isSharedFallback,
) {
  if (!operation.startsWith('get') || version === -1) return undefined
  const times = `in phase ${before} to ${after} at ${Math.round(start)}, within ${Math.round(end - start)} ms`
  const isOwn = key.startsWith(ownPrefix)
  if (!isSharedFallback && !isOwn && (isAway(before) || isAway(after))) {
    // It may have been read from either store, of which the own one has no values of others.
    return isAway(before) && isAway(after)
      ? `read version ${version} of ${key} from a fallback store that others do not use, ${times}`
      : undefined
  }
  const isAgreed = !isSharedFallback || isOwn || (before === 'primary' && after === 'primary')
  const newest = newestBefore(changes, isAgreed ? start : start - agreementMs)
  if (newest === undefined || version >= newest) return undefined
  return `read version ${version} of ${key} instead of ${newest}, ${times}`
}

/** @param {string} phase */
function isAway(phase) {
  return phase !== 'primary' && phase !== 'partial'
}

/**
 * An acknowledged change.
 * @typedef {[end: number, version: number]} Change
 */

/** The acknowledged changes of each key, in order. @param {readonly Log[]} logs */
function changesOf(logs) {
  /** @type {Map<string, Change[]>} */
  const changes = new Map()
  for (const { log } of logs) {
    for (const [operation, key, version, , end, , , code] of log) {
      if (code !== '' || !/^(set|delete|clear|invalidate)/.test(operation)) continue
      const list = changes.get(key) ?? []
      list.push([end, version])
      changes.set(key, list)
    }
  }
  for (const list of changes.values()) list.sort(([a], [b]) => a - b)
  return changes
}

/** The version that was acknowledged before a time. @param {readonly Change[]} changes @param {number} time */
function newestBefore(changes, time) {
  let low = 0
  let high = changes.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((changes[middle]?.[0] ?? 0) < time) low = middle + 1
    else high = middle
  }
  return changes[low - 1]?.[1]
}

/**
 * How long the calls that cannot fail took, in milliseconds, sorted.
 * @param {readonly Log[]} logs @param {string} [phase] only those that began and ended in it
 */
export function durationsIn(logs, phase) {
  return logs
    .flatMap(({ log }) => log)
    .filter(([operation]) => repeatable.has(operation))
    .filter(
      ([, , , , , ...phases]) =>
        phase === undefined || (phases[0] === phase && phases[1] === phase),
    )
    .map(([, , , start, end]) => end - start)
    .sort((a, b) => a - b)
}

/** How many calls per second all processes made on average while they ran. @param {readonly Log[]} logs */
export function rateOf(logs) {
  return logs.reduce((sum, { calls, runningMs }) => sum + (1_000 * calls) / runningMs, 0)
}
