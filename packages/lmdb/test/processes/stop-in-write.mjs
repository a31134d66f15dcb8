// Creates a file, and stops itself (SIGSTOP), within a transaction: fork(stop-in-write.mjs, ['<job as JSON>']).
import { writeFileSync } from 'node:fs'
import { systemClock } from '@stowage/core'
import { lmdb } from '@stowage/lmdb'

const { path, stopping } = JSON.parse(process.argv[2] ?? '{}')
let stops = false
const clock = {
  ...systemClock,
  now() {
    if (stops) {
      stops = false
      writeFileSync(stopping, '')
      process.kill(process.pid, 'SIGSTOP')
    }
    return systemClock.now()
  },
}
const store = lmdb({ path, clock })
await store.set('before', 'value')
stops = true
// The expiry is computed within the transaction.
await store.set('stopped', 'value', 60_000)
process.send?.('continued')
