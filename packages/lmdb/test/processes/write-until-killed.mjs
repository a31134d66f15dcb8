// Writes numbered values until it is killed: fork(write-until-killed.mjs, ['<job as JSON>']). Sends the number of each
// write after it was acknowledged.
import { lmdb } from '@stowage/lmdb'
import { selfChecked } from './self-checked.mjs'

const { path, name, keys, from, maxBytes, durability } = JSON.parse(process.argv[2] ?? '{}')
const store = lmdb({ path, maxBytes, durability, maxValueBytes: '1MiB' })

let number = from
async function loop() {
  for (;;) {
    const own = ++number
    const key = `${name}:${own % keys}`
    await store.set(key, selfChecked(key, own), own % 3 === 0 ? 600_000 : undefined)
    await store.increment(`${name}:count`, 1)
    process.send?.(own)
  }
}
// A key is written by one loop only, so that the order of its numbers is known.
await loop()
