/** @typedef {import('./load.mjs').Call} Call */
/** @typedef {import('./monitor.mjs').Execution} Execution */
/** @typedef {import('./scenarios.mjs').NewPrimary} NewPrimary */

/** Differences between the clocks of two processes, and the time between a reply and the call's settling. */
const clockToleranceMs = 5

/**
 * @typedef {object} Observations
 * @property {string} name
 * @property {import('./load.mjs').Load} load
 * @property {Execution[]} executions
 * @property {NewPrimary} newPrimary
 * @property {number} failedAt when the failover began
 * @property {number} oldPort port of the old primary
 * @property {boolean | undefined} frozen whether the old primary was frozen and executed later what it had received
 * @property {Set<string>} existingKeys the keys on the new primary at the end
 * @property {number} counter its value on the new primary at the end
 * @property {number} eventLoopDelayMs the longest delay of this process's event loop
 */

/** @typedef {{ deadlineMs: number, toleranceMs: number, maxRecoveryMs: number }} Limits */

/** Compares the results of the calls with what the servers executed. @param {Observations} observed @param {Limits} limits */
export function report(observed, limits) {
  const numbers = numbersOf(observed, limits)
  return { name: observed.name, ...numbers, violations: violationsOf(numbers, limits) }
}

/** @typedef {ReturnType<typeof numbersOf>} Numbers */

/** @param {Observations} observed @param {Limits} limits */
function numbersOf(observed, limits) {
  const { load, newPrimary, failedAt, counter, eventLoopDelayMs } = observed
  const failed = load.calls.filter(({ outcome }) => outcome !== 'ok')
  const increments = load.calls.filter(({ kind }) => kind === 'increment')
  const succeeded = increments.filter(({ outcome }) => outcome === 'ok').length
  const lost = lostWrites(observed)
  const recoveredAt = newPrimary.knownAt + limits.maxRecoveryMs
  return {
    calls: load.calls.length,
    failed: failed.length,
    errorCodes: countsOf(failed.map(({ outcome }) => outcome)),
    slowestMs: Math.max(...load.calls.map(({ startedAt, settledAt }) => settledAt - startedAt)),
    outageMs: newPrimary.knownAt - failedAt,
    recoveryMs: recoveryMs(observed),
    pending: load.pending,
    otherErrors: load.otherErrors.length,
    lostWrites: lost.length,
    lostLate: lost.filter(({ startedAt }) => startedAt > recoveredAt).length,
    counter,
    succeeded,
    failedIncrements: increments.length - succeeded,
    ...executionCounts(observed, lost),
    eventLoopDelayMs,
  }
}

/** @param {Numbers} numbers @param {Limits} limits @returns {string[]} */
function violationsOf(numbers, { deadlineMs, toleranceMs, maxRecoveryMs }) {
  const { slowestMs, recoveryMs, counter, succeeded, failedIncrements } = numbers
  const maxMs = deadlineMs + toleranceMs
  /** @type {[boolean, string][]} */
  const rules = [
    [numbers.pending > 0, `${numbers.pending} calls hang`],
    [numbers.otherErrors > 0, `${numbers.otherErrors} errors are not a CacheError`],
    [slowestMs > maxMs, `a call took ${slowestMs.toFixed()} ms, more than ${maxMs} ms`],
    [
      // Infinity if no write has succeeded.
      recoveryMs > maxRecoveryMs,
      `the first write succeeded ${recoveryMs.toFixed()} ms after the new primary was known`,
    ],
    [counter > succeeded + failedIncrements, 'the counter exceeds the number of increments'],
    [numbers.duplicates > 0, `${numbers.duplicates} increments were executed twice`],
    [numbers.late > 0, `${numbers.late} commands were executed after their calls had failed`],
    [numbers.rejected > 0, `${numbers.rejected} commands were rejected and executed nevertheless`],
    [numbers.lostLate > 0, `${numbers.lostLate} writes were lost long after the failover`],
    [numbers.vanished > 0, `${numbers.vanished} writes that the new primary executed are missing`],
  ]
  return rules.flatMap(([violated, message]) => (violated ? [message] : []))
}

/** The time until the first success of a write that the new primary executed. @param {Observations} observed */
function recoveryMs({ load, executions, newPrimary }) {
  const executed = new Set(
    executions.filter(({ port }) => port === newPrimary.port).map(identityOf),
  )
  const settledAt = load.calls
    .filter((call) => call.outcome === 'ok' && executed.has(identityOf(call)))
    .map((call) => call.settledAt)
  return Math.max(0, Math.min(...settledAt) - newPrimary.knownAt)
}

/** Acknowledged writes that are missing at the end: the old primary had not replicated them. @param {Observations} observed */
function lostWrites({ load, existingKeys }) {
  const writes = load.calls.filter(({ kind, outcome }) => kind === 'set' && outcome === 'ok')
  return writes.filter(({ n }) => !existingKeys.has(`w:${n}`))
}

/** @param {Observations} observed @param {Call[]} lost */
function executionCounts(
  { load, executions, oldPort, newPrimary, frozen, eventLoopDelayMs },
  lost,
) {
  const calls = new Map(load.calls.map((call) => [identityOf(call), call]))
  const executed = new Map(executions.map((execution) => [identityOf(execution), execution]))
  const failed = executions.flatMap((execution) => {
    const call = calls.get(identityOf(execution))
    return call === undefined || call.outcome === 'ok' ? [] : [{ execution, call }]
  })
  // A machine that delays this process may delay a server by as long.
  const toleranceMs = clockToleranceMs + eventLoopDelayMs
  const late = failed.filter(({ execution, call }) => execution.at > call.settledAt + toleranceMs)
  // A frozen server executes what it has received once it resumes. No client can prevent that.
  const unavoidable = late.filter(({ execution }) => frozen && execution.port === oldPort)
  return {
    failedButExecuted: failed.length,
    duplicates: duplicates(executions.filter(({ kind }) => kind === 'increment')),
    late: late.length - unavoidable.length,
    lateOnFrozen: unavoidable.length,
    rejected: failed.filter(({ call }) => call.outcome === 'ERR_CACHE_REJECTED').length,
    vanished: lost.filter((call) => executed.get(identityOf(call))?.port === newPrimary.port)
      .length,
  }
}

/** @param {Execution[]} executions */
function duplicates(executions) {
  return executions.length - new Set(executions.map(identityOf)).size
}

/** @param {{ kind: string, n: number }} call */
function identityOf({ kind, n }) {
  return `${kind} ${n}`
}

/** @param {string[]} words @returns {Record<string, number>} */
function countsOf(words) {
  /** @type {Record<string, number>} */
  const counts = {}
  for (const word of words) counts[word] = (counts[word] ?? 0) + 1
  return counts
}
