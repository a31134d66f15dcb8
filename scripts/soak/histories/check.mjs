/**
 * @typedef {object} Call a line of a history, see README.md
 * @property {number} process
 * @property {string} key
 * @property {string} operation
 * @property {unknown[]} args
 * @property {bigint} start
 * @property {bigint | null} end
 * @property {unknown} result
 */

/**
 * Returns the calls of the first key whose history has no order, `undefined` if there is one for each key.
 * @param {Iterable<string>} lines of JSON
 * @returns {{ key: string, calls: Call[] } | undefined}
 */
export function findViolation(lines) {
  for (const [key, calls] of historiesByKey(lines)) {
    const wrong = firstImpossible(calls)
    if (wrong !== undefined) return { key, calls: wrong }
  }
  return undefined
}

/** @param {Iterable<string>} lines @returns {Map<string, Call[]>} */
function historiesByKey(lines) {
  const histories = new Map()
  for (const line of lines) {
    const { start, end, ...call } = JSON.parse(line)
    const parsed = { ...call, start: BigInt(start), end: end === null ? null : BigInt(end) }
    const calls = histories.get(call.key)
    if (calls === undefined) histories.set(call.key, [parsed])
    else calls.push(parsed)
  }
  return histories
}

/**
 * Looks for an order of the calls of a key. What has been tried is remembered as the calls that have taken effect and the
 * item that they left: another order of the same calls with the same item leads nowhere either.
 * @param {Call[]} history @returns {Call[] | undefined} the calls around the place where no order goes on
 */
function firstImpossible(history) {
  const calls = history.toSorted((a, b) => (a.start < b.start ? -1 : 1))
  const tried = new Set()
  /** What is to be tried: the calls that have taken effect, and the item. @type {Position[]} */
  const positions = [{ done: new Set(), from: 0, item: null }]
  let furthest = 0
  for (let position = positions.pop(); position !== undefined; position = positions.pop()) {
    if (isComplete(calls, position)) return undefined
    furthest = Math.max(furthest, position.from)
    for (const next of nextPositions(calls, position)) {
      const name = `${next.from}:${[...next.done].sort((a, b) => a - b)}:${next.item}`
      if (tried.has(name)) continue
      tried.add(name)
      positions.push(next)
    }
  }
  return calls.slice(Math.max(0, furthest - 10), furthest + 10)
}

/**
 * @typedef {object} Position
 * @property {number} from all calls before this index have taken effect, or never will
 * @property {Set<number>} done the later ones that have
 * @property {string | null} item
 */

/** Whether only calls remain that may never have taken effect. @param {Call[]} calls @param {Position} position */
function isComplete(calls, { from, done }) {
  for (let index = from; index < calls.length; index++)
    if (!done.has(index) && calls[index].end !== null) return false
  return true
}

/** The positions after each call that may be the next one. @param {Call[]} calls @param {Position} position */
function* nextPositions(calls, { from, done, item }) {
  // A call cannot take effect after another one that began when it had ended.
  let earliestEnd
  for (let index = from; index < calls.length; index++) {
    if (done.has(index)) continue
    const call = calls[index]
    if (earliestEnd !== undefined && call.start > earliestEnd) return
    if (call.end !== null && (earliestEnd === undefined || call.end < earliestEnd))
      earliestEnd = call.end
    const effect = apply(call, item)
    if (call.end !== null && effect.result !== call.result) continue
    yield advance(calls, from, new Set(done).add(index), effect.item)
  }
}

/** @param {Call[]} calls @param {number} from @param {Set<number>} done @param {string | null} item */
function advance(calls, from, done, item) {
  let first = from
  while (first < calls.length && done.delete(first)) first++
  return { from: first, done, item }
}

/**
 * The contract for a key without a ttl.
 * @param {Call} call @param {string | null} item
 * @returns {{ item: string | null, result: unknown }}
 */
function apply({ operation, args }, item) {
  const [first, second] = args
  switch (operation) {
    case 'get':
      return { item, result: item }
    case 'set':
      return { item: first, result: null }
    case 'add':
      return item === null ? { item: first, result: true } : { item, result: false }
    case 'compareAndSet':
      return item === first && item !== null
        ? { item: second, result: true }
        : { item, result: false }
    case 'increment':
      return { item: String(Number(item ?? 0) + first), result: Number(item ?? 0) + first }
    case 'delete':
      return { item: null, result: item !== null }
    default:
      throw new Error(`unknown operation ${operation}`)
  }
}
