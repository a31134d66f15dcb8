import { fork } from 'node:child_process'
import { backends } from '../../test/remember/processes/backends.mjs'
import { UserError } from '../lib/cli.mjs'
import { itemsOf } from './write-through/items.mjs'

const writers = 2
const ids = Array.from({ length: 40 }, (_, index) => `${index}`)
const program = new URL('write-through/writer.mjs', import.meta.url)

/**
 * Two processes save values through a collection, with pauses at random, and read them. In the end, the cache must contain
 * what the database contains, or nothing: npm run soak -- write-through [writes per process] [backend …]
 * @param {string[]} args
 * @returns {Promise<number>} exit code
 */
export async function soak(args) {
  const [writes = 10_000] = args.map(Number).filter(Number.isFinite)
  const chosen = args.filter((arg) => Number.isNaN(Number(arg)))
  const known = Object.keys(backends).filter((name) => name !== 'memory')
  if (chosen.some((name) => !known.includes(name)) || writes <= 0) {
    throw new UserError(`Usage: npm run soak -- write-through [writes] [${known.join('|')} …]`)
  }
  let failed = 0
  for (const name of chosen.length > 0 ? chosen : known) {
    const result = await raceWriters(name, writes)
    const isCorrect = result.wrong.length === 0 && result.cached > 0
    if (!isCorrect) failed++
    const { cached, wrong } = result
    const mark = isCorrect ? '✓' : '✗'
    process.stdout.write(
      `${mark} ${name}: ${cached} of ${ids.length} values cached, wrong ${wrong}\n`,
    )
  }
  return failed === 0 ? 0 : 1
}

/** @param {string} name @param {number} writes */
async function raceWriters(name, writes) {
  const backend = await backends[name]()
  /** @type {Map<string, unknown>} */
  const database = new Map()
  try {
    await Promise.all(
      Array.from({ length: writers }, (_, writer) => runWriter(backend, database, writer, writes)),
    )
    return await compare(backend, database)
  } finally {
    await backend.stop()
  }
}

/** Runs a writer until it exits. Its requests to the database take effect at a random moment. */
function runWriter({ driver, options, env }, database, writer, writes) {
  const job = JSON.stringify({ driver, options, writer, writes, ids })
  const child = fork(program, [job], { env: { ...process.env, ...env } })
  child.on('message', ({ call, id, value }) => {
    setTimeout(() => {
      if (value !== undefined) database.set(id, value)
      const current = database.get(id)
      setTimeout(() => child.connected && child.send({ call, value: current }), Math.random() * 3)
    }, Math.random() * 3)
  })
  return new Promise((resolve, reject) => {
    child.on('exit', (code) => {
      if (code === 0) resolve(undefined)
      else reject(new Error(`a writer exited with code ${code}`))
    })
  })
}

/** Reads every value from the cache, without the database. */
async function compare({ driver, options }, database) {
  const { cache, items } = await itemsOf({ driver, options }, async () => undefined)
  const cached = await Promise.all(ids.map((id) => items.get(id)))
  await cache.close()
  const wrong = ids.filter(
    (id, index) => cached[index] !== undefined && cached[index] !== database.get(id),
  )
  return { cached: cached.filter((value) => value !== undefined).length, wrong }
}
