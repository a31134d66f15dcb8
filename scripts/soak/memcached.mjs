import { fuzzMemcached } from '../lib/memcached-fuzz.mjs'
import { Remedy } from '../lib/progress.mjs'

const protocols = ['binary', 'meta']

/**
 * Faults under load, for each protocol named, or all: npm run soak -- memcached [seconds] [protocol …]
 * @param {string[]} args
 * @returns {Promise<number>} exit code
 */
export async function soak(args) {
  const [seconds = 60, ...more] = args.map(Number).filter(Number.isFinite)
  const names = args.filter((each) => Number.isNaN(Number(each)))
  const unknown = names.filter((name) => !protocols.includes(name))
  if (unknown.length > 0 || more.length > 0 || seconds <= 0) {
    throw new Remedy('Say how long, and which: npm run soak -- memcached 60 binary meta')
  }
  let failed = 0
  for (const protocol of names.length > 0 ? names : protocols) {
    const seen = await fuzzMemcached(seconds * 1_000, { protocol })
    if (!print(protocol, seen)) failed++
  }
  return failed === 0 ? 0 : 1
}

/** @param {string} name @param {import('../lib/memcached-fuzz.mjs').FuzzResult} seen @returns {boolean} whether all is well */
function print(name, { wrong, ...numbers }) {
  const { hung, well, asked, connections, sockets } = numbers
  const isWell =
    wrong.length === 0 && hung === 0 && well === asked && connections === 1 && sockets === 1
  const cells = Object.entries(numbers).map(([label, value]) => `${label} ${value}`)
  process.stdout.write(
    `${isWell ? '✓' : '✗'} ${name}: wrong ${wrong.length}, ${cells.join(', ')}\n`,
  )
  for (const each of wrong) process.stdout.write(`    ${each}\n`)
  return isWell
}
