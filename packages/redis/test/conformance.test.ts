import { setTimeout as sleep } from 'node:timers/promises'
import { redis } from '@stowage/redis'
import { startRedis } from '@stowage/test-servers'
import { conform } from '@stowage/testing'
import { afterAll, test } from 'vitest'

const server = await startRedis()
afterAll(server.stop)

// Below the limit of the server, so that the suite can exceed it.
const options = { url: server.url, maxValueBytes: 1024 * 1024 }
conform(test, () => redis(options), { wait: async (ms) => sleep(ms) })
