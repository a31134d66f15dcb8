import { createWriteStream } from 'node:fs'
import { finished } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'

const workers = 3
const strong = { consistency: 'strong' }
/** Histories end after so many calls of a process: the checker takes long for a key with many. */
const callsOfKeys = 40

const { driver, options, number, milliseconds, path, defect } = JSON.parse(process.argv[2])
const { default: factory } = await import(`@stowage/${driver}`)
const store = await withDefect(factory.create(options))
const file = createWriteStream(path)
const until = Date.now() + milliseconds
let calls = 0

/** A store with a planted defect proves that the checker finds it. */
async function withDefect(sound) {
  if (defect === undefined) return sound
  const { plantedDefects } = await import('@stowage/testing')
  return plantedDefects.find(({ name }) => name === defect).plant(sound)
}

/** Makes a call, and writes its line. */
async function record(operation, key, args, run) {
  const start = process.hrtime.bigint()
  const call = { process: number, key, operation, args, start: String(start) }
  try {
    const reply = await run()
    const end = String(process.hrtime.bigint())
    const result = reply instanceof Uint8Array ? Buffer.from(reply).toString() : (reply ?? null)
    file.write(`${JSON.stringify({ ...call, end, result })}\n`)
    return result
  } catch {
    file.write(`${JSON.stringify({ ...call, end: null, result: null })}\n`)
    return null
  }
}

const get = (key) => record('get', key, [], () => store.get(key, strong))

/** The calls of a key of items, chosen at random. */
const itemCalls = [
  get,
  (key, item) => record('set', key, [item], () => store.set(key, item)),
  (key, item) => record('add', key, [item], () => store.add(key, item)),
  (key) => record('delete', key, [], () => store.delete(key)),
  compareAndSet,
  compareAndSet,
]
const counterCalls = [
  get,
  (key) => record('increment', key, [1], () => store.increment(key, 1)),
  (key) => record('increment', key, [10], () => store.increment(key, 10)),
  (key) => record('delete', key, [], () => store.delete(key)),
]

async function compareAndSet(key, item) {
  const seen = await get(key)
  if (seen !== null)
    await record('compareAndSet', key, [seen, item], () => store.compareAndSet(key, seen, item))
}

async function work() {
  while (Date.now() < until) {
    const call = ++calls
    const name = Math.floor(call / callsOfKeys)
    const isCounter = call % 2 === 0
    const choice = isCounter ? counterCalls : itemCalls
    const key = `${isCounter ? 'counter' : 'item'}:${name}`
    await choice[Math.floor(Math.random() * choice.length)](key, `${number}:${call}`)
    if (Math.random() < 0.1) await sleep(Math.random() * 5)
  }
}

await Promise.all(Array.from({ length: workers }, work))
await store.close()
file.end()
await finished(file)
