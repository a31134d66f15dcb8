import { startMemcached } from '@stowage/test-servers'
import { expect, onTestFinished, test, vi } from 'vitest'
import { MetaConnection } from '../../src/nodes/meta-connection.ts'
import { timeoutMs } from './proxied-server.ts'
import { isVersion, replyTooMuchOnce, startTextServer } from './text-server.ts'

const host = '127.0.0.1'
const unsupported = { code: 'ERR_CACHE_UNSUPPORTED', operation: 'get', key: 'k' }
const unavailable = { code: 'ERR_CACHE_UNAVAILABLE', operation: 'get', key: 'k' }

function create() {
  const meta = new MetaConnection({ timeoutMs, connectTimeoutMs: timeoutMs })
  onTestFinished(() => meta.close())
  return meta
}

/** As memcached before 1.6. */
const replyWithoutMeta = (line: string) => (isVersion(line) ? 'VERSION 1.5.22' : 'ERROR')

test('a server without the meta protocol is not tried again for a minute', async () => {
  const server = await startTextServer(replyWithoutMeta)
  const meta = create()
  const open = () => meta.open({ host, port: server.port }, 'get', 'k')
  // A whole number: fractions are rounded in sums, whose differences then are shorter.
  const now = Math.ceil(performance.now())
  const clock = vi.spyOn(performance, 'now').mockReturnValue(now)
  onTestFinished(() => clock.mockRestore())
  await expect(open()).rejects.toMatchObject(unsupported)
  clock.mockReturnValue(now + 59_999)
  await expect(open()).rejects.toMatchObject(unsupported)
  expect(server.accepted).toBe(1)
  clock.mockReturnValue(now + 60_000)
  await expect(open()).rejects.toMatchObject(unsupported)
  expect(server.accepted).toBe(2)
  clock.mockRestore()
  await expect.poll(() => server.sockets.size).toBe(0)
})

test('a server that closes the connection after its version may have the protocol', async () => {
  const server = await startTextServer((line) => (isVersion(line) ? 'VERSION 1.6.18' : undefined))
  const meta = create()
  for (const attempt of [1, 2]) {
    const opening = meta.open({ host, port: server.port }, 'get', 'k')
    await expect(opening).rejects.toMatchObject(unavailable)
    expect(server.accepted).toBe(attempt)
  }
})

test('a connection that has ended at once is not used again', async () => {
  const server = await startTextServer(replyTooMuchOnce())
  const meta = create()
  const open = () => meta.open({ host, port: server.port }, 'get', 'k')
  const [ended, next] = [await open(), await open()]
  expect([ended.endReason, next.endReason]).toEqual([expect.any(Error), undefined])
  expect([await open(), server.accepted]).toEqual([next, 2])
})

test('a server that is unreachable may have the protocol', async () => {
  const stopped = await startMemcached()
  await stopped.stop()
  const meta = create()
  const open = () => meta.open({ host, port: stopped.port }, 'get', 'k')
  await expect(open()).rejects.toMatchObject(unavailable)
  await expect(open()).rejects.toThrow(`memcached get failed: ${stopped.address}: `)
})

test('close ends the connection that is being opened', async () => {
  const server = await startMemcached()
  onTestFinished(server.stop)
  const meta = create()
  const opening = meta.open({ host, port: server.port }, 'get', 'k')
  await meta.close()
  expect((await opening).endReason).toBeDefined()
})

test('close waits for the requests in flight', async () => {
  const server = await startMemcached()
  onTestFinished(server.stop)
  const meta = create()
  const connection = await meta.open({ host, port: server.port }, 'get', 'k')
  let hasReplied = false
  const pong = connection.noop('ping').then(() => {
    hasReplied = true
  })
  await meta.close()
  expect(hasReplied).toBe(true)
  await pong
})
