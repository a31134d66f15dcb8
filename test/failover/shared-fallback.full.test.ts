import { startRedis } from '@stowage/test-servers'
import { test } from 'vitest'
import type { StoreJob } from './backends.ts'
import { refuse, run, timeout } from './outages.ts'

test.for(['redis', 'memcached'] as const)(
  'processes share a fallback store, of which a second outage serves nothing old: %s',
  { timeout },
  async (backend) => {
    const server = await startRedis()
    const fallback: StoreJob = { driver: 'redis', options: { url: server.url, timeout: '5s' } }
    try {
      await run({ backend, fallback }, async ({ backend, untilReturned }) => {
        await refuse(backend)
        await untilReturned()
        await refuse(backend)
      })
    } finally {
      await server.stop()
    }
  },
)
