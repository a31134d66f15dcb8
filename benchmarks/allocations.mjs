// Prints the bytes that a hit allocates, with the promise that it returns: node benchmarks/allocations.mjs
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { Cache } from '@stowage/core'
import { memory } from '@stowage/memory'
import { references } from './contestants/caches/map.mjs'
import { hourMs, users } from './lib/workloads/dataset.mjs'

const calls = 1_000_000
/** What they allocate fits into the young generation, so that no collection runs among them. */
const callsPerRound = 50_000
const youngGeneration = ['--min-semi-space-size=256', '--max-semi-space-size=256']
const callsPerTurn = 100

const caches = {
  'Map behind an async function': references,
  "values: 'shared'": () => new Cache(memory({ values: 'shared' })),
  "values: 'shared', a prefix": () => new Cache(memory({ values: 'shared' }), { prefix: 'app:' }),
  'near: {}': () => new Cache(memory(), { near: {} }),
  copies: () => new Cache(memory()),
}
const { keys, values, batches } = users
const options = { ttl: hourMs }

const name = process.argv[2]
if (name === undefined) for (const each of Object.keys(caches)) reportInNewProcess(each)
else await report(caches[name]())

/** V8 optimises for all caches of a process. */
function reportInNewProcess(name) {
  const args = ['--expose-gc', ...youngGeneration, fileURLToPath(import.meta.url), name]
  process.stdout.write(execFileSync(process.execPath, args))
}

async function report(cache) {
  for (const [index, key] of keys.entries()) await cache.set(key, values[index], options)
  const results = []
  for (const [operation, call, size = 1] of operationsOf(cache)) {
    results.push(`${operation} ${Math.round(await bytesPerKey(call, size))}`)
  }
  console.log(`${name}: ${results.join(', ')}`)
  await cache.close()
}

/** Their names, the call, and the number of keys of a call. */
function operationsOf(cache) {
  const get = ['get', (index) => cache.get(keys[index])]
  const getMany = ['getMany per key', (index) => cache.getMany(batches[index % 10]), 100]
  const set = ['set', (index) => cache.set(keys[index], values[index], options)]
  if (!(cache instanceof Cache)) return [get, getMany, set]
  const collection = cache.collection('byIndex', { ttl: hourMs, load: (index) => values[index] })
  return [
    get,
    getMany,
    ['remember', (index) => cache.remember(keys[index], options, unexpectedLoad)],
    ['collection', (index) => collection.get(index)],
    set,
  ]
}

function unexpectedLoad() {
  throw new Error('The key must exist.')
}

async function bytesPerKey(call, size) {
  const callsOfRound = callsPerRound / size
  let bytes = 0
  await run(call, Math.max(callsOfRound * 4, 10_000))
  for (let round = 0; round < calls / callsPerRound; round++) {
    globalThis.gc()
    const before = process.memoryUsage().heapUsed
    await run(call, callsOfRound)
    bytes += process.memoryUsage().heapUsed - before
  }
  return bytes / calls
}

/** Awaits only the last result of each turn: `await` itself allocates. */
async function run(call, count) {
  let index = 0
  for (let i = 0; i < count; i += callsPerTurn) {
    let last
    for (let j = 0; j < callsPerTurn; j++) {
      last = call(index)
      index = (index + 1) % keys.length
    }
    await last
  }
}
