// Makes batched calls for the same few keys as other processes, in random orders, and prints how they ended:
// node random-batches.mjs <options as JSON> <number of calls>
import { postgres } from '@stowage/postgres'

const [options = '{}', calls = '1000'] = process.argv.slice(2)
const store = postgres({ timeout: '60s', ...JSON.parse(options) })
const keys = Array.from({ length: 300 }, (_, index) => `key:${index}`)
const failures = /** @type {Record<string, number>} */ ({})

/** @type {((key: string) => unknown)[]} */
const operations = [
  (key) => store.add(key, '1'),
  (key) => store.increment(key, 1),
  (key) => store.touch(key, 60_000),
  (key) => store.delete(key),
  (key) => store.compareAndSet(key, '1', '2'),
  (key) => store.compareAndSet(key, '2', undefined),
]

/** A turn of the event loop: each of these becomes one statement or two. */
function turn() {
  const operation = operations[Math.floor(Math.random() * operations.length)]
  return [
    store.setMany(shuffled().map((key) => [key, '1'])),
    ...shuffled().map((key) => operation?.(key)),
    store.deleteMany(shuffled().slice(100)),
  ]
}

function shuffled() {
  const order = new Map(keys.map((key) => [key, Math.random()]))
  return [...keys].sort((a, b) => (order.get(a) ?? 0) - (order.get(b) ?? 0))
}

let made = 0
while (made < Number(calls)) {
  const outcomes = await Promise.allSettled(turn())
  made += outcomes.length
  for (const outcome of outcomes) {
    if (outcome.status === 'fulfilled') continue
    const name = `${outcome.reason.code} ${outcome.reason.message}`
    failures[name] = (failures[name] ?? 0) + 1
  }
}
await store.close()
console.log(JSON.stringify({ failures }))
