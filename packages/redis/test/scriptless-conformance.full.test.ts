import { setTimeout as sleep } from 'node:timers/promises'
import { redis } from '@stowage/redis'
import { type Dialect, startScriptlessRedis } from '@stowage/test-servers'
import { conform } from '@stowage/testing'
import { afterAll, describe, test } from 'vitest'

const dialects: readonly Dialect[] = ['redis', 'valkey']

describe.each(dialects)('without permission for scripts, commands of %s', async (dialect) => {
  const { url, stop } = await startScriptlessRedis(dialect)
  afterAll(stop)
  conform(test, () => redis({ url, maxValueBytes: 1024 * 1024, timeout: '20s' }), {
    wait: async (ms: number) => sleep(ms),
    concurrent: test.concurrent,
    sharedBackend: true,
  })
})
