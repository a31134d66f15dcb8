import { fuzzMemcached } from '../../packages/memcached/test/fuzz/fuzz-memcached.mjs'
import { UserError } from '../lib/cli.mjs'

const protocols = ['binary', 'meta']

/** @typedef {import('../../packages/memcached/test/fuzz/fuzz-memcached.mjs').FuzzResult} FuzzResult */

/**
 * Injects faults under load, with each protocol given, or all: npm run soak -- memcached [seconds] [protocol …]
 * @param {string[]} args
 * @returns {Promise<number>} exit code
 */
export async function soak(args) {
  const [seconds = 60, ...more] = args.map(Number).filter(Number.isFinite)
  const names = args.filter((arg) => Number.isNaN(Number(arg)))
  const unknown = names.filter((name) => !protocols.includes(name))
  if (unknown.length > 0 || more.length > 0 || seconds <= 0) {
    throw new UserError('Usage: npm run soak -- memcached [seconds] [binary] [meta]')
  }
  let failed = 0
  for (const protocol of names.length > 0 ? names : protocols) {
    const result = await fuzzMemcached(seconds * 1_000, { protocol })
    print(protocol, result)
    if (!isCorrect(result)) failed++
  }
  return failed === 0 ? 0 : 1
}

/** @param {FuzzResult} result */
function isCorrect({ wrong, hung, correctKeys, checkedKeys, connections, sockets }) {
  const allKeys = correctKeys === checkedKeys
  return wrong.length === 0 && hung === 0 && allKeys && connections === 1 && sockets === 1
}

/** @param {string} protocol @param {FuzzResult} result */
function print(protocol, result) {
  const { wrong, ...numbers } = result
  const cells = Object.entries(numbers).map(([label, value]) => `${label} ${value}`)
  const mark = isCorrect(result) ? '✓' : '✗'
  process.stdout.write(`${mark} ${protocol}: wrong ${wrong.length}, ${cells.join(', ')}\n`)
  for (const each of wrong) process.stdout.write(`    ${each}\n`)
}
