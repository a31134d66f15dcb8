import { fuzzPostgres } from '../../packages/postgres/test/fuzz/fuzz-postgres.mjs'
import { describeResult, isCorrect } from '../../test/fuzz/fuzz-store.mjs'
import { UserError } from '../lib/cli.mjs'

/**
 * Injects faults into the connections to a PostgreSQL server under load, freezes it and crashes it:
 * npm run soak -- postgres [seconds]
 * @param {string[]} args
 * @returns {Promise<number>} exit code
 */
export async function soak(args) {
  const [seconds = 60, ...more] = args.map(Number)
  if (!(seconds > 0) || more.length > 0) {
    throw new UserError('Usage: npm run soak -- postgres [seconds]')
  }
  const result = await fuzzPostgres(seconds * 1_000)
  process.stdout.write(`${describeResult('postgres', result)}\n`)
  return isCorrect(result) ? 0 : 1
}
