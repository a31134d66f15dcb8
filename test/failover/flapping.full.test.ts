import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'vitest'
import { refuse, run, shortOutageMs, timeout } from './outages.ts'

test.for(['redis', 'memcached'] as const)(
  'a server that replies every third second only causes no errors: %s',
  { timeout },
  async (backend) => {
    await run({ backend }, async ({ backend }) => {
      for (let times = 0; times < 4; times++) {
        await refuse(backend, shortOutageMs)
        await sleep(1_000)
      }
    })
  },
)
