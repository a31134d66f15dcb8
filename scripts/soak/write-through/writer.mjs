import { setTimeout as sleep } from 'node:timers/promises'
import { itemsOf } from './items.mjs'

const workers = 8
const { driver, options, writer, writes, ids } = JSON.parse(process.argv[2])

/** Requests to the database, which are waiting for a reply. @type {Map<number, (value: unknown) => void>} */
const waiting = new Map()
let calls = 0
process.on('message', ({ call, value }) => {
  waiting.get(call)?.(value)
  waiting.delete(call)
})

const { cache, items } = await itemsOf({ driver, options }, (id, value) => {
  const call = ++calls
  process.send?.({ call, id, value })
  return new Promise((resolve) => waiting.set(call, resolve))
})

let written = 0
async function work() {
  while (written < writes) {
    const id = ids[Math.floor(Math.random() * ids.length)]
    if (Math.random() < 0.2) await items.get(id)
    else await items.set(id, `${writer}:${++written}`)
    if (Math.random() < 0.3) await sleep(Math.random() * 4)
  }
}

await Promise.all(Array.from({ length: workers }, work))
await cache.close()
process.disconnect()
