import { redis } from '@stowage/redis'
import { command, startRedis } from '@stowage/test-servers'
import { expect, test } from 'vitest'

const { EXPECTED_IOREDIS: major = '6' } = process.env

test(`the store uses ioredis ${major}`, async () => {
  const server = await startRedis()
  const store = redis({ url: server.url, timeout: '20s' })
  await store.ping()
  // Version 6 is the first that uses RESP3.
  const clients = `${await command(server.port, 'CLIENT', 'LIST')}`
  expect(clients).toMatch(major === '6' ? /cmd=ping .*resp=3/ : /cmd=ping .*resp=2/)
  await store.close()
  await server.stop()
})
