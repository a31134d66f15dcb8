import { setTimeout as sleep } from 'node:timers/promises'
import { lmdb } from '@stowage/lmdb'
import { conformance } from '@stowage/testing'
import { afterAll, describe, test } from 'vitest'
import { StoreProcess } from './processes/remote-store.mjs'
import { temporaryFolder } from './temporary-folder.ts'

const options = { path: temporaryFolder(), maxBytes: '64MiB', maxValueBytes: '1MiB' } as const
const other = new StoreProcess()
afterAll(() => other.stop())
const wait = async (ms: number) => sleep(ms)

describe('a second store in another process', () => {
  for (const { name, group, run } of conformance) {
    if (group === 'outage') continue
    test(`${group}: ${name}`, async () => {
      const store = lmdb(options)
      try {
        await run({ store, createStore: () => other.create(options), wait, sharedBackend: true })
      } finally {
        await store.close()
      }
    })
  }
})
