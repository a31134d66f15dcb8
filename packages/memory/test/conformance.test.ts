import { type MemoryOptions, memory } from '@stowage/memory'
import { conform, ManualClock } from '@stowage/testing'
import { describe, test } from 'vitest'

const modes: Record<string, MemoryOptions> = {
  bytes: { maxValueBytes: 100_000 },
  shared: { values: 'shared' },
}

describe.each(Object.entries(modes))('%s', (_, options) => {
  const clock = new ManualClock()
  conform(test, () => memory({ ...options, clock }), {
    wait: (ms) => clock.advance(ms),
    exact: true,
  })
})
