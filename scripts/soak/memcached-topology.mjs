import { fuzzTopology } from '../../packages/memcached/test/fuzz/fuzz-topology.mjs'
import { UserError } from '../lib/cli.mjs'

/**
 * Changes the nodes of a cluster under load while prefixes are cleared: npm run soak -- memcached-topology [changes]
 * @param {string[]} args
 * @returns {Promise<number>} exit code
 */
export async function soak([changes = '200', ...more]) {
  const count = Number(changes)
  if (!(count > 0) || more.length > 0) {
    throw new UserError('Usage: npm run soak -- memcached-topology [changes]')
  }
  const result = await fuzzTopology(count, (progress) => print('…', progress))
  const isCorrect = result.undone.length === 0 && result.hits > 0
  print(isCorrect ? '✓' : '✗', result)
  for (const each of result.undone.slice(0, 20)) process.stdout.write(`    ${each}\n`)
  return isCorrect ? 0 : 1
}

/** @param {string} mark @param {import('../../packages/memcached/test/fuzz/fuzz-topology.mjs').TopologyResult} result */
function print(mark, { undone, ...numbers }) {
  const cells = Object.entries(numbers).map(([label, value]) => `${label} ${value}`)
  process.stdout.write(`${mark} undone ${undone.length}, ${cells.join(', ')}\n`)
}
