import { fuzzMemcached } from '../../packages/memcached/test/fuzz/fuzz-memcached.mjs'
import { describeResult, isCorrect } from '../../test/fuzz/fuzz-store.mjs'
import { UserError } from '../lib/cli.mjs'

const protocols = ['binary', 'meta']

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
    process.stdout.write(`${describeResult(protocol, result)}\n`)
    if (!isCorrect(result)) failed++
  }
  return failed === 0 ? 0 : 1
}
