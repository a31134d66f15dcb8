import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'vitest'
import { refuse, run } from './outages.ts'

test.for(['redis', 'memcached'] as const)(
  'a server that replies every other second only causes no errors: %s',
  async (backend) => {
    await run({ backend }, async ({ backend }) => {
      for (let times = 0; times < 4; times++) {
        await refuse(backend, 1_000)
        await sleep(1_000)
      }
    })
  },
)
