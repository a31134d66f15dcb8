import { soakDynamoDB } from '../../packages/dynamodb/test/soak/soak-dynamodb.mjs'
import { UserError } from '../lib/cli.mjs'

const transports = /** @type {const} */ (['lean', 'sdk'])
const maxRecoveryMs = 3_000
/** As many as the store has requests in flight, and some that are being closed. */
const maxConnections = 200

/** @typedef {import('../../packages/dynamodb/test/soak/soak-dynamodb.mjs').SoakResult} SoakResult */

/**
 * Injects faults into the requests, sent by the store or by a client of the application, or one after the other:
 * npm run soak -- dynamodb [seconds] [lean] [sdk]
 * @param {string[]} args
 * @returns {Promise<number>} exit code
 */
export async function soak(args) {
  const [seconds = 60, ...more] = args.map(Number).filter(Number.isFinite)
  const names = args.filter((arg) => Number.isNaN(Number(arg)))
  const unknown = names.filter((name) => !transports.some((transport) => transport === name))
  if (unknown.length > 0 || more.length > 0 || seconds <= 0) {
    throw new UserError('Usage: npm run soak -- dynamodb [seconds] [lean] [sdk]')
  }
  let failed = 0
  for (const transport of transports) {
    if (names.length > 0 && !names.includes(transport)) continue
    const result = await soakDynamoDB(seconds * 1_000, transport)
    print(transport, result)
    if (!isCorrect(result)) failed++
  }
  return failed === 0 ? 0 : 1
}

/** @param {SoakResult} result */
function isCorrect({ wrong, hung, recoveryMs, connections, openConnections }) {
  const isReachable = recoveryMs <= maxRecoveryMs
  const hasNoLeak = connections <= maxConnections && openConnections === 0
  return wrong.length === 0 && hung === 0 && isReachable && hasNoLeak
}

/** @param {string} transport @param {SoakResult} result */
function print(transport, result) {
  const { wrong, ...numbers } = result
  const cells = Object.entries(numbers).map(([label, value]) => `${label} ${Math.round(value)}`)
  const mark = isCorrect(result) ? '✓' : '✗'
  process.stdout.write(`${mark} ${transport}: wrong ${wrong.length}, ${cells.join(', ')}\n`)
  for (const each of wrong.slice(0, 20)) process.stdout.write(`    ${each}\n`)
}
