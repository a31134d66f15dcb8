import { fuzzRedis } from '../../packages/redis/test/fuzz/fuzz-redis.mjs'
import { describeResult, isCorrect } from '../../test/fuzz/fuzz-store.mjs'
import { UserError } from '../lib/cli.mjs'

/**
 * Injects faults into the connections to a Redis server under load: npm run soak -- redis [seconds]
 * @param {string[]} args
 * @returns {Promise<number>} exit code
 */
export async function soak(args) {
  const [seconds = 60, ...more] = args.map(Number)
  if (!(seconds > 0) || more.length > 0) {
    throw new UserError('Usage: npm run soak -- redis [seconds]')
  }
  const result = await fuzzRedis(seconds * 1_000)
  process.stdout.write(`${describeResult('redis', result)}\n`)
  return isCorrect(result) ? 0 : 1
}
