/** @typedef {import('./load.mjs').Call} Call */
/** @typedef {import('./monitor.mjs').Execution} Execution */

/** Clocks of two processes, and what lies between an answer and its being noticed. */
const clockToleranceMs = 5

/**
 * @typedef {object} Facts
 * @property {string} name
 * @property {import('./load.mjs').Load} load
 * @property {Execution[]} executions
 * @property {{ port: number, at: number }} known the new primary, and when it could be known
 * @property {number} lost when the old one was lost
 * @property {number} old port of the old primary
 * @property {boolean} [held] whether what was sent to the old one reaches it long after
 * @property {Set<string>} present the keys the new primary has in the end
 * @property {number} counter as the new primary has it in the end
 * @property {number} busyMs the longest time the event loop of this process was kept
 */

/** @typedef {{ deadlineMs: number, toleranceMs: number, recoveryWithinMs: number }} Limits */

/** What the callers were told, against what the servers carried out. @param {Facts} facts @param {Limits} limits */
export function report(facts, limits) {
  const { load, known, lost, counter, busyMs } = facts
  const failed = load.calls.filter(({ outcome }) => outcome !== 'ok')
  const increments = load.calls.filter(({ kind }) => kind === 'increment')
  const answered = increments.filter(({ outcome }) => outcome === 'ok').length
  const numbers = {
    calls: load.calls.length,
    failed: failed.length,
    codes: countsOf(failed.map(({ outcome }) => outcome)),
    worstMs: Math.max(...load.calls.map(({ began, told }) => told - began)),
    outageMs: known.at - lost,
    recoveredMs: recoveredMs(facts),
    hanging: load.pending,
    problems: load.problems.length,
    lostWrites: lostWrites(facts).length,
    lostLate: lostWrites(facts).filter(({ began }) => began > known.at + limits.recoveryWithinMs)
      .length,
    counter,
    answered,
    unknown: increments.length - answered,
    ...carriedOut(facts),
    busyMs,
  }
  return { name: facts.name, ...numbers, wrong: wrongIn(numbers, limits) }
}

/** @typedef {Omit<ReturnType<typeof report>, 'name' | 'wrong'>} Numbers */

/** @param {Numbers} numbers @param {Limits} limits @returns {string[]} */
function wrongIn(numbers, { deadlineMs, toleranceMs, recoveryWithinMs }) {
  const { worstMs, recoveredMs, counter, answered, unknown } = numbers
  const latest = deadlineMs + toleranceMs
  /** @type {[boolean, string][]} */
  const rules = [
    [numbers.hanging > 0, `${numbers.hanging} calls hang`],
    [numbers.problems > 0, `${numbers.problems} failures are no CacheError`],
    [worstMs > latest, `a call took ${worstMs.toFixed()} ms, more than ${latest}`],
    [
      !(recoveredMs <= recoveryWithinMs),
      `the first write succeeded ${recoveredMs.toFixed()} ms after the new primary could be known`,
    ],
    [counter > answered + unknown, 'the counter is higher than the number of increments'],
    [numbers.twice > 0, `${numbers.twice} increments were carried out twice`],
    [numbers.late > 0, `${numbers.late} commands were carried out after their failure was told`],
    [numbers.refused > 0, `${numbers.refused} commands were carried out and called refused`],
    [numbers.lostLate > 0, `${numbers.lostLate} writes went to the old primary long after`],
    [numbers.vanished > 0, `${numbers.vanished} writes are gone though the new primary took them`],
  ]
  return rules.flatMap(([broken, what]) => (broken ? [what] : []))
}

/** From when the new primary could be known to the first answer of a write it has carried out. @param {Facts} facts */
function recoveredMs({ load, executions, known }) {
  const there = new Set(executions.filter(({ port }) => port === known.port).map(identity))
  const told = load.calls
    .filter((call) => call.outcome === 'ok' && there.has(identity(call)))
    .map((call) => call.told)
  return Math.max(0, Math.min(...told) - known.at)
}

/** Answered, and not there in the end: the old primary had not passed them on. @param {Facts} facts */
function lostWrites({ load, present }) {
  const answered = load.calls.filter(({ kind, outcome }) => kind === 'set' && outcome === 'ok')
  return answered.filter(({ n }) => !present.has(`w:${n}`))
}

/** @param {Facts} facts */
function carriedOut(facts) {
  const { load, executions, old, known, held, busyMs } = facts
  const calls = new Map(load.calls.map((call) => [identity(call), call]))
  const ran = new Map(executions.map((execution) => [identity(execution), execution]))
  const failed = executions.flatMap((execution) => {
    const call = calls.get(identity(execution))
    return call === undefined || call.outcome === 'ok' ? [] : [{ execution, call }]
  })
  // On a machine that stalls, a server may take as long over what it has been sent in time.
  const latestMs = clockToleranceMs + busyMs
  const late = failed.filter(({ execution, call }) => execution.at > call.told + latestMs)
  // What a server had received before it was frozen, it carries out when it wakes up. No client can call it back.
  const unavoidable = late.filter(({ execution }) => held && execution.port === old)
  return {
    failedButDone: failed.length,
    twice: repeated(executions.filter(({ kind }) => kind === 'increment')),
    late: late.length - unavoidable.length,
    lateOnFrozen: unavoidable.length,
    refused: failed.filter(({ call }) => call.outcome === 'ERR_CACHE_REJECTED').length,
    vanished: lostWrites(facts).filter((call) => ran.get(identity(call))?.port === known.port)
      .length,
  }
}

/** @param {Execution[]} executions */
function repeated(executions) {
  return executions.length - new Set(executions.map(identity)).size
}

/** @param {{ kind: string, n: number }} call */
function identity({ kind, n }) {
  return `${kind} ${n}`
}

/** @param {string[]} words @returns {Record<string, number>} */
function countsOf(words) {
  /** @type {Record<string, number>} */
  const counts = {}
  for (const word of words) counts[word] = (counts[word] ?? 0) + 1
  return counts
}
