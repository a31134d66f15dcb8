import { setTimeout as sleep } from 'node:timers/promises'
import { redis } from '@stowage/redis'
import { startRedis } from '@stowage/test-servers'
import { conform } from '@stowage/testing'
import { afterAll, describe, test } from 'vitest'

const server = await startRedis()
let stopped = await startRedis()
afterAll(async () => {
  await server.stop()
  await stopped.stop()
})

// Below the limit of the server, so that the suite can exceed it.
const options = { url: server.url, maxValueBytes: 1024 * 1024 }
const wait = async (ms: number) => sleep(ms)
// Patient, because all cases run at the same time.
conform(test, () => redis({ ...options, timeout: '20s' }), {
  wait,
  concurrent: test.concurrent,
  sharedBackend: true,
})

describe('a frozen server', () => {
  conform(test, () => redis({ ...options, timeout: '500ms', connectTimeout: '500ms' }), {
    wait,
    groups: ['outage'],
    breakBackend: () => server.kill('SIGSTOP'),
    restoreBackend: () => server.kill('SIGCONT'),
    deadlineMs: 900,
  })
})

describe('a stopped server', () => {
  conform(test, () => redis({ url: stopped.url, timeout: '500ms' }), {
    wait,
    groups: ['outage'],
    breakBackend: () => stopped.stop(),
    restoreBackend: async () => {
      stopped = await stopped.restart()
    },
    deadlineMs: 900,
  })
})
