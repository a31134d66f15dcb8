// Creates a file, and stops itself (SIGSTOP), within a transaction or a read: fork(stop-in-call.mjs, ['<job as JSON>']).
import { writeFileSync } from 'node:fs'
import { systemClock } from '@stowage/core'
import { lmdb } from '@stowage/lmdb'

const { path, stopping, maxBytes, reads = false } = JSON.parse(process.argv[2] ?? '{}')
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
const store = lmdb({ path, clock, maxBytes })
await store.set('before', 'value', 600_000)
stops = true
// The expiry is computed within the transaction, and compared within the snapshot.
if (reads) await store.get('before')
else await store.set('stopped', 'value', 60_000)
process.send?.('continued')
