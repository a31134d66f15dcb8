import { UserError } from '../lib/cli.mjs'
import { fuzzMemcached } from '../lib/memcached-fuzz.mjs'

const protocols = ['binary', 'meta']

/**
 * Injects faults under load, for the given protocols or for all: npm run soak -- memcached [seconds] [protocol …]
 * @param {string[]} args
 * @returns {Promise<number>} exit code
 */
export async function soak(args) {
  const [seconds = 60, ...more] = args.map(Number).filter(Number.isFinite)
  const names = args.filter((each) => Number.isNaN(Number(each)))
  const unknown = names.filter((name) => !protocols.includes(name))
  if (unknown.length > 0 || more.length > 0 || seconds <= 0) {
    throw new UserError('Usage: npm run soak -- memcached [seconds] [binary|meta …]')
  }
  let failed = 0
  for (const protocol of names.length > 0 ? names : protocols) {
    const result = await fuzzMemcached(seconds * 1_000, { protocol })
    if (!print(protocol, result)) failed++
  }
  return failed === 0 ? 0 : 1
}

/**
 * @param {string} protocol
 * @param {import('../lib/memcached-fuzz.mjs').FuzzResult} result
 * @returns {boolean} whether the run passed
 */
function print(protocol, { wrong, ...counts }) {
  const { hung, well, asked, connections, sockets } = counts
  const passed =
    wrong.length === 0 && hung === 0 && well === asked && connections === 1 && sockets === 1
  const cells = Object.entries(counts).map(([label, count]) => `${label} ${count}`)
  process.stdout.write(
    `${passed ? '✓' : '✗'} ${protocol}: wrong ${wrong.length}, ${cells.join(', ')}\n`,
  )
  for (const each of wrong) process.stdout.write(`    ${each}\n`)
  return passed
}
