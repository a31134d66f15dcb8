import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { lmdb } from '@stowage/lmdb'
import { variantGroups } from '@stowage/test-servers'
import { conform, ManualClock } from '@stowage/testing'
import { afterAll, describe, test } from 'vitest'

const root = mkdtempSync(join(tmpdir(), 'stowage-lmdb-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

/** Below the limit of the tests, so that they can exceed it. */
const options = { maxBytes: '64MiB', maxValueBytes: '1MiB' } as const

describe('the clock of the system', () => {
  const path = join(root, 'system')
  conform(test, () => lmdb({ ...options, path }), {
    wait: async (ms) => sleep(ms),
    concurrent: test.concurrent,
    groups: variantGroups,
    sharedBackend: true,
  })
})

describe('a manual clock', () => {
  const path = join(root, 'manual')
  const clock = new ManualClock()
  conform(test, () => lmdb({ ...options, path, clock }), {
    wait: (ms) => clock.advance(ms),
    exact: true,
    sharedBackend: true,
  })
})
