import { isFullTier } from '@stowage/test-servers'
import { test } from 'vitest'
import { disturbBus, expectFreshReads, redisBehindProxy } from './near-processes.ts'

// The processes delay, repeat and reorder messages themselves.
const fixture = redisBehindProxy()

test.each(isFullTier ? (['tracking', 'pubsub', 'none'] as const) : (['tracking'] as const))(
  'Redis, bus %s: no read is older than the bound, whatever happens to the bus',
  async (bus) => {
    const options = { url: fixture.redis.url }
    await expectFreshReads({ driver: 'redis', options, bus, busUrl: fixture.proxy.url }, () =>
      disturbBus(fixture.proxy),
    )
  },
)
